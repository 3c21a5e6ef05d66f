"""``make bench-scale``: two web and several worker services through pgbouncer in transaction mode, on Redis and on RabbitMQ.

Signed events go to both webs, four Celery workers of two processes each work on them, the stub vendor is asked from outside
what was done: a run counts only when each acknowledged event has made its six effects once, in order, one call at a time, and
no service has logged an error. In the killed runs events come twice and two to a deal, and one web and one worker end by
``SIGKILL`` in the middle. What it costs is taken from the kernel (CPU), pgbouncer (statements, connections) and PostgreSQL
(WAL, tables and indexes). ``N=`` events, ``ROUNDS=`` rounds, ``BROKER=redis`` or ``rabbitmq`` for one of them, ``ONLY=`` a
part of the names.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks import brokers, harness
from benchmarks.brokers import free_port
from benchmarks.costs import KEPT, Meter
from benchmarks.harness import LOGS, Bench, Contender, Figures, Goal, WrongResult
from benchmarks.ours import DATABASE, Ours
from benchmarks.pooler import Pooler
from benchmarks.processes import until
from benchmarks.sender import Event, Sender
from benchmarks.servers import HOME, Servers
from benchmarks.site import Site
from benchmarks.stub import STEPS, Stub

WARM = 24
IDLE_SECONDS = 6.0
GIVE_UP = 240.0
#: A vendor that answers as an ERP over the internet does, so that workers wait for it and not for the cores.
SLOW = 0.25
#: Events a second in the killed runs: the kill falls into the middle of both sending and working.
PACE = 10.0
FLOOD = "BENCH-UK"

REDIS, RABBIT = "4 workers, Redis", "4 workers, RabbitMQ"
PLAIN, DIRECT = "not prepared", "no pooler"
SLOW_NAMES = {number: f"{number} worker{'s' * (number > 1)}, slow vendor" for number in (1, 2, 4)}
KILLED = {"redis": "killed, Redis", "rabbitmq": "killed, RabbitMQ"}
METRICS = {
    "per_second": ("transactions/s", 1),
    "p95_ms": ("taken → done p95, ms", 0),
    "cpu_ms": ("CPU a transaction, ms", 1),
    "cpu_web_ms": ("of it web", 1),
    "cpu_worker_ms": ("workers", 1),
    "cpu_postgres_ms": ("PostgreSQL", 1),
    "cpu_pooler_ms": ("pgbouncer", 2),
    "cpu_broker_ms": ("broker", 2),
    "cpu_beat_ms": ("beat", 2),
    "statements": ("statements a transaction", 1),
    "commits": ("commits a transaction", 1),
    "wal_bytes": ("WAL a transaction, bytes", 0),
    "stored": ("stored a transaction, bytes", 0),
    **{f"stored_{group}": (f"of it {group}", 0) for group in KEPT},
    "clients": ("connections at pgbouncer", 0),
    "servers": ("connections at PostgreSQL", 0),
    "web_mb": ("memory of the webs, MB", 0),
    "worker_mb": ("memory of the workers, MB", 0),
    "idle_cpu_ms": ("CPU an idle second, ms", 0),
    "idle_statements": ("statements an idle second", 0),
    "idle_wal": ("WAL an idle second, bytes", 0),
    "flood_left": ("share of the flood done after the others", 2),
    "lost": ("lost", 0),
    "doubled": ("doubled", 0),
    "disorder": ("out of order", 0),
    "repeats": ("sent again with the same key", 0),
    "unanswered": ("answers the senders missed", 0),
    "worst_s": ("longest taken → done, s", 1),
}
GOALS = (
    Goal("transactions/s, 2 workers to 1, slow vendor", "per_second", SLOW_NAMES[2], SLOW_NAMES[1], at_least=1.6),
    Goal("transactions/s, 4 workers to 1, slow vendor", "per_second", SLOW_NAMES[4], SLOW_NAMES[1], at_least=2.5),
    Goal("transactions/s, RabbitMQ (quorum) to Redis", "per_second", RABBIT, REDIS, at_least=0.8),
    Goal("CPU a transaction, through pgbouncer to without", "cpu_ms", REDIS, DIRECT),
    Goal("CPU a transaction, not prepared to prepared", "cpu_ms", PLAIN, REDIS),
    Goal("connections at PostgreSQL, through pgbouncer to without", "servers", REDIS, DIRECT, at_most=0.5),
    Goal("share of a flood that waits when the other entities are done", "flood_left", SLOW_NAMES[1], at_least=0.25),
    *(
        Goal(f"{word}, a web and a worker killed, {name.split(', ')[1]}", metric, name, at_most=0)
        for name in KILLED.values()
        for word, metric in (("events lost", "lost"), ("effects doubled", "doubled"), ("calls out of order", "disorder"))
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """How a run is set up. ``prepared``: prepared statements that pgbouncer carries; ``pooled``: whether there is one."""

    broker: str = "redis"
    workers: int = 4
    pooled: bool = True
    prepared: int = 200
    delay: float = 0.001
    killed: bool = False
    idle: bool = False
    #: Of the events asked for.
    share: float = 1.0


class Scale:
    def __init__(self, servers: Servers, stub: Stub, n: int) -> None:
        self.servers, self.stub, self.n = servers, stub, n
        self.ours = Ours(servers, servers.migrated(), stub)

    def run(self, shape: Shape) -> Figures:
        n = max(30, round(self.n * shape.share))
        url = self.ours.prepare()
        self.stub.reset(expected=WARM, delay=shape.delay)
        open_broker = {"redis": brokers.redis, "rabbitmq": brokers.rabbitmq}[shape.broker]
        with open_broker() as broker, self._pooler(shape, url) as pooler:
            address = pooler.url(DATABASE) if pooler else url
            env = self.servers.env(address, **broker.env, **(pooler.env if pooler else {}))
            with (
                Site(env, workers=shape.workers) as site,
                Meter(site, url=url, broker=broker, pooler=pooler) as meter,
            ):
                return self._measured(n, shape, site, meter)

    @contextlib.contextmanager
    def _pooler(self, shape: Shape, url: str) -> Iterator[Pooler | None]:
        if not shape.pooled:
            yield None
            return
        with Pooler(HOME / "pgbouncer", server_url=url, port=free_port(), prepared=shape.prepared) as made:
            yield made

    def _measured(self, n: int, shape: Shape, site: Site, meter: Meter) -> Figures:
        self._send(site, _events("warm", WARM)).join(seconds=60)
        self._await(site, WARM)
        figures: Figures = {}
        if shape.idle:
            before = meter.look()
            time.sleep(IDLE_SECONDS)  # an idle system is watched for so long
            figures |= meter.a_second(before, meter.look())
        self.stub.reset(expected=n, delay=shape.delay)
        events = _events("T", n, proof=shape.killed)
        before = meter.look()
        sender = self._send(site, events, rate=PACE if shape.killed else 0)
        if shape.killed:
            self._kill(n, site, sender)
        sender.join(seconds=GIVE_UP)
        found = self._await(site, n)
        figures |= self._outcome(events, found)
        self._prove(events, figures)
        if shape.killed:
            return figures
        self._prove_quiet(site, events, figures)
        figures |= meter.each(before, meter.look(), n)
        figures |= {"web_mb": site.memory_mb("web"), "worker_mb": site.memory_mb("worker"), **meter.peak}
        return figures

    def _send(self, site: Site, events: list[Event], *, rate: float = 0) -> Sender:
        sender = Sender(events, ports=list(site.ports.values()), path="/hooks/crm", rate=rate)
        sender.start()
        return sender

    def _kill(self, n: int, site: Site, sender: Sender) -> None:
        """One web and one worker, when a third has been taken and some of it is done."""
        until(
            lambda: sender.taken >= n // 3 and self.stub.summary()["finished"] >= n // 10,
            seconds=GIVE_UP, what="the middle of the run", pause=0.1,
        )  # fmt: skip
        site.kill("web1")
        site.kill("worker1")

    def _await(self, site: Site, n: int) -> dict[str, Any]:
        found = self.stub.wait(finished=n, seconds=GIVE_UP)
        if found["finished"] < n:
            raise WrongResult(f"after {GIVE_UP:g} s: {found}; {self._open()} open; {site.errors()[:5]}")
        until(
            lambda: self._open() == 0, seconds=30, what="its own tables to say that all is done", pause=0.05
        )
        return self.stub.summary()

    def _open(self) -> int:
        with psycopg.connect(self.servers.url(DATABASE)) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM sync_transaction WHERE state <> 'succeeded')"
                " + (SELECT count(*) FROM journal_inbox WHERE done_at IS NULL)"
            ).fetchone()
        return int(row[0]) if row else 0

    def _outcome(self, events: list[Event], found: dict[str, Any]) -> Figures:
        """What became of the acknowledged events, as the stub saw it."""
        finished = self.stub.finished()
        first = {event.deal: event for event in reversed(events)}
        waits = [
            finished[deal] - event.taken_at
            for deal, event in first.items()
            if deal in finished and event.taken_at
        ]
        last = max(finished.values())
        figures = {
            "per_second": len(first) / (last - min(event.taken_at or last for event in events)),
            "p95_ms": statistics.quantiles(waits, n=20)[18] * 1000,
            "worst_s": max(waits),
            "lost": len(first) * STEPS - found["effects"],
            "doubled": found["doubles"],
            "disorder": found["disorder"],
            "repeats": found["repeats"],
            "unanswered": float(sum(event.statuses.count(0) for event in events)),
        }
        others = [finished[deal] for deal, event in first.items() if event.entity != FLOOD]
        flood = [finished[deal] for deal, event in first.items() if event.entity == FLOOD]
        if others and flood:
            figures["flood_left"] = sum(at > max(others) for at in flood) / len(flood)
        return figures

    @staticmethod
    def _prove(events: list[Event], figures: Figures) -> None:
        """Each event has its six effects once and in order, whoever was killed."""
        wrong = {name: figures[name] for name in ("lost", "doubled", "disorder") if figures[name]}
        refused = [event for event in events if set(event.statuses) - {0, 200, 202}]
        if wrong or refused:
            raise WrongResult(f"each event is to have its six effects once: {wrong}; {refused[:3]}")

    @staticmethod
    def _prove_quiet(site: Site, events: list[Event], figures: Figures) -> None:
        """Where nobody was killed nothing is sent again and nothing goes wrong."""
        odd = [event for event in events if event.statuses != [202]]
        if odd or figures["repeats"]:
            raise WrongResult(f"{figures['repeats']:.0f} calls were repeated; events: {odd[:3]}")
        if errors := site.errors():
            raise WrongResult(f"{len(errors)} errors in the logs ({LOGS}): {errors[:3]}")


def _events(prefix: str, n: int, *, proof: bool = False) -> list[Event]:
    """Deals of one entity (four fifths), and behind them those of the others. ``proof``: every fifth event is brought to both
    doors, and every fifth deal has a second event of its own."""
    from benchmarks.world import ENTITIES, entity_of

    named = (f"{prefix}{number:07d}" for number in range(100 * n))
    wanted = {FLOOD: n - 2 * (n // 10), **{code: n // 10 for code in ENTITIES if code != FLOOD}}
    found: dict[str, list[str]] = {code: [] for code in wanted}
    for name in named:
        if len(found[entity_of(name)]) < wanted[entity_of(name)]:
            found[entity_of(name)].append(name)
        if all(len(found[code]) == wanted[code] for code in wanted):
            break
    others = [
        name for pair in zip(*(found[code] for code in wanted if code != FLOOD), strict=True) for name in pair
    ]
    events = []
    for number, name in enumerate([*found[FLOOD], *others]):
        events.append(Event(name, name, entity_of(name), twice=proof and number % 5 == 0))
        if proof and number % 5 == 1:
            events.append(Event(f"{name}-again", name, entity_of(name)))
    return events


def _contenders(scale: Scale) -> list[tuple[Contender, Shape]]:
    def made(name: str, what: str, shape: Shape) -> tuple[Contender, Shape]:
        run: Callable[[], Figures] = lambda: scale.run(shape)  # noqa: E731 - each with its own shape
        return Contender(name, what, run), shape

    return [
        made(REDIS, "2 webs, 4 workers, beat, pgbouncer in transaction mode.", Shape(idle=True)),
        made(RABBIT, "The same; the bells' queue is a quorum queue.", Shape(broker="rabbitmq", idle=True)),
        made(PLAIN, "As the first, through a pgbouncer that carries no prepared statements.", Shape(prepared=0)),
        made(DIRECT, "As the first, straight to PostgreSQL.", Shape(pooled=False)),
        *(
            made(name, f"A vendor that answers in {SLOW * 1000:.0f} ms; half the events.",
                 Shape(workers=number, delay=SLOW, share=0.5))
            for number, name in SLOW_NAMES.items()
        ),
        *(
            made(name, "A web and a worker end by SIGKILL; events come twice, and two to a deal.",
                 Shape(broker=broker, killed=True, delay=0.15))
            for broker, name in KILLED.items()
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--broker", default="", choices=("", "redis", "rabbitmq"), help="only this one; nothing is kept"
    )
    parser.add_argument("--only", default="", help="only contenders whose name holds this; nothing is kept")
    given = parser.parse_args()
    servers = Servers()
    os.environ |= servers.env(servers.url("postgres"))
    import django

    django.setup()
    with Stub() as stub:
        scale = Scale(servers, stub, given.n)
        chosen = [
            one
            for one, shape in _contenders(scale)
            if given.only in one.name and given.broker in ("", shape.broker)
        ]
        bench = Bench("scale", "Beyond one machine", __doc__ or "", METRICS, GOALS, chosen)
        pooler = Pooler(HOME / "pgbouncer", server_url=servers.url("postgres"), port=0)
        bench.facts = {
            "events": given.n, "rounds": given.rounds, "pgbouncer": ".".join(map(str, pooler.version)), **servers.facts(),
        }  # fmt: skip
        harness.interleave(bench, rounds=given.rounds)
    sys.exit(0 if given.only or given.broker else harness.keep(bench))


if __name__ == "__main__":
    main()
