"""Readiness: what moves an item to ready, what keeps it back, and the sentence that says so."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import time_machine

from apps.billing import selectors, services
from apps.billing.models import BillableItem
from apps.canonical.objects import Address
from apps.commercial import services as commercial
from apps.core import hooks
from apps.core.errors import InvalidInput, NotFound
from apps.core.scope import EVERYTHING
from tests.billing import world
from tests.commercial.world import deal, money, rate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("november")]


def item(key: str, entry: str = "S1") -> BillableItem:
    return BillableItem.objects.get(source_key=services.milestone_key(key, entry))


def test_an_instalment_is_ready_from_its_due_date_and_a_milestone_from_its_acceptance():
    key = world.engagement(world.firm())
    services.readiness(key)
    assert (item(key, "S2").state, item(key).state) == ("ready", "pending")
    assert item(key, "S2").final_at == datetime(
        2026, 9, 30, 23, tzinfo=UTC
    )  # midnight in London, summer time
    services.milestone_observe(milestone=world.milestone(key))
    results = services.readiness(key)
    assert item(key).state == "ready"
    assert all(result.ready for result in results)
    assert {str(result.amount) for result in results} == {"GBP 50,000.00", "GBP 70,000.00"}


def test_what_has_not_happened_yet_is_waiting_and_no_problem():
    key = world.engagement(world.firm())
    with time_machine.travel(datetime(2026, 9, 20, tzinfo=UTC)):
        results = services.readiness(key)
    assert services.problems(results) == []
    assert "has not been accepted yet" in item(key).blockers[0]["reason"]
    assert "is due on 2026-10-01" in item(key, "S2").blockers[0]["reason"]
    assert selectors.billing_held(EVERYTHING) == []


def test_a_due_engagement_is_named_in_its_own_zone_until_it_was_looked_at_that_day():
    firm = world.firm()
    key = world.engagement(firm)
    with time_machine.travel(datetime(2026, 9, 20, tzinfo=UTC)):
        services.readiness(key)
    assert selectors.due_engagements(datetime(2026, 9, 30, 22, 59, tzinfo=UTC)) == []
    midnight_in_london = datetime(2026, 9, 30, 23, 0, tzinfo=UTC)
    assert selectors.due_engagements(midnight_in_london) == [key]
    services.place_hold(
        engagement_key=key,
        legal_entity_id=firm.entity.id,
        level="billing",
        reason="The client asked to wait.",
        source_ref="test:1",
    )
    with time_machine.travel(midnight_in_london):
        services.readiness(key)
    assert selectors.due_engagements(datetime(2026, 10, 1, 12, tzinfo=UTC)) == []
    assert selectors.due_engagements(datetime(2026, 10, 2, 12, tzinfo=UTC)) == [key]


def test_an_acceptance_without_certificate_is_held_under_its_own_code():
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key, evidence=""))
    problems = services.problems(services.readiness(key))
    assert [problem["code"] for problem in problems] == ["MS-NO-EVIDENCE"]
    assert problems[0]["reason"] == (
        "“Design” was accepted on 2026-11-02, but no acceptance certificate of the client is attached."
    )
    assert problems[0]["params"]["held"] == "50000.00"
    held = selectors.billing_held(EVERYTHING)
    assert [(str(figure.held), figure.items) for figure in held] == [("GBP 50,000.00", 1)]
    services.milestone_observe(milestone=world.milestone(key))
    services.readiness(key)
    assert item(key).state == "ready"
    assert selectors.billing_held(EVERYTHING) == []


def test_an_acceptance_that_is_taken_back_makes_it_wait_again():
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key))
    services.readiness(key)
    services.milestone_observe(milestone=world.milestone(key, status="completed", evidence=""))
    services.readiness(key)
    assert (item(key).state, item(key).ready_at) == ("pending", None)


def test_an_amount_that_differs_from_the_contract_is_told_with_both_values():
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key, amount="52000"))
    problem = services.problems(services.readiness(key))[0]
    assert problem["code"] == "MS-CHANGED"
    assert problem["params"]["project"] == "GBP 52,000.00"
    assert problem["params"]["contract"] == "GBP 50,000.00"
    assert item(key).amount == 50000


def test_a_milestone_that_the_contract_does_not_know_cannot_be_billed():
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key, name="Extra", key="psa:ms:9"))
    assert "BILL-RULE-MISSING" in world.codes(services.readiness(key), "psa:ms:9")


def test_a_customer_that_needs_a_purchase_order_blocks_everything_once():
    firm = world.firm()
    key = world.engagement(firm, po_number="")
    world.customer(firm, po_required=True)
    services.milestone_observe(milestone=world.milestone(key))
    problems = services.problems(services.readiness(key))
    assert [(p["code"], p["object_type"], p["params"]["items"], p["params"]["held"]) for p in problems] == [
        ("CUS-PO-REQUIRED", "engagement", 2, "120000.00")
    ]
    assert "Brackwater Utilities requires a purchase order" in problems[0]["reason"]
    commercial.po_set(key=key, po_number="PO-1")
    assert services.problems(services.readiness(key)) == []


def test_a_hold_stops_everything_until_it_is_lifted_and_placing_it_twice_is_one_hold():
    firm = world.firm()
    key = world.engagement(firm)
    where = {
        "engagement_key": key,
        "legal_entity_id": firm.entity.pk,
        "level": "billing",
        "source_ref": "case:EX-1",
    }
    first = services.place_hold(reason="Two customers share a VAT number.", **where)
    assert services.place_hold(reason="Two customers share a VAT number.", **where).pk == first.pk
    assert item(key, "S2").state == "pending"
    assert (item(key, "S2").held, item(key, "S2").held_code) == (True, "HOLD")
    assert services.problems(services.readiness(key)) == []
    assert services.prebill_draft(engagement_key=key) is None
    assert services.lift_hold(source_ref="case:EX-1", engagement_key=key) == 1
    assert services.lift_hold(source_ref="case:EX-1") == 0
    assert item(key, "S2").state == "ready"
    assert services.place_hold(reason="Again.", **where).pk != first.pk
    with pytest.raises(InvalidInput):
        services.place_hold(**{**where, "level": "everything"}, reason="x")
    with pytest.raises(NotFound):
        services.place_hold(**{**where, "engagement_key": "ENG-NONE"}, reason="x")


def test_a_suspended_engagement_waits():
    key = world.engagement(world.firm())
    commercial.engagement_suspend(key=key, why="Client asked")
    results = services.readiness(key)
    assert not any(result.ready for result in results)
    assert services.problems(results) == []


def test_time_is_priced_at_the_rate_of_its_day_and_rounded_per_entry():
    key = world.time_and_materials(world.firm(), rate("Manager", "1000", unit="day"))
    entry = services.time_observe(entry=world.hours(key, amount="0.25"))
    assert (entry.amount, entry.unit_price) == (money("33.33").amount, money("133.33").amount)
    services.readiness(key)
    entry.refresh_from_db()
    assert (entry.state, entry.billing_code) == ("ready", "ns-ADV-100")


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"role": "Wizard"}, "RES-ROLE-NO-RATE", "No rate card in effect names Wizard."),
        ({"worked_on": date(2026, 9, 1)}, "TIME-OUTSIDE", "before the engagement begins on 2026-09-15"),
        ({"service_code": "NEW-1"}, "BILL-RULE-MISSING", "no billing rule for “NEW-1”"),
        ({"status": "submitted", "approved_at": None}, "TIME-UNAPPROVED", "7.5 hours of ben on 2026-10-05"),
    ],
)
def test_time_that_cannot_be_billed_says_why(fields, code, says):
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key, **fields))
    problems = services.problems(services.readiness(key))
    assert [problem["code"] for problem in problems] == [code]
    assert says in problems[0]["reason"]


def test_work_before_the_first_rate_says_when_it_begins():
    firm = world.firm()
    key = world.time_and_materials(firm, rate("Director", "285"))
    commercial.entity_ratecard_set(
        legal_entity=firm.entity,
        name="From November",
        currency="GBP",
        lines=[rate("Manager", "195")],
        effective_from=date(2026, 11, 1),
    )
    services.time_observe(entry=world.hours(key))
    [problem] = services.problems(services.readiness(key))
    assert problem["code"] == "RATE-GAP"
    assert "Manager has no rate on 2026-10-05" in problem["reason"]


def test_the_second_entry_of_the_same_text_is_not_billed_until_it_is_looked_at():
    key = world.time_and_materials(world.firm())
    for number in (1, 2, 3):
        services.time_observe(entry=world.hours(key, number, notes="Workshop" if number < 3 else ""))
    results = services.readiness(key)
    assert [problem["code"] for problem in services.problems(results)] == ["TIME-DUP"]
    assert {one.source_key: one.ready for one in results} == {
        "psa:time:1": True,
        "psa:time:2": False,
        "psa:time:3": True,
    }
    services.prebill_draft(engagement_key=key)
    assert [one["code"] for one in services.problems(services.readiness(key))] == ["TIME-DUP"], (
        "also once drafted"
    )
    services.time_observe(entry=world.hours(key, 2, notes="Workshop, second half"))
    assert services.problems(services.readiness(key)) == []


def test_another_rate_in_the_project_system_is_told_and_holds_nothing():
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key, rate=money("200")))
    results = services.readiness(key)
    [problem] = services.problems(results)
    assert (problem["code"], problem["params"]["held"], results[0].ready) == ("RATE-MISMATCH", "0", True)
    services.time_observe(entry=world.hours(key, rate=money("195")))
    assert services.problems(services.readiness(key)) == []


def test_an_unknown_rate_is_unknown_and_never_zero():
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key, role="Wizard"))
    problem = services.problems(services.readiness(key))[0]
    assert problem["params"]["held"] == "unknown"
    figure = selectors.billing_held(EVERYTHING)[0]
    assert (str(figure.held), figure.items, figure.unknown) == ("GBP 0.00", 1, 1)


def test_a_missing_rate_that_arrives_makes_the_time_ready():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, role="Partner"))
    services.readiness(key)
    commercial.entity_ratecard_set(
        legal_entity=firm.entity,
        name="List",
        currency="GBP",
        lines=[rate("Partner", "340")],
        effective_from=date(2026, 1, 1),
    )
    assert [str(result.amount) for result in services.readiness(key)] == ["GBP 2,550.00"]
    assert BillableItem.objects.get().state == "ready"


def test_the_unapproved_entries_of_a_month_are_one_problem_with_all_their_hours():
    key = world.time_and_materials(world.firm())
    for number in (1, 2, 3):
        services.time_observe(
            entry=world.hours(
                key, number, status="submitted", worked_on=date(2026, 10, number + 4), approved_at=None
            )
        )
    [problem] = services.problems(services.readiness(key))
    assert problem["reason"] == "22.5 hours in 3 time entries of 2026-10 are not approved."
    assert (problem["params"]["hours"], problem["params"]["items"]) == ("22.5", 3)


def test_unapproved_time_of_this_month_is_waiting_only():
    key = world.time_and_materials(world.firm())
    services.time_observe(
        entry=world.hours(key, status="submitted", worked_on=date(2026, 11, 20), approved_at=None)
    )
    results = services.readiness(key)
    assert not results[0].ready
    assert services.problems(results) == []
    assert selectors.billing_held(EVERYTHING) == []


def test_time_that_is_not_billable_or_rejected_is_excluded_and_may_come_back():
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key, billable=False))
    assert BillableItem.objects.get().state == "excluded"
    services.time_observe(entry=world.hours(key))
    services.readiness(key)
    assert BillableItem.objects.get().state == "ready"
    services.time_observe(entry=world.hours(key, status="rejected", approved_at=None))
    assert BillableItem.objects.get().state == "excluded"


EXEMPT = {"billing_address": Address(country="US"), "tax_exempt": True, "exemption_certificate": "ST-5 1"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"billing_address": Address(country="DE")}, "TAX-RC"),
        ({"billing_address": Address(country="DE"), "tax_id": "DE136695977"}, "TAX-RC"),
        ({"billing_address": Address(country="DE"), "tax_id": "DE136695976"}, ""),
        ({"billing_address": Address()}, "CUS-ADDRESS"),
        ({"billing_address": Address(country="US")}, "TAX-CODE"),
        ({"billing_address": Address(country="US"), "tax_exempt": True}, "TAX-EXEMPT"),
        ({**EXEMPT, "exempt_until": date(2020, 1, 31)}, "TAX-EXEMPT"),
        ({**EXEMPT, "exempt_until": date(2099, 12, 31)}, ""),
        (EXEMPT, ""),
    ],
    ids=[
        "no id",
        "wrong check digit",
        "valid id",
        "no country",
        "no code for it",
        "no certificate",
        "ended",
        "not ended",
        "without end",
    ],
)
def test_tax_is_settled_before_anything_is_billed(fields, code):
    firm = world.firm()
    key = world.engagement(firm)
    world.customer(firm, **fields)
    assert world.codes(services.readiness(key), services.milestone_key(key, "S2")) == (
        {code} if code else set()
    )


def test_a_customer_nobody_has_read_blocks_without_guessing():
    firm = world.firm()
    opened = commercial.engagement_open(deal=deal(), legal_entity=firm.entity, lines=[])
    commercial.engagement_activate(key=opened.key)
    services.schedule_load(engagement_key=opened.key)
    failed = {predicate.name for result in services.readiness(opened.key) for predicate in result.failed}
    assert "customer" in failed


def test_observing_the_same_again_changes_nothing_and_is_no_news():
    key = world.time_and_materials(world.firm())
    services.time_observe(entry=world.hours(key))
    heard = []
    receiver = heard.extend
    hooks.billing_changed.receivers["test"] = receiver
    try:
        services.time_observe(entry=world.hours(key))
        services.schedule_load(engagement_key=key)
        assert heard == []
        services.time_observe(entry=world.hours(key, amount="8"))
        assert heard == [{"engagement_key": key}]
    finally:
        del hooks.billing_changed.receivers["test"]


def test_a_changed_customer_is_news_for_engagements_with_open_items_only():
    firm = world.firm()
    key = world.engagement(firm)
    heard = []
    hooks.billing_changed.receivers["test"] = heard.extend
    try:
        world.customer(firm, po_required=True)
        assert heard == [{"engagement_key": key}]
    finally:
        del hooks.billing_changed.receivers["test"]


def test_the_number_of_queries_does_not_grow_with_the_items(django_assert_max_num_queries):
    key = world.time_and_materials(world.firm())
    for number in range(3):
        services.time_observe(entry=world.hours(key, number))
    with django_assert_max_num_queries(100) as few:
        services.readiness(key)
    for number in range(3, 40):
        services.time_observe(entry=world.hours(key, number))
    with django_assert_max_num_queries(len(few.captured_queries)):
        services.readiness(key)
    assert BillableItem.objects.filter(state="ready").count() == 40


def test_keys_of_schedule_entries_are_safe_everywhere_and_distinct():
    assert services.milestone_key("ENG-2026-000042", "a01X") == "ENG-2026-000042-a01X"
    odd = {
        services.milestone_key("ENG-2026-000042", entry) for entry in ("crm:1", "crm/1", "crm-1", "x" * 90)
    }
    assert len(odd) == 4
    assert all(len(key) <= 64 for key in odd)
