"""The beat scheduler of django-celery-beat, with a stop that cannot hang.

Celery's own handler writes the schedule to the database inside the signal handler. When the signal arrives during
a query, that second use of the same connection breaks it or waits for itself for ever. Here the handler only sets
a flag, and the next tick (a second at most) ends the service, which writes the schedule then.
"""

from __future__ import annotations

import signal
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from pssync_console import runtime


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
