"""A flow for tests of the engine: its plan is what the test says, its steps are our own records only.

Public surface: :class:`Steps`, :data:`FLOW_NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.core import clock
from apps.sync import engine, locals, queue
from apps.sync.flows import FLOWS
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.flows.names import PRIORITIES
from apps.sync.models import RUNNABLE, Transaction
from apps.sync.plans import Draft, child, local

FLOW_NAME = "test.steps"


@dataclass(frozen=True)
class Seen:
    as_of: datetime
    meta: Meta
    draft: Draft


class Steps:
    """``plans`` by subject key (or a function that makes one); ``done`` counts the local steps carried out."""

    def __init__(self, entity: Any) -> None:
        self.entity = entity
        self.plans: dict[str, Draft | Callable[[Context], Draft]] = {}
        self.done: dict[str, int] = {}

    def install(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(FLOWS, FLOW_NAME, Flow(FLOW_NAME, "steps", "Steps", self.gather, self.plan))
        monkeypatch.setitem(PRIORITIES, FLOW_NAME, 5)
        monkeypatch.setitem(locals.VERBS, "count", self.count)

    def gather(self, context: Context) -> Seen:
        wanted = self.plans.get(context.key, Draft(()))  # what an earlier test has left has nothing to do
        draft = wanted(context) if callable(wanted) else wanted
        meta = Meta(label=f"Steps of {context.key}", legal_entity_id=self.entity.id, customer="Corvane")
        return Seen(clock.now(), meta, draft)

    @staticmethod
    def plan(seen: Seen) -> Draft:
        return seen.draft

    def count(self, transaction: Transaction, *, what: str) -> locals.Result:
        self.done[what] = self.done.get(what, 0) + 1
        return locals.Result(f"Counted {what}.")

    def ask(self, key: str, *actions: Any, draft: Any = None, **more: Any) -> Transaction:
        """Ask for the steps of ``key``; without any the subject counts itself."""
        self.plans[key] = draft or Draft(actions or (counted(key),))
        return queue.enqueue(kind="steps", key=key, flow=FLOW_NAME, trigger="test", **more)


def counted(name: str) -> Any:
    return local(f"count.{name}", f"Counts {name}.", verb="count", what=name)


def after(key: str) -> Any:
    """A step of another subject."""
    return child(f"after.{key}", f"Waits for {key}.", kind="steps", key=key, flow=FLOW_NAME)


def work() -> None:
    """Until nothing is due."""
    engine.drain()


def now(transaction: Transaction) -> Transaction:
    return Transaction.objects.select_related("subject").get(id=transaction.id)


def moving() -> int:
    return Transaction.objects.filter(state__in=RUNNABLE).count()
