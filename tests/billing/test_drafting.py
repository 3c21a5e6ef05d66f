"""Drafting: one draft per engagement with each item once, whoever asks and whatever changes underneath."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction

from apps.approvals import selectors as approvals
from apps.billing import selectors, services
from apps.billing.models import BillableItem, Prebill, PrebillLine
from apps.commercial import services as commercial
from apps.core import hooks
from tests.billing import world
from tests.commercial.world import money

november = pytest.mark.usefixtures("november")


@pytest.fixture
def moved():
    heard: list[dict] = []
    hooks.prebills_moved.receivers["test"] = heard.extend
    yield heard
    del hooks.prebills_moved.receivers["test"]


@november
@pytest.mark.django_db
def test_what_is_ready_becomes_a_draft_that_asks_for_both_signatures(moved):
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key))
    prebill = services.prebill_draft(engagement_key=key)
    assert prebill.ref.startswith("PB-2026-")
    assert (prebill.state, prebill.net) == ("draft", money("120000").amount)
    assert [(line.description, line.amount) for line in prebill.lines.all()] == [
        ("Kick-off fee", money("70000").amount),
        ("Design", money("50000").amount),
    ]
    request = approvals.open_request("prebill", prebill.ref)
    assert (request.digest, request.amount, request.currency) == (prebill.digest, prebill.net, "GBP")
    assert [step.verb for step in request.steps.all()] == ["prebill.approve_pm", "prebill.approve_finance"]
    assert [(fact["ref"], fact["state"]) for fact in moved] == [(prebill.ref, "draft")]
    assert services.prebill_draft(engagement_key=key) is None
    assert len(moved) == 1


@november
@pytest.mark.django_db
def test_the_canonical_invoice_says_what_will_be_posted():
    key = world.engagement(world.firm())
    invoice = selectors.canonical_invoice(services.prebill_draft(engagement_key=key).ref)
    assert (str(invoice.net), invoice.status, invoice.po_number) == ("GBP 70,000.00", "draft", "PO-7781")
    assert (invoice.invoice_on.isoformat(), invoice.due_on.isoformat()) == ("2026-11-23", "2026-12-23")
    assert [(line.key, line.billing_code) for line in invoice.lines] == [
        (services.milestone_key(key, "S2"), "ns-IMP-200")
    ]
    tax = selectors.tax_treatment(invoice.key)
    assert (tax.treatment, tax.tax_code, str(tax.rate_percent)) == ("standard", "S-GB", "20.0000")


@november
@pytest.mark.django_db
def test_new_items_join_the_draft_and_the_question_is_asked_anew(moved):
    key = world.engagement(world.firm())
    first = services.prebill_draft(engagement_key=key)
    asked = approvals.open_request("prebill", first.ref)
    services.milestone_observe(milestone=world.milestone(key))
    second = services.prebill_draft(engagement_key=key)
    assert (second.pk, second.net, second.lines.count()) == (first.pk, money("120000").amount, 2)
    assert second.digest != first.digest
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
    assert approvals.open_request("prebill", first.ref).digest == second.digest
    assert len(moved) == 2


@november
@pytest.mark.django_db
def test_a_new_purchase_order_changes_what_is_signed():
    key = world.engagement(world.firm())
    first = services.prebill_draft(engagement_key=key)
    commercial.po_set(key=key, po_number="PO-NEW")
    second = services.prebill_draft(engagement_key=key)
    assert second.digest != first.digest
    assert selectors.canonical_invoice(first.ref).po_number == "PO-NEW"


@november
@pytest.mark.django_db
def test_a_line_whose_source_changed_leaves_the_draft_and_comes_back_with_its_new_amount():
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key, 1, "8"))
    services.time_observe(entry=world.hours(key, 2, "4"))
    prebill = services.prebill_draft(engagement_key=key)
    services.time_observe(entry=world.hours(key, 1, "6"))
    prebill.refresh_from_db()
    assert (prebill.net, prebill.lines.count()) == (money("780").amount, 1)
    assert approvals.open_request("prebill", prebill.ref).digest == prebill.digest
    again = services.prebill_draft(engagement_key=key)
    assert (again.pk, again.net) == (prebill.pk, money("1950").amount)


@november
@pytest.mark.django_db
def test_a_draft_that_lost_its_last_line_is_voided(moved):
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key))
    prebill = services.prebill_draft(engagement_key=key)
    services.time_observe(entry=world.hours(key, billable=False))
    assert approvals.open_request("prebill", prebill.ref) is None
    assert services.prebill_draft(engagement_key=key).state == "void"
    assert [fact["state"] for fact in moved] == ["draft", "draft", "void"]
    services.time_observe(entry=world.hours(key))
    assert services.prebill_draft(engagement_key=key).ref != prebill.ref


@november
@pytest.mark.django_db
def test_the_database_refuses_a_second_prebill_in_review():
    prebill = services.prebill_draft(engagement_key=world.engagement(world.firm()))
    prebill.pk, prebill.ref = None, "PB-2026-999999"
    with pytest.raises(IntegrityError, match="billing_one_prebill_in_review"), transaction.atomic():
        prebill.save()


def test_many_workers_at_once_make_one_draft_with_each_item_once(process_database):
    key = world.time_and_materials(world.firm())
    for number in range(12):
        services.time_observe(entry=world.hours(key, number, "1"))
    together = Barrier(4)

    def draft(_number: int) -> None:
        try:
            together.wait(timeout=10)
            services.prebill_draft(engagement_key=key)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(draft, range(4)))
    assert Prebill.objects.count() == 1
    assert PrebillLine.objects.count() == 12
    assert BillableItem.objects.filter(state="drafted").count() == 12
    assert Prebill.objects.get().net == money("2340").amount


def test_time_arriving_while_others_draft_is_billed_once(process_database):
    key = world.time_and_materials(world.firm())
    together = Barrier(3)

    def observe(number: int) -> None:
        try:
            together.wait(timeout=10)
            for step in range(5):
                services.time_observe(entry=world.hours(key, number * 10 + step, "1"))
                services.prebill_draft(engagement_key=key)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(observe, range(3)))
    prebill = Prebill.objects.get()
    assert (prebill.lines.count(), prebill.net) == (15, money("2925").amount)
    assert approvals.open_request("prebill", prebill.ref).digest == prebill.digest
