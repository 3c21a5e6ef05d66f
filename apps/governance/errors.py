"""Errors of the governance room.

Public surface: :class:`AlreadyMapped`, :class:`UnknownMappingKind`.
"""

from __future__ import annotations

from apps.core.errors import InvalidInput, WrongState


class AlreadyMapped(WrongState):
    """The source value has a partner already, or another person's proposal for it waits."""


class UnknownMappingKind(InvalidInput):
    """No such kind of mapping."""
