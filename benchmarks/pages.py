"""A large firm behind the real web server, asked by a signed-in person over one kept-alive connection.

Public surface: :func:`prepare`, :func:`firm_of`, :class:`Site`, :class:`Page`, :func:`in_turn`, :func:`spread`,
:func:`server`, :func:`point_at`.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from benchmarks import data
from benchmarks.harness import LOGS, WrongResult
from benchmarks.processes import Group, procfile, until

#: Sees everything, as a controller of the whole firm does.
READER = "bench0"
#: The server closes a connection that was idle for two seconds; connecting anew is not part of an answer's time.
IDLE = 1.0


def prepare() -> None:
    """Start what the environment does not name and set Django up. Once a process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    import django

    from pssync_console import runtime

    runtime.ensure()
    django.setup()


def firm_of(rows: int) -> str:
    """The name of a database with so many transactions, up to date, made when there is none; Django points at it."""
    from django.core.management import call_command

    name = data.DATABASE if rows == 1_000_000 else f"pssync_{rows}_bench"
    if _transactions(name, rows) == rows:
        point_at(name)
        call_command("migrate", verbosity=0)
    else:
        print(f"Making a firm with {rows:,} transactions …", flush=True)
        data.create(name)
        data.fill(rows=rows, seed=1, told=print)
    return name


def point_at(name: str) -> None:
    from django.db import connections

    connections.close_all()
    connections["default"].settings_dict["NAME"] = name


def _transactions(name: str, rows: int) -> int:
    import psycopg

    try:
        with psycopg.connect(data.dsn(name)) as connection:
            found = connection.execute(
                "SELECT count(*) FROM sync_transaction WHERE id <= %s", [rows]
            ).fetchone()
    except psycopg.Error:
        return 0
    return int(found[0]) if found else 0


def address_of(name: str) -> str:
    """The configured database's address with another name."""
    from django.conf import settings

    parts = urlsplit(settings.DATABASE_URL)
    # A socket's address has an empty network location, which urlunsplit would drop with its slashes.
    return urlunsplit(parts._replace(path=f"/{name}", netloc=parts.netloc or "@"))


@dataclass(frozen=True)
class Page:
    """``holds`` is what the answer must contain, so many times; a fragment is asked for by htmx."""

    address: str
    holds: str = ""
    times: int = 1
    status: int = 200
    target: str = ""


class Site:
    """gunicorn as the Procfile starts it, on one database, and a session of :data:`READER`. A context manager."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings_pages",
            "DATABASE_URL": address_of(database),
            "LOG_JSON": "true",
        }
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def __enter__(self) -> Site:
        self._group = Group(LOGS / f"pages-{self.database}.log").__enter__()
        self._group.start_logged(
            procfile("web", WEB_PORT=str(self.port)), env={**self.env, "WEB_PORT": str(self.port)}
        )
        until(lambda: self._listens() or not self._group.alive(), seconds=60, what="the web server")
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self._asked_at = 0.0
        self._cookie = _session(self.database)
        return self

    def __exit__(self, *given: Any) -> None:
        self._connection.close()
        self._group.__exit__(*given)

    def ask(self, page: Page) -> tuple[float, str]:
        """Seconds until the whole answer was there, and the answer. Raises :class:`WrongResult` when it is another."""
        headers = {"Cookie": self._cookie, "Host": "127.0.0.1"}
        if page.target:
            headers |= {"HX-Request": "true", "HX-Target": page.target}
        if time.monotonic() - self._asked_at > IDLE:
            self._connection.close()
            self._connection.connect()
        started = time.perf_counter()
        self._connection.request("GET", page.address, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        elapsed = time.perf_counter() - started
        self._asked_at = time.monotonic()
        text = body.decode()
        if answer.status != page.status or (page.holds and text.count(page.holds) < page.times):
            found = text.count(page.holds) if page.holds else 0
            raise WrongResult(
                f"{page}: {answer.status}, {found} of {page.times}; {self._group.words()[-800:]}"
            )
        return elapsed, text

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _session(database: str) -> str:
    """The cookie of a session as log-in makes it; the reader may also open the admin, which the product lets nobody."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from apps.organization.models import User

    point_at(database)
    User.objects.filter(username=READER).update(is_staff=True, is_superuser=True)
    user = User.objects.get(username=READER)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def in_turn(
    wanted: Mapping[str, tuple[Site, Page]], *, times: int, seldom: Sequence[str] = ()
) -> dict[str, list[float]]:
    """Milliseconds of every page, one request of each after the other, ``times`` over; those ``seldom`` every fifth time."""
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for number in range(times):
        for name, (site, page) in wanted.items():
            if name not in seldom or number % 5 == 0:
                found[name].append(site.ask(page)[0] * 1000)
    return found


def spread(milliseconds: Sequence[float]) -> dict[str, float]:
    """``p50_ms`` and ``p95_ms``."""
    ordered = sorted(milliseconds)
    return {
        "p50_ms": statistics.median(ordered),
        "p95_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))],
    }


def server(database: str) -> dict[str, str]:
    """What of the server matters to speed."""
    import psycopg

    with psycopg.connect(data.dsn(database)) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'), current_setting('shared_buffers')"
        ).fetchone()
    assert row is not None
    return {"server_version": row[0], "shared_buffers": row[1]}
