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
from apps.sync import services as sync
from apps.sync.models import Transaction
from apps.triage import services
from apps.triage.models import Case
from tests.commercial import world
from tests.journal.together import outcomes, together
from tests.people import hire, stranger
from tests.triage.desk import fact, opened, problem
from tests.triage.plans import Plans


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def us(db) -> Any:
    return world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(monkeypatch)


def previewed(case: Case) -> str:
    """The token of the engine's preview of the case's transaction."""
    return sync.preview(transaction_ids=[case.transaction_id])["token"]


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
            partial(services.case_retry, case=case, by=by, token="x"),
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


def test_running_again_wakes_the_transaction_as_it_was_previewed(uk, plans):
    ana = hire("ana", uk)
    case = opened(uk)
    ran = services.case_retry(case=case, by=ana, token=previewed(case), why="The item is active again.")
    assert ran == case.transaction_id
    row = Transaction.objects.get(pk=ran)
    assert (row.state, row.expected_digest) == (
        "pending",
        sync.preview(transaction_ids=[ran])["results"][0]["digest"],
    )
    case.refresh_from_db()
    assert (case.state, case.fixed_by) == ("in_progress", ana)
    assert case.events.latest("id").note == "Run again. The item is active again."
    services.cases_reconcile([fact(uk, made=row)])
    case.refresh_from_db()
    assert (case.state, case.how) == ("resolved", "manual"), "the run's end has verified it"


def test_nothing_runs_again_without_its_own_preview(uk, plans):
    ana = hire("ana", uk)
    case, other = opened(uk), opened(uk, number=2)
    with pytest.raises(InvalidInput, match="Look at the preview first"):
        services.case_retry(case=case, by=ana, token="")
    for token in ("forged", previewed(other)):
        with pytest.raises(Stale):
            services.case_retry(case=case, by=ana, token=token)
    plans.unreachable.add(case.subject_key)
    with pytest.raises(Stale, match="could not be planned then"):
        services.case_retry(case=case, by=ana, token=previewed(case))
    assert Transaction.objects.get(pk=case.transaction_id).state == "held"
    plans.unreachable.clear()
    token = previewed(case)
    services.case_retry(case=case, by=ana, token=token)
    with pytest.raises(Stale, match="under way"):
        services.case_retry(case=case, by=ana, token=token)


def test_running_again_waits_for_the_worker_before_it_takes_the_case(process_database, plans):
    """Workers lock the subject, then the case that they close. Whoever did it the other way round would wait for ever."""
    uk = world.entity()
    ana, case = hire("ana", uk), opened(uk)
    token = previewed(case)
    subject_id = Transaction.objects.get(pk=case.transaction_id).subject_id
    started = Event()

    def run_again() -> Any:
        started.wait(10)
        return services.case_retry(case=case, by=ana, token=token)

    def as_a_worker() -> str:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM sync_subject WHERE id = %s FOR UPDATE", [subject_id])
            started.set()
            until_somebody_waits_for(cursor)
            cursor.execute("SELECT id FROM triage_case WHERE id = %s FOR UPDATE NOWAIT", [case.pk])
            return "took the case"

    assert together(as_a_worker, run_again) == ["took the case", case.transaction_id]


def until_somebody_waits_for(cursor: Any) -> None:
    """Returns once another session waits for a lock that this one holds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        if cursor.fetchone():
            return
    raise AssertionError("Nobody came to wait for the lock.")
