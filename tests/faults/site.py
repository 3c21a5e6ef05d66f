"""A firm on real systems whose every part may fail: its own PostgreSQL, a broker of any kind, web, workers, beat.

Public surface: :class:`Site`, :func:`site_on`, :func:`orm_on`, :func:`until`.
What is asked from outside (doors, emulated systems) goes over the network; the test's own ORM sets the firm up only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests
from django.db import connection, connections

from apps.demo.install import install
from tests.faults.servers import Broker, Database, broker
from tests.flows.world import World

#: Beside those of every world: nothing is polled (so that polling does not make good what the doors have lost) and retries
#: come soon, so that a drill takes seconds.
ENV = {
    "SYNC_POLL_SECONDS": "86400",
    "SYNC_RETRY_CAP_SECONDS": "2",
    "SYNC_MAX_ATTEMPTS": "30",
    "LOG_JSON": "true",
}


class Site(World):
    """``secret`` is the CRM's webhook secret; ``database`` and ``broker`` are the servers to be broken."""

    def __init__(
        self, *, database: Database, broker: Broker, base_port: int, directory: Path, env: Mapping[str, str]
    ) -> None:
        settings = {"DATABASE_URL": database.url(), "DJANGO_SETTINGS_MODULE": "pssync_console.settings"}
        super().__init__(database_env={**os.environ, **settings}, base_port=base_port, directory=directory)
        self.database = database
        self.broker = broker
        self.env |= {"CELERY_BROKER_URL": broker.url(), **ENV, **env}
        self.secret = ""
        self.polled_every = 0  # seconds; 0: not at all

    def __enter__(self) -> Site:
        self.broker.start()
        self.sandbox.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)
        super().__exit__(*exception)
        self.database.end()

    def up(self, *names: str) -> None:
        """Start what does not run yet, and wait until a web server and workers are there."""
        fresh = {name: self._log_size(name) for name in names if name not in self.processes}
        for name in fresh:
            self.start(name)
        if "web" in names:
            self.wait(self.answers, what="the web server answers")
        for name, size in fresh.items():
            if name.startswith("worker"):
                self.wait(lambda name=name, size=size: self._is_ready(name, size), what=f"{name} is up")

    def only_polled(self, *names: str, every: int) -> None:
        """The same, with workers that poll the systems every so many seconds; :meth:`only` ends it."""
        self.only(*[name for name in names if not name.startswith("worker")])
        self.polled_every = every
        for name in names:
            if name.startswith("worker"):
                size = self._log_size(name)
                self.start(name, SYNC_POLL_SECONDS=str(every))
                self.wait(lambda name=name, size=size: self._is_ready(name, size), what=f"{name} is up")
        with (
            self.database.connect() as server
        ):  # the site was set up not to poll: its cursors are due tomorrow
            server.execute("UPDATE sync_pollcursor SET due_at = now()")

    def log_count(self, event: str) -> int:
        """How often the workers have said so."""
        return sum(
            path.read_text(errors="replace").count(f'"{event}"')
            for path in self.directory.glob("worker*.log")
        )

    def _log_size(self, name: str) -> int:
        path = self.directory / f"{name}.log"
        return path.stat().st_size if path.exists() else 0

    def _is_ready(self, name: str, since: int) -> bool:
        with (self.directory / f"{name}.log").open("rb") as log:
            log.seek(since)
            return b" ready." in log.read()

    def down(self, *names: str) -> None:
        for name in names:
            if name in self.processes:
                self.kill(name)

    def only(self, *names: str) -> None:
        """Exactly these processes run, and they are up; the database and the broker as well."""
        if self.polled_every:
            self.polled_every = 0
            self.down(*[name for name in self.processes if name.startswith("worker")])
        self.down(*[name for name in self.processes if name not in names])
        for name in [name for name, process in self.processes.items() if process.poll() is not None]:
            self.down(name)
        self.up(*names)

    def restart(self, name: str, **env: str) -> None:
        """Start it where it has died, as an init system would."""
        self.down(name)
        self.start(name, **env)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.web_url}/livez", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def children(self, name: str) -> list[psutil.Process]:
        """The prefork children of a worker."""
        try:
            return psutil.Process(self.processes[name].pid).children()
        except psutil.NoSuchProcess:
            return []

    def signal(self, name: str, number: int) -> None:
        os.killpg(self.processes[name].pid, number)


@contextmanager
def site_on(
    kind: str,
    *,
    template: Mapping[str, Any],
    base_port: int,
    directory: Path,
    database: Database | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """A site with the demo firm on a broker of this kind. ``template``: psycopg's parameters of a migrated database."""
    database = database or Database(directory / "db")
    database.start()
    try:
        database.fill_from(template)
        made = Site(
            database=database,
            broker=broker(kind, directory, base_port + 9),
            base_port=base_port,
            directory=directory,
            env=env or {},
        )
        with made:
            with orm_on(database):
                install(control=made.control, sandbox_port=base_port, web_url=made.web_url)
                made.secret = _webhook_secret()
            for system in ("crm", "billing"):  # the test is the only sender
                made.control.system(system).call("PUT", "/webhook", {"url": made.web_url, "enabled": False})
            yield made
    finally:
        database.end()


@contextmanager
def orm_on(database: Database) -> Iterator[None]:
    """This process's ORM works on that server meanwhile."""
    place = psycopg.conninfo.conninfo_to_dict(database.url())
    kept = dict(connection.settings_dict)
    connections.close_all()
    own = {"HOST": place["host"], "PORT": "", "NAME": place["dbname"], "USER": place["user"], "PASSWORD": ""}
    connection.settings_dict.update(own)
    try:
        yield
    finally:
        connections.close_all()
        connection.settings_dict.update(kept)


def _webhook_secret() -> str:
    from apps.connectors.models import Connection
    from apps.connectors.secrets import decrypt

    row = Connection.objects.get(system__code="crm")
    return str(decrypt(row.secrets, system_id=row.system_id)["webhook_secret"])


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Wait for it; the seconds it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - started
