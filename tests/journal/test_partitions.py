"""Append-only tables are cut by month; an insert never fails for want of a month."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import time_machine
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from apps.core import clock
from apps.journal.models import Audit
from apps.journal.partitions import (
    PartitionedIndex,
    PartitionedTable,
    create_sql,
    ensure_partitions,
    partitioned_tables,
    partitions,
)


def _audit_at(at: datetime, ref: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal_audit (at, verb, object_type, object_ref, correlation_id)"
            " VALUES (%s, 'v', 't', %s, gen_random_uuid())",
            [at, ref],
        )


def _where(ref: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM journal_audit WHERE object_ref = %s", [ref])
        return cursor.fetchone()[0]


#: Tables that only grow.
GROWING = ["journal_audit", "journal_inbox", "sync_action", "sync_payload"]


@pytest.mark.django_db
@pytest.mark.parametrize("table", GROWING)
def test_a_table_that_only_grows_is_partitioned_by_month_with_a_default(table):
    assert table in partitioned_tables()
    cut = partitions(table)
    assert cut[-1].name == f"{table}_default"
    today = clock.now().date()
    assert any(one.since and one.until and one.since <= today < one.until for one in cut)


@pytest.mark.django_db
@pytest.mark.parametrize("table", GROWING)
def test_it_was_from_the_migration_that_made_it(table):
    loader = MigrationLoader(connection)
    makers = [
        operation
        for migration in loader.disk_migrations.values()
        for operation in migration.operations
        if table
        in (getattr(operation, "table", ""), (getattr(operation, "options", None) or {}).get("db_table"))
    ]
    made = [type(maker) for maker in makers if not _is_unmanaged(maker)]
    assert [one for one in made if one is not PartitionedIndex] == [PartitionedTable]
    [model] = [one for one in apps.get_models() if one._meta.db_table == table]
    assert not model._meta.managed


def _is_unmanaged(operation: object) -> bool:
    """Django is told of the table; it makes none."""
    return (getattr(operation, "options", None) or {}).get("managed") is False


@pytest.mark.django_db
def test_making_partitions_again_makes_nothing():
    ensure_partitions()
    assert ensure_partitions() == []


@pytest.mark.django_db
def test_a_year_turn_makes_the_right_months():
    with time_machine.travel("2030-12-31T23:30:00Z", tick=False):
        made = ensure_partitions(months_ahead=1)
    assert {name for name in made if name.startswith("journal_audit")} == {
        "journal_audit_y2030m12",
        "journal_audit_y2031m01",
    }


@pytest.mark.django_db
def test_rows_waiting_in_default_move_to_their_month_unchanged():
    _audit_at(datetime(2031, 5, 1, tzinfo=UTC), "on the edge")
    _audit_at(datetime(2001, 1, 1, tzinfo=UTC), "of no month")
    before = list(Audit.objects.order_by("id").values())
    assert _where("on the edge") == "journal_audit_default"
    with time_machine.travel("2031-05-10T00:00:00Z", tick=False):
        ensure_partitions(months_ahead=0)
    assert _where("on the edge") == "journal_audit_y2031m05"
    assert _where("of no month") == "journal_audit_default"
    assert list(Audit.objects.order_by("id").values()) == before


@pytest.mark.django_db
def test_the_rebuilt_default_and_new_months_are_append_only_too():
    _audit_at(datetime(2031, 5, 1, tzinfo=UTC), "x")
    with time_machine.travel("2031-05-10T00:00:00Z", tick=False):
        ensure_partitions(months_ahead=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relname IN ('journal_audit_default', 'journal_audit_y2031m05')"
            " AND t.tgname ~ '(append_only|no_truncate)$' GROUP BY 1 ORDER BY 1"
        )
        assert cursor.fetchall() == [("journal_audit_default", 2), ("journal_audit_y2031m05", 2)]


def test_a_table_name_is_never_sql():
    with pytest.raises(ValueError, match="plain"):
        create_sql(table="x; DROP TABLE y", columns="at timestamptz", by="at")
