"""Taking, assigning, commenting and running again; who may, and who was faster."""

from __future__ import annotations

import time
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction

from apps.commercial import services as commercial
from apps.core.errors import InvalidInput, NotAllowed, Stale, WrongState
from apps.sync.models import Transaction
from apps.triage import services
from apps.triage.models import Case
from tests.commercial import world
from tests.journal.together import outcomes, together
from tests.people import hire, stranger
from tests.triage.desk import fact, opened, problem


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def us(db) -> Any:
    return world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")


def test_taking_a_case_assigns_it_once(uk):
    ana, rashid = hire("ana", uk), hire("rashid", uk)
    case = opened(uk)
    assert services.case_take(case=case, by=ana) is True
    assert (case.state, case.assignee) == ("assigned", ana)
    assert services.case_take(case=case, by=rashid) is False
    assert case.assignee == ana
    assert services.case_take(case=case, by=ana) is True
    assert [event.what for event in case.events.all()] == ["opened", "moved"]


def test_of_many_takers_at_once_one_gets_it(process_database):
    uk = world.entity()
    people = [hire(name, uk) for name in ("ana", "rashid", "remy", "lena")]
    case = opened(uk)
    copies = [Case.objects.get(pk=case.pk) for _ in people]
    results = together(
        *(partial(services.case_take, case=copy, by=by) for copy, by in zip(copies, people, strict=True))
    )
    assert outcomes(results) == {"True": 1, "False": 3}


def test_a_case_is_assigned_reassigned_and_given_back(uk):
    ana, rashid = hire("ana", uk), hire("rashid", uk)
    case = opened(uk)
    services.case_assign(case=case, to=rashid, by=ana)
    assert (case.state, case.assignee) == ("assigned", rashid)
    services.case_assign(case=case, to=ana, by=ana)
    assert (case.state, case.assignee) == ("assigned", ana)
    services.case_assign(case=case, to=None, by=ana)
    assert (case.state, case.assignee) == ("triaged", None)
    assert [(event.what, event.new) for event in case.events.all()] == [
        ("opened", "open"),
        ("moved", "assigned"),
        ("assigned", ana.display_name),
        ("moved", "triaged"),
    ]


def test_a_case_is_not_given_to_somebody_who_may_not_fix_it(uk, us):
    ana = hire("ana", uk)
    case = opened(uk)
    for to in (hire("otto"), hire("rashid", us), stranger()):
        with pytest.raises(InvalidInput):
            services.case_assign(case=case, to=to, by=ana)


def test_strangers_auditors_and_other_entities_may_do_nothing(uk, us):
    case = opened(uk)
    for by in (stranger(), hire("otto"), hire("ana", us)):
        for act in (
            partial(services.case_take, case=case, by=by),
            partial(services.case_assign, case=case, to=by, by=by),
            partial(services.case_comment, case=case, by=by, text="Hello"),
            partial(services.case_retry, case=case, by=by),
            partial(services.fix_preview, case=case, target="1", target_label="", by=by),
        ):
            with pytest.raises(NotAllowed):
                act()
    case.refresh_from_db()
    assert (case.state, case.assignee, case.comments.count()) == ("open", None, 0)


def test_a_case_without_an_entity_needs_a_role_in_all_of_them(uk):
    case = opened(None)
    with pytest.raises(NotAllowed):
        services.case_take(case=case, by=hire("ana", uk))
    assert services.case_take(case=case, by=hire("rashid")) is True


def test_a_project_manager_acts_on_own_engagements_only(uk):
    key = commercial.engagement_open(deal=world.deal(), legal_entity=uk, lines=world.lines()).key
    pavel = hire("pavel", engagement_key=key)
    own = opened(uk, problem("INT-RATE"), engagement_key=key)
    other = opened(uk, problem("INT-RATE"), number=2)
    assert services.case_take(case=own, by=pavel) is True
    with pytest.raises(NotAllowed):
        services.case_take(case=other, by=pavel)


def test_comments_are_kept_also_on_closed_cases(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    services.cases_reconcile([fact(uk)])
    case.refresh_from_db()
    services.case_comment(case=case, by=ana, text="  Asked the controller. ")
    assert [comment.text for comment in case.comments.all()] == ["Asked the controller."]
    for text in ("", "   ", "x" * 5001):
        with pytest.raises(InvalidInput):
            services.case_comment(case=case, by=ana, text=text)


def test_a_closed_case_is_told_to_be_closed(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    shown_open = Case.objects.get(pk=case.pk)
    services.cases_reconcile([fact(uk)])
    case.refresh_from_db()
    with pytest.raises(WrongState):
        services.case_take(case=case, by=ana)
    with pytest.raises(Stale):
        services.case_take(case=shown_open, by=ana)


def test_running_again_wakes_the_transaction_of_the_case(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    answer = services.case_retry(case=case, by=ana, why="The item is active again.")
    assert answer == {
        "replayed": [case.transaction_id],
        "skipped": [],
        "runs": {case.transaction_id: case.transaction_id},
    }
    assert Transaction.objects.get(pk=case.transaction_id).state == "pending"
    assert case.events.latest("id").note == "The item is active again."


def test_running_the_group_again_stays_inside_what_the_person_may_replay(uk):
    ana = hire("ana", uk)
    cases = [opened(uk, number=number) for number in (1, 2, 3)]
    other = opened(uk, problem("CUS-DUP"), number=4)
    answer = services.case_retry(case=cases[0], by=ana, whole_group=True)
    assert answer["replayed"] == [case.transaction_id for case in cases]
    assert Transaction.objects.get(pk=other.transaction_id).state == "held"


def test_running_again_waits_for_the_worker_before_it_takes_the_case(process_database):
    """Workers lock the subject, then the case that they close. Whoever did it the other way round would wait for ever."""
    uk = world.entity()
    ana, case = hire("ana", uk), opened(uk)
    subject_id = Transaction.objects.get(pk=case.transaction_id).subject_id
    started = Event()

    def run_again() -> Any:
        started.wait(10)
        return services.case_retry(case=case, by=ana)

    def as_a_worker() -> str:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM sync_subject WHERE id = %s FOR UPDATE", [subject_id])
            started.set()
            until_somebody_waits_for(cursor)
            cursor.execute("SELECT id FROM triage_case WHERE id = %s FOR UPDATE NOWAIT", [case.pk])
            return "took the case"

    assert together(as_a_worker, run_again) == [
        "took the case",
        {
            "replayed": [case.transaction_id],
            "skipped": [],
            "runs": {case.transaction_id: case.transaction_id},
        },
    ]


def until_somebody_waits_for(cursor: Any) -> None:
    """Returns once another session waits for a lock that this one holds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        if cursor.fetchone():
            return
    raise AssertionError("Nobody came to wait for the lock.")
