"""A fix of more cases than one transaction should carry is run by a job: frozen, with its progress, stopped at will."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.core.errors import Stale
from apps.sync import engine
from apps.sync.plans import Problem
from apps.triage import services
from apps.triage.job_models import Job, JobState
from apps.triage.jobs import selectors as jobs
from apps.triage.jobs import services as job_services
from apps.triage.models import Case
from apps.triage.services import fixes
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import crowd
from tests.triage.plans import Plans
from tests.triage.test_fix_of_a_large_group import run, to_the_end
from tests.triage.test_jobs import look

PO_MISSING = Problem(
    "CUS-PO-REQUIRED", "customer", "customer", "po", "", "The customer wants an order number."
)


@pytest.fixture
def uk(db) -> Any:
    return world.entity(mapping_threshold=Decimal("10000000"))


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, uk: Any) -> Plans:
    monkeypatch.setattr(fixes, "AT_ONCE", 3)
    made = Plans(monkeypatch, carried_out=True)
    made.entity_id = uk.pk
    return made


def fixed(cases: list[Case], by: Any) -> Job:
    Case.objects.update(phase="plan")
    result = run(cases[0], by, to_the_end(cases[0], by)["token"])
    assert (result["replayed"], result["waiting"]) == ([], 0)
    return Job.objects.get(ref=result["job"])


def to_its_end(job: Job) -> Job:
    for _ in range(50):
        look()
        job.refresh_from_db()
        if not job.moving:
            break
        engine.drain()
    return job


def test_the_job_runs_exactly_what_the_preview_showed(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 6)
    plans.problems[cases[1].subject_key] = PO_MISSING
    plans.unreachable.add(cases[2].subject_key)
    job = fixed(cases, ana)
    assert (job.state, job.total, job.by) == (JobState.RUNNING, 6, ana)
    late = crowd(uk, 1, start=5000)[0]
    assert jobs.progress(job).runnable == 5
    job = to_its_end(job)
    assert job.state == JobState.DONE
    results = {name: count for name, count in jobs.progress(job).results.items() if count}
    assert results == {"cleared": 4, "turned": 1}
    one = Case.objects.get(pk=cases[0].pk)
    assert (one.state, one.how, one.fixed_by, one.mapping_id) == ("resolved", "manual", ana, job.mapping_id)
    assert Case.objects.get(pk=late.pk).state == "open", "what joined later was not shown"
    assert Case.objects.get(pk=cases[2].pk).state == "open", "what could not be planned is not run"


def test_it_is_stopped_like_any_job_and_what_was_not_begun_stays(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 6)
    job = fixed(cases, ana)
    Job.objects.filter(pk=job.pk).update(pace=2)
    look(1)
    job_services.job_stop(ref=job.ref, by=ana)
    job = to_its_end(job)
    assert job.state == JobState.STOPPED
    assert Case.objects.filter(state="open").count() == len(cases) - 2


def test_up_to_the_limit_all_of_it_runs_at_once(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 3)
    result = run(cases[0], ana, to_the_end(cases[0], ana)["token"])
    assert (result["job"], len(result["replayed"])) == ("", 3)


def test_a_preview_becomes_one_job_only(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 5)
    token = to_the_end(cases[0], ana)["token"]
    run(cases[0], ana, token)
    with pytest.raises(Stale):
        run(cases[0], ana, token)
    assert Job.objects.count() == 1


def test_who_looked_at_an_older_state_is_told_and_no_job_begins(uk, plans):
    ana, carla = hire("ana", uk), hire("carla", uk)
    cases = crowd(uk, 5)
    seen, token = cases[0].seen, to_the_end(cases[0], ana)["token"]
    services.case_take(case=cases[0], by=carla)
    with pytest.raises(Stale, match="Carla Whitfield"):
        services.case_fix_mapping(
            case=cases[0], target="77", target_label="AI review", by=ana, preview_token=token, seen=seen
        )
    assert not Job.objects.exists()
