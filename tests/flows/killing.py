"""Workers that are killed with SIGKILL at every boundary of a story, and how that is checked.

Public surface: :func:`killing`, :func:`check_kills`, :func:`boundaries_of`, :func:`objects`, :func:`added`, :class:`Keeper`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.sync.ledger import SETTLED
from apps.sync.models import Action, Transaction
from tests.flows.world import World

SYSTEMS = ("crm", "erp", "psa", "billing")
#: What people enter (the deal's rows) and the vendors' own event logs.
LEFT_OUT = {
    "Billing_Schedule__c", "Contract", "Deal_Rate__c", "Opportunity", "OpportunityLineItem", "event", "subscribed_events",
}  # fmt: skip


def objects(world: World) -> dict[str, dict[str, int]]:
    """How many objects of every type stand in every emulated system."""
    return {
        name: {k: n for k, n in world.control.system(name).call("GET", "/types").items() if k not in LEFT_OUT}
        for name in SYSTEMS
    }


def added(world: World, before: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        name: {
            kind: n - before[name].get(kind, 0) for kind, n in kinds.items() if n != before[name].get(kind, 0)
        }
        for name, kinds in objects(world).items()
    }


class Keeper:
    """Two workers; whichever has been killed is started again, as an init system would."""

    names = ("worker", "worker2")

    def __init__(self, world: World) -> None:
        self.world = world
        self.deaths = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._keep)

    def __enter__(self) -> Keeper:
        for name in self.names:
            self.world.start(name)
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended.set()
        self.thread.join()

    def _keep(self) -> None:
        while not self.ended.wait(0.05):
            for name in self.names:
                if self.world.processes[name].poll() is not None:
                    self.deaths += 1
                    self.world.start(name)


@contextmanager
def killing(world: World) -> Iterator[Keeper]:
    """Two workers, each of which kills itself the first time that anybody comes to a boundary."""
    world.failpoints.write_text("every\n")
    # One thread of one pump at a time: a kill hits exactly the boundary it is meant for, not another subject's beside it.
    # A subject is killed far more often in a row than a poisoned one may be. And an answer that the sandbox has given is
    # waited for: it would be a boundary less if a busy machine made it come too late.
    world.env |= {
        "SYNC_PUMP_SLOTS": "1",
        "SYNC_PUMP_THREADS": "1",
        "SYNC_POISON_TAKEOVERS": "50",
        "HTTP_READ_TIMEOUT": "4",
    }
    with Keeper(world) as keeper:
        yield keeper


def check_kills(world: World, keeper: Keeper) -> set[str]:
    """Every boundary that the action journal knows was hit, and each kill was one. Returns the points that were hit."""
    hit = set((world.directory / "failpoints.hit").read_text().splitlines())
    boundaries = journaled_boundaries()
    assert boundaries - hit == set(), "a boundary of the action journal was not hit"
    assert keeper.deaths >= len(boundaries)
    print(f"killed {keeper.deaths} times at {len(hit)} points; lost 0, doubled 0")
    return hit


def journaled_boundaries() -> set[str]:
    """The boundaries that the action journal knows: behind every settled step, and for a write also before it is sent and
    between sent and journaled."""
    assert list(Action.objects.filter(outcome="unknown").values_list("name", flat=True)) == [], (
        "an answer was lost though nobody arranged it: the boundary behind its sending was not crossed"
    )
    return boundaries_of(list(Transaction.objects.values_list("id", flat=True)))


def boundaries_of(transaction_ids: list[int]) -> set[str]:
    flows = dict(Transaction.objects.filter(id__in=transaction_ids).values_list("id", "flow"))
    rows = Action.objects.filter(outcome__in=SETTLED, transaction_id__in=transaction_ids)
    found = set()
    for transaction_id, name, idempotency_key in rows.values_list(
        "transaction_id", "name", "idempotency_key"
    ):
        points = ("before_send", "sent", "journaled") if idempotency_key else ("journaled",)
        found |= {f"{flows[transaction_id]}:{name}:{point}" for point in points}
    return found
