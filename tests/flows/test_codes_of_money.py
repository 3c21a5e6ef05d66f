"""Money that no invoice explains, and money that the client wants back: each is told, nothing is matched by itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from apps.billing import selectors as billing
from apps.core import clock
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.models import Transaction
from tests.flows.bench import Bench
from tests.flows.test_cases_from_sources import BILLING, Engagement
from tests.flows.test_what_the_erp_posted import ERP, bounced, case, in_erp, told

PAYMENTS = ("erp", "receipt")


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def erp_customer(engagement: Engagement) -> str:
    link = records.find_link("customer", f"crm:{engagement.account}", organization.system("erp").id)
    assert link is not None
    return link.external_id


def received(bench: Bench, customer: str, amount: float, **fields: Any) -> str:
    payment = {"customer": {"id": customer}, "payment": amount, "tranDate": clock.today().isoformat()}
    return str(bench.control.create("erp", "customerPayment", payment | fields)["id"])


def looked_at(bench: Bench, key: str, cases: list[tuple[str, str]]) -> None:
    def seen() -> bool:
        bench.poll(PAYMENTS)
        return bench.cases(key) == cases

    bench.wait(seen, what=f"the cases of {key}")


@pytest.mark.provokes("PAY-UNMATCHED")
def test_a_payment_without_an_invoice_waits_for_receivables_and_is_never_matched_by_itself(bench: Bench):
    engagement = Engagement(bench)
    engagement.send()
    payment = received(bench, erp_customer(engagement), 10_800, memo="Your invoice of last week")
    key = f"erp:{payment}"
    looked_at(bench, key, [("PAY-UNMATCHED", "open")])
    reason = bench.transaction("receipt", key, "receipt.match").reason
    assert "paid GBP 10,800.00" in reason
    assert "“Your invoice of last week”" in reason
    assert f"The same amount is open on {engagement.prebill.number}." in reason
    assert in_erp(engagement)["amountRemaining"] == 10_800, "a hint is no proof"

    part = {"doc": {"id": in_erp(engagement)["id"]}, "apply": True, "amount": 800}
    bench.control.patch("erp", "customerPayment", payment, {"apply": {"items": [part]}})
    bench.wait(
        lambda: (
            bench.poll(PAYMENTS)
            or "GBP 10,000.00 of it" in bench.transaction("receipt", key, "receipt.match").reason
        ),
        what="what is left of it",
    )
    assert bench.cases(key) == [("PAY-UNMATCHED", "open")]
    bench.control.patch("erp", "customerPayment", payment, {"apply": {"items": [part | {"amount": 10_800}]}})
    looked_at(bench, key, [("PAY-UNMATCHED", "resolved")])
    told(bench, lambda: engagement.prebill.balance == 0, "the invoice is settled in the ERP")


def test_a_payment_of_a_stranger_and_what_we_applied_ourselves_are_not_looked_at(bench: Bench):
    engagement = Engagement(bench)
    bench.control.pay(engagement.send())
    bench.poll(BILLING)
    [line] = [
        one
        for one in bench.control.records("erp", "customerPayment")
        if one.get("apply", {}).get("items", [{}])[0].get("doc", {}).get("id") == in_erp(engagement)["id"]
    ]
    stranger = bench.control.create(
        "erp", "customer", {"companyName": "Somebody Else", "isPerson": False, "subsidiary": {"id": "1"}}
    )
    unknown = received(bench, str(stranger["id"]), 50)
    ours = received(bench, erp_customer(engagement), 75)
    looked_at(bench, f"erp:{ours}", [("PAY-UNMATCHED", "open")])
    assert bench.cases(f"erp:{unknown}") == bench.cases(f"erp:{line['id']}") == []


@pytest.mark.provokes("INV-DISPUTED")
def test_a_disputed_invoice_is_disputed_until_its_bank_has_decided_for_us(bench: Bench):
    engagement = Engagement(bench)
    request, ref = engagement.send(), engagement.prebill.ref
    bench.control.pay(request)
    bench.poll(BILLING)
    dispute = bench.control.dispute(request, amount=300_000, reason="product_not_received")
    bench.poll(BILLING)
    assert bench.cases(ref) == [("INV-DISPUTED", "open")]
    reason = case(engagement, "INV-DISPUTED").reason
    assert f"disputes GBP 3,000.00 of {engagement.prebill.number} over GBP 10,800.00" in reason
    assert "“product not received”, to be answered by" in reason
    assert engagement.prebill.state == "disputed"
    [status] = bench.control.records("crm", "Eng_Status__c", Opportunity__c=engagement.deal_id)
    assert status["Invoice_Status__c"] == "disputed"
    bench.poll(BILLING, ERP)
    assert engagement.prebill.state == "disputed", "a look at the invoice does not settle it"
    told_once = list(engagement.prebill.events.filter(verb="dispute").values_list("comment", "new"))
    assert told_once == [("Disputed: product not received.", {"status": "open", "amount": "3000.00"})]

    bench.control.close_dispute(dispute["id"], status="won")
    bench.poll(BILLING)
    assert bench.cases(ref) == [("INV-DISPUTED", "resolved")]
    assert (engagement.prebill.state, engagement.prebill.balance) == ("paid", Decimal(0))
    line = [fact for fact in billing.engagement_timeline(engagement.key) if fact.verb == "dispute"]
    assert [str(fact.amount) for fact in line] == ["GBP 3,000.00", "GBP 3,000.00"]


def test_a_lost_dispute_is_money_taken_back(bench: Bench):
    engagement = Engagement(bench)
    request, ref = engagement.send(), engagement.prebill.ref
    bench.control.pay(request)
    bench.poll(BILLING)
    dispute = bench.control.dispute(request)
    bench.poll(BILLING)
    bench.control.close_dispute(dispute["id"], status="lost")
    bench.poll(BILLING)
    assert bench.cases(ref) == [("INV-DISPUTED", "resolved"), ("PAY-REVERSED", "open")]
    assert (engagement.prebill.state, engagement.prebill.balance) == ("issued", Decimal("10800"))
    assert in_erp(engagement)["amountRemaining"] == 0, "cash application is the ERP's own"
    payments = Transaction.objects.filter(subject__key=ref, flow="payment.apply")
    runs = payments.count()
    bounced(engagement)
    told(bench, lambda: payments.count() > runs, "a look at the ERP, which has followed")
    assert engagement.prebill.state == "issued"
    invoice = in_erp(engagement)
    line = {"doc": {"id": invoice["id"]}, "apply": True, "amount": 10_800}
    received(bench, invoice["entity"]["id"], 10_800, apply={"items": [line]})
    told(bench, lambda: engagement.prebill.state == "paid", "the client has paid again")
    assert bench.cases(ref) == [("INV-DISPUTED", "resolved"), ("PAY-REVERSED", "resolved")]
