"""The real worker is killed with SIGKILL at every boundary of the whole story; nothing is lost, nothing is doubled."""

from __future__ import annotations

from decimal import Decimal

import pytest

from apps.core import clock
from apps.demo import deals
from tests.flows import acts
from tests.flows.killing import added, check_kills, killing, objects
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
        "billingSchedule": 1,
        "chargeRule": 2,
        "customer": 1,
        "customerPayment": 1,
        "customerSubsidiaryRelationship": 1,
        "invoice": 1,
        "job": 1,
    },
    "psa": {
        "billing_milestones": 2,
        "external_references": 4,
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
ANNOUNCED = ["psasync.engagement.provisioned.v1", "psasync.invoice.issued.v1", "psasync.invoice.paid.v1"]


def announced(world: World) -> set[tuple[str, str]]:
    """Type and id of what the receiver has verified; the id stays the same over retries, so it tells doubles apart."""
    events = world.control.sink_events()
    return {(row["event"]["type"], row["id"]) for row in events if row["verified"]}


@pytest.mark.slow(minutes=5)
def test_a_worker_killed_at_every_boundary_loses_and_doubles_nothing(world: World):
    control = world.control
    before = objects(world)
    with killing(world) as keeper:
        deals.close(control, deals.enter(control, SPEC, today=clock.today()))
        world.wait(lambda: control.records("crm", "Eng_Status__c"), seconds=600, what="status in the CRM")
        acts.accept_milestone(control, "Design")
        world.wait(
            lambda: acts.prebills() and acts.count(control, "erp", "invoice"),
            seconds=240,
            what="draft in the ERP",
        )
        ref = acts.prebills()[0].ref
        acts.approve_prebill(ref, "priya", "helen")
        world.wait(lambda: acts.prebills()[0].state == "issued", seconds=400, what="the invoice is issued")
        control.pay(control.records("billing", "invoice")[0]["id"])
        world.wait(lambda: acts.prebills()[0].state == "paid", seconds=240, what="the payment is known")
        world.wait(acts.finished, seconds=120, what="everything at rest")
        # A delivery whose worker was killed is taken up when its lease of 25 s has run out.
        world.wait(lambda: len(announced(world)) >= len(ANNOUNCED), seconds=120, what="all announcements")

    assert added(world, before) == EXPECTED
    assert sorted(kind for kind, _ in announced(world)) == ANNOUNCED
    check_kills(world, keeper)
