"""Bells of triage; each is safe to run twice.

Public surface: tasks ``triage.fold_held``, ``triage.wake``, ``triage.escalate``, ``triage.jobs``.
"""

from __future__ import annotations

from celery import shared_task

from apps.core.tasks import BellTask
from apps.triage import rollups, services
from apps.triage.jobs.work import work


@shared_task(base=BellTask, name="triage.fold_held")
def fold_held() -> int:
    folded = rollups.fold()
    services.groups_settle()
    return folded


@shared_task(base=BellTask, name="triage.wake")
def wake() -> int:
    return services.groups_wake()


@shared_task(base=BellTask, name="triage.escalate")
def escalate() -> int:
    services.cases_reschedule()
    return services.cases_escalate()


@shared_task(base=BellTask, name="triage.jobs")
def work_on_jobs() -> int:
    return work()
