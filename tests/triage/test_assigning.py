"""One case or many, to a person or into a role's queue; what was moved since is told and not overwritten."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.errors import InvalidInput, NotAllowed, Stale
from apps.triage import services
from apps.triage.models import Case, CaseEvent, CaseState, Undo
from apps.triage.services import moves
from tests.commercial import world
from tests.journal.together import outcomes, together
from tests.people import hire, stranger
from tests.triage.desk import crowd, fact, opened


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def us(db) -> Any:
    return world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")


def seen(*cases: Case) -> dict[int, str]:
    return {case.pk: Case.objects.get(pk=case.pk).seen for case in cases}


def place(case: Case) -> tuple[str, str, str]:
    now = Case.objects.select_related("assignee").get(pk=case.pk)
    return str(now.state), now.assignee.username if now.assignee else "", now.queue


def test_a_case_goes_into_the_queue_of_a_role_and_is_taken_from_it(uk):
    ana, tilda = hire("ana", uk), hire("tilda", uk)
    case = opened(uk)
    services.case_assign(case=case, queue="tax", by=ana, note="Which code is it?")
    assert place(case) == ("triaged", "", "tax")
    assert case.events.last().note == "Into the queue of: Tax. Which code is it?"
    assert services.case_take(case=case, by=tilda) is True
    assert place(case) == ("assigned", "tilda", "")


@pytest.mark.parametrize("queue", ["auditor", "nonsense", "admin"])
def test_a_role_that_does_not_fix_has_no_queue(uk, queue):
    with pytest.raises(InvalidInput):
        services.case_assign(case=opened(uk), queue=queue, by=hire("ana", uk))


def test_a_queue_that_nobody_reads_there_takes_nothing(uk, us):
    ana, case = hire("ana", uk), opened(uk)
    hire("tilda", us)
    with pytest.raises(InvalidInput) as refused:
        services.case_assign(case=case, queue="tax", by=ana)
    assert refused.value.message == f"Nobody with the role Tax may fix {case.ref}."
    with pytest.raises(InvalidInput):
        services.case_assign(case=case, queue="tax", to=ana, by=ana)


def test_a_case_is_handed_over_with_a_note(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    services.case_take(case=case, by=ana)
    services.case_assign(case=case, to=rashid, by=ana, note="The client answers you.", seen=case.seen)
    event = case.events.select_related("by").last()
    assert (event.what, event.old, event.new, event.note, event.by) == (
        "assigned", "Ana Lindqvist", "Rashid Noor", "The client answers you.", ana,
    )  # fmt: skip


def test_who_fixed_a_case_does_not_get_it_for_the_decision(uk):
    ana, carla, case = hire("ana", uk), hire("carla", uk), opened(uk)
    Case.objects.filter(pk=case.pk).update(fixed_by=ana)
    moves.move(Case.objects.get(pk=case.pk), to=CaseState.AWAITING_APPROVAL, by=ana)
    with pytest.raises(InvalidInput) as refused:
        services.case_assign(case=case, to=ana, by=carla)
    assert "another person has to decide" in refused.value.message
    with pytest.raises(InvalidInput, match="another person has to decide"):
        services.case_take(case=case, by=ana)
    assert place(case) == ("awaiting_approval", "", "")
    assert services.case_take(case=case, by=carla) is True
    assert place(case) == ("awaiting_approval", "carla", "")


def test_a_case_that_was_moved_since_is_not_overwritten(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    shown = case.seen
    services.case_take(case=Case.objects.get(pk=case.pk), by=rashid)
    with pytest.raises(Stale) as told:
        services.case_assign(case=case, to=ana, by=ana, seen=shown)
    assert f"{case.ref} has changed since you looked: Rashid Noor" in told.value.message
    assert "Assigned to Rashid Noor." in told.value.message
    assert place(case) == ("assigned", "rashid", "")


def test_many_are_assigned_and_who_was_skipped_is_said_with_the_reason(uk, us):
    ana, rashid = hire("ana", uk), hire("rashid", uk)
    free, moved, closed, gone = (opened(uk, number=number) for number in (1, 2, 3, 4))
    foreign = opened(us, number=5)
    shown = seen(free, moved, closed, foreign, gone)
    services.case_take(case=moved, by=rashid)
    services.cases_reconcile([fact(uk, number=3)])
    answer = services.cases_assign(seen=shown, to=ana, by=ana, note="All mine.")
    assert list(answer.done) == [free.ref, gone.ref]
    reasons = dict(answer.skipped)
    assert set(reasons) == {moved.ref, closed.ref}  # a case that ana may not see is not even named
    assert "Rashid Noor" in reasons[moved.ref]
    assert "“Open” to “Resolved”" in reasons[closed.ref]
    assert (place(free)[1], place(moved)[1], place(foreign)[1]) == ("ana", "rashid", "")
    assert free.events.last().note == "Assigned to Ana Lindqvist. All mine."


def test_many_are_refused_one_by_one_to_who_may_not_fix_them(uk, us):
    ana = hire("ana")
    here, there = opened(uk), opened(us, number=2)
    answer = services.cases_assign(seen=seen(here, there), to=hire("rashid", uk), by=ana)
    assert list(answer.done) == [here.ref]
    assert dict(answer.skipped)[there.ref].startswith("Rashid Noor may not fix")
    for by in (stranger(), hire("otto")):
        with pytest.raises(NotAllowed):
            services.cases_assign(seen=seen(here), to=None, by=by)
    with pytest.raises(InvalidInput):
        services.cases_assign(seen=dict.fromkeys(range(5001), ""), to=ana, by=ana)


def test_many_take_as_many_statements_as_few(uk):
    ana, rashid = hire("ana", uk), hire("rashid", uk)

    def statements(cases: list[Case], to: Any) -> int:
        shown = seen(*cases)
        with CaptureQueriesContext(connection) as queries:
            services.cases_assign(seen=shown, to=to, by=ana)
        return len(queries)

    few, many = crowd(uk, 3, start=100), crowd(uk, 60, start=2000)
    assert statements(few, ana) == statements(many, ana)
    assert statements(few, rashid) == statements(many, rashid)
    assert {place(case) for case in many} == {("assigned", "rashid", "")}


def test_an_assignment_is_taken_back_where_nothing_has_changed_since(uk):
    ana, rashid = hire("ana", uk), hire("rashid", uk)
    first, second, third = (opened(uk, number=number) for number in (1, 2, 3))
    services.case_take(case=second, by=rashid)
    token = services.cases_assign(seen=seen(first, second, third), to=ana, by=ana).undo
    services.case_assign(case=third, to=rashid, by=rashid)
    said = services.undo(token=token, by=ana)
    assert said.startswith(
        f"Taken back for {first.ref}, {second.ref}. {third.ref} has changed since you looked"
    )
    assert [place(case)[:2] for case in (first, second, third)] == [
        ("open", ""), ("assigned", "rashid"), ("assigned", "rashid"),
    ]  # fmt: skip
    assert CaseEvent.objects.filter(note="Taken back.").count() == 2


def test_nothing_is_taken_back_of_a_case_that_has_moved_on(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    token = services.case_assign(case=case, to=ana, by=ana)
    services.case_assign(case=case, to=rashid, by=ana)
    with pytest.raises(Stale) as told:
        services.undo(token=token, by=ana)
    assert "Ana Lindqvist" in told.value.message
    assert place(case)[1] == "rashid"


def test_assigning_to_who_has_it_does_nothing(uk):
    ana, case = hire("ana", uk), opened(uk)
    services.case_take(case=case, by=ana)
    made, events = Undo.objects.count(), case.events.count()
    assert services.case_assign(case=case, to=ana, by=ana) == ""
    assert (Undo.objects.count(), case.events.count()) == (made, events)


def test_of_two_sessions_on_one_case_the_second_is_told(process_database):
    uk = world.entity()
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    shown = case.seen
    copies = [Case.objects.get(pk=case.pk) for _ in range(2)]
    results = together(
        partial(services.case_assign, case=copies[0], to=ana, by=ana, seen=shown),
        partial(services.case_assign, case=copies[1], to=rashid, by=rashid, seen=shown),
    )
    assert outcomes(results)["Stale"] == 1
    assert case.events.filter(what="moved").count() == 1


def test_bulk_against_single_and_bulk_against_bulk_overwrite_nothing(process_database):
    uk = world.entity()
    ana, rashid, carla = hire("ana", uk), hire("rashid", uk), hire("carla", uk)
    cases = [opened(uk, number=number) for number in range(1, 7)]
    shown = {case.pk: case.seen for case in cases}
    turned = dict(reversed(shown.items()))
    first, second, single = together(
        partial(services.cases_assign, seen=shown, to=ana, by=ana),
        partial(services.cases_assign, seen=turned, to=rashid, by=rashid),
        partial(services.case_assign, case=cases[3], to=carla, by=carla, seen=shown[cases[3].pk]),
    )
    for case in cases:
        assert case.events.filter(what="moved").count() == 1, case.ref
    given = [*first.done, *second.done, *([] if isinstance(single, Stale) else [cases[3].ref])]
    assert sorted(given) == sorted(case.ref for case in cases)
    assert len(first.skipped) + len(first.done) == len(cases)
