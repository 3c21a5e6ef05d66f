"""When connections are looked at: when something is amiss that was not told, or what was told is over.

Public surface: :func:`watch`. A connection without trouble costs no transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from apps.connectors.selectors import connection_states
from apps.sync import queue
from apps.sync.flows.connection import ANNOUNCEMENTS, FLOW, troubles
from apps.sync.models import OPEN, Plan, Transaction


def watch() -> int:
    """Ask for a run of every connection whose trouble is not what was told last. Called before polling, which ends a silence.
    Returns how many."""
    keys = [state.system_code for state in connection_states() if state.enabled and not state.paused]
    told = _told_last([*keys, ANNOUNCEMENTS])
    asked = 0
    for key in [*keys, ANNOUNCEMENTS]:
        before = told.get(key, set())
        found = troubles(key) if before is not None else []
        if before is not None and {(one.code, one.value) for one in found} != before:
            gaps = [one.value for one in found if one.code == "INT-GAP"]
            params = {"gaps": gaps} if gaps else {}
            queue.enqueue(kind="connection", key=key, flow=FLOW.name, params=params, trigger="watch")
            asked += 1
    return asked


def _told_last(keys: Iterable[str]) -> dict[str, set[tuple[str, str]] | None]:
    """Key → ``(code, value)`` of the problems that its newest run told; None while that is not over."""
    newest = (
        Transaction.objects.filter(subject__kind="connection", subject__key__in=list(keys), flow=FLOW.name)
        .order_by("subject_id", "-id")
        .distinct("subject_id")
        .values_list("id", "subject__key", "state")
    )
    rows = list(newest)
    plans = Plan.objects.filter(transaction_id__in=[row_id for row_id, *_ in rows]).order_by("id")
    told = dict(plans.values_list("transaction_id", "problems"))
    return {
        key: None
        if state in OPEN
        else {(problem["code"], problem["value"]) for problem in told.get(row_id, [])}
        for row_id, key, state in rows
    }
