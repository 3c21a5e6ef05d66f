"""``make bench-growth``: what a page, an event and a workflow cost with 10⁴, 10⁵ and 10⁶ transactions there already.

Three firms on one server, each behind the web server of the Procfile. Pages are asked of all firms in turn, one request each.
Then each firm's door takes signed events, and its engine (the worker of the Procfile) carries out one workflow of six writes
for each of them. A firm's own work is held back first, so that nothing but these events is ready: a round counts when all of
them ended as they should and no other transaction was worked on. ``N=`` page requests, ``EVENTS=`` events, ``ROUNDS=`` rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

import psycopg

from benchmarks import data, harness, load, pages
from benchmarks.harness import LOGS, Bench, Contender, Figures, Goal, WrongResult
from benchmarks.pages import Site
from benchmarks.processes import Group, procfile, until
from benchmarks.screens import CASES, DEEP, LIST, pages_of
from benchmarks.stub import Stub

SIZES = (10_000, 100_000, 1_000_000)
ASKED = {
    LIST: "list_ms",
    DEEP: "deep_ms",
    CASES: "cases_ms",
    "one case": "case_ms",
    "Home": "home_ms",
    "groups": "groups_ms",
}
METRICS = {
    "list_ms": ("list of transactions, ms", 1), "deep_ms": ("far back, ms", 1), "cases_ms": ("list of cases, ms", 1),
    "case_ms": ("one case, ms", 1), "home_ms": ("Home, ms", 1), "groups_ms": ("groups, ms", 1),
    "intake_ms": ("an event taken, ms", 2), "workflow_ms": ("a workflow of six writes, ms", 1),
}  # fmt: skip
GOALS = tuple(
    Goal(f"{title.removesuffix(', ms')}, 10⁶ to 10⁴", metric, str(SIZES[-1]), str(SIZES[0]), at_most=1.3)
    for metric, (title, _) in METRICS.items()
)
GIVE_UP = 180.0


def _pages(sites: Sequence[Site], n: int) -> dict[str, Figures]:
    asked = {
        f"{site.database}/{name}": (site, page)
        for site in sites
        for name, page in pages_of(site.database).items()
        if name in ASKED
    }
    pages.in_turn(asked, times=2)
    found = pages.in_turn(asked, times=n)
    return {
        site.database: {
            metric: statistics.median(found[f"{site.database}/{name}"]) for name, metric in ASKED.items()
        }
        for site in sites
    }


def _furnish(site: Site, stub: Stub) -> None:
    from benchmarks import world

    pages.point_at(site.database)
    world.furnish(stub_url=stub.url)


def _hold_back(site: Site) -> None:
    """The firm's own ready subjects and pending events are not worked on any more. What the updates leave behind is vacuumed,
    as autovacuum does in a living database."""
    with psycopg.connect(data.dsn(site.database), autocommit=True) as own:
        own.execute("UPDATE sync_subject SET ready_at = NULL WHERE ready_at IS NOT NULL")
        own.execute("UPDATE journal_inbox SET done_at = now() WHERE done_at IS NULL AND dead_at IS NULL")
        own.execute("VACUUM (ANALYZE) sync_subject, journal_inbox")


def _intake(site: Site, *, n: int, prefix: str) -> float:
    """Milliseconds an event, 16 connections."""
    found = load.send(port=site.port, path="/hooks/crm", n=n, prefix=prefix, connections=16)
    if found["statuses"] != {"202": n} or found["broken"]:
        raise WrongResult(f"{n} events should all be taken with 202: {found}")
    return 1000 / float(found["per_second"])


def _engine(site: Site, stub: Stub, *, n: int, prefix: str) -> float:
    """Milliseconds a workflow, from the first bell until the last of these events has succeeded."""
    from pssync_console.celery import app

    stub.reset(expected=n, delay=0.001, allowed=0)
    app.control.purge()
    over = threading.Event()
    with (
        Group(LOGS / f"growth-{site.database}.log") as group,
        psycopg.connect(data.dsn(site.database), autocommit=True) as own,
    ):
        _nothing_is_ready(own)
        before = own.execute("SELECT coalesce(max(id), 0) FROM sync_action").fetchone()
        group.start_logged(
            procfile("worker"), env={**site.env, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
        )
        until(lambda: app.control.ping(timeout=0.2), seconds=90, what="the Celery worker")
        stub.start()
        started = time.monotonic()

        def ring() -> None:
            while not over.is_set():
                app.send_task("sync.pump", expires=5)
                over.wait(0.5)

        ringer = threading.Thread(target=ring)
        ringer.start()
        done = (
            "SELECT count(*) FROM sync_transaction t JOIN sync_subject s ON s.id = t.subject_id"
            " WHERE s.kind = 'deal' AND s.key LIKE %s AND t.flow = 'deal.provision' AND t.state = 'succeeded'"
        )

        def finished() -> bool:
            row = own.execute(done, [f"crm:{prefix}%"]).fetchone()
            return row is not None and row[0] == n

        try:
            until(
                lambda: finished() or not group.alive(),
                seconds=GIVE_UP,
                what=f"{n} workflows; {group.words()[-500:]}",
                pause=0.1,
            )
        finally:
            over.set()
            ringer.join()
        if not group.alive():
            raise WrongResult(f"The worker ended: {group.words()}")
        elapsed = time.monotonic() - started
        foreign = own.execute(_FOREIGN, [before[0] if before else 0, f"crm:{prefix}%"]).fetchone()
        if foreign is None or foreign[0]:
            raise WrongResult(f"Other transactions were worked on beside the {n}: {foreign}")
        return elapsed / n * 1000


_FOREIGN = """
SELECT count(DISTINCT a.transaction_id) FROM sync_action a JOIN sync_transaction t ON t.id = a.transaction_id
JOIN sync_subject s ON s.id = t.subject_id WHERE a.id > %s AND NOT (s.kind = 'deal' AND s.key LIKE %s)
"""


def _nothing_is_ready(own: psycopg.Connection[tuple[int, ...]]) -> None:
    """Raises :class:`WrongResult` when the engine would find work besides the events of the bench."""
    found = own.execute("SELECT count(*) FROM sync_subject WHERE ready_at IS NOT NULL").fetchone()
    if found is None or found[0]:
        raise WrongResult(f"Subjects are ready that are not the bench's: {found}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    pages.prepare()
    databases = {rows: pages.firm_of(rows) for rows in SIZES}
    bench = Bench(
        "growth", "From 10⁴ to 10⁶ transactions", __doc__ or "", METRICS, GOALS,
        [Contender(str(rows), f"A firm with {rows:,} transactions, a tenth of them with open cases.", dict) for rows in SIZES],
    )  # fmt: skip
    bench.facts = {
        "requests": given.n,
        "events": given.events,
        "rounds": given.rounds,
        **pages.server(databases[SIZES[-1]]),
    }
    with ExitStack() as stack:
        stub = stack.enter_context(Stub())
        sites = [stack.enter_context(Site(name)) for name in databases.values()]
        for site in sites:
            _furnish(site, stub)
            _hold_back(site)
        for number in range(1, given.rounds + 1):
            found = _pages(sites, given.n)
            for rows, site in zip(SIZES, sites, strict=True):
                prefix = f"G{int(time.time())}r{number}-"
                figures = found[site.database]
                figures["intake_ms"] = _intake(site, n=given.events, prefix=prefix)
                figures["workflow_ms"] = _engine(site, stub, n=given.events, prefix=prefix)
                bench.runs.setdefault(str(rows), []).append(figures)
                shown = ", ".join(f"{METRICS[name][0]} {value:.1f}" for name, value in figures.items())
                print(f"round {number}/{given.rounds}  {rows:,}: {shown}", flush=True)
    sys.exit(harness.keep(bench))


if __name__ == "__main__":
    main()
