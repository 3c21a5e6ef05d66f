"""Plans of invoice and payment: what is sent in which state, and what is left alone. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from apps.canonical.money import Money
from apps.canonical.objects import Invoice, InvoiceLine, TaxTreatment
from apps.connectors.spi import Observed
from apps.sync.flows import invoice as invoices
from apps.sync.flows import payment as payments
from apps.sync.flows.base import Meta
from tests.sync.samples import gbp

REF = "PB-2026-000001"
TAX = TaxTreatment(
    key=f"{REF}-TAX",
    customer_key="crm:001A",
    legal_entity_code="MER-UK",
    treatment="standard",
    tax_code="201",
    rate_percent=Decimal(20),
)


def invoice(**changes: Any) -> Invoice:
    line = InvoiceLine(
        key="L1",
        description="Design accepted",
        billing_code="503",
        unit_price=gbp("30000"),
        amount=gbp("30000"),
    )
    values: dict[str, Any] = {
        "key": REF,
        "engagement_key": "ENG-2026-000001",
        "customer_key": "crm:001A",
        "legal_entity_code": "MER-UK",
        "currency": "GBP",
        "status": "draft",
        "invoice_on": date(2026, 11, 23),
        "lines": (line,),
        "net": gbp("30000"),
    }
    return Invoice(**values | changes)


def system(number: int, code: str) -> Any:
    return SimpleNamespace(id=number, code=code, name=code.upper())


def in_erp(number: str = "", **changes: Any) -> Observed:
    return Observed("invoice", "901", invoice(**changes), facts={"number": number} if number else {})


def request(status: str, **changes: Any) -> Observed:
    return Observed("invoice", "in_1", invoice(**changes), facts={"status": status})


def snapshot(**changes: Any) -> invoices.InvoiceSnapshot:
    values: dict[str, Any] = {
        "as_of": datetime(2026, 11, 23, tzinfo=UTC),
        "meta": Meta(label="Invoice"),
        "ref": REF,
        "state": "draft",
        "invoice": invoice(),
        "crm": system(1, "crm"),
        "deal_id": "006A",
        "deal_key": "crm:006A",
        "erp": system(2, "erp"),
        "erp_settings": {"subsidiary": "1"},
        "billing_system": system(4, "billing"),
        "erp_invoice": None,
        "request": None,
        "request_id": "",
        "line_ids": {},
        "sent": False,
    }
    return invoices.InvoiceSnapshot(**values | changes)


def steps(draft: Any) -> list[tuple[str, str]]:
    return [(action.name, action.kind) for action in draft.actions]


@pytest.mark.parametrize("state", ["draft", "pm_approved"])
def test_a_draft_is_shown_in_the_erp_pending_approval(state):
    draft = invoices.plan(snapshot(state=state))
    assert steps(draft) == [("erp.invoice", "push")]
    assert draft.actions[0].body["status"] == "draft"


def test_a_draft_that_shows_the_same_lines_is_left_alone():
    assert steps(invoices.plan(snapshot(erp_invoice=in_erp()))) == [("erp.invoice", "unchanged")]


def test_a_draft_with_other_lines_is_sent_again():
    draft = invoices.plan(snapshot(erp_invoice=in_erp(net=gbp("20000"))))
    assert steps(draft) == [("erp.invoice", "push")]


def test_a_draft_without_lines_is_not_sent():
    assert steps(invoices.plan(snapshot(invoice=invoice(lines=())))) == []


def test_a_void_prebill_takes_its_open_draft_back_and_leaves_everything_else_alone():
    open_draft = Observed("invoice", "901", invoice(), facts={"status": "draft"})
    assert steps(invoices.plan(snapshot(state="void", erp_invoice=open_draft))) == [
        ("erp.invoice.void", "push")
    ]
    posted = Observed("invoice", "901", invoice(), facts={"status": "posted", "number": "INV-1"})
    assert steps(invoices.plan(snapshot(state="void", erp_invoice=posted))) == []
    assert steps(invoices.plan(snapshot(state="void"))) == []


def test_an_approved_invoice_is_posted_and_its_number_taken_over():
    draft = invoices.plan(snapshot(state="approved", erp_invoice=in_erp()))
    assert steps(draft) == [
        ("erp.invoice", "unchanged"),
        ("erp.invoice.post", "push"),
        ("posted", "local"),
    ]
    assert draft.actions[1].read_back is True


def test_an_invoice_that_the_erp_has_posted_is_not_posted_again():
    draft = invoices.plan(snapshot(state="approved", erp_invoice=in_erp("INV10001")))
    assert steps(draft) == [("erp.invoice.post", "unchanged"), ("posted", "local")]


def test_a_posted_invoice_is_asked_for_with_its_lines_and_the_erps_tax():
    taxed = invoice(number="INV10001", tax=gbp("6000"), total=gbp("36000"))
    shown = in_erp("INV10001", tax=gbp("6000"), total=gbp("36000"))
    draft = invoices.plan(snapshot(state="posted", invoice=taxed, erp_invoice=shown, tax=TAX))
    names = [name for name, _ in steps(draft)]
    assert names == [
        "billing.invoice", "billing.invoice_line.L1", "billing.invoice_line.tax", "billing.invoice.finalize",
        "billing.invoice.send", "crm.status", "announce", "issued",
    ]  # fmt: skip
    tax = next(action for action in draft.actions if action.name == "billing.invoice_line.tax")
    assert tax.values["amount"] == "6000.00"


@pytest.mark.parametrize(
    ("total", "tax", "code"),
    [("37200", "6200", "INV-TOTAL"), ("30000", "0", "TAX-DIFF"), ("36000.02", "6000", "INV-TOTAL")],
)
def test_another_total_than_the_approved_one_stops_before_anything_is_asked_for(total, tax, code):
    taxed = invoice(number="INV10001", tax=gbp("6000"), total=gbp("36000"))
    shown = in_erp("INV10001", tax=gbp(tax), total=gbp(total))
    draft = invoices.plan(snapshot(state="posted", invoice=taxed, erp_invoice=shown, tax=TAX))
    assert steps(draft) == [("posted", "local"), ("billing.invoice", "blocked")]
    [problem] = draft.problems
    assert problem.code == code
    assert str(gbp(total)) in problem.reason
    assert "GBP 36,000.00" in problem.reason


def test_a_request_that_is_fixed_over_another_total_is_not_sent():
    taxed = invoice(number="INV10001", tax=gbp("6000"), total=gbp("36000"))
    shown = in_erp("INV10001", tax=gbp("6000"), total=gbp("36000"))
    asked = request("open", total=gbp("35000"), balance=gbp("35000"))
    draft = invoices.plan(
        snapshot(state="posted", invoice=taxed, erp_invoice=shown, tax=TAX, request=asked, request_id="in_1")
    )
    assert steps(draft) == [("billing.invoice", "blocked")]
    assert [problem.code for problem in draft.problems] == ["INV-TOTAL"]


def test_the_erps_rounding_is_a_line_of_the_request():
    rounded = {"tax": gbp("6000"), "total": gbp("35999.99")}
    draft = invoices.plan(
        snapshot(
            state="posted",
            invoice=invoice(number="INV10001", **rounded),
            erp_invoice=in_erp("INV10001", **rounded),
            tax=TAX,
        )
    )
    amounts = {a.name: a.values["amount"] for a in draft.actions if "invoice_line" in a.name}
    assert amounts == {
        "billing.invoice_line.L1": "30000.00",
        "billing.invoice_line.tax": "6000.00",
        "billing.invoice_line.rounding": "-0.01",
    }


def test_a_request_that_is_open_gets_no_further_lines():
    draft = invoices.plan(snapshot(state="posted", request=request("open"), request_id="in_1"))
    kinds = dict(steps(draft))
    assert kinds["billing.invoice"] == "unchanged"
    assert not [name for name in kinds if "invoice_line" in name or name.endswith("finalize")]
    assert kinds["billing.invoice.send"] == "push"


def test_a_request_that_was_sent_is_not_sent_twice():
    draft = invoices.plan(snapshot(state="posted", request=request("open"), request_id="in_1", sent=True))
    assert "billing.invoice.send" not in dict(steps(draft))


def test_a_known_line_is_not_added_again():
    draft = invoices.plan(
        snapshot(state="posted", request=request("draft"), request_id="in_1", line_ids={"L1": "ii_1"})
    )
    assert dict(steps(draft))["billing.invoice_line.L1"] == "unchanged"


def test_no_step_is_planned_twice():
    for state in ("draft", "approved", "posted"):
        names = [name for name, _ in steps(invoices.plan(snapshot(state=state)))]
        assert len(names) == len(set(names)), state


@pytest.mark.parametrize("state", ["issued", "paid", "cancelled"])
def test_what_is_out_is_left_alone(state):
    assert invoices.plan(snapshot(state=state)).actions == ()


# ---- payments --------------------------------------------------------------------------------------------------------


def payment(
    *,
    paid: str,
    applied: str,
    total: str = "36000",
    booked: str = "",
    known: str = "0",
    state: str = "issued",
    collected: str | None = None,
    **more: Any,
) -> payments.PaymentSnapshot:
    """``paid`` on the platform, ``applied`` in the ERP (over ``booked``), ``known`` to the console, ``collected`` by the
    platform when it was last taken over."""
    whole, in_books = Money.of(total, "GBP"), Money.of(booked or total, "GBP")

    def open_after(amount: str, whole: Money = whole) -> Money:
        return whole - Money.of(amount, "GBP")

    base = snapshot(
        state=state,
        invoice=invoice(number="INV10001", total=in_books, balance=open_after(known, in_books)),
        erp_invoice=in_erp("INV10001", total=in_books, balance=open_after(applied, in_books)),
        request=request("open", total=whole, balance=open_after(paid)),
        request_id="in_1",
    )
    remembered = None if collected is None else gbp(collected)
    return payments.PaymentSnapshot(base=base, today=date(2026, 12, 1), collected=remembered, **more)


@pytest.mark.parametrize("collected", ["36000", None])
def test_money_taken_back_in_the_erp_opens_the_invoice_and_is_not_applied_again(collected):
    draft = payments.plan(
        payment(paid="36000", applied="0", known="36000", state="paid", collected=collected)
    )
    assert [problem.code for problem in draft.problems] == ["PAY-REVERSED"]
    assert [name for name, _ in steps(draft)] == ["crm.status", "payment"]
    taken = draft.actions[-1].values
    assert (taken["status"]["status"], taken["status"]["balance"]["amount"]) == ("reversed", "36000.00")
    assert taken["collected"]["amount"] == "36000.00"
    later = payments.plan(payment(paid="36000", applied="0", known="0", collected="36000", was_reversed=True))
    assert steps(later) == [("payment", "unchanged")]
    assert [problem.code for problem in later.problems] == ["PAY-REVERSED"]


def test_money_taken_back_on_the_platform_does_not_stand_until_the_erp_has_followed():
    first = payments.plan(payment(paid="0", applied="36000", known="36000", state="paid", collected="36000"))
    taken = first.actions[-1].values
    assert (taken["status"]["status"], taken["status"]["balance"]["amount"]) == ("reversed", "36000.00")
    assert taken["collected"]["amount"] == "36000.00"
    waits = payments.plan(payment(paid="0", applied="36000", collected="36000", was_reversed=True))
    assert steps(waits) == [("payment", "unchanged")]
    followed = payments.plan(payment(paid="0", applied="0", collected="36000", was_reversed=True))
    assert followed.actions[-1].values["collected"]["amount"] == "0.00"
    again = payments.plan(
        payment(paid="36000", applied="0", collected="0", was_reversed=True, times_reversed=1)
    )
    assert (again.actions[0].name, again.actions[0].values["amount"]) == ("erp.payment", "36000.00")
    assert again.actions[0].key == f"{REF}-P3600000-R1", "another payment, not the old one again"
    assert again.actions[-1].values["status"]["status"] == "paid"


def test_a_part_that_was_taken_back_leaves_the_rest_paid():
    draft = payments.plan(
        payment(paid="36000", applied="30000", known="36000", state="paid", collected="36000")
    )
    status = draft.actions[-1].values["status"]
    assert (status["status"], status["paid"]["amount"]) == ("reversed", "30000.00")


def test_only_what_came_in_after_a_reversal_is_applied():
    draft = payments.plan(
        payment(paid="36000", applied="0", known="10000", state="part_paid", collected="10000")
    )
    assert draft.actions[0].values["amount"] == "26000.00"


def test_what_was_paid_and_not_yet_applied_is_applied_to_its_invoice():
    draft = payments.plan(payment(paid="36000", applied="0"))
    cash = draft.actions[0]
    assert (cash.name, cash.values["amount"]) == ("erp.payment", "36000.00")
    assert cash.refs["invoice"] == ("invoice", REF)
    assert draft.problems == ()
    assert [name for name, _ in steps(draft)] == ["erp.payment", "crm.status", "announce", "payment"]


def test_only_the_difference_is_applied():
    draft = payments.plan(payment(paid="36000", applied="10000"))
    assert draft.actions[0].values["amount"] == "26000.00"


def test_a_part_payment_is_applied_and_is_work_for_receivables():
    draft = payments.plan(payment(paid="10000", applied="0"))
    assert [problem.code for problem in draft.problems] == ["PAY-SHORT"]
    assert draft.problems[0].params["open"] == "26000.00"
    assert "announce" not in dict(steps(draft))


def test_money_that_is_applied_already_is_not_applied_again():
    draft = payments.plan(payment(paid="36000", applied="36000"))
    assert "erp.payment" not in dict(steps(draft))


def test_an_invoice_is_paid_only_when_neither_system_has_anything_open():
    def word(**changes: str) -> str:
        draft = payments.plan(payment(**changes))
        return str(draft.actions[-1].values["status"]["status"])

    assert word(paid="36000", applied="0") == "paid"
    assert word(paid="36000", applied="0", booked="36500") == "part_paid"
    assert word(paid="0", applied="36000") == "part_paid"


def test_a_request_over_another_total_than_the_erps_is_told_and_not_called_short():
    draft = payments.plan(payment(paid="36000", applied="0", booked="36500"))
    assert [problem.code for problem in draft.problems] == ["INV-TOTAL"]
    assert "GBP 36,500.00" in draft.problems[0].reason
    assert "GBP 36,000.00" in draft.problems[0].reason
    assert draft.actions[0].values["amount"] == "36000.00"


def test_no_more_is_applied_than_is_due_in_the_erp():
    draft = payments.plan(payment(paid="36000", applied="0", booked="35000"))
    assert draft.actions[0].values["amount"] == "35000.00"


def test_money_in_the_erp_that_the_platform_still_asks_for_is_told():
    draft = payments.plan(payment(paid="0", applied="36000"))
    assert [problem.code for problem in draft.problems] == ["PAY-OUTSIDE"]
    assert "erp.payment" not in dict(steps(draft))


def test_what_is_known_is_not_said_again():
    draft = payments.plan(payment(paid="36000", applied="36000", known="36000", state="paid"))
    assert steps(draft) == [("payment", "unchanged")]


def test_each_payment_has_a_key_of_its_own():
    first = payments.plan(payment(paid="10000", applied="0")).actions[0]
    rest = payments.plan(payment(paid="36000", applied="10000")).actions[0]
    assert first.key != rest.key
    assert first.idempotency_key != rest.idempotency_key


def test_nothing_is_applied_before_the_invoice_is_out():
    base = replace(payment(paid="0", applied="0").base, request=None)
    draft = payments.plan(payments.PaymentSnapshot(base=base, today=date(2026, 12, 1)))
    assert draft.actions == ()


def test_a_draft_with_the_same_lines_but_another_tax_code_or_date_is_sent_again():
    first = invoices.plan(snapshot()).actions[0]
    shown = in_erp()
    assert steps(invoices.plan(snapshot(erp_invoice=shown, draft_key=first.idempotency_key))) == [
        ("erp.invoice", "unchanged")
    ]
    exempt = snapshot(
        erp_invoice=shown,
        draft_key=first.idempotency_key,
        erp_settings={"subsidiary": "1", "tax_code_id": "exempt"},
    )
    assert steps(invoices.plan(exempt)) == [("erp.invoice", "push")]
    later = snapshot(
        state="approved",
        erp_invoice=shown,
        draft_key=first.idempotency_key,
        invoice=invoice(invoice_on=date(2026, 12, 1)),
    )
    assert steps(invoices.plan(later))[:2] == [("erp.invoice", "push"), ("erp.invoice.post", "push")]
