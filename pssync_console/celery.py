"""The Celery application. Tasks live in the rooms' ``tasks.py``; the schedule is in the settings."""

from __future__ import annotations

import gc
import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_before_create_process,
    worker_process_init,
    worker_shutting_down,
)
from kombu.transport import redis

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")

# Made before the pool forks, or each child would have a flag of its own.
import_module("apps.core.stopping")

# A channel that is closed because Redis is gone would hand back what nobody has acknowledged, to nobody, and the worker ends
# with that error. Bells need not be handed back: each rings again soon.
redis.Channel.do_restore = False

app = Celery("pssync_console")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    """A receiver is enough to stop Celery from replacing the logging that Django has set up."""


@celeryd_init.connect
def _start_embedded(**_: Any) -> None:
    from pssync_console import runtime

    runtime.ensure()


@worker_shutting_down.connect
def _ask_pumps_to_stop(**_: Any) -> None:
    """Only the parent hears of SIGTERM; its children see the shared flag, finish their write and give the rest back."""
    from apps.core import stopping

    stopping.request()


#: Objects made before the youngest are looked over. A transaction makes thousands that are gone by reference count, and the
#: default of 700 spent a tenth of a worker's time on looking.
_COLLECT_AFTER = 10_000


@worker_before_create_process.connect
def _leave_what_is_loaded(**_: Any) -> None:
    """What was loaded before the fork is never garbage: not looked at, its pages stay shared with the parent. Saves a
    quarter of a worker group's memory (``gc.freeze`` in CPython's documentation)."""
    gc.collect()
    gc.freeze()


@worker_process_init.connect
def _collect_seldom(**_: Any) -> None:
    gc.set_threshold(_COLLECT_AFTER)
