"""Cases open, renew, resolve and reopen with what the engine reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import time_machine

from apps.billing import selectors as billing
from apps.commercial import services as commercial
from apps.core import hooks
from apps.journal import selectors as journal
from apps.sync.models import Transaction
from apps.triage import services
from apps.triage.models import Case, Group
from tests.commercial import world
from tests.journal.together import together
from tests.people import hire
from tests.triage.desk import REASON, fact, opened, problem, transaction


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def engagement(uk) -> str:
    opened_one = commercial.engagement_open(deal=world.deal(), legal_entity=uk, lines=world.lines())
    commercial.engagement_activate(key=opened_one.key)
    return opened_one.key


def report(*facts: dict[str, Any]) -> None:
    hooks.sync_planned.fire(list(facts))


def holds(engagement_key: str) -> list[tuple[str, str]]:
    return [(hold.level, hold.source_ref) for hold in billing.engagement_holds(engagement_key)]


@time_machine.travel(datetime(2026, 11, 3, 9, 0, tzinfo=UTC), tick=False)
def test_a_problem_opens_a_case_with_its_sentence_money_and_deadline(uk):
    told = fact(uk, problem())
    report(told)
    case = Case.objects.get()
    assert case.ref.startswith("EX-")
    assert (case.state, case.code, case.severity) == ("open", "DEAL-SVC-UNMAPPED", "blocking-provisioning")
    assert (case.reason, case.value, case.params["name"]) == (REASON, "AIR-510", "Responsible-AI review")
    assert (case.held_amount, case.currency) == (Decimal("1000"), "GBP")
    assert str(case.correlation_id) == told["correlation_id"]
    # The second working day of November 2026 in the UK is Tuesday the 3rd; 16:00 London is 16:00 UTC in winter.
    assert case.due_at == datetime(2026, 11, 3, 16, 0, tzinfo=UTC)
    assert [event.what for event in case.events.all()] == ["opened"]
    assert [row.verb for row in journal.history("case", case.ref)] == ["case.opened"]


def test_the_same_report_ten_times_is_one_case(uk):
    told = fact(uk, problem())
    for _ in range(10):
        report(told)
    assert (Case.objects.count(), Group.objects.count()) == (1, 1)
    assert Case.objects.get().events.count() == 1


def test_a_case_whose_problem_is_gone_resolves_by_itself(uk):
    report(fact(uk, problem()))
    report(fact(uk))
    case = Case.objects.get()
    assert (case.state, case.how) == ("resolved", "auto")
    assert case.resolved_at is not None


def test_one_problem_can_turn_into_another(uk):
    report(fact(uk, problem()))
    report(fact(uk, problem("CUS-PO-REQUIRED", field="po_number", value="", reason="No PO number is given.")))
    assert dict(Case.objects.values_list("code", "state")) == {
        "DEAL-SVC-UNMAPPED": "resolved",
        "CUS-PO-REQUIRED": "open",
    }


def test_other_subjects_and_flows_are_left_alone(uk):
    first, second = transaction(1), transaction(2)
    report(fact(uk, problem(), made=first), fact(uk, problem(), made=second))
    report(fact(uk, made=first, flow="customer.sync"))
    report(fact(uk, made=first))
    assert list(Case.objects.order_by("id").values_list("state", flat=True)) == ["resolved", "open"]


def test_amounts_renew_and_unknown_stays_unknown(uk):
    made = transaction()
    report(fact(uk, problem(), made=made))
    report(fact(uk, problem(reason="Now in another sentence."), made=made, amount="250.50"))
    case = Case.objects.get()
    assert (case.held_amount, case.reason) == (Decimal("250.50"), "Now in another sentence.")
    assert case.group.reason == "Now in another sentence."
    for unknown in (None, "", "n/a", "NaN"):
        report(fact(uk, problem(), made=made, amount=unknown))
        case.refresh_from_db()
        assert case.held_amount is None


def test_a_problem_that_knows_what_it_holds_is_worth_that_and_not_the_whole_transaction(uk):
    short = problem("PAY-SHORT", params={"held": "1150.00"})
    unknown = problem("TIME-UNAPPROVED", value="2026-10", params={"held": "unknown"})
    report(fact(uk, short, unknown, amount="26450.00"))
    held = dict(Case.objects.values_list("code", "held_amount"))
    assert held == {"PAY-SHORT": Decimal("1150.00"), "TIME-UNAPPROVED": None}


def test_a_problem_that_comes_back_within_thirty_days_reopens_its_case(uk):
    made = transaction()
    with time_machine.travel(datetime(2026, 9, 1, tzinfo=UTC)) as traveller:
        report(fact(uk, problem(), made=made))
        report(fact(uk, made=made))
        traveller.shift(timedelta(days=29))
        report(fact(uk, problem(), made=made))
        case = Case.objects.get()
        assert (case.state, case.reopened, case.how, case.resolved_at) == ("open", 1, "", None)
        report(fact(uk, made=made))
        traveller.shift(timedelta(days=31))
        report(fact(uk, problem(), made=made))
    assert list(Case.objects.order_by("id").values_list("state", flat=True)) == ["resolved", "open"]


def test_an_unknown_code_becomes_a_case_that_shows_it(uk):
    report(fact(uk, problem("WEIRD-42", reason="The ERP said WEIRD-42.")))
    case = Case.objects.get()
    assert (case.code, case.state) == ("WEIRD-42", "open")


def test_a_fact_without_entity_code_or_value_still_becomes_a_case(db):
    bare = {
        "code": "",
        "step": "",
        "object_type": "",
        "field": "",
        "value": None,
        "reason": "Something odd.",
        "params": None,
    }
    report(fact(None, bare, currency="", amount=None))
    case = Case.objects.get()
    assert (case.due_at, case.legal_entity_id, case.reason) == (None, None, "Something odd.")


def test_a_blocking_case_holds_the_billing_of_its_engagement_until_it_is_closed(uk, engagement):
    evidence = problem("MS-NO-EVIDENCE", field="evidence", value="", reason="No certificate.")
    report(fact(uk, evidence, engagement_key=engagement))
    case = Case.objects.get()
    assert holds(engagement) == [("billing", f"case:{case.ref}")]
    report(fact(uk, engagement_key=engagement))
    assert holds(engagement) == []
    report(fact(uk, evidence, engagement_key=engagement))
    assert holds(engagement) == [("billing", f"case:{case.ref}")]


def test_cases_that_do_not_stop_billing_place_no_hold(uk, engagement):
    short = problem("PAY-SHORT", reason="Paid 90 of 100.")
    report(fact(uk, short, problem(), engagement_key=engagement))
    assert Case.objects.count() == 2
    assert holds(engagement) == []


def test_a_hold_is_placed_once_the_engagement_is_known(uk, engagement):
    made = transaction()
    report(fact(uk, problem("CUS-PO-REQUIRED"), made=made))
    report(fact(uk, problem("CUS-PO-REQUIRED"), made=made, engagement_key=engagement))
    assert [level for level, _ in holds(engagement)] == ["billing"]


def test_a_clear_plan_proves_nothing_about_a_write_that_was_refused(uk):
    made = transaction()
    report(fact(uk, problem("INT-PERM", reason="403 from the ERP."), made=made))
    report(fact(uk, made=made) | {"phase": "plan"})
    assert Case.objects.get().state == "open"
    report(fact(uk, made=made))
    assert Case.objects.get().state == "resolved"


def test_a_planned_problem_goes_with_the_next_clear_plan(uk):
    made = transaction()
    report(fact(uk, problem(), made=made) | {"phase": "plan"})
    report(fact(uk, problem(), made=made))
    report(fact(uk, made=made) | {"phase": "plan"})
    assert Case.objects.get().state == "resolved"


def test_a_cancelled_transaction_supersedes_its_cases_and_other_ends_conclude_nothing(uk):
    made = transaction()
    told = fact(uk, problem(), made=made)
    report(told)
    for state in ("held", "succeeded", "dead", "retrying"):
        hooks.sync_finished.fire([told | {"state": state}])
        assert Case.objects.get().state == "open"
    hooks.sync_finished.fire([told | {"state": "cancelled"}])
    case = Case.objects.get()
    assert (case.state, case.how) == ("resolved", "superseded")


def test_what_a_person_ran_and_was_only_observed_goes_back_to_the_desk(uk):
    ana = hire("ana", uk)
    ran, left = opened(uk, number=1), opened(uk, number=2)
    Case.objects.filter(pk=ran.pk).update(state="in_progress", fixed_by=ana, assignee=ana)
    for case in (ran, left):
        told = fact(uk, made=Transaction.objects.get(pk=case.transaction_id))
        hooks.sync_finished.fire([told | {"state": "observed"}])
    ran.refresh_from_db()
    left.refresh_from_db()
    assert (ran.state, ran.fixed_by, left.state) == ("assigned", None, "open")
    assert "only observed" in ran.events.latest("id").note
    assert left.events.count() == 1


def test_the_same_problem_reported_from_many_workers_at_once_is_one_group(process_database):
    uk = world.entity()
    facts = [fact(uk, problem(), problem("CUS-PO-REQUIRED"), number=number) for number in range(1, 5)]
    facts.append(facts[0])
    results = together(*(partial(services.cases_reconcile, [told]) for told in facts))
    assert Group.objects.count() == 2
    # Two reports of one subject at once cannot come from the engine (one lease a subject); one may lose, none doubles.
    assert sum(result is None for result in results) >= 4
    assert Case.objects.count() == 8


def test_a_persons_fix_that_helped_is_told_from_one_that_resolved_by_itself(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    Case.objects.filter(pk=case.pk).update(fixed_by=ana)
    report(fact(uk))
    case.refresh_from_db()
    assert (case.state, case.how) == ("resolved", "manual")


def test_a_hold_does_not_outlive_its_case_when_a_later_report_did_not_know_the_engagement(uk, engagement):
    changed = problem("AMD-UNAPPROVED", step="deal")
    report(fact(uk, changed, engagement_key=engagement))
    assert len(holds(engagement)) == 1
    report(fact(uk, changed, engagement_key=""))
    assert Case.objects.get().engagement_key == engagement
    Case.objects.update(engagement_key="")
    report(fact(uk))
    assert Case.objects.get().state == "resolved"
    assert holds(engagement) == []
