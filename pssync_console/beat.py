"""The beat scheduler of django-celery-beat, of which any number may run, with a stop that cannot hang.

However many schedulers run, each bell is rung once a tick: the one that moves the bell's ``last_run_at`` on rings it, by the
database's clock. So a second one may stand by all the time, and nothing has to be noticed when one dies.

Celery's own handler writes the schedule to the database inside the signal handler. When the signal arrives during
a query, that second use of the same connection breaks it or waits for itself for ever. Here the handler only sets
a flag, and the next tick (a second at most) ends the service, which writes the schedule then.
"""

from __future__ import annotations

import signal
from typing import Any

import structlog
from celery.schedules import crontab
from django.db import Error as DatabaseError
from django.db import connection
from django_celery_beat.schedulers import DatabaseScheduler

from pssync_console import runtime

log = structlog.get_logger(__name__)
#: How much of a tick must have passed since the bell was last rung: schedulers are not in step, and not always on time.
SHARE = 0.8
#: ``last_run_at`` is also written by schedulers whose clock is wrong; one that is to come is none.
_RING = """
UPDATE django_celery_beat_periodictask SET last_run_at = now() WHERE id = %s AND (last_run_at IS NULL
    OR last_run_at <= now() - make_interval(secs => %s) OR last_run_at > now() + make_interval(secs => 1))
"""


class Scheduler(DatabaseScheduler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._stop_asked = False
        # Celery has set its handlers just before it makes the scheduler.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        runtime.ensure()
        super().__init__(*args, **kwargs)

    def _ask_to_stop(self, *_: Any) -> None:
        self._stop_asked = True

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if self._stop_asked:
            raise SystemExit
        return super().tick(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        if self._is_ours(entry):
            super().apply_entry(entry, producer=producer)

    def _is_ours(self, entry: Any) -> bool:
        """Whether we are the first to ring this bell in this tick; false where the database cannot tell us."""
        tick = 60.0 if isinstance(entry.schedule, crontab) else entry.schedule.run_every.total_seconds()
        try:
            with connection.cursor() as cursor:
                cursor.execute(_RING, [entry.model.pk, SHARE * tick])
                return cursor.rowcount == 1
        except DatabaseError as error:
            # No worker could do anything without it either; the next tick asks again, on a fresh connection.
            log.warning("bell_not_rung", bell=entry.name, error=str(error))
            connection.close()
            return False
