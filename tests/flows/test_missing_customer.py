"""Several deals of a customer that cannot be set up: one case holds all of them and releases them in the order they came."""

from __future__ import annotations

from decimal import Decimal

from django.test import Client

from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.journal.models import Audit
from apps.sync import services as sync
from apps.triage import selectors as triage
from apps.triage.models import Case
from tests.console.texts import text_of
from tests.flows import acts
from tests.flows.bench import Bench

TAX_ID = "GB365462636"
#: One instalment, due today: all of it is billing held.
UPFRONT = deals.DealSpec(
    name="Upfront",
    client="corvane",
    entity="MER-UK",
    billing_model="instalment",
    lines=(deals.Line("IMP-200", Decimal("9000")),),
    schedule=(deals.Entry("Instalment", Decimal("9000"), days=0),),
)


def test_one_case_blocks_all_deals_of_the_customer_and_releases_them_as_received(bench: Bench):
    twins = [
        bench.control.create(
            "erp", "customer", {"companyName": name, "vatRegNumber": TAX_ID, "subsidiary": {"id": "1"}}
        )
        for name in ("Mirror Holdings", "Mirror Trading")
    ]
    account = bench.account(Tax_Id__c=TAX_ID)
    key = f"crm:{account}@erp"
    deal_ids = [bench.win(UPFRONT, account=account) for _ in range(3)]
    deals_waiting = [bench.provisioning(deal_id) for deal_id in deal_ids]
    assert {deal.state for deal in deals_waiting} == {"waiting"}
    bench.settle()  # each that came to wait had the customer planned again

    case = Case.objects.get(subject_key=key, code="CUS-DUP")
    assert bench.cases(key) == [("CUS-DUP", "open")]
    assert not Case.objects.filter(subject_key__in=[f"crm:{deal_id}" for deal_id in deal_ids]).exists()
    found = triage.blocked_behind(EVERYTHING, [case.transaction_id])
    assert [line.waiting.id for line in found.lines] == sorted(deal.id for deal in deals_waiting)
    assert [(line.currency, line.amount) for line in found.held] == [("GBP", Decimal(27_000))]
    assert (case.currency, case.held_amount) == ("GBP", Decimal(27_000)), "counted once, under the root cause"

    cause = triage.group(EVERYTHING, case.group_id)
    assert triage.transactions_of(EVERYTHING, cause, most=10) == [case.transaction_id], (
        "the cause shows the same"
    )
    client = Client()
    client.force_login(acts.person("nadia"))
    for address in (f"/exceptions/{case.ref}/", f"/exceptions/?group={case.group_id}"):
        page = text_of(client.get(address))
        assert "Blocks 3 transactions" in page, address
        assert "GBP 27,000.00" in page, address

    bench.control.delete("erp", "customer", twins[1]["id"])
    sync.replay(
        transaction_ids=[case.transaction_id], by=acts.person("nadia"), why="The second one was merged away."
    )
    bench.settle()
    assert bench.cases(key) == [("CUS-DUP", "resolved")]
    assert {bench.provisioning(deal_id).state for deal_id in deal_ids} == {"succeeded"}
    child = bench.transaction("customer", key, "customer.sync").ref
    released = Audit.objects.filter(verb="transaction.pending", why__startswith=f"{child} is ").order_by("id")
    in_order = [deal.ref for deal in sorted(deals_waiting, key=lambda deal: deal.id)]
    assert [one for one in released.values_list("object_ref", flat=True) if one in in_order] == in_order
    assert triage.blocked_behind(EVERYTHING, [case.transaction_id]).lines == []
