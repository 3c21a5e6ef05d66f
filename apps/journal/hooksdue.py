"""News that could not be handed up: kept, and fired again until it is taken.

Public surface: :func:`record_failure` (given to ``core.hooks``), :func:`sweep_hooks`.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction

from apps.core import clock, correlation, hooks
from apps.journal.models import HookDue

log = structlog.get_logger(__name__)
_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)


def record_failure(hook: str, receiver: str, facts: list[dict[str, Any]], error: Exception) -> None:
    """Keep facts that ``receiver`` failed to take, in the transaction that recorded them."""
    HookDue.objects.create(
        hook=hook,
        receiver=receiver,
        facts=facts,
        error=f"{type(error).__name__}: {error}"[:2000].replace("\x00", ""),
        not_before=clock.now() + _FIRST_WAIT,
        correlation_id=uuid.UUID(correlation.current()),
    )


def sweep_hooks(*, limit: int = 100) -> int:
    """Fire due news again, each in a transaction of its own, oldest first; returns how many were taken.

    Never gives up: waits 5 s, doubling up to an hour, and the row stays visible until it is taken.
    """
    taken = 0
    tried: list[int] = []
    for _ in range(limit):
        outcome = _sweep_one(tried)
        if outcome is None:
            break
        taken += outcome
    return taken


def _sweep_one(tried: list[int]) -> bool | None:
    """True = taken, False = failed again, None = nothing due. Rows in other sweepers' hands are skipped."""
    with transaction.atomic():
        due = (
            HookDue.objects.select_for_update(skip_locked=True)
            .filter(done_at=None, not_before__lte=clock.now())
            .exclude(id__in=tried)
            .order_by("id")
            .first()
        )
        if due is None:
            return None
        tried.append(due.id)
        try:
            with transaction.atomic(), correlation.bind(due.correlation_id):
                hooks.get(due.hook).receivers[due.receiver](due.facts)
        except Exception as error:
            log.exception("hook_due_failed_again", hook=due.hook, receiver=due.receiver, hook_due_id=due.id)
            wait = min(_FIRST_WAIT * 2 ** min(due.attempts, 20), _LONGEST_WAIT)
            due.attempts += 1
            due.not_before = clock.now() + wait
            due.error = f"{type(error).__name__}: {error}"[:2000].replace("\x00", "")
            due.save(update_fields=["attempts", "not_before", "error"])
            return False
        due.done_at = clock.now()
        due.save(update_fields=["done_at"])
        return True
