"""Salesforce REST API v68.0 as far as a project-services integration uses it (docs/sandbox.md)."""
