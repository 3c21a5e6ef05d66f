"""What is amiss with connections themselves, seen from our own rows: nobody has to be asked for it.

Public surface: :func:`watch`, :func:`troubles`, :class:`Trouble`, :data:`ANNOUNCEMENTS`.

A system that has been silent for longer than it keeps its changes (``INT-GAP``), messages that were refused for their
signature (``INT-SIG``), receivers of our announcements that do not take them (``INT-NOTIFY``). A connection without trouble
costs no transaction: one is asked for when something is found, changes, or is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as declared
from datetime import timedelta
from typing import Any

from apps.connectors import services as connectors
from apps.connectors.selectors import connection_states
from apps.core import clock
from apps.journal import selectors as journal
from apps.organization import selectors as organization
from apps.sync import queue
from apps.sync.models import OPEN, Plan, PollCursor, Transaction

#: The subject that stands for all receivers of what we announce.
ANNOUNCEMENTS = "announcements"
FLOW = "connection.watch"
#: How long refused messages and lost announcements are told.
REFUSED_FOR, LOST_FOR = timedelta(hours=1), timedelta(days=1)
#: Why a door refuses what may be forged or old; other reasons are about its form.
FORGED = ("unsigned", "bad_signature", "stale")


@dataclass(frozen=True)
class Trouble:
    code: str
    field: str
    value: str
    reason: str
    params: Mapping[str, Any] = declared(default_factory=dict)


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
            queue.enqueue(kind="connection", key=key, flow=FLOW, params=params, trigger="watch")
            asked += 1
    return asked


def _told_last(keys: Iterable[str]) -> dict[str, set[tuple[str, str]] | None]:
    """Key → ``(code, value)`` of the problems that its newest run told; None while that is not over."""
    newest = (
        Transaction.objects.filter(subject__kind="connection", subject__key__in=list(keys), flow=FLOW)
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


def troubles(key: str, *, gaps: Sequence[str] | None = None) -> list[Trouble]:
    """What is amiss with one connection now; ``gaps`` are told although they may have ended meanwhile."""
    if key == ANNOUNCEMENTS:
        return _unheard()
    system = organization.system(key)
    return [*_gaps(system, gaps), *_refused(system)]


def _gaps(system: Any, known: Sequence[str] | None) -> Iterable[Trouble]:
    kept = connectors.describe(system.pk).keeps_changes
    if kept is None:
        return
    silent = PollCursor.objects.filter(system_id=system.pk, polled_at__lt=clock.now() - kept)
    names = set(known) if known is not None else set(silent.values_list("object_type", flat=True))
    days = f"{kept.total_seconds() / 86_400:g}"
    for name in sorted(names):
        reason = (
            f"{system.name} was not read for {name.replace('_', ' ')} for more than {days} days, longer than it keeps its "
            "changes. All of them are read again."
        )
        yield Trouble("INT-GAP", "object_type", name, reason, {"system": system.code, "kept_days": days})


def _refused(system: Any) -> Iterable[Trouble]:
    count = journal.rejects_since(source=system.code, reasons=FORGED, since=clock.now() - REFUSED_FOR)
    if count:
        reason = (
            f"Messages that claim to come from {system.name} were refused within the last hour: signature or time stamp "
            "is missing or wrong."
        )
        yield Trouble("INT-SIG", "signature", system.code, reason, {"messages": count})


def _unheard() -> list[Trouble]:
    found = []
    for name, why in journal.unheard(since=clock.now() - LOST_FOR):
        reason = f"“{name}” does not take our announcements: {why}"
        found.append(Trouble("INT-NOTIFY", "receiver", name, reason, {"receiver": name}))
    return found
