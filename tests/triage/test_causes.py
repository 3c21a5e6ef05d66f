"""What the desk decides about a cause: acknowledged, put off, ignored, resolved; nothing hides billing from its run."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, NotFound, Stale, WrongState
from apps.core.scope import EVERYTHING
from apps.journal.models import Audit
from apps.triage import rollups, selectors, services
from apps.triage.models import Case, Group, Undo
from tests.commercial import world
from tests.journal.together import outcomes, together
from tests.people import hire, stranger
from tests.triage.desk import fact, opened, problem

WARNING = "PAY-SHORT"


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def cause(case: Case) -> Group:
    return Group.objects.get(pk=case.group_id)


def listed(status: str = "") -> list[int]:
    """The groups of the list, from the kept totals and from the cases: both the same."""
    rows = selectors.with_status(selectors.open_cases(EVERYTHING), status)
    kept = selectors.group_list(EVERYTHING, status=status)
    assert kept is not None
    found = kept[:100]
    assert found == selectors.group_rows(selectors.groups(rows), rows)
    assert kept.count() == len(found)
    return [row.id for row in found]


def settled() -> None:
    """What the bell does every few seconds."""
    rollups.fold()
    services.groups_settle()


def before_the_run(case: Case) -> Any:
    return min(case.due_at - timedelta(minutes=1), clock.now() + timedelta(hours=1))


def warning(entity: Any, number: int = 1) -> Case:
    return opened(entity, problem(WARNING), number=number)


def test_a_cause_is_acknowledged_with_history_and_stays_in_the_list(uk):
    ana = hire("ana", uk)
    group = cause(opened(uk))
    services.group_acknowledge(group=group, seen=0, by=ana, why="Asked the controller.")
    group.refresh_from_db()
    assert (group.state, group.version, group.moved_by) == ("acknowledged", 1, ana)
    (event,) = selectors.group_history(EVERYTHING, group)
    assert (event.by, event.old, event.new, event.note) == (
        ana,
        "open",
        "acknowledged",
        "Asked the controller.",
    )
    assert Audit.objects.filter(verb="group.acknowledged", actor_id=ana.pk).count() == 1
    assert listed() == [group.pk]
    with pytest.raises(WrongState):
        services.group_acknowledge(group=group, seen=1, by=ana)


def test_a_snoozed_cause_is_out_of_the_list_but_its_money_is_not(uk):
    ana, case = hire("ana", uk), opened(uk)
    other = opened(uk, problem(value="ANA-220"), number=2)
    held = selectors.billing_held(EVERYTHING)
    services.group_snooze(
        group=cause(case), seen=0, by=ana, until=before_the_run(case), why="Item comes today."
    )
    assert listed() == [other.group_id]
    assert listed("snoozed") == [case.group_id]
    assert sorted(listed("any")) == sorted([case.group_id, other.group_id])
    assert selectors.billing_held(EVERYTHING) == held
    assert selectors.put_aside(EVERYTHING) == {"snoozed": 1}
    services.group_reopen(group=cause(case), seen=1, by=ana)
    assert sorted(listed()) == sorted([case.group_id, other.group_id])


def test_the_sweeper_wakes_a_cause_when_its_time_has_come(uk):
    ana, case = hire("ana", uk), opened(uk)
    services.group_snooze(group=cause(case), seen=0, by=ana, until=before_the_run(case))
    assert services.groups_wake() == 0
    Group.objects.update(until=Now() - timedelta(minutes=5))
    assert services.groups_wake() == 1
    group = cause(case)
    assert (group.state, group.until, group.moved_by) == ("open", None, None)
    assert [event.note for event in selectors.group_history(EVERYTHING, group)][1:] == ["Its time has come."]
    assert services.groups_wake() == 0


def test_of_two_sweepers_at_once_one_wakes_it(process_database):
    uk = world.entity()
    ana, case = hire("ana", uk), opened(uk)
    services.group_snooze(group=cause(case), seen=0, by=ana, until=before_the_run(case))
    Group.objects.update(until=Now() - timedelta(minutes=5))
    assert sum(together(services.groups_wake, services.groups_wake, services.groups_wake)) == 1
    assert [event.new for event in selectors.group_history(EVERYTHING, cause(case))] == ["snoozed", "open"]


@pytest.mark.parametrize("code", ["DEAL-SVC-UNMAPPED", "TAX-CODE"])
def test_billing_is_not_put_off_past_its_run_without_a_treatment(uk, code):
    carla, case = hire("carla", uk), opened(uk, problem(code))
    later = case.due_at + timedelta(minutes=1)
    for act in (
        partial(services.group_snooze, until=later),
        partial(services.group_ignore, why="Not ours."),
        partial(services.group_ignore, why="Not ours.", until=later),
    ):
        with pytest.raises(WrongState) as refused:
            act(group=cause(case), seen=0, by=carla)
        assert f"{case.ref} keeps billing from the invoice run that closes on" in refused.value.message
        assert "(MER-UK)" in refused.value.message
    assert cause(case).version == 0


def test_who_answers_for_the_books_lets_it_pass_with_a_treatment(uk):
    ana, carla, case = hire("ana", uk), hire("carla", uk), opened(uk)
    later = case.due_at + timedelta(days=20)
    with pytest.raises(NotAllowed) as refused:
        services.group_snooze(group=cause(case), seen=0, by=ana, until=later, treatment="accrue")
    assert "Ask Carla Whitfield" in refused.value.message
    with pytest.raises(InvalidInput):
        services.group_snooze(group=cause(case), seen=0, by=carla, until=later, treatment="forget")
    services.group_snooze(
        group=cause(case), seen=0, by=carla, until=later, treatment="accrue", why="Client agreed."
    )
    group = cause(case)
    assert (group.state, group.treatment) == ("snoozed", "accrue")
    assert "Billing past the run: Accrue." in selectors.group_history(EVERYTHING, group)[-1].note


def test_what_came_after_the_treatment_is_not_covered_by_it(uk):
    carla, case = hire("carla", uk), opened(uk)
    services.group_ignore(group=cause(case), seen=0, by=carla, why="Carried.", treatment="carry")
    Case.objects.filter(pk=case.pk).update(due_at=Now() - timedelta(hours=1))
    assert services.groups_wake() == 0
    later = opened(uk, number=2)
    Case.objects.filter(pk=later.pk).update(due_at=Now() - timedelta(minutes=1))
    assert services.groups_wake() == 1
    assert "without a treatment" in selectors.group_history(EVERYTHING, cause(case))[-1].note


def test_a_case_that_came_back_is_not_covered_by_the_treatment_of_before(uk):
    carla, case = hire("carla", uk), opened(uk)
    opened(uk, number=2)
    services.group_ignore(group=cause(case), seen=0, by=carla, why="Carried.", treatment="carry")
    services.cases_reconcile([fact(uk)])
    assert services.groups_wake() == 0
    opened(uk)
    assert services.groups_wake() == 1


def test_a_case_that_would_miss_its_run_wakes_a_snoozed_cause_at_once(uk):
    ana, case = hire("ana", uk), warning(uk)
    services.group_snooze(group=cause(case), seen=0, by=ana, until=clock.now() + timedelta(days=90))
    assert services.groups_wake() == 0
    Case.objects.filter(pk=case.pk).update(severity="blocking-billing")
    assert services.groups_wake() == 1
    assert cause(case).state == "open"


def test_ignoring_needs_a_reason_and_a_time_that_is_to_come(uk):
    ana, group = hire("ana", uk), cause(warning(uk))
    with pytest.raises(InvalidInput):
        services.group_ignore(group=group, seen=0, by=ana, why="  ")
    for until in (clock.now() - timedelta(seconds=1), clock.now() + timedelta(days=400)):
        with pytest.raises(InvalidInput):
            services.group_ignore(group=group, seen=0, by=ana, why="Noise.", until=until)
    services.group_ignore(group=group, seen=0, by=ana, why="Noise.")
    assert (listed(), listed("ignored")) == ([], [group.pk])


def test_a_cause_whose_cases_have_cleared_is_resolved_and_opens_again_when_one_comes_back(uk):
    case = opened(uk)
    settled()
    assert cause(case).state == "open"
    services.cases_reconcile([fact(uk)])
    settled()
    assert cause(case).state == "resolved"
    opened(uk)
    assert listed() == [case.group_id]
    settled()
    group = cause(case)
    assert (group.state, group.version) == ("open", 2)
    assert [
        (event.old, event.new, event.by, event.note) for event in selectors.group_history(EVERYTHING, group)
    ] == [
        ("open", "resolved", None, "All its cases have cleared."),
        ("resolved", "open", None, "A case of it came back."),
    ]


def test_what_may_have_been_billed_too_much_is_not_resolved_by_words(uk):
    ana = hire("ana", uk)
    case = opened(uk, problem("RATE-MISMATCH", step="billing"))
    assert (case.severity, case.exposure) == ("warning", "overbilling")
    with pytest.raises(WrongState, match=rf"{case.ref} is counted as overbilling exposure"):
        services.group_resolve(group=cause(case), seen=0, by=ana, why="It is fine.")
    case.refresh_from_db()
    assert case.state == "open"


def test_only_a_cause_that_warns_is_resolved_by_hand(uk):
    ana, blocks, warns = hire("ana", uk), opened(uk), warning(uk, 2)
    with pytest.raises(WrongState) as refused:
        services.group_resolve(group=cause(blocks), seen=0, by=ana, why="Done.")
    assert refused.value.message.startswith(f"{blocks.ref} still stops something")
    with pytest.raises(InvalidInput):
        services.group_resolve(group=cause(warns), seen=0, by=ana, why="")
    services.group_resolve(group=cause(warns), seen=0, by=ana, why="Written off as bank charges.")
    warns.refresh_from_db()
    assert (cause(warns).state, warns.state, warns.how) == ("resolved", "resolved", "manual")
    with pytest.raises(WrongState):
        services.group_snooze(group=cause(warns), seen=1, by=ana, until=clock.now() + timedelta(hours=1))


def test_strangers_auditors_and_other_entities_decide_nothing(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    case = warning(uk)
    for by in (stranger(), hire("otto"), hire("ana", us)):
        for act in (
            services.group_acknowledge,
            services.group_reopen,
            partial(services.group_ignore, why="Noise."),
            partial(services.group_resolve, why="Done."),
            partial(services.group_snooze, until=clock.now() + timedelta(hours=1)),
        ):
            with pytest.raises(NotAllowed):
                act(group=cause(case), seen=0, by=by)
    assert cause(case).version == 0


def test_a_project_manager_decides_about_a_cause_of_own_engagements_only(uk):
    pavel = hire("pavel", engagement_key="ENG-1")
    case = opened(uk, problem(WARNING), engagement_key="ENG-1")
    services.group_acknowledge(group=cause(case), seen=0, by=pavel)
    opened(uk, problem(WARNING), number=2, engagement_key="ENG-2")
    with pytest.raises(NotAllowed):
        services.group_reopen(group=cause(case), seen=1, by=pavel)


def test_the_second_of_two_people_is_told_who_changed_what(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    services.group_acknowledge(group=cause(case), seen=0, by=ana, why="Mine.")
    with pytest.raises(Stale) as told:
        services.group_snooze(group=cause(case), seen=0, by=rashid, until=before_the_run(case))
    assert "Ana Lindqvist" in told.value.message
    assert "“Open” to “Acknowledged”. Mine." in told.value.message


def test_of_two_decisions_at_once_one_stands(process_database):
    uk = world.entity()
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    results = together(
        partial(services.group_acknowledge, group=cause(case), seen=0, by=ana),
        partial(services.group_snooze, group=cause(case), seen=0, by=rashid, until=before_the_run(case)),
    )
    assert outcomes(results)["Stale"] == 1
    assert cause(case).version == 1
    assert len(selectors.group_history(EVERYTHING, cause(case))) == 1


def test_a_decision_is_taken_back_once_and_by_the_same_person(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    services.group_acknowledge(group=cause(case), seen=0, by=rashid, why="Known.")
    token = services.group_snooze(group=cause(case), seen=1, by=ana, until=before_the_run(case))
    with pytest.raises(NotFound):
        services.undo(token=token, by=rashid)
    assert services.undo(token=token, by=ana) == "Taken back: it is Acknowledged again."
    group = cause(case)
    assert (group.state, group.note, group.moved_by, group.until) == ("acknowledged", "Known.", rashid, None)
    assert selectors.group_history(EVERYTHING, group)[-1].note == "Taken back."
    with pytest.raises(Stale):
        services.undo(token=token, by=ana)
    for nonsense in ("", "x", "3f0c9a52-0000-4000-8000-000000000000"):
        with pytest.raises(NotFound):
            services.undo(token=nonsense, by=ana)


def test_nothing_is_taken_back_once_something_has_changed(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), opened(uk)
    token = services.group_acknowledge(group=cause(case), seen=0, by=ana)
    services.group_reopen(group=cause(case), seen=1, by=rashid, why="Not yet.")
    with pytest.raises(Stale) as told:
        services.undo(token=token, by=ana)
    assert "Rashid Noor" in told.value.message
    assert "Not yet." in told.value.message


def test_a_resolution_is_taken_back_with_its_cases(uk):
    ana, case, other = hire("ana", uk), warning(uk), warning(uk, 2)
    services.case_take(case=case, by=ana)
    token = services.group_resolve(group=cause(case), seen=0, by=ana, why="Done.")
    services.undo(token=token, by=ana)
    case.refresh_from_db()
    other.refresh_from_db()
    assert (case.state, case.how, case.resolved_at, case.assignee) == ("assigned", "", None, ana)
    assert (other.state, cause(case).state) == ("open", "open")


def test_old_undos_are_gone(uk):
    ana, case = hire("ana", uk), opened(uk)
    token = services.group_acknowledge(group=cause(case), seen=0, by=ana)
    Undo.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(NotFound):
        services.undo(token=token, by=ana)
    services.group_reopen(group=cause(case), seen=1, by=ana)
    assert Undo.objects.count() == 1
