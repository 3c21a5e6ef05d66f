"""Kantata OX (docs/vendors/kantata.md)."""
