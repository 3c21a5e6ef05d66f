"""Bells of triage; each is safe to run twice.

Public surface: tasks ``triage.fold_held``, ``triage.wake``, ``triage.escalate``, ``triage.notices``, ``triage.jobs``,
``triage.prune``.
"""

from __future__ import annotations

from celery import shared_task

from apps.core.tasks import BellTask
from apps.triage import rollups, services
from apps.triage.jobs.retention import jobs_prune
from apps.triage.jobs.work import work


@shared_task(base=BellTask, name="triage.fold_held")
def fold_held() -> int:
    folded = rollups.fold()
    services.groups_settle()
    return folded


@shared_task(base=BellTask, name="triage.wake")
def wake() -> int:
    return services.groups_wake() + services.cases_wake()


@shared_task(base=BellTask, name="triage.escalate")
def escalate() -> int:
    services.cases_reschedule()
    return services.cases_escalate()


@shared_task(base=BellTask, name="triage.notices")
def send_notices() -> int:
    return services.notices_send()


@shared_task(base=BellTask, name="triage.prune")
def prune() -> dict[str, int] | None:
    return jobs_prune()


@shared_task(base=BellTask, name="triage.jobs")
def work_on_jobs() -> int:
    return work()
