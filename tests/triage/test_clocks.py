"""Age in business days, and cases near their deadline that nobody holds: told to the lead of their role exactly once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.scope import EVERYTHING, Scope
from apps.triage import selectors, services
from apps.triage.filters import CaseFilter
from apps.triage.models import Case
from tests.commercial import world
from tests.journal.together import together
from tests.people import hire
from tests.triage.desk import crowd, fact, opened, problem


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def near(case: Case, **moved: Any) -> Case:
    """The case with a deadline that has just come (within any number of working hours)."""
    Case.objects.filter(pk=case.pk).update(due_at=Now() + timedelta(minutes=1), **moved)
    case.refresh_from_db()
    return case


def of(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def test_a_case_near_its_deadline_that_nobody_holds_is_told_to_the_lead(uk):
    case = near(opened(uk))
    assert services.cases_escalate() == 1
    assert (of(case).escalated_to, of(case).state) == ("controller", "open")
    event = case.events.last()
    assert (event.what, event.new, event.by) == ("escalated", "Controller", None)
    assert "nobody holds it" in event.note
    assert services.cases_escalate() == 0
    assert case.events.filter(what="escalated").count() == 1


def test_what_somebody_holds_is_far_off_closed_or_only_warns_is_not_escalated(uk):
    ana = hire("ana", uk)
    held = near(opened(uk))
    services.case_take(case=held, by=ana)
    far = opened(uk, number=2)
    Case.objects.filter(pk=far.pk).update(due_at=Now() + timedelta(days=40))
    closed = near(opened(uk, number=3))
    services.cases_reconcile([fact(uk, number=3)])
    warns = near(opened(uk, problem("PAY-SHORT"), number=4))
    assert services.cases_escalate() == 0
    assert {of(case).escalated_at for case in (held, far, closed, warns)} == {None}


def test_the_hours_are_configured_by_severity(uk, settings):
    blocks, warns = near(opened(uk)), near(opened(uk, problem("PAY-SHORT"), number=2))
    settings.ESCALATE_HOURS = {"blocking-billing": 0, "blocking-provisioning": 0, "warning": 4}
    assert services.cases_escalate() == 1
    assert (of(blocks).escalated_at, of(warns).escalated_to) == (None, "controller")
    settings.ESCALATE_HOURS = {"blocking-billing": 0, "blocking-provisioning": 0, "warning": 0}
    assert services.cases_escalate() == 0


def test_the_queue_says_whose_lead_is_told(uk):
    lena = hire("lena", uk)
    case = near(opened(uk))
    services.case_assign(case=case, queue="practice_lead", by=lena)
    services.cases_escalate()
    assert of(case).escalated_to == "cfo"


def test_of_several_schedulers_each_case_is_escalated_once(process_database):
    uk = world.entity()
    cases = crowd(uk, 40)
    Case.objects.update(due_at=Now() + timedelta(minutes=1))
    done = together(*[services.cases_escalate] * 4)
    assert sum(done) == len(cases)
    assert all(case.events.filter(what="escalated").count() == 1 for case in cases)


def test_many_take_as_many_statements_as_few(uk):
    def statements() -> int:
        Case.objects.update(due_at=clock.now() + timedelta(minutes=1))
        with CaptureQueriesContext(connection) as queries:
            services.cases_escalate()
        return len(queries)

    crowd(uk, 2, start=100)
    few = statements()
    crowd(uk, 80, start=3000)
    assert statements() == few


def test_escalated_cases_are_a_choice_until_somebody_takes_them(uk):
    ana, case = hire("ana", uk), near(opened(uk))
    opened(uk, number=2)
    services.cases_escalate()

    def listed() -> list[str]:
        rows = CaseFilter({"assignee": "escalated"}, queryset=selectors.cases(EVERYTHING)).qs
        return [row.ref for row in rows]

    assert listed() == [case.ref]
    services.case_take(case=case, by=ana)
    assert listed() == []


def test_a_case_that_comes_back_may_be_escalated_again(uk):
    case = near(opened(uk))
    services.cases_escalate()
    services.cases_reconcile([fact(uk)])
    near(opened(uk))
    assert of(case).escalated_at is None
    assert services.cases_escalate() == 1


def test_age_is_told_in_business_days_and_counted_by_bucket(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    (one, three, seven, fourteen) = selectors.age_bounds([uk.pk])[uk.pk]
    second = timedelta(seconds=1)
    opened_at = [clock.now(), one + second, one - second, three - second, seven - second, fourteen - second]
    for number, when in enumerate(opened_at):
        case = opened(uk, number=number + 1)
        Case.objects.filter(pk=case.pk).update(opened_at=when)
    opened(us, number=20)
    assert selectors.ages(EVERYTHING) == {"0-1": 3, "1-3": 1, "3-7": 1, "7-14": 1, "14": 1}
    assert selectors.ages(Scope(entity_ids=frozenset({us.pk})))["0-1"] == 1
    for name, number in selectors.ages(EVERYTHING).items():
        rows = CaseFilter({"age": name}, queryset=selectors.open_cases(EVERYTHING)).qs
        assert rows.count() == number, name
    bounds = selectors.age_bounds()
    assert str(selectors.age_of(uk.pk, one - second, bounds)) == "1–3 business days"
    assert str(selectors.age_of(uk.pk, fourteen - second, bounds)) == "over 14 business days"
    assert selectors.age_of(None, one, {}) == ""


def test_a_bucket_that_does_not_exist_is_refused(uk):
    opened(uk)
    assert not CaseFilter({"age": "2-4"}, queryset=selectors.open_cases(EVERYTHING)).is_valid()
    assert selectors.of_age(selectors.open_cases(EVERYTHING), "2-4").count() == 0
