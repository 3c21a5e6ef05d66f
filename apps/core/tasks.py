"""The one base of Celery tasks: a bell around a service, with scope, logging and outcome in one place.

Public surface: :class:`BellTask`. Use ``@shared_task(base=BellTask, name="room.verb")`` with a body of about three lines.
Tasks are safe to run twice and carry ids only; PostgreSQL knows the work, the broker only rings.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import Task
from django.db import close_old_connections

from apps.core import correlation

log = structlog.get_logger(__name__)


class BellTask(Task):
    abstract = True
    ignore_result = True
    acks_late = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        close_old_connections()
        started = time.monotonic()
        with correlation.bind():
            try:
                result = super().__call__(*args, **kwargs)
            except Exception:
                log.exception("task_failed", task=self.name)
                raise
            finally:
                close_old_connections()
            if result:
                elapsed = int((time.monotonic() - started) * 1000)
                log.info("task_done", task=self.name, result=result, elapsed_ms=elapsed)
            return result
