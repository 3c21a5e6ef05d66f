"""Canonical business objects: the one language between every system (no Django here).

Public surface: :mod:`apps.canonical.objects`, :mod:`apps.canonical.money`, :mod:`apps.canonical.diff`,
:mod:`apps.canonical.schema`.
"""
