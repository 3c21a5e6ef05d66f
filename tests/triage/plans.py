"""The flow of a deal with plans that a test writes, in the place of the one that reads a CRM.

Public surface: :class:`Plans`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock
from apps.sync.flows import FLOWS
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, Problem, blocked, local


@dataclass(frozen=True)
class Seen:
    as_of: datetime
    meta: Meta
    draft: Draft


class Plans:
    """Every deal would go through, but for those in ``problems`` (by subject key) and ``unreachable``. ``asked`` lists what
    was planned, in order; ``before`` is called with each key first (a test's clock, a second person)."""

    def __init__(self, monkeypatch: Any) -> None:
        self.problems: dict[str, Problem] = {}
        self.unreachable: set[str] = set()
        self.asked: list[str] = []
        self.before: Callable[[str], object] = str
        flow = Flow("deal.provision", "deal", "Deals of a test", self.gather, lambda seen: seen.draft)
        monkeypatch.setitem(FLOWS, flow.name, flow)

    def gather(self, context: Context) -> Seen:
        self.before(context.key)
        self.asked.append(context.key)
        if context.key in self.unreachable:
            raise AdapterError(ErrorKind.TRANSIENT, "The CRM does not answer.")
        problem = self.problems.get(context.key)
        step = local("announce", "Announces the deal.", verb="announce", key=context.key)
        draft = Draft((blocked("stop", problem.reason),), (problem,)) if problem else Draft((step,))
        return Seen(clock.now(), Meta(label=context.key), draft)
