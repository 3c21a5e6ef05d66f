"""A large firm in a database of its own: ``python -m benchmarks.data --rows 1000000``.

Public surface: :func:`create`, :func:`fill`, :func:`dsn`.

Everything comes by COPY, two processes side by side, into tables without secondary indexes, which are built afterwards.
The same seed on the same day gives the same firm. The engine does not run here: no work of it is due to a real system.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import bulk, firm

DATABASE = "pssync_bench"
PASSWORD = "a-long-bench-passphrase"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions (10000, 100000, 1000000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--database", default=DATABASE, help="dropped and made anew on the server of DATABASE_URL"
    )
    chosen = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")
    import django

    from pssync_console import runtime

    runtime.ensure(broker=False)
    django.setup()
    url = create(chosen.database)
    started = time.monotonic()
    counts = fill(rows=chosen.rows, seed=chosen.seed, told=print)
    print(f"{sum(counts.values()):,} rows in {time.monotonic() - started:.0f} s: {url}")
    return 0


def create(name: str) -> str:
    """Drop and make the database ``name`` beside the configured one, migrate it and point Django at it; its address."""
    from django.core.management import call_command
    from django.db import connection

    if not name.endswith("bench"):
        raise SystemExit(f"{name!r} would be dropped: the name of a bench's database ends with “bench”.")
    with psycopg.connect(dsn("postgres"), autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    connection.close()
    connection.settings_dict["NAME"] = name
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    return dsn(name)


def dsn(name: str) -> str:
    """libpq's words for a database of the configured server."""
    from django.db import connection

    wanted = ("host", "port", "user", "password", "sslmode")
    given = connection.get_connection_params()
    return psycopg.conninfo.make_conninfo(**{key: given[key] for key in wanted if key in given}, dbname=name)


def fill(
    *,
    rows: int,
    seed: int,
    tables: Collection[str] | None = None,
    thin: bool = False,
    told: Callable[[str], object] = lambda text: None,
) -> dict[str, int]:
    """Load a firm with ``rows`` transactions into the migrated, empty database that Django points at; rows by table.

    ``tables`` and ``thin`` leave out what a test does not look at. ``told`` hears how long each part took."""
    from django.db import connection, connections

    from apps.core import clock
    from apps.journal import counters
    from apps.journal.partitions import ensure_partitions
    from apps.triage import rollups
    from benchmarks.rows import TABLES
    from benchmarks.rows_base import CODES

    clocked = _Clock(told)
    ensure_partitions(months_behind=12)
    firm_ = firm.make(rows, seed, firm.newest_midnight(clock.now()), codes=len(CODES))
    lines = _small_tables(firm_, thin=thin)
    address = dsn(str(connection.settings_dict["NAME"]))
    clocked("the firm")
    chosen = [table for table in TABLES if tables is None or table in tables]
    with psycopg.connect(address, autocommit=True) as own:
        taken = bulk.bare(own, chosen)
    connections.close_all()
    counts = _load(address, lines, chosen)
    clocked("COPY")
    taken.restore(address)
    clocked("indexes and keys")
    with psycopg.connect(address, autocommit=True) as own:
        for table in chosen:
            if table != "sync_body":
                bulk.bump(own, table)
        for prefix, first in (("tx", 1), ("ex", 10_001), ("eng", 1), ("pb", 1)):
            own.execute(f"SELECT setval('journal_ref_{prefix}', {first + rows * 10})")
    for counter in counters.counters():
        counters.recount(counter)
    counters.fold()
    rollups.rebuild()
    taken.settle(address)
    _settle_figures(address)
    clocked("statistics")
    return counts


def _settle_figures(dsn: str) -> None:
    """What was folded, with the statistics and the visibility map that autovacuum gives it in a living database."""
    tables = "journal_count, journal_countdelta, triage_touched, triage_heldsubject, triage_heldtotal, triage_grouptotal"
    with psycopg.connect(dsn, autocommit=True) as own:
        own.execute(f"VACUUM (ANALYZE) {tables}".encode())


class _Clock:
    def __init__(self, told) -> None:
        self._told, self._since = told, time.monotonic()

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        self._told(f"  {what}: {now - self._since:.1f} s")
        self._since = now


def _small_tables(firm_: firm.Firm, *, thin: bool) -> Any:
    """Legal entities, systems, people and receivers, through the services; the firm as lines that refer to them."""
    from apps.journal import services as journal
    from apps.organization import services as organization
    from benchmarks.rows import Lines

    entities = []
    for code, country, currency in firm.ENTITIES:
        entity = organization.entity_set(
            code=f"MER-{code}",
            name=f"Merridane {country}",
            country=country,
            currency=currency,
            timezone="UTC",
        )
        entities.append(entity)
    systems = {
        kind: organization.system_set(code=kind, name=name, kind=kind, vendor=vendor).pk
        for kind, name, vendor in (
            ("crm", "Salesforce", "salesforce"),
            ("psa", "Kantata", "kantata"),
            ("erp", "NetSuite", "netsuite"),
            ("billing", "Stripe", "stripe"),
        )
    }
    for number, base in enumerate(("EUR", "USD", "INR", "SEK", "AUD", "SGD", "CHF")):
        organization.rate_set(base=base, quote="GBP", on=firm_.since.date(), rate=Decimal(f"0.{8 - number}1"))
    people = []
    for number in range(12):
        person = organization.user_create(
            username=f"bench{number}", email=f"bench{number}@merridane.example", password=PASSWORD
        )
        place = entities[number - 1] if number else None
        organization.role_grant(user=person, role="controller", legal_entity=place)
        people.append(person.pk)
    manager = organization.user_create(username="bench-pm", email="pm@merridane.example", password=PASSWORD)
    for number in range(3):
        organization.grant_engagement(user=manager, engagement_key=f"ENG-2026-{number:06d}")
    for number in (1, 2):
        journal.subscription_add(name=f"bench{number}", url=f"https://receiver{number}.example/events")
    return Lines(
        firm_, entities=[entity.pk for entity in entities], systems=systems, people=people, thin=thin
    )


def _load(dsn: str, lines: Any, tables: list[str]) -> dict[str, int]:
    """Two processes that share the firm by fork take one table after the other, the largest first."""
    forked = multiprocessing.get_context("fork")
    waiting, done = forked.SimpleQueue(), forked.SimpleQueue()
    for table in tables:
        waiting.put(table)
    workers = [forked.Process(target=_work, args=(dsn, lines, waiting, done), daemon=True) for _ in range(2)]
    for worker in workers:
        waiting.put(None)
        worker.start()
    counts: dict[str, int] = {}
    for _ in tables:
        table, count, error = done.get()
        if error:
            raise RuntimeError(f"{table}: {error}")
        counts[table] = count
    for worker in workers:
        worker.join()
    return counts


def _work(dsn: str, lines: Any, waiting: Any, done: Any) -> None:
    from benchmarks.rows import TABLES

    while (table := waiting.get()) is not None:
        columns, generate = TABLES[table]
        try:
            done.put((table, bulk.copy_in(dsn, table, columns, generate(lines)), ""))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            done.put((table, 0, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main())
