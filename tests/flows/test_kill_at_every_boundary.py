"""The real worker is killed with SIGKILL at every boundary of the whole story; nothing is lost, nothing is doubled."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest

from apps.core import clock
from apps.demo import deals
from apps.sync.ledger import SETTLED
from tests.flows import acts
from tests.flows.world import World

SPEC = deals.DealSpec(
    name="Corvane claims platform",
    client="corvane",
    entity="MER-UK",
    billing_model="milestone",
    lines=(deals.Line("IMP-200", Decimal("90000")), deals.Line("ANA-220", Decimal("15000"))),
    schedule=(deals.Entry("Design", Decimal("30000")), deals.Entry("Go-live", Decimal("60000"))),
    rates={"Manager": "195", "": "180"},
)

#: What the story adds to each system: these objects, exactly so many of each type, and no others. Counted once by hand in a
#: run without kills. What people enter (the deal's rows) and the vendors' own event logs are left out.
EXPECTED = {
    "crm": {"Eng_Status__c": 1},
    "erp": {
        "billingClass": 1,
        "billingRateCard": 1,
        "chargeRule": 2,
        "customer": 1,
        "customerPayment": 1,
        "customerSubsidiaryRelationship": 1,
        "invoice": 1,
        "job": 1,
    },
    "psa": {
        "billing_milestones": 2,
        "external_references": 4,  # a rate card set cannot carry one
        "rate_card_roles": 2,
        "rate_card_set_versions": 1,
        "rate_card_sets": 1,
        "rate_card_versions": 1,
        "rate_cards": 1,
        "roles": 1,
        "workspaces": 1,
    },
    "billing": {"customer": 1, "invoice": 1, "invoice_payment": 1, "invoiceitem": 2, "tax_id": 1},
}
LEFT_OUT = {
    "Billing_Schedule__c", "Contract", "Deal_Rate__c", "Opportunity", "OpportunityLineItem", "event", "subscribed_events",
}  # fmt: skip


def objects(world: World) -> dict[str, dict[str, int]]:
    """How many objects of every type stand in every emulated system."""
    return {
        name: {k: n for k, n in world.control.system(name).call("GET", "/types").items() if k not in LEFT_OUT}
        for name in EXPECTED
    }


def added(world: World, before: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        name: {
            kind: n - before[name].get(kind, 0) for kind, n in kinds.items() if n != before[name].get(kind, 0)
        }
        for name, kinds in objects(world).items()
    }


ANNOUNCED = ["psasync.engagement.provisioned.v1", "psasync.invoice.issued.v1", "psasync.invoice.paid.v1"]


def announced(world: World) -> set[tuple[str, str]]:
    """Type and id of what the receiver has verified; the id stays the same over retries, so it tells doubles apart."""
    events = world.control.sink_events()
    return {(row["event"]["type"], row["id"]) for row in events if row["verified"]}


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


@pytest.mark.slow(minutes=5)
def test_a_worker_killed_at_every_boundary_loses_and_doubles_nothing(world: World):
    world.failpoints.write_text("every\n")
    # One thread of one pump at a time: a kill hits exactly the boundary it is meant for, not another subject's beside it.
    world.env |= {"SYNC_PUMP_SLOTS": "1", "SYNC_PUMP_THREADS": "1"}
    control = world.control
    before = objects(world)
    with Keeper(world) as keeper:
        deals.close(control, deals.enter(control, SPEC, today=clock.today()))
        world.wait(lambda: control.records("crm", "Eng_Status__c"), seconds=300, what="status in the CRM")
        acts.accept_milestone(control, "Design")
        world.wait(
            lambda: acts.prebills() and acts.count(control, "erp", "invoice"),
            seconds=120,
            what="draft in the ERP",
        )
        ref = acts.prebills()[0].ref
        acts.approve_prebill(ref, "priya", "helen")
        world.wait(lambda: acts.prebills()[0].state == "issued", seconds=200, what="the invoice is issued")
        control.pay(control.records("billing", "invoice")[0]["id"])
        world.wait(lambda: acts.prebills()[0].state == "paid", seconds=120, what="the payment is known")
        world.wait(acts.finished, seconds=60, what="everything at rest")
        # A delivery whose worker was killed is taken up when its lease of 25 s has run out.
        world.wait(lambda: len(announced(world)) >= len(ANNOUNCED), seconds=60, what="all announcements")

    assert added(world, before) == EXPECTED
    assert sorted(kind for kind, _ in announced(world)) == ANNOUNCED
    hit = set((world.directory / "failpoints.hit").read_text().splitlines())
    boundaries = journaled_boundaries()
    assert boundaries - hit == set(), "a boundary of the action journal was not hit"
    assert keeper.deaths >= len(boundaries)
    print(f"killed {keeper.deaths} times at {len(hit)} points; lost 0, doubled 0")


def journaled_boundaries() -> set[str]:
    """The boundaries that the action journal knows: behind every settled step, and for a write also before it is sent and
    between sent and journaled. A write whose answer was lost (journaled as unknown) has crossed the latter another way."""
    from apps.sync.models import Action, Transaction

    flows = dict(Transaction.objects.values_list("id", "flow"))
    lost = set(Action.objects.filter(outcome="unknown").values_list("transaction_id", "name"))
    rows = Action.objects.filter(outcome__in=SETTLED).values_list("transaction_id", "name", "idempotency_key")
    found = set()
    for transaction_id, name, idempotency_key in rows:
        points = ("before_send", "sent", "journaled") if idempotency_key else ("journaled",)
        crossed = (point for point in points if point != "sent" or (transaction_id, name) not in lost)
        found |= {f"{flows[transaction_id]}:{name}:{point}" for point in crossed}
    return found
