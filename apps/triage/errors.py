"""Errors of the triage room.

Public surface: :class:`PreviewExpired`, :class:`NotFixableHere`.
"""

from __future__ import annotations

from apps.core.errors import Stale, WrongState


class PreviewExpired(Stale):
    """The preview is too old, of another person or of another fix; look again before running."""


class NotFixableHere(WrongState):
    """This code has no fix that can be made in place."""
