"""Run one case's transaction as its preview showed it.

Public surface: :func:`run_as_planned`. Inner module of the room, for fixes of one case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from apps.core.errors import Stale
from apps.sync import services as sync
from apps.triage.models import Case, CaseState
from apps.triage.services import moves
from apps.triage.services.desk import lock_seen
from apps.triage.services.fixes import why_not


def run_as_planned(
    *,
    case: Case,
    transaction_id: int,
    digest: str,
    by: Any,
    note: str,
    before: Callable[[], object] | None = None,
    seen: str | None = None,
) -> int:
    """Carry out the plan of this digest, after ``before`` in the same database transaction; the id of what runs.

    All or nothing: raises :class:`Stale` when the case (as ``seen``) or its transaction is another one by now."""
    with transaction.atomic():
        sync.hold_still(transaction_ids=[transaction_id])
        locked = Case.objects.select_for_update().get(pk=case.pk)
        if reason := why_not(locked, transaction_id):
            raise Stale(reason)
        if seen is not None:
            lock_seen(case, seen)
        if before is not None:
            before()
        moves.move(locked, to=CaseState.IN_PROGRESS, by=by, note=note, fixed_by=by)
        answer = sync.replay(
            transaction_ids=[transaction_id], by=by, tokens={transaction_id: digest}, why=note
        )
        if answer["skipped"]:
            raise Stale(answer["skipped"][0]["reason"])
    case.refresh_from_db()
    return int(answer["replayed"][0])
