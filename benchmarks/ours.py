"""The product as a contender: real Celery workers as the Procfile starts them, bells rung as beat rings them.

Public surface: :class:`Ours`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.harness import LOGS
from benchmarks.processes import Group, procfile, until
from benchmarks.servers import Servers
from benchmarks.stub import Stub

DATABASE = "pssync_bench_ours"


class Ours:
    """One worker group at a time, on a fresh database. This process talks to that database through the rooms' services."""

    def __init__(self, servers: Servers, template: str, stub: Stub) -> None:
        self.servers, self.template, self.stub = servers, template, stub

    def prepare(self, *, at_once: int = 0) -> str:
        """A fresh, furnished database that this process works on from now on; its address. ``at_once``: calls that the
        vendor's account allows, as an administrator would enter it (0: as many as there are)."""
        from django.db import connections

        from benchmarks import world

        connections.close_all()
        url = self.servers.fresh(DATABASE, template=self.template)
        connections["default"].settings_dict["NAME"] = DATABASE
        world.furnish(stub_url=self.stub.url, at_once=at_once or world.UNLIMITED)
        return url

    @contextmanager
    def workers(self, url: str, **settings: str) -> Iterator[Group]:
        """The worker as in production; it waits for bells."""
        from pssync_console.celery import app

        app.control.purge()
        with Group(LOGS / "ours.log") as group:
            group.start_logged(procfile("worker"), env=self.servers.env(url, **settings))
            until(lambda: app.control.ping(timeout=0.2), seconds=60, what="the Celery worker")
            yield group

    @contextmanager
    def bells(self) -> Iterator[None]:
        """Rings the pump at once, then every second, as the schedule says. The rest of beat's bells have no work here."""
        from django.conf import settings

        from pssync_console.celery import app

        over = threading.Event()

        def ring() -> None:
            for _ in range(settings.SYNC_PUMP_SLOTS):
                app.send_task("sync.pump", expires=5)
            while not over.wait(1.0):
                app.send_task("sync.pump", expires=5)

        ringer = threading.Thread(target=ring)
        ringer.start()
        try:
            yield
        finally:
            over.set()
            ringer.join()

    def states(self) -> dict[str, int]:
        """How many transactions stand in which state."""
        from django.db.models import Count

        from apps.sync.models import Transaction

        rows: Any = Transaction.objects.values_list("state").annotate(Count("id")).order_by("state")
        return dict(rows)
