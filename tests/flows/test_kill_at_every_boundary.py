"""The real worker is killed with SIGKILL at every boundary of the whole story; nothing is lost, nothing is doubled."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest

from apps.core import clock
from apps.demo import deals
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

#: What must stand in each system afterwards: exactly so many objects.
EXPECTED = {
    ("erp", "customer"): 1,
    ("erp", "job"): 1,
    ("erp", "billingRateCard"): 1,
    ("erp", "chargeRule"): 2,
    ("erp", "invoice"): 1,
    ("erp", "customerPayment"): 1,
    ("psa", "workspaces"): 1,
    ("psa", "rate_cards"): 1,
    ("psa", "billing_milestones"): 2,
    ("billing", "customer"): 1,
    ("billing", "invoice"): 1,
    ("crm", "Eng_Status__c"): 1,
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
    control = world.control
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

    found = {place: acts.count(control, *place) for place in EXPECTED}
    assert found == EXPECTED
    assert sorted(kind for kind, _ in announced(world)) == ANNOUNCED
    hit = set((world.directory / "failpoints.hit").read_text().splitlines())
    boundaries = journaled_boundaries()
    assert boundaries - hit == set(), "a boundary of the action journal was not hit"
    assert keeper.deaths >= len(boundaries)
    print(f"killed {keeper.deaths} times at {len(hit)} points; lost 0, doubled 0")


def journaled_boundaries() -> set[str]:
    """Three boundaries for every write that the action journal knows: before it is sent, sent but unjournaled, journaled."""
    from apps.sync.models import Action, Transaction

    flows = dict(Transaction.objects.values_list("id", "flow"))
    writes = Action.objects.exclude(idempotency_key="").values_list("transaction_id", "name").distinct()
    return {
        f"{flows[transaction_id]}:{name}:{point}"
        for transaction_id, name in writes
        for point in ("before_send", "sent", "journaled")
    }
