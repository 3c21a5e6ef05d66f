"""Kantata OX (formerly Mavenlink) API v1 as far as project and billing data need it (docs/sandbox.md)."""
