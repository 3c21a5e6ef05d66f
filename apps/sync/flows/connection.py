"""Flow ``connection.watch``: what is wrong with a connection as a whole becomes a case, and stops being one by itself.

Public surface: :data:`FLOW`, :func:`troubles`, :class:`Trouble`, :data:`ANNOUNCEMENTS`. Subject key: the system's code, or
:data:`ANNOUNCEMENTS` for what we tell others. It writes to no system and asks none: everything is seen from our own rows.
:mod:`apps.sync.watching` says when to run it.

A system that has been silent for longer than it keeps its changes (``INT-GAP``), messages that were refused for their
signature (``INT-SIG``), receivers of our announcements that do not take them (``INT-NOTIFY``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as declared
from datetime import datetime, timedelta
from typing import Any

from apps.connectors import services as connectors
from apps.core import clock
from apps.journal import selectors as journal
from apps.organization import selectors as organization
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.models import PollCursor
from apps.sync.plans import Draft, Problem

#: The subject that stands for all receivers of what we announce.
ANNOUNCEMENTS = "announcements"
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


@dataclass(frozen=True)
class ConnectionSnapshot:
    as_of: datetime
    meta: Meta
    found: tuple[Trouble, ...]


def gather(context: Context) -> ConnectionSnapshot:
    """``params["gaps"]``: object types that had been silent for too long when this was asked for; by now they may be read."""
    label = "Announcements" if context.key == ANNOUNCEMENTS else organization.system(context.key).name
    found = troubles(context.key, gaps=context.params.get("gaps"))
    return ConnectionSnapshot(clock.now(), Meta(label=label), tuple(found))


def plan(snapshot: ConnectionSnapshot) -> Draft:
    problems = tuple(
        Problem(one.code, "connection", "connection", one.field, one.value, one.reason, dict(one.params))
        for one in snapshot.found
    )
    summary = problems[0].reason if problems else f"{snapshot.meta.label}: nothing is amiss."
    return Draft((), problems, summary)


FLOW = Flow("connection.watch", "connection", "Watch a connection", gather, plan)
