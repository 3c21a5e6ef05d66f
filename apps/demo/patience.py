"""Waiting for the engine: look again and again until something is so, and help with the work meanwhile.

Public surface: :func:`wait_for`, :func:`idle`, :class:`TookTooLong`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.core.scope import EVERYTHING
from apps.journal import selectors as journal
from apps.sync import engine, polling
from apps.sync import selectors as sync

#: On their way; waiting ones only count while a step of theirs is (it may wait for a person).
MOVING = ("pending", "running", "retrying")


class TookTooLong(Exception):
    """What did not happen in time, as a sentence."""


def wait_for(what: str, missing: Callable[[], list[str]], *, seconds: float = 120.0) -> None:
    """Until ``missing`` names nothing any more. Works on whatever is due meanwhile, beside the workers that run (leases keep
    them apart), so that it also ends without a worker. Raises :class:`TookTooLong` with what is still missing."""
    until = time.monotonic() + seconds
    while left := missing():
        if time.monotonic() > until:
            shown = ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else "")
            raise TookTooLong(f"{what}: not within {seconds:g} s for {shown}.")
        polling.poll_due()
        if not engine.drain(seconds=1.0):
            time.sleep(0.1)


def idle() -> list[str]:
    """What still moves: transactions and events that nobody has taken in (empty: the engine has settled)."""
    rows = sync.transactions(EVERYTHING).filter(state__in=MOVING)
    moving = [f"{row.ref} {row.flow} ({row.state})" for row in rows[:50]]
    waiting = journal.backlog().inbox
    return moving + ([f"{waiting} events"] if waiting else [])
