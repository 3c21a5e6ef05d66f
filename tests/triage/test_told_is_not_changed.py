"""That people were told of a deadline is no change of a case; one bad address stops nobody else; a hold stops all dropping."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db.models.functions import Now

from apps.core import clock
from apps.core.errors import Stale
from apps.journal import services as journal
from apps.sync import services as sync
from apps.triage import selectors, services
from apps.triage.jobs.retention import jobs_prune
from apps.triage.models import Case, Job, Notice
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import opened
from tests.triage.plans import Plans


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture(autouse=True)
def with_mail(settings: Any) -> None:
    settings.EMAIL_HOST = "mail.merridane.example"


def near(case: Case) -> Case:
    Case.objects.filter(pk=case.pk).update(due_at=Now() + timedelta(minutes=1))
    case.refresh_from_db()
    return case


def test_an_escalation_between_look_and_run_refuses_nothing(uk, monkeypatch):
    Plans(monkeypatch)
    ana, case = hire("ana", uk), near(opened(uk))
    seen = selectors.seen_to_run(case)
    assert services.cases_escalate() == 1
    token = sync.preview(transaction_ids=[case.transaction_id])["token"]
    assert services.case_retry(case=case, by=ana, seen=seen, token=token) == case.transaction_id
    with pytest.raises(Stale) as refused:
        services.case_retry(case=case, by=ana, seen=seen, token=token)
    assert "has changed since you looked: Ana Lindqvist" in refused.value.message


def test_whoever_looked_before_a_reminder_is_not_told_that_the_case_went_to_nobody(uk):
    ana, rashid, case = hire("ana", uk), hire("rashid", uk), near(opened(uk))
    services.case_take(case=case, by=ana)
    case.refresh_from_db()
    seen = case.seen
    assert services.cases_escalate() == 1
    assert case.events.last().what == "reminded"
    services.case_assign(case=case, to=rashid, by=ana, seen=seen)
    services.cases_escalate()
    with pytest.raises(Stale) as refused:
        services.case_assign(case=case, to=None, by=ana, seen=seen)
    assert "Assigned to" not in refused.value.message
    assert "Rashid Noor" in refused.value.message
    assert "nobody" not in refused.value.message


def test_an_address_that_is_none_stops_nobody_else(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    type(ana).objects.filter(pk=ana.pk).update(email="not an address\n")
    near(opened(uk))
    held = near(opened(uk, number=2))
    services.case_take(case=held, by=ana)
    services.cases_escalate()
    assert services.notices_send() == 1
    assert [one.to for one in mail.outbox] == [[carla.email]]
    owed = Notice.objects.get(case=held)
    assert (owed.sent_at, owed.lease_until) == (None, None)
    assert "Error" in owed.error


def test_a_legal_hold_keeps_finished_jobs(uk, settings):
    settings.RETENTION_MONTHS_JOBS = 1
    ana, long_ago = hire("ana", uk), clock.now() - timedelta(days=100)
    Job.objects.create(
        ref="JOB-OLD", by=ana, state="done", scope_words="all", total=0, created_at=long_ago,
        expires_at=long_ago, finished_at=long_ago,
    )  # fmt: skip
    hold = journal.legal_hold_place(reason="A lawsuit.", by="Felix Okafor")
    assert jobs_prune() is None
    assert Job.objects.filter(ref="JOB-OLD").exists()
    journal.legal_hold_lift(id=hold.pk, by="Felix Okafor", why="It is over.")
    assert jobs_prune() == {"rows": 0, "jobs": 1, "notices": 0}
