"""Finished jobs go after the months that are kept; open ones, younger ones and those under a legal hold stay."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.journal import services as journal
from apps.journal.models import Audit
from apps.journal.retention import first_day_kept
from apps.triage import tasks
from apps.triage.job_models import Job, JobRow
from apps.triage.jobs import retention
from apps.triage.models import Case, Notice
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import crowd


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def edge() -> datetime:
    """The first instant that is kept."""
    day = first_day_kept(django_settings.RETENTION_MONTHS_JOBS)
    return datetime(day.year, day.month, 1, tzinfo=UTC)


def job(by: Any, cases: list[Case], finished_at: datetime | None, state: str = "done") -> Job:
    made = Job.objects.create(
        ref=journal.next_ref("JOB", year=False), by=by, state=state, scope_words="chosen", total=len(cases),
        created_at=finished_at or edge(), expires_at=edge(), finished_at=finished_at,
    )  # fmt: skip
    JobRow.objects.bulk_create(
        JobRow(job=made, case=case, transaction_id=case.transaction_id) for case in cases
    )
    return made


def test_what_finished_before_the_months_that_are_kept_is_dropped_with_its_rows(uk, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    ana, cases = hire("ana", uk), crowd(uk, 3)
    before = datetime.fromtimestamp(edge().timestamp() - 1, tz=UTC)
    old = [job(ana, cases, before), job(ana, cases, before, state="dropped")]
    kept = [job(ana, cases, edge()), job(ana, cases, None, state="ready")]
    assert tasks.prune.run() == {"rows": 6, "jobs": 2, "notices": 0}
    assert set(Job.objects.all()) == set(kept)
    assert set(JobRow.objects.values_list("job_id", flat=True)) == {one.pk for one in kept}
    assert Case.objects.count() == 3, "what it was about stays"
    said = Audit.objects.get(verb="retention.deleted", object_ref="triage_job")
    assert said.new["jobs"] == len(old)
    assert tasks.prune.run() is None


def test_messages_that_left_or_were_dropped_go_and_owed_ones_stay(uk):
    ana, cases = hire("ana", uk), crowd(uk, 3)
    before = datetime.fromtimestamp(edge().timestamp() - 1, tz=UTC)
    for case, how in zip(cases, ({"sent_at": before}, {"dropped": "It is closed."}, {}), strict=True):
        Notice.objects.create(person=ana, case=case, round=uuid.uuid4(), created_at=before, **how)
    assert tasks.prune.run() == {"rows": 0, "jobs": 0, "notices": 2}
    assert Notice.objects.get().case_id == cases[2].pk


def test_a_legal_hold_and_the_setting_zero_keep_everything(uk, settings):
    ana, cases = hire("ana", uk), crowd(uk, 1)
    job(ana, cases, datetime(2001, 1, 1, tzinfo=UTC))
    settings.RETENTION_MONTHS_JOBS = 0
    assert tasks.prune.run() is None
    settings.RETENTION_MONTHS_JOBS = 6
    hold = journal.legal_hold_place(reason="A lawsuit.", by="counsel")
    assert tasks.prune.run() is None
    assert Job.objects.count() == 1
    journal.legal_hold_lift(id=hold.pk, by="counsel", why="It is over.")
    assert tasks.prune.run() == {"rows": 1, "jobs": 1, "notices": 0}


def test_it_rings_every_night(settings):
    assert settings.CELERY_BEAT_SCHEDULE["triage.prune"]["task"] == "triage.prune"
    assert settings.CELERY_BEAT_SCHEDULE["triage.notices"]["task"] == tasks.send_notices.name
