"""``make bench-profile``: where the time of a transaction in the engine, or of an event at the door, goes.

``engine``: the pump runs in this process with one worker thread, so that what is counted belongs to one transaction at a
time; nothing else differs from a worker. ``door``: the WSGI application takes signed events, one after the other.
Statements are counted at the driver, below Django.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from typing import Any

from benchmarks import load
from benchmarks.harness import WrongResult
from benchmarks.processes import ROOT
from benchmarks.servers import Servers
from benchmarks.stub import Stub

TOP = 25


class Statements:
    """Counts what goes to PostgreSQL, at psycopg's own methods: raw cursors are seen as well as Django's."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def install(self) -> None:
        import psycopg

        for owner, name in (
            (psycopg.Cursor, "execute"),
            (psycopg.Cursor, "executemany"),
            (psycopg.Connection, "commit"),
            (psycopg.Connection, "rollback"),
        ):
            setattr(owner, name, self._counted(getattr(owner, name), name))

    def _counted(self, original: Any, name: str) -> Any:
        def counted(this: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(this, *args, **kwargs)
            finally:
                shown = _shape(args[0]) if name.startswith("execute") else name.upper()
                self.count[shown] += 1
                self.seconds[shown] += time.perf_counter() - started

        return counted


def _shape(statement: Any) -> str:
    text = statement if isinstance(statement, str) else getattr(statement, "_obj", statement)
    text = text.decode() if isinstance(text, bytes) else str(text)
    text = re.sub(r"SAVEPOINT \"[^\"]+\"", "SAVEPOINT …", " ".join(text.split()))
    text = re.sub(r"^SELECT (?!1 FROM|id|%s).{40,}? FROM", "SELECT … FROM", text)
    return text[:150]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("--what", choices=("engine", "door"), default="engine")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--timer", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    servers = Servers()
    url = servers.fresh("pssync_bench_profile", template=servers.migrated())
    os.environ |= servers.env(url, LOG_LEVEL="WARNING")
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    with Stub() as stub:
        from benchmarks import world

        world.furnish(stub_url=stub.url)
        print((_door if given.what == "door" else _engine)(stub, given.n, given.timer))


def _engine(stub: Stub, n: int, timer: str) -> str:
    from django.conf import settings
    from django.db import connections

    from apps.sync import engine
    from benchmarks import world

    settings.SYNC_PUMP_THREADS, settings.SYNC_PUMP_SECONDS = 1, 6
    # What the first transactions of a process pay once (imports, caches, connections) is not asked for.
    stub.reset(expected=5)
    for number in range(5):
        world.receive(f"warm-{number}")
    engine.drain()
    stub.reset(expected=n)
    for number in range(n):
        world.receive(f"P{number:05d}")
    connections.close_all()
    statements = Statements()
    statements.install()
    profiles = _in_every_thread(timer)
    done, started = 0, time.perf_counter()
    while (found := stub.summary())["finished"] < n and time.perf_counter() - started < 300:
        done += engine.pump()
    threading.setprofile(None)
    elapsed = found["last_at"] - found["first_at"]
    what = f"{done} transactions, one worker thread, {elapsed / max(1, n) * 1000:.1f} ms each"
    return _told(what, statements, profiles, n, timer)


def _door(_stub: Stub, n: int, timer: str) -> str:
    from pssync_console.wsgi import application

    def take(event_id: str) -> None:
        statuses: list[str] = []

        def start(status: str, *_: Any) -> Any:
            statuses.append(status)

        b"".join(application(_environ(event_id), start))
        if not statuses[0].startswith("202"):
            raise WrongResult(f"{event_id}: {statuses}")

    for number in range(20):
        take(f"warm{number}")
    statements = Statements()
    statements.install()
    profile = _profile(timer)
    started = time.perf_counter()
    profile.enable()
    for number in range(n):
        take(f"P{number:05d}")
    profile.disable()
    what = f"{n} events, one after the other, {(time.perf_counter() - started) / n * 1000:.2f} ms each"
    return _told(what, statements, [profile], n, timer)


def _environ(event_id: str) -> dict[str, Any]:
    """A signed request as gunicorn hands it over."""
    head, body = load.signed("/hooks/crm", event_id).split(b"\r\n\r\n", 1)
    lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in lines}
    content = {name: headers.pop(f"HTTP_{name}") for name in ("CONTENT_TYPE", "CONTENT_LENGTH")}
    return {
        **headers, **content, "REQUEST_METHOD": "POST", "PATH_INFO": "/hooks/crm", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip


def _told(what: str, statements: Statements, profiles: list[cProfile.Profile], n: int, timer: str) -> str:
    lines = [
        f"{what} under the profiler ({timer} clock).",
        f"{sum(statements.count.values()) / n:.1f} statements each (commits and savepoints included), "
        f"{sum(statements.seconds.values()) / n * 1000:.1f} ms of it in the driver and the server.",
        "",
        "| each | ms | statement |",
        "| --- | --- | --- |",
    ]
    for shown, count in statements.count.most_common(60):
        lines.append(f"| {count / n:.2f} | {statements.seconds[shown] / n * 1000:.2f} | `{shown}` |")
    for order, top in (("tottime", TOP), ("cumulative", TOP * 3)):
        out = io.StringIO()
        stats = pstats.Stats(*profiles, stream=out)
        stats.strip_dirs().sort_stats(order).print_stats(top)
        lines += ["", f"By {order}:", "", *(line for line in out.getvalue().splitlines() if line.strip())]
    return "\n".join(lines)


def _profile(timer: str) -> cProfile.Profile:
    return cProfile.Profile(time.thread_time) if timer == "cpu" else cProfile.Profile()


def _in_every_thread(timer: str) -> list[cProfile.Profile]:
    """A profile for each thread that starts from now on."""
    profiles: list[cProfile.Profile] = []

    def begin(*_: Any) -> None:
        if not threading.current_thread().name.startswith("pump"):
            sys.setprofile(None)
            return
        profile = _profile(timer)
        profiles.append(profile)
        profile.enable()

    threading.setprofile(begin)
    return profiles


if __name__ == "__main__":
    main()
