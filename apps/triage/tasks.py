"""Bells of triage; each is safe to run twice. Public surface: task ``triage.fold_held``."""

from __future__ import annotations

from celery import shared_task

from apps.core.tasks import BellTask
from apps.triage import rollups


@shared_task(base=BellTask, name="triage.fold_held")
def fold_held() -> int:
    return rollups.fold()
