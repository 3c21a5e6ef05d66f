"""Bulk loading: rows by COPY into tables without secondary indexes, keys and triggers, which are put back afterwards.

Public surface: :func:`bare`, :func:`copy_in`, :func:`bump`, :class:`Bare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import psycopg
from psycopg import sql

#: Rows of one COPY, each a database transaction of its own: seals take whole transactions.
CHUNK = 50_000
_MEMORY = "SET maintenance_work_mem = '512MB'; SET synchronous_commit = off"


@dataclass(frozen=True)
class Bare:
    """What was taken from the tables: statements that make the indexes and unique keys again, then the foreign keys."""

    tables: tuple[str, ...]
    indexes: tuple[str, ...]
    foreign: tuple[str, ...]

    def restore(self, dsn: str, *, workers: int = 2) -> None:
        """Several connections build indexes side by side, and then collect statistics."""
        for statements in (
            self.indexes,
            self.foreign,
            [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in self.tables],
        ):
            _each(dsn, statements, workers)

    def settle(self, dsn: str, *, workers: int = 2) -> None:
        """Statistics for the planner, and the visibility map for scans of indexes alone."""
        _each(dsn, [f"VACUUM (ANALYZE) {table}" for table in self.tables], workers)


def _each(dsn: str, statements: Iterable[str], workers: int) -> None:
    def run(statement: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_MEMORY)
            connection.execute(statement)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, statements):
            pass


def bare(connection: psycopg.Connection, tables: Sequence[str]) -> Bare:
    """Take secondary indexes, unique and foreign keys and triggers from ``tables``; primary keys stay."""
    indexes: list[str] = []
    foreign: list[str] = []
    for table in tables:
        rows = connection.execute(
            "SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype IN ('u', 'f') AND conparentid = 0 ORDER BY conname",
            [table],
        ).fetchall()
        for name, kind, definition in rows:
            again = f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}'
            (foreign if kind == "f" else indexes).append(again)
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        rows = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = %s::regclass AND NOT indisprimary ORDER BY 1",
            [table],
        ).fetchall()
        for name, definition in rows:
            indexes.append(definition.replace(" ON ONLY ", " ON "))
            connection.execute(f"DROP INDEX {name}")
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    return Bare(tuple(tables), tuple(indexes), tuple(foreign))


def copy_in(dsn: str, table: str, columns: str, rows: Iterable[str]) -> int:
    """COPY lines of tab-separated fields; returns how many."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    )
    total = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_MEMORY)
        for chunk in _chunks(rows, CHUNK):
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
                for part in _chunks(iter(chunk), 2_000):
                    copy.write("\n".join(part) + "\n")
            total += len(chunk)
    return total


def _chunks(rows: Iterable[str], size: int) -> Iterator[list[str]]:
    rows = iter(rows)
    while chunk := list(islice(rows, size)):
        yield chunk


def bump(connection: psycopg.Connection, table: str) -> None:
    """The table's id goes on after the rows that were copied in."""
    connection.execute(
        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest((SELECT max(id) FROM {table}), 1))"
    )
