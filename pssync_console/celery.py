"""The Celery application. Tasks live in the rooms' ``tasks.py``; the schedule is in the settings."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")

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
