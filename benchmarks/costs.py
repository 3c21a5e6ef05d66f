"""What a transaction costs: CPU by part, statements, WAL, room on disk by how long it is kept, connections.

Public surface: :class:`Meter`, :data:`KEPT`, :func:`kept`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.brokers import Broker
from benchmarks.pooler import Pooler
from benchmarks.servers import HOME
from benchmarks.site import Site, spent
from pssync_console.runtime.shared import pid_in

SAMPLE_SECONDS = 0.25
#: Groups of tables by the setting that says how long they are kept (see docs/production.md).
KEPT = {
    "payload": ("RETENTION_MONTHS_PAYLOADS", 3),
    "action": ("RETENTION_MONTHS_ACTIONS", 24),
    "inbox": ("RETENTION_MONTHS_INBOX", 6),
    "key": ("INBOX_KEY_DAYS", 3),
    "audit": ("RETENTION_MONTHS_AUDIT", 0),
    "standing": ("", 0),
    "passing": ("", 0),
}
_SIZES = """
SELECT coalesce(parent.relname, c.relname), sum(pg_total_relation_size(c.oid))::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
WHERE c.relkind = 'r' AND n.nspname = 'public' GROUP BY 1
"""
_WORK = """
SELECT xact_commit + xact_rollback AS commits, blks_read, blks_hit, tup_inserted, tup_updated, tup_deleted
FROM pg_stat_database WHERE datname = current_database()
"""
_WAL = "SELECT wal_bytes::bigint AS wal_bytes, wal_fpi AS wal_full_pages, wal_records FROM pg_stat_wal"


def kept(table: str) -> str:
    """The group of a table; what no retention drops is ``standing``, what is folded or used again is ``passing``."""
    match table:
        case "journal_inbox":
            return "inbox"
        case "journal_inboxkey":
            return "key"
        case "journal_audit":
            return "audit"
        case "sync_action":
            return "action"
        case "sync_payload" | "sync_body":
            return "payload"
        case (
            "journal_countdelta"
            | "connectors_permit"
            | "connectors_demand"
            | "connectors_traffic"
            | "sync_pumpslot"
        ):
            return "passing"
    return "standing"


@dataclass
class _Look:
    at: float
    cpu: dict[str, float]
    numbers: dict[str, int]
    sizes: dict[str, int]


class Meter:
    """Looks before and after; samples connections in between. Use as a context manager."""

    def __init__(self, site: Site, *, url: str, broker: Broker, pooler: Pooler | None) -> None:
        self.site, self.url, self.broker, self.pooler = site, url, broker, pooler
        self.peak: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> _Look:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_stat_force_next_flush()")
            numbers = {**_row(connection, _WORK), **_row(connection, _WAL)}
            sizes: dict[str, int] = dict(connection.execute(_SIZES).fetchall())
        if self.pooler is not None:
            numbers |= self.pooler.counted()
        cpu = {role: self.site.cpu_seconds(role) for role in ("web", "worker", "beat")}
        for name, pid in (
            ("postgres", pid_in(HOME / "postgres" / "postmaster.pid")),
            ("broker", self.broker.pid),
        ):
            if pid is not None:
                cpu[name] = spent(pid)
        if self.pooler is not None:
            cpu["pooler"] = spent(self.pooler.pid)
        return _Look(time.monotonic(), cpu, numbers, sizes)

    def a_second(self, before: _Look, after: _Look) -> dict[str, float]:
        """What is spent each second: CPU milliseconds, statements, bytes of WAL."""
        seconds = after.at - before.at
        cpu = sum(after.cpu.values()) - sum(before.cpu.values())
        found = {"idle_cpu_ms": cpu / seconds * 1000}
        for name, title in (("statements", "idle_statements"), ("wal_bytes", "idle_wal")):
            if name in before.numbers:
                found[title] = (after.numbers[name] - before.numbers[name]) / seconds
        return found

    def each(self, before: _Look, after: _Look, n: int) -> dict[str, float]:
        """What each of ``n`` transactions has cost."""
        found = {f"cpu_{name}_ms": (after.cpu[name] - before.cpu[name]) / n * 1000 for name in before.cpu}
        found["cpu_ms"] = sum(found.values())
        found |= {name: (after.numbers[name] - value) / n for name, value in before.numbers.items()}
        for group in KEPT:
            found[f"stored_{group}"] = 0.0
        for table, size in after.sizes.items():
            grown = (size - before.sizes.get(table, 0)) / n
            found[f"stored_{kept(table)}"] += grown
            if grown:
                found[f"table {table}"] = grown
        found["stored"] = sum(found[f"stored_{group}"] for group in KEPT)
        return found

    def _sample(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not self._over.wait(SAMPLE_SECONDS):
                now = {"servers": _backends(connection)}
                if self.pooler is not None:
                    found = self.pooler.connections()
                    now |= {"clients": found["clients"], "lent": found["lent"], "waiting": found["waiting"]}
                self.peak = {name: max(value, self.peak.get(name, 0)) for name, value in now.items()}


def _backends(connection: psycopg.Connection[Any]) -> int:
    """Server connections to this database but our own."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name <> 'bench'"
    ).fetchone()
    return int(row[0]) if row else 0


def _row(connection: psycopg.Connection[Any], statement: str) -> dict[str, int]:
    cursor = connection.execute(statement.encode())
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))
