"""What the desk decides about one case: acknowledged, snoozed, taken up again; nothing hides billing from its run."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, NotFound, Stale, WrongState
from apps.core.scope import EVERYTHING
from apps.journal.models import Audit
from apps.triage import selectors, services, tasks
from apps.triage.filters import CaseFilter
from apps.triage.models import Case, Undo
from tests.commercial import world
from tests.journal.together import outcomes, together
from tests.people import hire, stranger
from tests.triage.desk import crowd, fact, opened, problem


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def of(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def before_the_run(case: Case) -> Any:
    return min(case.due_at - timedelta(minutes=1), clock.now() + timedelta(hours=1))


def snooze(case: Case, by: Any, **how: Any) -> str:
    given = {"until": before_the_run(case), "seen": of(case).seen, **how}
    return services.case_snooze(case=of(case), by=by, **given)


def at_hand() -> set[int]:
    return set(selectors.at_hand(selectors.open_cases(EVERYTHING)).values_list("pk", flat=True))


def test_a_case_is_acknowledged_with_history_and_audit_and_stays_in_the_list(uk):
    ana, case = hire("ana", uk), opened(uk)
    services.case_acknowledge(case=case, seen=case.seen, by=ana, why="Asked the controller.")
    assert (of(case).stance, at_hand()) == ("acknowledged", {case.pk})
    event = of(case).events.last()
    assert (event.what, event.old, event.new, event.by) == ("acknowledged", "open", "acknowledged", ana)
    assert event.note == "Asked the controller."
    assert Audit.objects.filter(verb="case.acknowledged", object_ref=case.ref, actor_id=ana.pk).count() == 1
    with pytest.raises(WrongState):
        services.case_acknowledge(case=case, seen=of(case).seen, by=ana)


def test_a_snoozed_case_is_out_of_the_list_but_its_money_and_its_cause_are_not(uk):
    ana, case, other = hire("ana", uk), opened(uk), opened(uk, number=2)
    held = selectors.billing_held(EVERYTHING)
    snooze(case, ana, why="Item comes today.")
    assert at_hand() == {other.pk}
    chosen = CaseFilter({"state": "snoozed"}, queryset=selectors.cases(EVERYTHING)).qs
    assert [row.pk for row in chosen] == [case.pk]
    assert selectors.billing_held(EVERYTHING) == held
    (row,) = selectors.group_list(EVERYTHING)[:5]
    assert row.count == 2
    assert "Item comes today. Until " in of(case).events.last().note
    services.case_take_up(case=of(case), seen=of(case).seen, by=ana)
    assert (of(case).stance, of(case).until, at_hand()) == ("", None, {case.pk, other.pk})


def test_what_is_snoozed_is_counted_apart(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    ana = hire("ana")
    cases = [
        opened(uk),
        opened(uk, problem("PAY-SHORT"), number=2),
        opened(us, number=3),
        opened(us, number=4),
    ]
    for case in cases[:3]:
        snooze(case, ana)
    apart = selectors.snoozed_facets(EVERYTHING)
    assert (apart.total, apart.entities) == (3, {uk.pk: 2, us.pk: 1})
    assert selectors.snoozed_facets(EVERYTHING, code="pay-short").total == 1
    assert selectors.snoozed_facets(EVERYTHING, legal_entity_id=us.pk).total == 1
    left = selectors.less(selectors.facets(EVERYTHING, states=selectors.OPEN_STATES), apart)
    assert (left.total, left.entities[us.pk]) == (1, 1)
    assert set(left.roles.values()) <= {0, 1}
    assert left.roles["billing_analyst"] == 1


def test_the_sweeper_wakes_a_case_when_its_time_has_come(uk):
    ana, case = hire("ana", uk), opened(uk)
    snooze(case, ana)
    assert tasks.wake.run() == 0
    Case.objects.update(until=Now() - timedelta(seconds=1))
    assert tasks.wake.run() == 1
    assert (of(case).stance, of(case).events.last().note) == ("", "Its time has come.")
    assert tasks.wake.run() == 0


def test_of_several_sweepers_at_once_one_wakes_it(process_database):
    uk = world.entity()
    ana, case = hire("ana", uk), opened(uk)
    snooze(case, ana)
    Case.objects.update(until=Now() - timedelta(seconds=1))
    assert sum(together(*[services.cases_wake] * 3)) == 1
    assert of(case).events.filter(what="woken").count() == 1


@pytest.mark.parametrize("code", ["DEAL-SVC-UNMAPPED", "TAX-CODE"])
def test_billing_is_not_put_off_past_its_run_without_a_treatment(uk, code):
    carla, case = hire("carla", uk), opened(uk, problem(code))
    with pytest.raises(WrongState) as refused:
        snooze(case, carla, until=case.due_at + timedelta(minutes=1))
    assert f"{case.ref} keeps billing from the invoice run that closes on" in refused.value.message
    answer = services.cases_snooze(
        seen={case.pk: case.seen}, by=carla, until=case.due_at + timedelta(minutes=1)
    )
    assert (answer.done, answer.undo) == ([], "")
    assert "keeps billing from the invoice run" in answer.skipped[0][1]
    assert of(case).stance == ""


def test_who_answers_for_the_books_lets_it_pass_with_a_treatment(uk):
    ana, carla, case = hire("ana", uk), hire("carla", uk), opened(uk)
    later = case.due_at + timedelta(days=20)
    with pytest.raises(NotAllowed):
        snooze(case, ana, until=later, treatment="accrue")
    with pytest.raises(InvalidInput):
        snooze(case, carla, until=later, treatment="forget")
    snooze(case, carla, until=later, treatment="accrue", why="Client agreed.")
    assert (of(case).stance, of(case).treatment) == ("snoozed", "accrue")
    assert "Billing past the run: Accrue." in of(case).events.last().note
    Case.objects.update(due_at=Now() - timedelta(hours=1))
    assert services.cases_wake() == 0


def test_a_case_that_would_miss_its_run_after_all_is_woken_at_once(uk):
    ana, case = hire("ana", uk), opened(uk, problem("PAY-SHORT"))
    snooze(case, ana, until=clock.now() + timedelta(days=90))
    assert services.cases_wake() == 0
    Case.objects.update(severity="blocking-billing")
    assert services.cases_wake() == 1
    assert "without a treatment" in of(case).events.last().note


def test_a_time_that_is_past_or_over_a_year_away_is_refused(uk):
    ana, case = hire("ana", uk), opened(uk, problem("PAY-SHORT"))
    for until in (clock.now() - timedelta(seconds=1), clock.now() + timedelta(days=400)):
        with pytest.raises(InvalidInput):
            snooze(case, ana, until=until)


def test_it_ends_when_the_case_closes_and_is_gone_when_it_comes_back(uk):
    ana, case = hire("ana", uk), opened(uk)
    snooze(case, ana)
    services.cases_reconcile([fact(uk)])
    assert (of(case).state, of(case).stance, of(case).until) == ("resolved", "", None)
    with pytest.raises(WrongState):
        services.case_acknowledge(case=of(case), seen=of(case).seen, by=ana)
    opened(uk)
    assert at_hand() == {case.pk}


def test_what_one_has_just_done_is_taken_back_unless_something_has_changed(uk):
    ana, carla, case = hire("ana", uk), hire("carla", uk), opened(uk)
    services.case_acknowledge(case=case, seen=case.seen, by=ana)
    token = snooze(case, ana)
    with pytest.raises(NotFound):
        services.undo(token=token, by=carla)
    services.undo(token=token, by=ana)
    assert (of(case).stance, of(case).until) == ("acknowledged", None)
    assert of(case).events.last().what == "taken_back"
    with pytest.raises(Stale):
        services.undo(token=token, by=ana)
    token = snooze(case, ana)
    services.case_take_up(case=of(case), seen=of(case).seen, by=carla)
    with pytest.raises(Stale) as told:
        services.undo(token=token, by=ana)
    assert "Carla Whitfield" in told.value.message
    token = snooze(case, ana)
    Undo.objects.update(expires_at=clock.now())
    with pytest.raises(NotFound):
        services.undo(token=token, by=ana)


def test_of_two_people_at_once_one_is_told_what_the_other_did(process_database):
    uk = world.entity()
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    acts = [
        partial(services.case_snooze, case=case, seen=case.seen, by=by, until=before_the_run(case))
        for by in (ana, rashid)
    ]
    results = together(*acts)
    assert outcomes(results)["Stale"] == 1
    assert of(case).events.filter(what="snoozed").count() == 1
    told = next(result for result in results if isinstance(result, Stale))
    assert "“Open” to “Snoozed”" in told.message


def test_who_takes_a_case_that_was_snoozed_since_is_told(uk):
    ana, carla, case = hire("ana", uk), hire("carla", uk), opened(uk)
    seen = case.seen
    snooze(case, carla)
    with pytest.raises(Stale, match="Carla Whitfield"):
        services.case_take(case=of(case), by=ana, seen=seen)
    answer = services.cases_assign(seen={case.pk: seen}, to=ana, by=ana)
    assert (answer.done, [ref for ref, _why in answer.skipped]) == ([], [case.ref])


def test_an_assignment_of_a_snoozed_case_is_taken_back_too(uk):
    ana, case = hire("ana", uk), opened(uk)
    snooze(case, ana)
    token = services.case_assign(case=of(case), to=ana, by=ana, seen=of(case).seen)
    services.undo(token=token, by=ana)
    assert (of(case).assignee, of(case).stance) == (None, "snoozed")


def test_many_are_snoozed_what_was_moved_or_may_not_be_is_said(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    ana, carla = hire("ana", uk), hire("carla", uk)
    hire("otto")
    cases, away = crowd(uk, 4), opened(us, number=9)
    seen = {case.pk: of(case).seen for case in [*cases, away]}
    services.case_take(case=cases[0], by=carla)
    until = min(before_the_run(case) for case in cases)
    answer = services.cases_snooze(seen=seen, by=ana, until=until, why="Together.")
    assert answer.done == [case.ref for case in cases[1:]]
    assert [ref for ref, _why in answer.skipped] == [cases[0].ref], "what one may not see is not even named"
    assert Case.objects.filter(stance="snoozed").count() == 3
    services.undo(token=answer.undo, by=ana)
    assert not Case.objects.exclude(stance="").exists()


def test_many_take_as_many_statements_as_few(uk):
    ana = hire("ana", uk)

    def statements(cases: list[Case]) -> int:
        seen = {case.pk: of(case).seen for case in cases}
        until = min(before_the_run(case) for case in cases)
        with CaptureQueriesContext(connection) as queries:
            assert len(services.cases_snooze(seen=seen, by=ana, until=until).done) == len(cases)
        return len(queries)

    assert statements(crowd(uk, 2, start=100)) == statements(crowd(uk, 60, start=3000))


def test_strangers_auditors_and_other_entities_decide_nothing(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    case = opened(uk)
    acts = (
        services.case_acknowledge,
        services.case_take_up,
        partial(services.case_snooze, until=before_the_run(case)),
    )
    for by in (stranger(), hire("otto"), hire("rashid", us)):
        for act in acts:
            with pytest.raises(NotAllowed):
                act(case=case, seen=case.seen, by=by)
    assert of(case).stance == ""


def test_a_snoozed_case_is_not_escalated(uk):
    carla, case = hire("carla", uk), opened(uk)
    snooze(case, carla, until=case.due_at + timedelta(days=3), treatment="carry")
    Case.objects.update(due_at=Now() + timedelta(minutes=1))
    assert services.cases_escalate() == 0
    services.case_take_up(case=of(case), seen=of(case).seen, by=carla)
    assert services.cases_escalate() == 1
