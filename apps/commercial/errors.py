"""Errors of the commercial room; all are kinds of :mod:`apps.core.errors`.

Public surface: :class:`RateOverlap`, :class:`DealIncomplete`.
"""

from __future__ import annotations

from apps.core.errors import InvalidInput, WrongState


class RateOverlap(WrongState):
    """Two approved prices of equal rank cover the same day; nobody may choose silently (``RATE-OVERLAP``)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="RATE-OVERLAP")


class DealIncomplete(InvalidInput):
    """The deal lacks what an engagement needs; ``fields`` names each missing one (``DEAL-INCOMPLETE``)."""

    def __init__(self, message: str, *, fields: dict[str, str]) -> None:
        super().__init__(message, code="DEAL-INCOMPLETE", fields=fields)
