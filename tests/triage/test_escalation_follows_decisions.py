"""Nobody is told of what was decided about; a case that is given back may be told once more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.core import clock
from apps.triage import services
from apps.triage.models import Case
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import opened, problem


@pytest.fixture
def uk(db: None) -> Any:
    return world.entity()


def near(case: Case) -> Case:
    Case.objects.filter(pk=case.pk).update(due_at=Now() + timedelta(minutes=1))
    case.refresh_from_db()
    return case


def test_a_cause_that_was_put_aside_with_a_treatment_is_not_escalated(uk):
    case, other = near(opened(uk)), opened(uk, problem(value="B"), number=2)
    felix = hire("felix", uk, role="controller")
    until = clock.now() + timedelta(days=60)
    services.group_snooze(group=case.group, seen=0, by=felix, until=until, treatment="carry")
    assert services.cases_escalate() == 0
    services.group_reopen(group=case.group, seen=1, by=felix)
    assert services.cases_escalate() == 1
    assert other.escalated_at is None


def test_what_was_merged_into_a_cause_that_is_put_aside_is_not_escalated(uk):
    first, second = opened(uk), near(opened(uk, problem(value="B"), number=2))
    carla = hire("carla", uk)
    services.group_merge(into=first.group, seen=0, group=second.group, group_seen=0, by=carla)
    until = clock.now() + timedelta(days=60)
    services.group_snooze(group=first.group, seen=1, by=carla, until=until, treatment="carry")
    assert services.cases_escalate() == 0


def test_a_case_that_is_given_back_may_be_escalated_again(uk):
    case, ana = near(opened(uk)), hire("ana", uk)
    services.cases_escalate()
    services.case_take(case=case, by=ana)
    assert case.escalated_at is not None
    services.case_assign(case=case, by=ana)
    assert (case.escalated_at, case.escalated_to, case.assignee) == (None, "", None)
    assert services.cases_escalate() == 1


def test_a_case_that_nobody_had_stays_escalated_when_its_queue_changes(uk):
    case, ana = near(opened(uk)), hire("ana", uk)
    services.cases_escalate()
    services.case_assign(case=case, queue="billing_analyst", by=ana)
    assert case.escalated_at is not None
    assert services.cases_escalate() == 0
