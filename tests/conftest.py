"""Fixtures that every test may use.

* ``db``, ``client``, … of pytest-django, on an embedded PostgreSQL when ``DATABASE_URL`` is unset: one server a
  run, one database an xdist worker.
* ``process_database``: a committed database for tests with real processes, cloned from the migrated template;
  ``module_database``: one for all tests of a module.
* ``free_port_block``: ports for servers that a test starts.
* ``needs_pgbouncer`` marks a test that starts a pgbouncer (environment ``PGBOUNCER``, or found on the PATH).
* ``chromium_path``, ``redis_url``, ``rabbitmq_url``: what the environment offers; a test that asks for one
  carries the marker ``needs_chromium`` or ``needs_broker``.

With ``CI=true`` a skipped test is a failed test.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases
from psycopg import sql

from benchmarks import pooler
from pssync_console import runtime
from tests.provoking import raised_codes

BROKERS = {
    "redis": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15"),
    "rabbitmq": os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


# ---- What is there, and what is skipped ----------------------------------------------------------------------------


def _chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=1):
            return True
    except OSError:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_minutes, reverse=True)
    answers: dict[str, bool] = {}
    for item in items:
        if item.get_closest_marker("needs_chromium") and not _chromium():
            item.add_marker(pytest.mark.skip(reason="no Chromium on the PATH and none named by CHROMIUM"))
        if item.get_closest_marker("needs_pgbouncer") and not pooler.program():
            item.add_marker(pytest.mark.skip(reason="no pgbouncer is installed and none named by PGBOUNCER"))
        for marker in item.iter_markers("needs_broker"):
            name = marker.args[0]
            if name not in answers:
                answers[name] = _answers(BROKERS[name])
            if not answers[name]:
                item.add_marker(
                    pytest.mark.skip(reason=f"no {name} broker answers at {_safe(BROKERS[name])}")
                )


def _safe(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"


def _minutes(item: pytest.Item) -> int:
    """The long tests start first, so that the other workers are busy beside them until the end."""
    slow = item.get_closest_marker("slow")
    return slow.kwargs.get("minutes", 1) if slow else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test marked as provoking a catalogue code has to see it raised."""
    wanted = {code for marker in item.iter_markers("provokes") for code in marker.args}
    if not wanted:
        return (yield)
    with raised_codes() as seen:
        result = yield
    if missing := sorted(wanted - seen):
        pytest.fail(f"marked as provoking {', '.join(missing)}, which was not raised; seen: {sorted(seen)}")
    return result


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = _chromium()
    if not path:
        pytest.skip("no Chromium on the PATH and none named by CHROMIUM")
    return path


@pytest.fixture(scope="session")
def redis_url() -> str:
    return BROKERS["redis"]


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    return BROKERS["rabbitmq"]


@pytest.fixture(autouse=True)
def connections_read_anew() -> None:
    """What a process remembers of its connections belongs to one database; the next test has another."""
    services = sys.modules.get("apps.connectors.services")
    if services is not None:
        services.forget()


# ---- Databases -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Start the run's PostgreSQL, once some test wants a database; the last process of the run stops it."""
    runtime.ensure(broker=False)


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker, django_db_modify_db_settings: None
) -> Iterator[None]:
    """The test database, and beside it the migrated template that ``process_database`` clones.

    Instead of pytest-django's own, which makes a database only for tests that carry its marker."""
    with django_db_blocker.unblock():
        created = setup_databases(verbosity=0, interactive=False, aliases={"default"})
        template = f"{connection.settings_dict['NAME']}_template"
        connections.close_all()
        with _maintenance() as server:
            _drop(server, template)
            _drop_leftovers(server, connection.settings_dict["NAME"])
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(template), sql.Identifier(connection.settings_dict["NAME"])
                )
            )
    yield
    with django_db_blocker.unblock():
        with _maintenance() as server:
            _drop(server, template)
        teardown_databases(created, verbosity=0)


@dataclass(frozen=True)
class ProcessDatabase:
    """A database of its own for a test with real processes."""

    name: str
    url: str

    @property
    def env(self) -> dict[str, str]:
        """The environment for a process that shall work on this database."""
        return {**os.environ, "DATABASE_URL": self.url, "DJANGO_SETTINGS_MODULE": "pssync_console.settings"}


@pytest.fixture
def process_database(django_db_setup: None, django_db_blocker, request) -> Iterator[ProcessDatabase]:
    """Really committed rows that other processes see. The test's own ORM works on it too. Cloned, never flushed
    (the journal's triggers refuse TRUNCATE); do not combine with ``db``."""
    if {"db", "transactional_db"} & set(request.fixturenames):
        pytest.fail("process_database works without db and transactional_db: its rows are really committed")
    with _cloned("process", django_db_blocker) as made:
        yield made


@pytest.fixture(scope="module")
def module_database(django_db_setup: None, django_db_blocker) -> Iterator[ProcessDatabase]:
    """The same, shared by the tests of a module, none of which may ask for ``db``."""
    with _cloned("module", django_db_blocker) as made:
        yield made


_clones = itertools.count(1)


@contextmanager
def _cloned(suffix: str, blocker) -> Iterator[ProcessDatabase]:
    original = connection.settings_dict["NAME"]
    # A name of this run only: a worker that outlived a broken run must never find its way to our work.
    name = f"{original}_{suffix}_{os.getpid()}_{next(_clones)}"
    with blocker.unblock():
        with _maintenance() as server:
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(f"{original}_template")
                )
            )
        connections.close_all()
        connection.settings_dict["NAME"] = name
        try:
            yield ProcessDatabase(name=name, url=_url(name))
        finally:
            connections.close_all()
            connection.settings_dict["NAME"] = original
            with _maintenance() as server:
                _drop(server, name)


def _maintenance() -> psycopg.Connection:
    wanted = ("host", "port", "user", "password", "sslmode")
    parameters = connection.get_connection_params()
    return psycopg.connect(
        **{key: parameters[key] for key in wanted if key in parameters}, dbname="postgres", autocommit=True
    )


def _drop(server: psycopg.Connection, name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_leftovers(server: psycopg.Connection, original: str) -> None:
    """Databases of a run that was broken off; on a server of the run's own nobody else has any of this name."""
    if os.environ.get("DATABASE_URL"):
        return
    rows = server.execute(
        r"SELECT datname FROM pg_database WHERE datname ~ %s", [rf"^{original}_(process|module)_\d"]
    )
    for (name,) in rows.fetchall():
        _drop(server, name)


def _url(name: str) -> str:
    parameters = connection.get_connection_params()
    user, password = quote(parameters.get("user", "")), quote(parameters.get("password", ""))
    login = f"{user}:{password}@" if password else f"{user}@"
    host, port = str(parameters.get("host", "")), parameters.get("port", "")
    if host.startswith("/"):
        return f"postgresql://{login}/{name}?host={quote(host)}"
    return f"postgresql://{login}{host}{f':{port}' if port else ''}/{name}"


# ---- Ports ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def free_port_block() -> Callable[[int], int]:
    """``free_port_block(7)`` is the first of seven (at most ten) free ports in a row on 127.0.0.1.

    A block is claimed by a file lock until the run ends, so neither xdist workers nor test runs at the same time on
    one machine meet; all lie below the range that the kernel hands out for outgoing connections.
    """
    claims = Path("/tmp") / f"pssync-test-ports-{os.getuid()}"
    claims.mkdir(mode=0o700, exist_ok=True)
    untried = iter(range(22_500, 32_500, 10))

    def find(count: int = 1) -> int:
        assert count <= 10, "a block holds ten ports"
        for base in untried:
            claim = os.open(claims / str(base), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(claim)
                continue
            # The claim stays open, and so held, even where a stranger sits on one of the ports.
            if all(_is_free(port) for port in range(base, base + count)):
                return base
        raise RuntimeError(f"no {count} free ports in a row are left on this machine")

    return find


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
