"""The same for what the first story has not: a customer that the ERP holds already (linked, corrected, enabled for a second
entity), a replay after a fix, and a draft that is taken back. A file of its own, so that the two run beside each other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.governance import selectors as governance
from apps.sync.models import Action
from apps.triage import selectors as triage
from apps.triage import services as triage_services
from tests.flows import acts
from tests.flows.bench import Bench
from tests.flows.killing import added, boundaries_of, check_kills, killing, objects
from tests.flows.world import World

TAX_ID = "GB980780684"
#: What the ERP holds already: the customer of the second story, for another entity with an old address, dealing in USD.
TWIN = {
    "companyName": "Quillon Aggregates",
    "isPerson": False,
    "subsidiary": {"id": "1"},
    "currency": {"id": "2"},
    "vatRegNumber": TAX_ID,
    "addressBook": {
        "items": [
            {
                "defaultBilling": True,
                "addressBookAddress": {"addr1": "9 Old Road", "city": "Hull", "country": {"id": "GB"}},
            }
        ]
    },
}
SECOND = deals.DealSpec(
    name="Quillon rollout",
    client="corvane",
    entity="MER-US",
    billing_model="milestone",
    lines=(deals.Line("IMP-200", Decimal("9000")),),
    schedule=(deals.Entry("Acceptance", Decimal("9000")),),
)

#: What the story adds to each system, counted once by hand in a run without kills. The customer stands in the ERP before.
EXPECTED = {
    "crm": {"Eng_Status__c": 1},
    "erp": {
        "billingSchedule": 1,
        "chargeRule": 1,
        "customerSubsidiaryRelationship": 1,
        "invoice": 1,
        "job": 1,
    },
    "psa": {"billing_milestones": 1, "external_references": 2, "workspaces": 1},
    "billing": {"customer": 1, "tax_id": 1},
}
#: What it is there for: steps that the first story never takes.
OWN_STEPS = {
    "customer.sync:erp.customer:journaled",
    "customer.sync:erp.customer_update:sent",
    "customer.sync:erp.customer.MER-US:sent",
    "invoice.sync:erp.invoice.void:sent",
}


@pytest.mark.long_fault
@pytest.mark.slow(minutes=5)
def test_kills_lose_and_double_nothing_of_a_known_customer_a_replay_and_a_draft_taken_back(world: World):
    control = world.control
    known = control.create("erp", "customer", TWIN)
    account = Bench(world).account(Tax_Id__c=TAX_ID, Payment_Terms__c="Net 17", CurrencyIsoCode="USD")
    before = objects(world)
    with killing(world) as keeper:
        deal_id = Bench(world).deal(SECOND, account=account, name=SECOND.name)
        deals.close(control, deal_id)
        case = world.wait(
            lambda: triage.open_cases(EVERYTHING).filter(code="CUS-TERMS").first(),
            seconds=240,
            what="the case of the unknown terms",
        )
        world.wait(acts.finished, seconds=120, what="everything at rest")
        assert added(world, before) == {name: {} for name in EXPECTED}, (
            "nothing is written before it is fixed"
        )
        replayed = fix(case)
        world.wait(lambda: control.records("crm", "Eng_Status__c"), seconds=600, what="status in the CRM")
        acts.accept_milestone(control, "Acceptance")
        world.wait(lambda: acts.count(control, "erp", "invoice"), seconds=240, what="draft in the ERP")
        [milestone] = control.records("psa", "billing_milestones", title="Acceptance")
        control.patch("psa", "billing_milestones", milestone["id"], {"amount_in_cents": 800_000})
        world.wait(lambda: acts.prebills()[0].state == "void", seconds=240, what="the prebill is void")
        world.wait(acts.finished, seconds=240, what="everything at rest")

    assert added(world, before) == EXPECTED
    [customer] = control.records("erp", "customer", id=known["id"])
    assert customer["addressBook"]["items"][0]["addressBookAddress"]["city"] == "York", "as the CRM says"
    [invoice] = control.records("erp", "invoice")
    assert (invoice["externalId"], invoice["approvalStatus"]["refName"]) == (
        acts.prebills()[0].ref,
        "Rejected",
    )
    assert Action.objects.filter(name="erp.customer", outcome="linked").count() == 1
    hit = check_kills(world, keeper)
    assert hit >= OWN_STEPS
    assert boundaries_of(replayed) <= hit, "the replay was killed at each of its boundaries too"


def fix(case: Any) -> list[int]:
    """A person maps the unknown terms where the case is shown. Returns the transactions that run again."""
    nadia = acts.person("nadia")
    net_30 = governance.translate(
        kind="payment_terms", legal_entity_id=case.legal_entity_id, source="Net 30"
    ).target
    preview = triage_services.fix_preview(case=case, target=net_30, target_label="Net 30", by=nadia)
    result = triage_services.case_fix_mapping(
        case=case, target=net_30, target_label="Net 30", by=nadia, preview_token=preview["token"]
    )
    assert result["replayed"]
    return list(result["replayed"])
