"""The clock: the only place where the application asks for the time.

Public surface: :func:`now`, :func:`today`. Leases use the database clock instead (clocks of machines drift).
Tests travel with ``time_machine``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(tz=UTC)


def today(tz: str = "UTC") -> date:
    """The calendar date in a zone (``Europe/London``): a legal entity's day is not UTC's."""
    return now().astimezone(ZoneInfo(tz)).date()
