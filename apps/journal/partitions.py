"""Monthly range partitions for append-only tables: created by migration, kept ahead by a daily task.

Public surface: :class:`PartitionedTable`, :class:`PartitionedIndex` (migration operations), :func:`ensure_partitions`,
:func:`create_sql`, :func:`partitioned_tables`, :func:`partitions`, :func:`oldest_bound`.
Old months are dropped by :mod:`apps.journal.retention`.

A table is declared with its columns, the timestamp it is partitioned by and its indexes. It always has a DEFAULT
partition, so an insert never fails for want of a month; rows that landed there move to their month when it is made.
Django sees these tables as unmanaged models.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db import connection, transaction
from django.db.migrations.operations.base import Operation

from apps.core import clock

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,45}$")
#: Key of the advisory lock under which partitions are made or dropped: one maker at a time in the cluster.
LOCK = 0x7073_7061_7274

_APPEND_ONLY_FUNCTION = """
CREATE OR REPLACE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""


@dataclass(frozen=True)
class Partition:
    """One child of a partitioned table; a DEFAULT partition has no bounds."""

    table: str
    name: str
    since: date | None
    until: date | None


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not a plain table or index name")
    return name


def create_sql(
    *,
    table: str,
    columns: str,
    by: str,
    key: str = "",
    indexes: Mapping[str, str] | None = None,
    append_only: bool = False,
) -> list[str]:
    """The statements that create a partitioned table with a DEFAULT partition.

    ``columns`` is SQL that declares every column but ``id``; ``id`` comes from a sequence (identity columns on
    partitioned tables need PostgreSQL 17). The primary key is ``(id, by)``, or ``(key, by)`` of a table that declares
    a ``key`` of its own and has no ``id``. ``indexes`` maps a name to what stands
    after ``ON table``, e.g. ``{"journal_inbox_pending": "(id) WHERE done_at IS NULL"}``.
    """
    _checked(table)
    sequence = f"{table}_id_seq"
    if key:
        made = [
            f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({_checked(key)}, {by})) PARTITION BY RANGE ({by})"
        ]
    else:
        made = [
            f"CREATE SEQUENCE {sequence} AS bigint",
            f"CREATE TABLE {table} (id bigint NOT NULL DEFAULT nextval('{sequence}'), {columns}, "
            f"PRIMARY KEY (id, {by})) PARTITION BY RANGE ({by})",
            f"ALTER SEQUENCE {sequence} OWNED BY {table}.id",
        ]
    statements = [
        *made,
        *(f"CREATE INDEX {_checked(name)} ON {table} {what}" for name, what in (indexes or {}).items()),
    ]
    if append_only:
        statements += [_APPEND_ONLY_FUNCTION, *append_only_sql(table)]
    statements.append(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    if append_only:
        statements.append(_truncate_guard(f"{table}_default"))
    return statements


def append_only_sql(table: str) -> list[str]:
    """Triggers that refuse UPDATE, DELETE and TRUNCATE. Row triggers reach partitions, TRUNCATE's do not."""
    return [
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION journal_append_only()",
        _truncate_guard(table),
    ]


def _truncate_guard(table: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only()"
    )


class PartitionedTable(Operation):
    """Migration operation around :func:`create_sql`; declare the unmanaged model beside it."""

    reversible = True
    reduces_to_sql = True

    def __init__(
        self,
        table: str,
        *,
        columns: str,
        by: str,
        key: str = "",
        indexes: Mapping[str, str] | None = None,
        append_only: bool = False,
    ) -> None:
        self.table, self.columns, self.by, self.key = table, columns, by, key
        self.indexes, self.append_only = dict(indexes or {}), append_only

    def deconstruct(self) -> tuple[str, Sequence[object], dict[str, object]]:
        rest = {
            "columns": self.columns,
            "by": self.by,
            "key": self.key,
            "indexes": self.indexes,
            "append_only": self.append_only,
        }
        return type(self).__name__, [self.table], rest

    def state_forwards(self, app_label, state) -> None:
        """Nothing: the unmanaged model beside it is the state."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state) -> None:
        for statement in create_sql(
            table=self.table,
            columns=self.columns,
            by=self.by,
            key=self.key,
            indexes=self.indexes,
            append_only=self.append_only,
        ):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label, schema_editor, from_state, to_state) -> None:
        schema_editor.execute(f"DROP TABLE {_checked(self.table)}", params=None)

    def describe(self) -> str:
        return f"Create partitioned table {self.table}"


class PartitionedIndex(Operation):
    """Migration operation: a further index on a partitioned table, built partition by partition while rows are written.

    Needs ``atomic = False``. ``what`` stands after ``ON table``. Safe to run again after it was broken off.
    """

    reversible = True
    reduces_to_sql = True
    atomic = False

    def __init__(self, table: str, name: str, what: str) -> None:
        self.table, self.name, self.what = table, name, what

    def deconstruct(self) -> tuple[str, Sequence[object], dict[str, object]]:
        return type(self).__name__, [self.table, self.name, self.what], {}

    def state_forwards(self, app_label, state) -> None:
        """Nothing: unmanaged models declare no indexes."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state) -> None:
        name = _checked(self.name)
        schema_editor.execute(
            f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {_checked(self.table)} {self.what}", params=None
        )
        for partition in partitions(self.table):
            # Named by a digest: the table's name, the month and the index's name together may be too long.
            own = f"{name[:40]}_{hashlib.sha256(partition.name.encode()).hexdigest()[:8]}"
            if _attached(name, partition.name):
                continue
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {own}", params=None)
            schema_editor.execute(
                f"CREATE INDEX CONCURRENTLY {own} ON {partition.name} {self.what}", params=None
            )
            schema_editor.execute(f"ALTER INDEX {name} ATTACH PARTITION {own}", params=None)

    def database_backwards(self, app_label, schema_editor, from_state, to_state) -> None:
        schema_editor.execute(f"DROP INDEX {_checked(self.name)}", params=None)

    def describe(self) -> str:
        return f"Create index {self.name} on partitioned table {self.table}"


def _attached(index: str, partition: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid"
            " WHERE h.inhparent = %s::regclass AND i.indrelid = %s::regclass)",
            [index, partition],
        )
        return cursor.fetchone()[0]


def partitioned_tables() -> list[str]:
    """Every range-partitioned table of this schema that has a ``<table>_default`` partition, by name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid"
            " JOIN pg_class d ON d.oid = p.partdefid"
            " WHERE p.partstrat = 'r' AND c.relnamespace = current_schema()::regnamespace"
            " AND d.relname = c.relname || '_default' ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall()]


def partitions(table: str) -> list[Partition]:
    """The children of ``table``, oldest first, DEFAULT last."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass",
            [table],
        )
        names = [row[0] for row in cursor.fetchall()]
    found = [_parse(table, name) for name in names]
    return sorted(found, key=lambda p: (p.since is None, p.since or date.min))


def _parse(table: str, name: str) -> Partition:
    match = re.fullmatch(rf"{table}_y(\d{{4}})m(\d{{2}})", name)
    if not match:
        return Partition(table, name, None, None)
    since = date(int(match[1]), int(match[2]), 1)
    return Partition(table, name, since, _next_month(since))


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def oldest_bound(table: str) -> date | None:
    """First day covered by a month's partition; rows of earlier sealed months may have been retired."""
    bounds = [p.since for p in partitions(table) if p.since]
    return min(bounds) if bounds else None


def ensure_partitions(*, months_ahead: int = 3, months_behind: int = 0) -> list[str]:
    """Make this month's and the next months' partitions of every partitioned table; names of the new ones.

    ``months_behind`` is for loading what happened before."""
    today = clock.today()
    first = today.year * 12 + today.month - 1 - months_behind
    months = [date(first // 12, first % 12 + 1, 1)]
    for _ in range(months_behind + months_ahead):
        months.append(_next_month(months[-1]))
    made = []
    for table in partitioned_tables():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            have = {p.since for p in partitions(table)}
            missing = [since for since in months if since not in have]
            if not missing:
                continue
            # A table busy with a long query is tried again tomorrow rather than queueing everybody behind us.
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            made += _make(cursor, table, missing)
    return made


def _make(cursor, table: str, months: Sequence[date]) -> list[str]:
    """Create the months; rows of theirs waiting in DEFAULT are carried over by building DEFAULT anew."""
    by = partition_column(cursor, table)
    guarded = _is_append_only(cursor, table)
    default, former = f"{table}_default", f"{table}_former"
    first, last = _midnight(months[0]), _midnight(_next_month(months[-1]))
    cursor.execute(
        f"SELECT EXISTS (SELECT 1 FROM {default} WHERE {by} >= %s AND {by} < %s)",  # noqa: S608
        [first, last],
    )
    waiting = cursor.fetchone()[0]
    if waiting:
        cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {default}")
        cursor.execute(f"ALTER TABLE {default} RENAME TO {former}")
    names = []
    for since in months:
        name = f"{table}_y{since:%Y}m{since:%m}"
        bounds = f"FROM ('{_midnight(since)}') TO ('{_midnight(_next_month(since))}')"
        cursor.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES {bounds}")
        if guarded:
            cursor.execute(_truncate_guard(name))
        names.append(name)
    if waiting:
        cursor.execute(f"CREATE TABLE {default} PARTITION OF {table} DEFAULT")
        cursor.execute(f"INSERT INTO {table} SELECT * FROM {former}")  # noqa: S608
        cursor.execute(f"DROP TABLE {former}")
        if guarded:
            cursor.execute(_truncate_guard(default))
    return names


def _midnight(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()


def partition_column(cursor, table: str) -> str:
    """The column that a table is partitioned by."""
    cursor.execute(
        "SELECT a.attname FROM pg_partitioned_table p"
        " JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]"
        " WHERE p.partrelid = %s::regclass",
        [table],
    )
    return _checked(cursor.fetchone()[0])


def _is_append_only(cursor, table: str) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s)",
        [table, f"{table}_no_truncate"],
    )
    return cursor.fetchone()[0]
