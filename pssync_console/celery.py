"""The Celery application. Tasks live in the rooms' ``tasks.py``; the schedule is in the settings."""

from __future__ import annotations

import gc
import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")

# Made before the pool forks, or each child would have a flag of its own.
import_module("apps.core.stopping")

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


@worker_init.connect
def _share_what_is_loaded(**_: Any) -> None:
    """Just before the pool forks: what is loaded is kept from the garbage collector, whose marks would make every child copy
    those pages. Saves a quarter of a worker group's memory (``gc.freeze``, CPython's documentation of :mod:`gc`)."""
    gc.collect()
    gc.freeze()


@worker_shutting_down.connect
def _ask_pumps_to_stop(**_: Any) -> None:
    """Only the parent hears of SIGTERM; its children see the shared flag, finish their write and give the rest back."""
    from apps.core import stopping

    stopping.request()
