"""Errors of the approvals room; all are kinds of :mod:`apps.core.errors`.

Public surface: :class:`AlreadyDecided`, :class:`ContentChanged`, :class:`SegregationOfDuties`.
"""

from __future__ import annotations

from apps.core.errors import NotAllowed, Stale


class AlreadyDecided(Stale):
    """Another person decided this step between your look and your click."""


class ContentChanged(Stale):
    """What would be approved is no longer what was shown."""


class SegregationOfDuties(NotAllowed):
    """The same person may not prepare and approve, nor approve twice; machines never approve."""
