"""Errors of the billing room; all are kinds of :mod:`apps.core.errors`.

Public surface: :class:`PostingHeld`, :class:`PrebillChanged`.
"""

from __future__ import annotations

from apps.core.errors import Stale, WrongState


class PostingHeld(WrongState):
    """Something still has to be confirmed before this may be posted; the message says what."""


class PrebillChanged(Stale):
    """The lines are no longer those that were shown."""
