"""From approval to cash: numbers are given once, payments follow the newest truth, edits after billing are told."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from apps.billing import selectors, services
from apps.billing.models import BillableItem, Payment
from apps.canonical.objects import PaymentStatus
from apps.core.errors import InvalidInput, NotFound, WrongState
from apps.journal import selectors as journal
from tests.billing import world
from tests.commercial.world import money

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("november")]


def approved(firm, key):
    prebill = services.prebill_draft(engagement_key=key)
    for who in (firm.pm, firm.controller):
        prebill = services.prebill_approve(prebill=prebill, by=who, digest=prebill.digest)
    return prebill


def post(prebill, number="INV-1001", total="84000", tax="14000"):
    return services.invoice_posted(
        ref=prebill.ref, number=number, total=money(total), tax=money(tax), invoice_on=date(2026, 11, 23)
    )


def pay(ref, status, paid, balance, key="stripe:in_1", **fields):
    return services.payment_observed(
        ref=ref,
        status=PaymentStatus(
            key=key, invoice_key=ref, status=status, paid=money(paid), balance=money(balance), **fields
        ),
    )


@pytest.fixture
def posted():
    firm = world.firm()
    return post(approved(firm, world.engagement(firm)))


def test_posting_gives_the_number_once_and_invoices_the_items(posted):
    assert (posted.state, posted.number, posted.balance) == ("posted", "INV-1001", money("84000").amount)
    item = BillableItem.objects.get(prebill=posted)
    assert item.state == "invoiced"
    assert post(posted).events.filter(verb="posted").count() == 1
    with pytest.raises(WrongState) as caught:
        post(posted, number="INV-2")
    assert caught.value.code == "INV-DUP"
    invoice = selectors.canonical_invoice(posted.ref)
    assert (str(invoice.net), str(invoice.tax), str(invoice.total)) == (
        "GBP 70,000.00",
        "GBP 14,000.00",
        "GBP 84,000.00",
    )
    assert selectors.prebill_problems(posted.ref) == []


def test_nothing_is_posted_issued_or_paid_before_its_turn():
    firm = world.firm()
    prebill = services.prebill_draft(engagement_key=world.engagement(firm))
    with pytest.raises(WrongState, match="only an approved prebill"):
        post(prebill)
    with pytest.raises(WrongState, match="not posted yet"):
        services.invoice_issued(ref=prebill.ref)
    with pytest.raises(WrongState, match="no invoice number"):
        pay(prebill.ref, "paid", "1", "0")
    with pytest.raises(NotFound):
        services.invoice_issued(ref="PB-1999-000001")


def test_a_total_that_was_not_approved_is_kept_and_told():
    firm = world.firm()
    prebill = post(approved(firm, world.engagement(firm)), total="84000.02")
    problems = selectors.prebill_problems(prebill.ref)
    assert [problem["code"] for problem in problems] == ["INV-TOTAL"]
    assert "GBP 84,000.02" in problems[0]["reason"]
    assert "GBP 84,000.00" in problems[0]["reason"]
    assert prebill.total == money("84000.02").amount


@pytest.mark.parametrize(
    ("total", "tax", "told"),
    [
        ("84000.01", "14000", False),  # the issuer's rounding
        ("83999.99", "13999.99", False),
        ("84000", None, False),
        ("85000", None, True),
        ("85200", "14200", True),  # another net
        ("70000", "0", True),  # the tax was left out
        ("84000.02", "14000.02", True),
    ],
)
def test_net_and_tax_are_compared_with_what_was_approved(total, tax, told):
    firm = world.firm()
    prebill = approved(firm, world.engagement(firm))
    services.invoice_posted(
        ref=prebill.ref,
        number="INV-1",
        total=money(total),
        tax=None if tax is None else money(tax),
        invoice_on=date(2026, 11, 23),
    )
    assert bool(selectors.prebill_problems(prebill.ref)) is told


@pytest.mark.parametrize(
    ("treatment", "rate", "tax", "told"),
    [
        ("standard", "0", "4375", False),  # sales tax that the issuer finds by itself
        ("exempt", "0", "4375", True),
        ("reverse_charge", "0", "0", False),
        ("standard", "21", "14700.03", False),  # rounded line by line
        ("standard", "21", "14700.04", True),
    ],
)
def test_what_the_tax_should_be_follows_from_its_treatment(treatment, rate, tax, told):
    found = services.total_problem(
        ref="PB-1",
        lines=[money("30000"), money("30000"), money("10000")],
        treatment=treatment,
        rate_percent=Decimal(rate),
        currency="GBP",
        total=money("70000") + money(tax),
        tax=money(tax),
    )
    assert (found is not None) is told


def test_a_currency_without_small_units_is_off_by_whole_ones():
    values = {"ref": "PB-1", "treatment": "standard", "rate_percent": Decimal(10), "currency": "JPY"}
    lines, tax = [money("1005", "JPY")], money("101", "JPY")
    assert services.total_problem(lines=lines, total=money("1107", "JPY"), tax=tax, **values) is None
    assert services.total_problem(lines=lines, total=money("1108", "JPY"), tax=tax, **values) is not None


def test_what_the_issuer_changes_later_is_taken_over_and_what_was_paid_stays_paid(posted):
    services.invoice_issued(ref=posted.ref)
    pay(posted.ref, "part_paid", "40000", "44000")
    changed = post(posted, total="85200", tax="14200")
    assert (changed.total, changed.balance) == (money("85200").amount, money("45200").amount)
    assert [problem["code"] for problem in selectors.prebill_problems(posted.ref)] == ["INV-TOTAL"]
    events = changed.events.count()
    back = post(posted)
    assert (back.total, back.balance, back.state) == (
        money("84000").amount,
        money("44000").amount,
        "part_paid",
    )
    assert selectors.prebill_problems(posted.ref) == []
    assert post(posted).events.count() == events + 1


def test_money_comes_in_parts_is_taken_back_and_comes_again(posted):
    services.invoice_issued(ref=posted.ref, url="https://pay.example/1")
    story = [
        ("part_paid", "40000", "44000", "part_paid"),
        ("paid", "84000", "0", "paid"),
        ("reversed", "0", "84000", "issued"),
        ("disputed", "0", "84000", "disputed"),
        ("paid", "84000", "0", "paid"),
    ]
    for status, paid, balance, state in story:
        bill = pay(
            posted.ref, status, paid, balance, reference="BACS 1", paid_at=datetime(2026, 11, 20, tzinfo=UTC)
        )
        assert (bill.state, bill.balance) == (state, money(balance).amount)
    assert Payment.objects.count() == 1
    events = bill.events.count()
    assert pay(
        posted.ref, "paid", "84000", "0", reference="BACS 1", paid_at=datetime(2026, 11, 20, tzinfo=UTC)
    )
    assert bill.events.count() == events
    figures = selectors.engagement_money(posted.engagement_key)
    assert (str(figures.paid), str(figures.open_balance)) == ("GBP 84,000.00", "GBP 0.00")


@pytest.mark.parametrize(
    ("status", "reference", "sentence"),
    [
        ("paid", "in_1QX", "Paid in full (payment request in_1QX)."),
        ("part_paid", "", "Paid in part."),
        ("disputed", "in_1QX", "The payment is disputed (payment request in_1QX)."),
    ],
)
def test_the_audit_says_in_a_sentence_what_happened_to_the_money(posted, status, reference, sentence):
    pay(posted.ref, status, "84000" if status == "paid" else "4000", "0", reference=reference)
    rows = {row.verb: row.why for row in journal.history("prebill", posted.ref)}
    assert rows[f"prebill.{status}"] == sentence
    assert rows["prebill.posted"] == "Posted in the ERP as INV-1001."


def test_a_part_that_was_taken_back_leaves_the_invoice_partly_paid(posted):
    services.invoice_issued(ref=posted.ref)
    pay(posted.ref, "paid", "84000", "0")
    assert selectors.times_reversed(posted.ref) == 0
    assert pay(posted.ref, "reversed", "60000", "24000").state == "part_paid"
    assert selectors.times_reversed(posted.ref) == 1


def test_what_the_platform_collected_is_remembered_without_any_other_news(posted):
    services.invoice_issued(ref=posted.ref)
    events = pay(posted.ref, "part_paid", "40000", "44000").events.count()
    status = PaymentStatus(
        key="stripe:in_1",
        invoice_key=posted.ref,
        status="part_paid",
        paid=money("40000"),
        balance=money("44000"),
    )
    bill = services.payment_observed(ref=posted.ref, status=status, collected=money("40000"))
    assert bill.events.count() == events
    assert selectors.payment("stripe:in_1").collected == money("40000").amount


def test_unpaid_says_nothing_about_delivery(posted):
    assert pay(posted.ref, "unpaid", "0", "84000").state == "posted"
    assert services.invoice_issued(ref=posted.ref, url="https://pay.example/1").state == "issued"
    assert services.invoice_issued(ref=posted.ref, url="https://pay.example/2").url.endswith("/2")


def test_figures_that_contradict_or_belong_elsewhere_are_refused(posted):
    with pytest.raises(InvalidInput, match="said to be paid with GBP 1"):
        pay(posted.ref, "paid", "83999", "1")
    with pytest.raises(InvalidInput, match="not EUR"):
        services.invoice_posted(
            ref=posted.ref, number="X", total=money("1", "EUR"), tax=None, invoice_on=date(2026, 11, 23)
        )
    pay(posted.ref, "unpaid", "0", "84000")
    services.milestone_observe(milestone=world.milestone(posted.engagement_key))
    other = services.prebill_draft(engagement_key=posted.engagement_key)
    assert other.ref != posted.ref


def test_an_edit_after_billing_changes_nothing_and_is_told_until_it_is_undone():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    prebill = approved(firm, key)
    services.time_observe(entry=world.hours(key, 1, "6"))
    problems = services.problems(services.readiness(key))
    assert [problem["code"] for problem in problems] == ["TIME-EDITED"]
    assert f"ben is on {prebill.ref} with 8 h; the time sheet now says 6 h" in problems[0]["reason"]
    prebill.refresh_from_db()
    assert (prebill.state, prebill.net) == ("approved", money("1560").amount)
    services.time_observe(entry=world.hours(key, 1, "8"))
    assert services.problems(services.readiness(key)) == []


@pytest.mark.parametrize(
    ("terms", "due"), [("Net 30", date(2026, 12, 23)), ("net 0", date(2026, 11, 23)), ("EOM", None)]
)
def test_terms_in_days_give_the_due_date(terms, due):
    assert services.due_date(date(2026, 11, 23), terms) == due
