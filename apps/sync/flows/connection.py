"""Flow ``connection.watch``: what is wrong with a connection as a whole becomes a case, and stops being one by itself.

Public surface: :data:`FLOW`, :data:`ANNOUNCEMENTS`. Subject key: the system's code, or :data:`ANNOUNCEMENTS` for what we tell
others. It writes to no system; what it finds is looked up by :mod:`apps.sync.watching`, which also says when to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.core import clock
from apps.organization import selectors as organization
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, Problem
from apps.sync.watching import ANNOUNCEMENTS, Trouble, troubles


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
__all__ = ["ANNOUNCEMENTS", "FLOW", "ConnectionSnapshot", "gather", "plan"]
