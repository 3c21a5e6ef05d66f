"""Troubles as they arise in the vendors' own screens: each becomes a case, and correcting the source closes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.demo import deals
from apps.sync import engine
from apps.sync import services as sync
from apps.sync.models import PollCursor, Transaction
from apps.triage.models import Case
from tests.flows import acts
from tests.flows.bench import Bench

PSA = ("psa", "milestone")
BILLING = ("billing", "invoice")


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


class Engagement:
    """A provisioned engagement with one milestone of its own."""

    def __init__(self, bench: Bench, **changes: Any) -> None:
        self.bench = bench
        self.control = bench.control
        self.account = bench.account(**changes)
        self.title = f"Handover {self.account[-6:]}"
        spec = replace(acts.SMALL, schedule=(deals.Entry(self.title, Decimal("9000")),))
        self.deal_id = bench.win(spec, account=self.account)
        self.key = commercial.engagement_by_deal(f"crm:{self.deal_id}").key

    def accept(self, certificate: str = "CERT-1") -> None:
        acts.accept_milestone(self.control, self.title, certificate=certificate)
        self.bench.poll(PSA)

    @property
    def prebill(self) -> Any:
        [found] = [one for one in acts.prebills() if one.engagement_key == self.key]
        return found

    def approve(self) -> None:
        acts.approve_prebill(self.prebill.ref, "priya", "helen")

    def send(self) -> str:
        """From acceptance to the request for payment. Returns the request's id on the billing platform."""
        self.accept()
        self.approve()
        self.bench.settle()
        assert self.prebill.state == "issued"
        return self.request_id()

    def request_id(self) -> str:
        [found] = [
            one
            for one in self.control.records("billing", "invoice")
            if self.prebill.ref in str(one["metadata"])
        ]
        return str(found["id"])

    def invoicing(self, flow: str = "invoice.sync") -> Transaction:
        return self.bench.transaction("invoice", self.prebill.ref, flow)


@pytest.mark.provokes("MS-NO-EVIDENCE")
def test_an_acceptance_without_evidence_waits_for_the_certificate(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept(certificate="")
    assert bench.cases(engagement.key) == [("MS-NO-EVIDENCE", "open")]
    assert [one for one in acts.prebills() if one.engagement_key == engagement.key] == []
    engagement.accept(certificate="CERT-9")
    assert bench.cases(engagement.key) == [("MS-NO-EVIDENCE", "resolved")]
    assert billing.canonical_invoice(engagement.prebill.ref).net == Money.of("9000", "GBP")


@pytest.mark.provokes("AMD-UNAPPROVED")
def test_terms_changed_after_set_up_wait_for_an_amendment(bench: Bench):
    engagement = Engagement(bench)
    before = bench.objects()
    key = f"crm:{engagement.deal_id}"
    [entry] = bench.control.records("crm", "Billing_Schedule__c", Opportunity__c=engagement.deal_id)
    [line] = bench.control.records("crm", "OpportunityLineItem", OpportunityId=engagement.deal_id)

    def agree(amount: int) -> None:
        bench.control.patch("crm", "Billing_Schedule__c", entry["Id"], {"Amount__c": str(amount)})
        bench.control.patch(
            "crm", "OpportunityLineItem", line["Id"], {"UnitPrice": amount, "TotalPrice": amount}
        )
        bench.poll(("crm", "deal"))

    agree(9500)
    assert bench.cases(key) == [("AMD-UNAPPROVED", "open")]
    assert commercial.engagement(engagement.key).value == Decimal("9000")
    agree(9000)
    assert bench.cases(key) == [("AMD-UNAPPROVED", "resolved")]
    assert bench.added(before) == {}


@pytest.mark.provokes("CUS-DUP")
def test_two_records_of_one_tax_id_are_never_chosen_between(bench: Bench):
    tax_id = "GB980780684"
    twins = [
        bench.control.create(
            "erp",
            "customer",
            {
                "companyName": name,
                "isPerson": False,
                "subsidiary": {"id": "1"},
                "vatRegNumber": tax_id,
                "addressBook": {
                    "items": [
                        {
                            "defaultBilling": True,
                            "addressBookAddress": {
                                "addr1": "1 Long Lane",
                                "city": "York",
                                "country": {"id": "GB"},
                            },
                        }
                    ]
                },
            },
        )
        for name in ("Twin Holdings", "Twin Trading")
    ]
    before = bench.objects()
    account = bench.account(Tax_Id__c=tax_id)
    deal_id = bench.win(acts.SMALL, account=account)
    key = f"crm:{account}@erp"
    assert bench.cases(key) == [("CUS-DUP", "open")]
    assert bench.added(before) == {}
    reason = bench.transaction("customer", key, "customer.sync").reason
    assert "Twin Holdings" in reason
    assert "Twin Trading" in reason

    bench.control.delete("erp", "customer", twins[1]["id"])
    held = bench.transaction("customer", key, "customer.sync")
    sync.replay(transaction_ids=[held.id], by=acts.person("nadia"), why="The second one was merged away.")
    bench.settle()
    assert bench.cases(key) == [("CUS-DUP", "resolved")]
    assert bench.provisioning(deal_id).state == "succeeded"
    assert bench.objects()["erp customer"] == before["erp customer"] - 1, "linked, not created"


@pytest.mark.provokes("INV-PERIOD")
def test_a_closed_period_waits_for_the_controller(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept()
    today = clock.today().isoformat()
    [period] = [
        row
        for row in bench.control.records("erp", "accountingPeriod")
        if row["startDate"] <= today <= row["endDate"] and not row.get("isYear") and not row.get("isQuarter")
    ]
    bench.control.patch("erp", "accountingPeriod", period["id"], {"closed": True})
    engagement.approve()
    bench.settle()
    ref = engagement.prebill.ref
    assert bench.cases(ref) == [("INV-PERIOD", "open")]
    assert engagement.prebill.state == "approved"
    bench.control.patch("erp", "accountingPeriod", period["id"], {"closed": False})
    sync.replay(transaction_ids=[engagement.invoicing().id], by=acts.person("helen"), why="Opened again.")
    bench.settle()
    assert bench.cases(ref) == [("INV-PERIOD", "resolved")]
    assert engagement.prebill.state == "issued"


@pytest.mark.provokes("PAY-SHORT")
def test_a_short_payment_is_a_case_until_the_rest_is_paid(bench: Bench):
    engagement = Engagement(bench)
    request = engagement.send()
    ref = engagement.prebill.ref
    bench.control.pay(request, amount=400_000)
    bench.poll(BILLING)
    assert bench.cases(ref) == [("PAY-SHORT", "open")]
    assert engagement.prebill.state == "part_paid"
    bench.control.pay(request)
    bench.poll(BILLING)
    assert bench.cases(ref) == [("PAY-SHORT", "resolved")]
    assert engagement.prebill.state == "paid"


@pytest.mark.provokes("INV-UNKNOWN")
def test_an_invoice_whose_answers_are_lost_stands_once_in_every_system(bench: Bench):
    engagement = Engagement(bench)
    before = bench.objects()
    bench.control.fault("erp", "reset_after", method="PUT", path="/invoice/", times=1)
    engagement.accept()
    ref = engagement.prebill.ref
    assert bench.cases(ref) == [("INV-UNKNOWN", "resolved")]
    assert bench.attempts(engagement.invoicing()) == [("erp.invoice", "unknown"), ("erp.invoice", "found")]

    for system, method, path in (
        ("erp", "PATCH", "/invoice/"),
        ("billing", "POST", "/v1/invoices$"),
        ("billing", "POST", "/v1/invoiceitems$"),
        ("billing", "POST", "/finalize$"),
        ("billing", "POST", "/send$"),
        ("erp", "PUT", "/customerPayment/"),
        ("crm", "PATCH", "/Eng_Status__c/"),
    ):
        bench.control.fault(system, "reset_after", method=method, path=path, times=1)
    engagement.approve()
    bench.settle()
    assert engagement.prebill.state == "issued"
    bench.control.pay(engagement.request_id())
    bench.poll(BILLING)
    assert engagement.prebill.state == "paid"
    armed = [fault for system in ("crm", "erp", "billing") for fault in bench.control.faults(system)]
    assert [fault["match"] for fault in armed if not fault["spent"]] == []
    added = bench.added(before)
    assert {name: added.get(name) for name in ("erp invoice", "billing invoice", "erp customerPayment")} == {
        "erp invoice": 1,
        "billing invoice": 1,
        "erp customerPayment": 1,
    }
    assert bench.cases(ref, state="open") == []


def test_the_case_of_an_unknown_invoice_is_open_while_nobody_knows(bench: Bench):
    engagement = Engagement(bench)
    bench.control.fault("erp", "reset_after", method="PUT", path="/invoice/", times=1)
    bench.control.fault("erp", "status", method="GET", path="/invoice", status=503, times=None)
    bench.control.fault("erp", "status", method="POST", path="/suiteql", status=503, times=None)
    acts.accept_milestone(bench.control, engagement.title)
    bench.poll(PSA, settle=False)
    bench.wait(lambda: _drained(bench) and ("INV-UNKNOWN", "open") in bench.cases(), what="the open case")
    assert bench.control.requests("erp", method="PUT", path="/invoice/eid:" + engagement.prebill.ref)
    bench.clear_faults()
    bench.settle()
    assert bench.cases(engagement.prebill.ref) == [("INV-UNKNOWN", "resolved")]
    sent = bench.control.requests("erp", method="PUT", path="/invoice/eid:" + engagement.prebill.ref)
    assert len(sent) == 1, "never sent again blindly"
    [case] = Case.objects.filter(code="INV-UNKNOWN", subject_key=engagement.prebill.ref)
    assert case.reopened == 0, "open all the time, not closed and opened again by every attempt"


def test_the_case_of_an_unknown_line_is_open_while_nobody_knows(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept()
    bench.control.fault("billing", "reset_after", method="POST", path="/v1/invoiceitems$", times=1)
    bench.control.fault("billing", "status", method="GET", path="/v1/invoice", status=503, times=None)
    before = bench.objects()["billing invoiceitem"]
    engagement.approve()
    _nobody_knows(bench, engagement.prebill.ref)
    assert engagement.prebill.state == "issued"
    assert bench.objects()["billing invoiceitem"] == before + 2, "the service and its tax, each once"


def test_a_payment_whose_answer_is_lost_is_a_case_until_the_ledger_shows_it(bench: Bench):
    engagement = Engagement(bench)
    request = engagement.send()
    ref = engagement.prebill.ref
    before = bench.objects()["erp customerPayment"]
    bench.control.fault("erp", "reset_after", method="PUT", path="/customerPayment/", times=1)
    bench.control.pay(request)
    bench.poll(BILLING)
    assert bench.cases(ref) == [("INV-UNKNOWN", "resolved")]
    assert ("erp.payment", "unknown") in bench.attempts(engagement.invoicing("payment.apply"))
    assert engagement.prebill.state == "paid"
    assert bench.objects()["erp customerPayment"] == before + 1


def _nobody_knows(bench: Bench, ref: str) -> None:
    """The case opens while the probe fails too, and closes without anything sent again once the system answers."""
    bench.wait(lambda: _drained(bench) and ("INV-UNKNOWN", "open") in bench.cases(ref), what="the open case")
    bench.clear_faults()
    bench.settle()
    assert bench.cases(ref) == [("INV-UNKNOWN", "resolved")]


def _drained(bench: Bench) -> bool:
    return engine.drain() >= 0


def test_a_dated_instalment_is_billed_on_its_day_without_any_event(bench: Bench):
    account = bench.account()
    spec = replace(acts.SMALL, schedule=(deals.Entry("First half", Decimal("9000"), days=0),), name="Dated")
    deal_id = bench.win(spec, account=account)
    key = commercial.engagement_by_deal(f"crm:{deal_id}").key
    assert [one.engagement_key for one in acts.prebills()].count(key) == 1
    tomorrow = clock.now() + timedelta(days=1)
    assert key not in billing.due_engagements(clock.now()), "looked at and drafted"
    assert key not in billing.due_engagements(tomorrow), "and not asked about again"


def test_a_draft_whose_acceptance_was_withdrawn_is_rejected_in_the_erp(bench: Bench):
    engagement = Engagement(bench)
    engagement.accept()
    ref = engagement.prebill.ref
    [draft] = bench.control.records("erp", "invoice", externalId=ref)
    assert draft["approvalStatus"]["id"] == "1"
    milestone = bench.control.records("psa", "billing_milestones", title=engagement.title)[0]
    bench.control.patch(
        "psa", "billing_milestones", milestone["id"], {"state": "planned", "accepted_at": None}
    )
    bench.poll(PSA)
    assert engagement.prebill.state == "void"
    [rejected] = bench.control.records("erp", "invoice", externalId=ref)
    assert (rejected["approvalStatus"]["id"], rejected.get("tranId") or "") == ("3", "")


def test_near_the_daily_limit_polling_leaves_the_calls_to_what_blocks_money(bench: Bench):
    engagement = Engagement(bench)
    request = engagement.send()
    bench.control.settings("crm", api_used=96_000, api_limit=100_000)
    bench.control.pay(request)
    bench.poll(BILLING)
    [status] = bench.control.records("crm", "Eng_Status__c", Opportunity__c=engagement.deal_id)
    assert status["Invoice_Status__c"] == "paid", "what blocks money goes on, and hears how little is left"

    asked = len(bench.control.requests("crm"))
    bench.poll(("crm", "deal"), ("crm", "customer"))
    assert len(bench.control.requests("crm")) == asked, "nothing is asked that can wait"
    cursors = PollCursor.objects.filter(system__code="crm")
    assert {cursor.error for cursor in cursors} == {""}, "that is no error"
    assert min(cursor.due_at for cursor in cursors) > clock.now() + timedelta(seconds=30)

    bench.control.settings("crm", api_used=0)
    sync.deal_validate(system_code="crm", deal_id=engagement.deal_id, deadline_seconds=10.0)
    asked = len(bench.control.requests("crm"))
    bench.poll(("crm", "deal"))
    assert len(bench.control.requests("crm")) > asked, (
        "a person's question has heard that there is room again"
    )
