"""Doors for programs: webhooks of vendor systems, the versioned REST API and its OpenAPI schema. No tables.

Public surface: :mod:`apps.api.urls` (``/api/``) and :mod:`apps.api.urls_hooks` (``/hooks/``).
"""
