"""Many cases at once: frozen, planned, run with a brake, verified; nothing that was not shown is touched."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.errors import InvalidInput, NotFound, Stale, WrongState
from apps.journal import transitions
from apps.journal.models import Audit
from apps.sync import engine
from apps.sync.models import Subject, Transaction
from apps.sync.plans import Problem
from apps.triage import services as triage_services
from apps.triage.job_models import Job, JobRow, JobState, Outcome, Pace, Result
from apps.triage.jobs import selectors, services, work
from apps.triage.models import Case, CaseState
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import crowd, fact, opened, problem
from tests.triage.plans import Plans

PO_MISSING = Problem(
    "CUS-PO-REQUIRED", "customer", "customer", "po", "", "The customer wants an order number."
)


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, uk: Any) -> Plans:
    made = Plans(monkeypatch, carried_out=True)
    made.entity_id = uk.pk
    return made


@pytest.fixture
def analyst(uk: Any) -> Any:
    return hire("ana", uk)


def look(times: int = 20) -> None:
    """The bell rings until nothing changes any more."""
    for _ in range(times):
        Job.objects.filter(next_at__isnull=False, state__in=("planning", "running")).update(
            next_at=clock.now()
        )
        if not work.work(seconds=5):
            return


def planned(analyst: Any, **chosen: Any) -> Job:
    Case.objects.update(phase="plan")  # what the engine's plans say of them is all there is to know
    job = services.job_plan(rows=Case.objects.filter(**chosen), by=analyst, scope_words="all that match")
    look()
    job.refresh_from_db()
    return job


def carried_out(job: Job, analyst: Any, **how: Any) -> Job:
    services.job_run(ref=job.ref, by=analyst, **how)
    for _ in range(50):
        look()
        job.refresh_from_db()
        if not job.moving:
            break
        engine.drain()
    return job


def results(job: Job) -> dict[str, int]:
    return {name: count for name, count in selectors.progress(job).results.items() if count}


def test_a_job_is_planned_run_oldest_first_and_verified(uk, analyst, plans) -> None:
    cases = crowd(uk, 5)
    Case.objects.filter(pk=cases[3].pk).update(opened_at=clock.now() - timedelta(days=9))
    plans.problems[cases[1].subject_key] = PO_MISSING
    job = planned(analyst, state="open")
    told = selectors.progress(job)
    assert (job.state, told.total, told.planned, told.runnable) == (JobState.READY, 5, 5, 5)
    assert {name: count for name, count in told.outcomes.items() if count} == {"clears": 4, "changes": 1}
    assert told.held == [(Decimal("5000.0000"), "GBP")]
    assert told.released == [(Decimal("4000.0000"), "GBP")]
    assert set(Case.objects.values_list("state", flat=True)) == {"open"}, "a plan touches nothing"
    assert job.rows.order_by("id").first().case_id == cases[3].pk, "the oldest runs first"
    job = carried_out(job, analyst, why="The item is there now.")
    assert job.state == JobState.DONE
    assert results(job) == {"cleared": 4, "turned": 1}
    done = selectors.progress(job)
    assert (done.cleared, done.verified) == ([(Decimal("4000.0000"), "GBP")], 5)
    assert JobRow.objects.get(case=cases[1]).reason == PO_MISSING.reason
    case = Case.objects.get(pk=cases[0].pk)
    assert (case.state, case.how, case.fixed_by) == ("resolved", "manual", analyst)
    said = Audit.objects.filter(object_type="job", object_ref=job.ref).order_by("id")
    assert list(said.values_list("verb", flat=True))[:1] == ["job.planned"]
    assert said.filter(actor_id=analyst.pk, why="The item is there now.").exists()


def test_what_does_not_clear_comes_back_to_the_desk(uk, analyst, plans) -> None:
    case = opened(uk)
    plans.problems[case.subject_key] = Problem(**problem())
    job = carried_out(planned(analyst, pk=case.pk), analyst)
    assert (job.state, results(job)) == (JobState.DONE, {"back": 1})
    case.refresh_from_db()
    assert (case.state, case.fixed_by) == ("open", None)
    assert (
        case.events.filter(what="moved", new="open").latest("id").note.startswith("The fix did not clear it")
    )


def test_who_joins_the_filter_later_is_no_part_of_the_job(uk, analyst, plans) -> None:
    first = opened(uk, number=1)
    job = planned(analyst, state="open")
    later = opened(uk, number=2)
    carried_out(job, analyst)
    later.refresh_from_db()
    first.refresh_from_db()
    assert (first.state, later.state) == ("resolved", "open")


def test_what_changed_since_the_plan_is_skipped_and_said(uk, analyst, plans) -> None:
    cases = crowd(uk, 3)
    job = planned(analyst, state="open")
    transitions.move(cases[0], to=CaseState.RESOLVED, resolved_at=clock.now(), how="auto")
    plans.problems[cases[1].subject_key] = PO_MISSING  # its plan is another one by now
    job = carried_out(job, analyst)
    found = {row.case_id: row for row in JobRow.objects.filter(job=job)}
    assert found[cases[0].pk].result == Result.SKIPPED
    assert found[cases[0].pk].reason == "It was closed after the preview."
    assert (found[cases[1].pk].result, found[cases[1].pk].reason) == (Result.TURNED, PO_MISSING.reason)
    assert Transaction.objects.get(pk=cases[1].transaction_id).reason.startswith("The plan has changed")
    assert found[cases[2].pk].result == Result.CLEARED


def test_no_more_are_under_way_than_the_pace_says(uk, analyst, plans) -> None:
    crowd(uk, 12)
    job = planned(analyst, state="open")
    services.job_run(ref=job.ref, by=analyst, pace=Pace.GENTLE)
    look()
    assert selectors.progress(job).results["accepted"] == 5
    assert Case.objects.filter(state="in_progress").count() == 5
    engine.drain()
    look()
    told = selectors.progress(job)
    assert (told.results["cleared"], told.results["accepted"]) == (5, 5)


def test_a_stopped_job_begins_nothing_more_and_verifies_what_runs(uk, analyst, plans) -> None:
    crowd(uk, 8)
    job = planned(analyst, state="open")
    services.job_run(ref=job.ref, by=analyst, pace=Pace.GENTLE)
    look()
    services.job_stop(ref=job.ref, by=analyst)
    look()
    job.refresh_from_db()
    assert job.state == JobState.RUNNING, "five are still under way"
    engine.drain()
    look()
    job.refresh_from_db()
    assert (job.state, results(job)) == (JobState.STOPPED, {"cleared": 5, "skipped": 3})
    assert Case.objects.filter(state="open").count() == 3


def test_an_unknown_outcome_is_looked_up_before_anything_runs(uk, analyst, plans) -> None:
    case = opened(uk)
    Subject.objects.filter(kind=case.subject_kind, key=case.subject_key).update(in_doubt=["erp.invoice"])
    job = planned(analyst, pk=case.pk)
    row = JobRow.objects.get(job=job)
    assert (row.outcome, row.digest) == (Outcome.IN_DOUBT, "")
    assert "erp.invoice" in row.reason
    assert plans.asked == []
    with pytest.raises(WrongState, match="nothing to run"):
        services.job_run(ref=job.ref, by=analyst)


def test_what_comes_into_doubt_after_the_plan_is_not_begun(uk, analyst, plans) -> None:
    case, other = opened(uk), opened(uk, number=2)
    job = planned(analyst, state="open")
    Subject.objects.filter(key=case.subject_key).update(in_doubt=["erp.invoice"])
    job = carried_out(job, analyst)
    assert results(job) == {"cleared": 1, "skipped": 1}
    assert "erp.invoice" in JobRow.objects.get(job=job, case=case).reason
    assert Transaction.objects.get(pk=case.transaction_id).state == "held"
    assert Case.objects.get(pk=other.pk).state == "resolved"


def test_what_cannot_be_planned_now_is_not_run(uk, analyst, plans) -> None:
    cases = crowd(uk, 2)
    plans.unreachable.add(cases[0].subject_key)
    job = planned(analyst, state="open")
    assert selectors.progress(job).outcomes["unreachable"] == 1
    job = carried_out(job, analyst)
    assert results(job) == {"cleared": 1}
    assert Case.objects.get(pk=cases[0].pk).state == "open"


def test_only_what_the_person_may_run_is_taken_and_begun(uk, analyst, plans) -> None:
    other = world.entity("MER-US")
    mine, foreign = opened(uk, number=1), opened(other, number=2)
    job = planned(analyst, state="open")
    assert set(job.rows.values_list("case_id", flat=True)) == {mine.pk}
    with pytest.raises(Stale):
        services.job_plan(rows=Case.objects.filter(pk=foreign.pk), by=analyst, scope_words="one")
    analyst.grants.all().delete()  # the role is gone before the run
    job = carried_out(job, analyst)
    assert (job.state, results(job)) == (JobState.DONE, {"skipped": 1})
    assert Case.objects.get(pk=mine.pk).state == "open"


def test_a_job_is_one_persons_and_is_run_once(uk, analyst, plans) -> None:
    opened(uk)
    job = planned(analyst, state="open")
    with pytest.raises(NotFound):
        services.job_run(ref=job.ref, by=hire("carla", uk))
    services.job_run(ref=job.ref, by=analyst)
    with pytest.raises(WrongState):
        services.job_run(ref=job.ref, by=analyst)
    with pytest.raises(WrongState):
        services.job_drop(ref=job.ref, by=analyst)


def test_a_dropped_or_old_job_is_not_run(uk, analyst, plans) -> None:
    opened(uk)
    dropped, old = planned(analyst, state="open"), planned(analyst, state="open")
    services.job_drop(ref=dropped.ref, by=analyst)
    with pytest.raises(WrongState):
        services.job_run(ref=dropped.ref, by=analyst)
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        with pytest.raises(Stale):
            services.job_run(ref=old.ref, by=analyst)
        Job.objects.filter(pk=old.pk).update(next_at=clock.now() - timedelta(hours=3))
        work.work()
    old.refresh_from_db()
    assert old.state == JobState.EXPIRED


def test_too_many_cases_are_refused_before_anything_is_kept(uk, analyst, plans, monkeypatch) -> None:
    monkeypatch.setattr(services, "MOST", 3)
    crowd(uk, 4)
    with pytest.raises(InvalidInput, match="at most 3"):
        services.job_plan(rows=Case.objects.all(), by=analyst, scope_words="all")
    assert not Job.objects.exists()


def test_two_cases_of_one_transaction_run_it_once(uk, analyst, plans) -> None:
    first = opened(uk, number=1)
    second = opened(
        uk, problem(value="XYZ-1"), number=1, made=Transaction.objects.get(pk=first.transaction_id)
    )
    assert Case.objects.get(pk=first.pk).state == "resolved", "the engine's second report says only the other"
    job = planned(analyst, pk__in=[first.pk, second.pk], state="open")
    assert job.total == 1
    assert results(carried_out(job, analyst)) == {"cleared": 1}


def test_cases_of_one_transaction_share_its_run_and_its_money(uk, analyst, plans) -> None:
    """However slowly the job goes: with the first case alone, the others would be left out or run it again."""
    services_of = [problem(), problem(value="XYZ-1"), problem("PAY-SHORT", value="1")]
    triage_services.cases_reconcile([fact(uk, *services_of, number=1)])
    lone = opened(uk, number=2)
    assert Case.objects.filter(state="open").count() == 4
    job = planned(analyst, state="open")
    assert selectors.progress(job).held == [(Decimal("2000.0000"), "GBP")]
    services.job_run(ref=job.ref, by=analyst)
    Job.objects.update(pace=1)
    for _ in range(10):
        look()
        engine.drain()
    runs = dict(JobRow.objects.filter(job=job).values_list("case_id", "run_id"))
    assert len(set(runs.values())) == 2
    assert len([run for case_id, run in runs.items() if case_id != lone.pk and run]) == 3
    assert selectors.progress(job).cleared == [(Decimal("2000.0000"), "GBP")]


def test_what_does_not_come_to_rest_is_not_waited_for(uk, analyst, plans) -> None:
    opened(uk)
    job = planned(analyst, state="open")
    services.job_run(ref=job.ref, by=analyst)
    look()
    JobRow.objects.filter(job=job).update(begun_at=clock.now() - timedelta(minutes=16))
    look()
    job.refresh_from_db()
    assert (job.state, results(job)) == (JobState.DONE, {"goes_on": 1})


def test_statements_do_not_grow_with_cases(uk, analyst, plans) -> None:
    def cost(count: int, start: int) -> int:
        cases = crowd(uk, count, start=start)
        services.job_plan(
            rows=Case.objects.filter(pk__in=[case.pk for case in cases]), by=analyst, scope_words="some"
        )
        look()
        job = Job.objects.latest("id")
        services.job_run(ref=job.ref, by=analyst, pace=Pace.FAST)
        with CaptureQueriesContext(connection) as seen:
            work.work(seconds=0.0001)
        assert selectors.progress(job).results["accepted"] == count
        return len(seen)

    assert cost(3, 1000) == cost(60, 5000)


def test_two_workers_begin_each_case_once(transactional_db, uk, plans) -> None:
    analyst = hire("ana", uk)
    crowd(uk, 6)
    job = planned(analyst, state="open")
    services.job_run(ref=job.ref, by=analyst, pace=Pace.FAST)
    begun: list[bool] = []
    together = threading.Barrier(2)

    def begin() -> None:
        # Past the lease, as if the first had been stopped for longer than that.
        together.wait()
        begun.append(work._begin(Job.objects.get(pk=job.pk)))
        connections.close_all()

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 2
    events = sum(case.events.filter(new="in_progress").count() for case in Case.objects.all())
    assert events == 6
    assert Transaction.objects.filter(state="pending").count() == 6
