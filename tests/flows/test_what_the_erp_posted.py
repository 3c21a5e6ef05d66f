"""The ERP is the issuer of record: what it posted is compared with what was approved, and nothing else is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.sync.models import Transaction
from apps.triage.models import Case
from tests.flows.bench import Bench
from tests.flows.test_cases_from_sources import BILLING, Engagement

ERP = ("erp", "invoice")


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def in_erp(engagement: Engagement) -> dict[str, Any]:
    [found] = engagement.control.records("erp", "invoice", externalId=engagement.prebill.ref)
    return found


def change(engagement: Engagement, amount: str, **fields: Any) -> None:
    """Somebody changes the line, and with it total and tax, in the ERP's own screen."""
    invoice = in_erp(engagement)
    [line] = invoice["item"]["items"]
    line |= {"amount": float(amount), "rate": float(amount)}
    engagement.control.patch("erp", "invoice", invoice["id"], {"item": {"items": [line]}} | fields)


def told(bench: Bench, condition: Callable[[], bool], what: str) -> None:
    """The ERP is polled up to two seconds ago: what it has just been told is seen by one of the next polls."""

    def seen() -> bool:
        bench.poll(ERP)
        return condition()

    bench.wait(seen, what=what)


def requests(engagement: Engagement) -> list[dict[str, Any]]:
    return [
        one
        for one in engagement.control.records("billing", "invoice")
        if engagement.prebill.ref in str(one["metadata"])
    ]


def case(engagement: Engagement, code: str) -> Case:
    [found] = Case.objects.filter(code=code, subject_key=engagement.prebill.ref)
    return found


@pytest.mark.provokes("INV-TOTAL")
def test_another_total_than_the_approved_one_is_not_asked_for(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept()
    change(engagement, "9100", approvalStatus={"id": "2"})
    engagement.approve()
    bench.settle()
    ref = engagement.prebill.ref
    assert bench.cases(ref) == [("INV-TOTAL", "open")]
    reason = case(engagement, "INV-TOTAL").reason
    assert "GBP 10,920.00" in reason, "what the ERP posted"
    assert "GBP 10,800.00" in reason, "what was approved"
    assert (engagement.prebill.state, requests(engagement)) == ("posted", [])
    change(engagement, "9000")
    told(bench, lambda: bench.cases(ref) == [("INV-TOTAL", "resolved")], "the case is resolved")
    assert engagement.prebill.state == "issued"
    [asked] = requests(engagement)
    assert (asked["status"], asked["amount_due"]) == ("open", 1_080_000)
    assert billing.canonical_invoice(ref).total == Money.of("10800", "GBP")


@pytest.mark.provokes("TAX-DIFF")
def test_a_tax_that_was_not_approved_is_not_asked_for(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept()
    invoice = in_erp(engagement)
    [line] = invoice["item"]["items"]
    exempt = line | {"taxCode": {"id": "202"}}
    bench.control.patch(
        "erp", "invoice", invoice["id"], {"item": {"items": [exempt]}, "approvalStatus": {"id": "2"}}
    )
    engagement.approve()
    bench.settle()
    assert bench.cases(engagement.prebill.ref) == [("TAX-DIFF", "open")]
    assert requests(engagement) == []


def test_a_penny_of_the_erps_rounding_is_asked_for_as_the_erp_has_it(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept()
    change(engagement, "9000.01", approvalStatus={"id": "2"})
    engagement.approve()
    bench.settle()
    assert (engagement.prebill.state, bench.cases(engagement.prebill.ref)) == ("issued", [])
    [asked] = requests(engagement)
    assert asked["amount_due"] == 1_080_001
    assert sorted(line["amount"] for line in asked["lines"]["data"]) == [1, 180_000, 900_000]
    bench.control.pay(asked["id"])
    bench.poll(BILLING)
    assert engagement.prebill.state == "paid"
    assert in_erp(engagement)["amountRemaining"] == 0


def test_an_invoice_is_not_paid_while_the_erp_has_something_open(bench: Bench):
    engagement = Engagement(bench)
    request = engagement.send()
    change(engagement, "9100")
    ref = engagement.prebill.ref
    told(bench, lambda: bench.cases(ref) == [("INV-TOTAL", "open")], "the case")
    reason = case(engagement, "INV-TOTAL").reason
    assert "GBP 10,920.00" in reason, "the ERP's invoice"
    assert "GBP 10,800.00" in reason, "the request"
    bench.control.pay(request)
    bench.poll(BILLING)
    assert (engagement.prebill.state, engagement.prebill.balance) == ("part_paid", Decimal("120"))
    assert in_erp(engagement)["amountRemaining"] == 120
    assert bench.cases(ref) == [("INV-TOTAL", "open")], "all that was asked for is paid: nobody paid short"
    change(engagement, "9000")
    told(bench, lambda: engagement.prebill.state == "paid", "the correction in the ERP")
    assert engagement.prebill.balance == 0
    assert bench.cases(ref) == [("INV-TOTAL", "resolved")]


@pytest.mark.provokes("PAY-OUTSIDE")
def test_an_invoice_is_not_paid_while_the_platform_still_asks_for_it(bench: Bench):
    engagement = Engagement(bench)
    request = engagement.send()
    invoice = in_erp(engagement)
    paid = {"doc": {"id": invoice["id"]}, "apply": True, "amount": 10_800}
    received = bench.control.create(
        "erp",
        "customerPayment",
        {"customer": {"id": invoice["entity"]["id"]}, "payment": 10_800, "apply": {"items": [paid]}},
    )
    ref = engagement.prebill.ref
    assert in_erp(engagement)["amountRemaining"] == 0
    told(bench, lambda: engagement.prebill.state == "part_paid", "the money in the ERP")
    assert engagement.prebill.balance == 0
    assert bench.cases(ref) == [("PAY-OUTSIDE", "open")]
    bench.control.patch("billing", "invoice", request, {"status": "paid", "paid_out_of_band": True})
    bench.poll(BILLING)
    assert bench.cases(ref) == [("PAY-OUTSIDE", "resolved")]
    assert engagement.prebill.state == "paid"
    assert [one["id"] for one in bench.control.records("erp", "customerPayment") if _pays(one, invoice)] == [
        received["id"]
    ]


def _pays(payment: dict[str, Any], invoice: dict[str, Any]) -> bool:
    return any(line["doc"]["id"] == invoice["id"] for line in payment.get("apply", {}).get("items", []))


def bounced(engagement: Engagement) -> None:
    """The bank takes the money back: receivables delete the payment in the ERP. The platform's request stays paid."""
    invoice = in_erp(engagement)
    [payment] = [one for one in engagement.control.records("erp", "customerPayment") if _pays(one, invoice)]
    engagement.control.delete("erp", "customerPayment", payment["id"])


@pytest.mark.provokes("PAY-REVERSED")
def test_a_payment_taken_back_opens_the_invoice_again_and_is_never_applied_again_by_itself(bench: Bench):
    engagement = Engagement(bench)
    bench.control.pay(engagement.send())
    bench.poll(BILLING)
    ref = engagement.prebill.ref
    assert engagement.prebill.state == "paid"
    bounced(engagement)
    told(bench, lambda: engagement.prebill.state == "issued", "the payment that was taken back")
    assert engagement.prebill.balance == Decimal("10800")
    assert bench.cases(ref) == [("PAY-REVERSED", "open")]
    reason = case(engagement, "PAY-REVERSED").reason
    assert "GBP 10,800.00" in reason
    [status] = bench.control.records("crm", "Eng_Status__c", Opportunity__c=engagement.deal_id)
    assert (status["Invoice_Status__c"], float(status["Paid_Amount__c"])) == ("reversed", 0)
    for place in (ERP, BILLING):
        bench.poll(place)
    assert in_erp(engagement)["amountRemaining"] == 10_800, "the platform's old payment is not applied again"
    assert engagement.prebill.state == "issued"
    assert bench.cases(ref) == [("PAY-REVERSED", "open")]

    invoice = in_erp(engagement)
    line = {"doc": {"id": invoice["id"]}, "apply": True, "amount": 10_800}
    bench.control.create(
        "erp",
        "customerPayment",
        {"customer": {"id": invoice["entity"]["id"]}, "payment": 10_800, "apply": {"items": [line]}},
    )
    told(bench, lambda: engagement.prebill.state == "paid", "the second payment")
    assert bench.cases(ref) == [("PAY-REVERSED", "resolved")]


def test_a_payment_taken_back_on_the_platform_waits_for_receivables_in_the_erp(bench: Bench):
    engagement = Engagement(bench)
    request = engagement.send()
    bench.control.pay(request)
    bench.poll(BILLING)
    bench.control.patch(
        "billing", "invoice", request, {"status": "open", "amount_paid": 0, "amount_remaining": 1_080_000}
    )
    bench.poll(BILLING)
    ref = engagement.prebill.ref
    assert (engagement.prebill.state, engagement.prebill.balance) == ("issued", Decimal("10800"))
    assert bench.cases(ref) == [("PAY-REVERSED", "open")]
    assert in_erp(engagement)["amountRemaining"] == 0, "cash application is the ERP's own"
    bench.poll(ERP)
    assert engagement.prebill.state == "issued"
    bounced(engagement)
    payments = Transaction.objects.filter(subject__key=ref, flow="payment.apply")
    runs = payments.count()
    told(bench, lambda: payments.count() > runs, "a look at the ERP")
    assert engagement.prebill.state == "issued"
    bench.control.pay(request)
    bench.poll(BILLING)
    assert (engagement.prebill.state, in_erp(engagement)["amountRemaining"]) == ("paid", 0)
    assert bench.cases(ref) == [("PAY-REVERSED", "resolved")]


def test_what_was_issued_and_paid_stays_quiet(bench: Bench):
    engagement = Engagement(bench)
    bench.control.pay(engagement.send())
    for _ in range(2):
        bench.poll(BILLING, ERP)
    assert (engagement.prebill.state, bench.cases(engagement.prebill.ref)) == ("paid", [])
    assert engagement.prebill.events.filter(verb="payment").count() == 1


@pytest.mark.provokes("INV-VOIDED")
def test_an_invoice_voided_in_the_erp_is_no_paid_one_and_is_not_billed_again(bench: Bench):
    engagement = Engagement(bench)
    engagement.send()
    ref, before = engagement.prebill.ref, bench.objects()
    engagement.control.patch("erp", "invoice", in_erp(engagement)["id"], {"status": {"id": "V"}})
    told(bench, lambda: bench.cases(ref) == [("INV-VOIDED", "open")], "the case")
    assert engagement.prebill.state == "issued"
    assert bench.added(before) == {}


@pytest.mark.provokes("INV-EDITED")
def test_other_lines_over_the_same_total_are_told(bench: Bench):
    engagement = Engagement(bench)
    engagement.send()
    ref, invoice = engagement.prebill.ref, in_erp(engagement)
    lines = [line | {"description": "Something else"} for line in invoice["item"]["items"]]
    engagement.control.patch("erp", "invoice", invoice["id"], {"item": {"items": lines}})
    told(bench, lambda: bench.cases(ref) == [("INV-EDITED", "open")], "the case")
    assert "Something else" in case(engagement, "INV-EDITED").reason
    engagement.control.patch("erp", "invoice", invoice["id"], {"item": invoice["item"]})
    told(bench, lambda: bench.cases(ref) == [("INV-EDITED", "resolved")], "it is as it was")
