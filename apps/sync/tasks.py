"""Bells: what Celery beat rings. Each is safe to run twice and loses no work when it is lost."""

from __future__ import annotations

from celery import shared_task

from apps.core.tasks import BellTask
from apps.sync import engine, polling


@shared_task(base=BellTask, name="sync.pump")
def pump() -> int:
    return engine.pump()


@shared_task(base=BellTask, name="sync.sweep")
def sweep() -> int:
    return engine.sweep()


@shared_task(base=BellTask, name="sync.poll")
def poll() -> int:
    return polling.poll_due()
