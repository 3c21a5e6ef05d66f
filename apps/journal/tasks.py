"""Bells of the journal; each is safe to run twice.

Public surface: tasks ``journal.deliver_outbox``, ``journal.seal``, ``journal.sweep_hooks``, ``journal.partitions``,
``journal.retention``, ``journal.fold_counts``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from celery import shared_task

from apps.core.tasks import BellTask
from apps.journal import services


@shared_task(base=BellTask, name="journal.deliver_outbox")
def deliver_outbox() -> int:
    return services.deliver_outbox()


@shared_task(base=BellTask, name="journal.seal")
def seal() -> int:
    return services.seal_all()


@shared_task(base=BellTask, name="journal.sweep_hooks")
def sweep_hooks() -> int:
    return services.sweep_hooks()


@shared_task(base=BellTask, name="journal.partitions")
def partitions() -> list[str]:
    return services.ensure_partitions()


@shared_task(base=BellTask, name="journal.fold_counts")
def fold_counts() -> int:
    return services.fold_counts()


@shared_task(base=BellTask, name="journal.retention")
def retention() -> dict[str, Any] | None:
    done = services.retire()
    return asdict(done) if done else None
