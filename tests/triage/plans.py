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
from apps.sync.models import Subject
from apps.sync.plans import Draft, Problem, blocked, local, unchanged


@dataclass(frozen=True)
class Seen:
    as_of: datetime
    meta: Meta
    draft: Draft


class Plans:
    """Every deal would go through, but for those in ``problems`` (by subject key) and ``unreachable``. ``asked`` lists what
    was planned, in order; ``before`` is called with each key first (a test's clock, a second person). ``carried_out``: the
    engine can run the plans (there is nothing to write), and hears of the subjects' cases."""

    def __init__(self, monkeypatch: Any, *, carried_out: bool = False) -> None:
        self.carried_out = carried_out
        #: The legal entity in which the plans place their deals.
        self.entity_id: int | None = None
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
        if self.carried_out:
            step = unchanged("announce", "It has been announced.")
            Subject.objects.filter(key=context.key).update(troubled=True)
        draft = Draft((blocked("stop", problem.reason),), (problem,)) if problem else Draft((step,))
        return Seen(clock.now(), Meta(label=context.key, legal_entity_id=self.entity_id), draft)
