"""``make bench-sync``: a durable workflow of six writes, by the product's real engine, by DBOS and by the bare limits.

The same work for all: a 2 KB event that is durable before the clock starts, six calls to a local vendor that answers in
about a millisecond, an idempotency key each, the result of a step committed before the next one starts; two processes, the
same PostgreSQL. A run ends when the contender's own tables say that everything is done, and counts only if the vendor saw
exactly six effects per event. ``N=`` events, ``ROUNDS=`` rounds, ``ONLY=`` a part of the contenders' names.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks import harness
from benchmarks.harness import LOGS, ROOT, Bench, Contender, Figures, Goal, WrongResult
from benchmarks.ours import DATABASE, Ours
from benchmarks.peers.calls import paced
from benchmarks.processes import Group, cpu_seconds, until
from benchmarks.servers import Servers
from benchmarks.stub import STEPS, Stub

PROCESSES = 2
#: A run that takes longer than this is given up.
GIVE_UP = 180.0
#: The share part: a vendor that answers in 50 ms and allows five calls at once (a base NetSuite account).
SLOW, ALLOWED = 0.05, 5
#: The latency part: events a second, fewer than the slowest contender can do.
PACE = 8.0
#: What was found best for DBOS on two cores: workflows at once in each process, seconds between looks into its queue.
DBOS_CONCURRENCY, DBOS_POLL = int(os.environ.get("DBOS_CONCURRENCY", "16")), 0.05

METRICS = {
    "per_second": ("workflows/s", 1),
    "rss_mb": ("peak RSS, MB", 0),
    "pss_mb": ("peak memory, shared pages once, MB", 0),
    "cpu_ms": ("CPU a workflow, ms", 1),
    "first_ms": ("release → first call, ms", 0),
    "steady": ("workflows/s between the 20th and 80th percent", 1),
    "stub_busy": ("stub busy", 2),
    "share": ("share of allowed calls in use", 2),
    "p50_ms": ("event → done p50, ms", 0),
    "p95_ms": ("event → done p95, ms", 0),
}
OURS, DBOS = "ours", "DBOS"
SAME_CLIENT = "limit: threads and requests"
GOALS = (
    Goal("workflows/s, ours to DBOS", "per_second", OURS, DBOS, at_least=4, wanted=8),
    Goal("workflows/s, ours to the limit with the same HTTP client", "per_second", OURS, SAME_CLIENT, at_least=0.5),
    Goal("worker memory, ours to DBOS (shared pages counted once)", "pss_mb", OURS, DBOS, at_most=1.3),
    Goal("share of the vendor's allowed calls in use while work waits, ours", "share", "ours, 5 calls allowed", at_least=0.9),
    Goal("event → done p95, ours to DBOS", "p95_ms", "ours, paced", "DBOS, paced"),
)  # fmt: skip


class Sync:
    def __init__(self, servers: Servers, stub: Stub, peers: str, n: int) -> None:
        self.servers, self.stub, self.peers, self.n = servers, stub, peers, n
        self.ours = Ours(servers, servers.migrated(), stub)
        self.env = {**os.environ, "PYTHONPATH": str(ROOT)}

    # -- ours -------------------------------------------------------------------------------------------------------

    def run_ours(self) -> Figures:
        return self._ours(self.n, delay=0.001, allowed=0)

    def run_ours_limited(self) -> Figures:
        return self._ours(max(20, self.n // 4), delay=SLOW, allowed=ALLOWED)

    def _ours(self, n: int, *, delay: float, allowed: int) -> Figures:
        from benchmarks import world

        url = self.ours.prepare(at_once=allowed)
        for number in range(n):
            world.receive(f"W{number:06d}")
        with self.ours.workers(url) as group:
            return self._timed(group, n, delay, allowed, self._ours_done, self.ours.bells)

    def _ours_done(self) -> int:
        return self._count(DATABASE, "SELECT count(*) FROM sync_transaction WHERE state = 'succeeded'")

    def run_ours_paced(self) -> Figures:
        from benchmarks import world

        url, n = self.ours.prepare(), self._paced_n()
        self.stub.reset(expected=n)
        with self.ours.workers(url) as group, self.ours.bells():
            times = {}
            for workflow in paced(n, PACE):
                world.receive(workflow)
                times[workflow] = time.monotonic()
            return self._latency(group, n, times)

    # -- DBOS -------------------------------------------------------------------------------------------------------

    def run_dbos(self) -> Figures:
        return self._dbos(self.n, delay=0.001, allowed=0)

    def run_dbos_session(self) -> Figures:
        return self._dbos(self.n, "--session", delay=0.001, allowed=0)

    def run_dbos_limited(self) -> Figures:
        return self._dbos(max(20, self.n // 4), delay=SLOW, allowed=ALLOWED)

    def _dbos(self, n: int, *more: str, delay: float, allowed: int) -> Figures:
        name = "pssync_bench_dbos"
        url = self.servers.fresh(name)
        shape = [*self._dbos_shape(url, allowed), *more]
        self._peer("dbos_sync", "load", *shape, "--n", str(n))
        with Group(LOGS / "dbos.log") as group:
            for number in range(PROCESSES):
                self._start(group, "dbos_sync", "work", *shape, "--number", str(number))
            group.ready()
            return self._timed(group, n, delay, allowed, lambda: self._dbos_done(name), None)

    def _dbos_shape(self, url: str, allowed: int) -> list[str]:
        shape = ["--database", url, "--stub", self.stub.url, "--poll", str(DBOS_POLL)]
        if allowed:
            return [*shape, "--concurrency", str(allowed), "--everywhere", str(allowed), "--patient"]
        return [*shape, "--concurrency", str(DBOS_CONCURRENCY)]

    def _dbos_done(self, name: str) -> int:
        return self._count(name, "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'")

    def run_dbos_paced(self) -> Figures:
        url, n = self.servers.fresh("pssync_bench_dbos"), self._paced_n()
        shape = self._dbos_shape(url, 0)
        self._peer("dbos_sync", "load", *shape)
        self.stub.reset(expected=n)
        with Group(LOGS / "dbos.log") as group:
            for number in range(PROCESSES):
                self._start(group, "dbos_sync", "work", *shape, "--number", str(number))
            group.ready()
            group.go()
            command = self._command("dbos_sync", "feed", *shape, "--n", str(n), "--rate", str(PACE))
            fed = subprocess.run(
                command, cwd=ROOT, env=self.env, input="go\n", capture_output=True, text=True, check=True
            )
            return self._latency(group, n, json.loads(fed.stdout.splitlines()[-1]))

    # -- the limits -------------------------------------------------------------------------------------------------

    def run_limit(self, mode: str, concurrency: int) -> Figures:
        name = "pssync_bench_limit"
        url = self.servers.fresh(name)
        shape = ["--database", url, "--stub", self.stub.url, "--concurrency", str(concurrency)]
        self._peer("limits", "load", *shape, "--n", str(self.n))
        with Group(LOGS / f"limit-{mode}.log") as group:
            for number in range(PROCESSES):
                self._start(group, "limits", mode, *shape, "--number", str(number))
            group.ready()
            done = "SELECT count(*) FROM bench_event WHERE done"
            return self._timed(group, self.n, 0.001, 0, lambda: self._count(name, done), None)

    # -- what they share --------------------------------------------------------------------------------------------

    def _timed(
        self, group: Group, n: int, delay: float, allowed: int, done: Callable[[], int], bells: Any
    ) -> Figures:
        """From the release of the work until the contender's tables say that all of it is done."""
        self.stub.reset(expected=n, delay=delay, allowed=allowed)
        cpu, stub_cpu = group.cpu_seconds(), cpu_seconds(self.stub.pid)
        self.stub.start()
        started = time.monotonic()
        if bells is None:
            group.go()
            found = self._await(group, n, done)
        else:
            with bells():
                found = self._await(group, n, done)
        elapsed = time.monotonic() - started
        self._prove(found, n)
        finished = sorted(self.stub.finished().values())
        peak = group.peak()
        figures = {
            "per_second": n / elapsed,
            "rss_mb": peak["rss"],
            "pss_mb": peak["pss"],
            "cpu_ms": (group.cpu_seconds() - cpu) / n * 1000,
            "first_ms": (found["first_at"] - started) * 1000,
            "steady": _steady(finished),
            "stub_busy": (cpu_seconds(self.stub.pid) - stub_cpu) / elapsed,
            "at_once": found["most_at_once"],
            "refused": found["refused"],
        }
        if allowed:
            del figures["per_second"], figures["steady"]
            figures["share"] = found["share_in_use"] or 0.0
        return figures

    def _await(self, group: Group, n: int, done: Callable[[], int]) -> dict[str, Any]:
        found = self.stub.wait(finished=n, seconds=GIVE_UP)
        if found["finished"] < n:
            raise WrongResult(
                f"after {GIVE_UP:g} s: {found}; {done()} done by its own tables; {group.words()}"
            )
        until(lambda: done() >= n, seconds=30, what="its own tables to say that all is done", pause=0.005)
        return self.stub.summary()

    def _latency(self, group: Group, n: int, times: dict[str, float]) -> Figures:
        found = self.stub.wait(finished=n, seconds=60)
        self._prove(found, n)
        finished = self.stub.finished()
        waits = [finished[workflow] - at for workflow, at in times.items()]
        # What a fresh process pays once is left out: the first second.
        steady = waits[int(PACE) :]
        cut = statistics.quantiles(steady, n=20)
        return {
            "p50_ms": statistics.median(steady) * 1000,
            "p95_ms": cut[18] * 1000,
            "worst_ms": max(waits) * 1000,
        }

    @staticmethod
    def _prove(found: dict[str, Any], n: int) -> None:
        """Exactly six effects an event, none lost, none doubled, none sent a second time."""
        exact = found["effects"] == n * STEPS and found["workflows"] == n
        if not exact or found["doubles"] or found["repeats"]:
            raise WrongResult(f"{n} events should be {n * STEPS} effects, each once: {found}")

    def _paced_n(self) -> int:
        return int(PACE * 6)

    def _count(self, database: str, statement: str) -> int:
        with psycopg.connect(self.servers.url(database)) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return int(row[0]) if row else 0

    def _command(self, module: str, *arguments: str) -> list[str]:
        return [self.peers, "-m", f"benchmarks.peers.{module}", *arguments]

    def _peer(self, module: str, *arguments: str) -> None:
        subprocess.run(self._command(module, *arguments), cwd=ROOT, env=self.env, check=True)

    def _start(self, group: Group, module: str, *arguments: str) -> None:
        group.start(self._command(module, *arguments), env=self.env)


def _steady(finished: list[float]) -> float:
    """The rate in the middle of a run, without start and end; near to the whole for who finishes workflow by workflow."""
    low, high = len(finished) // 5, len(finished) * 4 // 5
    return (high - low) / max(1e-9, finished[high] - finished[low])


def _contenders(sync: Sync, *, quick: bool) -> tuple[list[Contender], list[Contender]]:
    speed = [
        Contender(OURS, "The product: Celery prefork 2, pump, plan, audit, records, links, hooks.", sync.run_ours),
        Contender(DBOS, f"DBOS, two processes, queue with {DBOS_CONCURRENCY} workflows each, the same calls.", sync.run_dbos),
        Contender("DBOS, requests.Session", "The same with calls as most people write them.", sync.run_dbos_session),
        Contender(SAME_CLIENT, "2 × 16 threads, prepared requests, one autocommit statement a step.",
                  lambda: sync.run_limit("threads", 16)),
        Contender("limit: asyncio, one commit a step", "2 × 32 coroutines, aiohttp, 16 connections each.",
                  lambda: sync.run_limit("async", 32)),
        Contender("limit: asyncio, group commit", "2 × 64 coroutines, aiohttp, one connection that commits for all.",
                  lambda: sync.run_limit("group", 64)),
    ]  # fmt: skip
    feel = [
        Contender("ours, 5 calls allowed", "A vendor that answers in 50 ms and refuses a sixth call at once with 429.",
                  sync.run_ours_limited),
        Contender("DBOS, 5 calls allowed", "The same; its queue runs five at once.", sync.run_dbos_limited),
        Contender("ours, paced", f"{PACE:g} events a second, waiting for none.", sync.run_ours_paced),
        Contender("DBOS, paced", "The same.", sync.run_dbos_paced),
    ]  # fmt: skip
    return speed, [] if quick else feel


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.add_argument("--n", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only contenders whose name holds this; nothing is kept")
    given = parser.parse_args()
    peers, servers = harness.peers_python(), Servers()
    os.environ |= servers.env(servers.url("postgres"))
    import django

    django.setup()
    with Stub() as stub:
        sync = Sync(servers, stub, peers, given.n)
        speed, feel = _contenders(sync, quick=False)
        chosen = [[one for one in part if given.only in one.name] for part in (speed, feel)]
        bench = Bench(
            "sync", "Durable workflow of six writes", __doc__ or "", METRICS, GOALS, [*chosen[0], *chosen[1]]
        )
        bench.facts = {"events": given.n, "rounds": given.rounds, **servers.facts()}
        for part, rounds in zip(chosen, (given.rounds, 1 if given.rounds < 3 else 2), strict=True):
            bench.contenders = part
            harness.interleave(bench, rounds=rounds)
        bench.contenders = [*chosen[0], *chosen[1]]
    sys.exit(0 if given.only else harness.keep(bench))


if __name__ == "__main__":
    main()
