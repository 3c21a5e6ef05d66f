"""Who and where: people with roles and scopes, legal entities, the registry of systems, the routing.

Public surface: :mod:`apps.organization.services` (writes), :mod:`apps.organization.selectors` (reads),
:mod:`apps.organization.permissions` (verbs and roles as data).
"""
