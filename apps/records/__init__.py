"""Canonical records as each system last showed them, and cross-references between ids.

Public surface: :mod:`apps.records.services`, :mod:`apps.records.selectors`, :mod:`apps.records.errors`.
"""
