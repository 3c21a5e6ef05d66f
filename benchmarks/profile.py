"""``make bench-profile``: where the engine's time goes, per transaction.

The pump runs in this process with one worker thread, so that what is counted belongs to one transaction at a time; nothing else
differs from a worker. Each thread has a cProfile of its own; statements are counted at the driver, below Django.
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
from collections import Counter
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.servers import Servers
from benchmarks.stub import Stub

TOP = 25


class Statements:
    """Counts what goes to PostgreSQL, at psycopg's own methods: raw cursors are seen as well as Django's."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

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
        print(_profiled(stub, given.n, given.timer))


def _profiled(stub: Stub, n: int, timer: str) -> str:
    from django.conf import settings
    from django.db import connections

    from apps.sync import engine
    from benchmarks import world

    world.furnish(stub_url=stub.url)
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
    threading.setprofile(None)  # type: ignore[arg-type]
    elapsed = found["last_at"] - found["first_at"]
    lines = [
        f"{done} transactions, one worker thread, {elapsed / max(1, n) * 1000:.1f} ms each under the profiler ({timer} clock).",
        f"{sum(statements.count.values()) / n:.1f} statements a transaction (commits and savepoints included), "
        f"{sum(statements.seconds.values()) / n * 1000:.1f} ms of it in the driver and the server.",
        "",
        "| a transaction | ms | statement |",
        "| --- | --- | --- |",
    ]
    for shown, count in statements.count.most_common(60):
        lines.append(f"| {count / n:.2f} | {statements.seconds[shown] / n * 1000:.2f} | `{shown}` |")
    for order in ("tottime", "cumulative"):
        out = io.StringIO()
        stats = pstats.Stats(*profiles, stream=out)
        stats.strip_dirs().sort_stats(order).print_stats(TOP if order == "tottime" else TOP * 3)
        lines += ["", f"By {order}:", "", *(line for line in out.getvalue().splitlines() if line.strip())]
    return "\n".join(lines)


def _in_every_thread(timer: str) -> list[cProfile.Profile]:
    """A profile for each thread that starts from now on."""
    profiles: list[cProfile.Profile] = []

    def begin(*_: Any) -> None:
        if not threading.current_thread().name.startswith("pump"):
            sys.setprofile(None)
            return
        profile = cProfile.Profile(time.thread_time) if timer == "cpu" else cProfile.Profile()
        profiles.append(profile)
        profile.enable()

    threading.setprofile(begin)
    return profiles


if __name__ == "__main__":
    main()
