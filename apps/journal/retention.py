"""Retention: whole months of append-only tables are dropped once they are older than the settings say.

Public surface: :class:`Rule`, :func:`declare`, :func:`retire`, :class:`Retired`, :func:`legal_hold_place`,
:func:`legal_hold_lift`, :func:`legal_holds`, :func:`first_day_kept` and :func:`dropping` (for rooms that delete rows).

A room declares a rule for each partitioned table that it owns. One month is one database transaction: it is either dropped
with its audit row or stands as it was, so a run that is broken off is taken up by the next. Rows that are still needed
(``keep``) move to the DEFAULT partition, from where they are deleted in batches once nobody needs them; a month
whose ``refuse`` names a reason stays whole. Whoever drops waits a second at most for the table, so nobody queues behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from apps.core import clock
from apps.core.errors import InvalidInput, WrongState
from apps.journal.audit import record
from apps.journal.inbox import inbox_keys_prune, rejects_prune
from apps.journal.models import LegalHold
from apps.journal.partitions import LOCK, Partition, partition_column, partitions

log = structlog.get_logger(__name__)

#: How long the drop of one month may wait for its table, in milliseconds; who comes after it waits no longer than that.
LOCK_MILLISECONDS = 1000
#: A month with more rows that are still needed than this stays whole: moving them would hold the table for too long.
MOST_CARRIED = 100_000
#: Rows deleted from DEFAULT in one statement, and statements in one run.
BATCH, MOST_BATCHES = 5_000, 200


@dataclass(frozen=True)
class Rule:
    """Of ``table``, the months before the last ``months`` whole ones go; ``months`` reads the setting, 0 = all stay.

    ``keep`` is SQL about a row ``r`` that is still needed. ``refuse`` answers, for the name of a month's partition, the
    reason why it must stay as it is, or "". ``in_order``: no month goes before an older one.
    """

    table: str
    months: Callable[[], int]
    keep: str = "false"
    refuse: Callable[[Any, str], str] | None = None
    in_order: bool = False


@dataclass(frozen=True)
class Retired:
    """What one run did: partitions dropped, rows moved to DEFAULT and deleted from it, keys and rejects forgotten, and the
    months that should have gone with the reason why they did not."""

    dropped: tuple[str, ...] = ()
    carried: int = 0
    deleted: int = 0
    keys: int = 0
    rejects: int = 0
    kept: tuple[tuple[str, str], ...] = ()
    held: bool = False

    def __bool__(self) -> bool:
        return bool(self.dropped or self.deleted or self.keys or self.rejects or self.kept or self.held)


_rules: dict[str, Rule] = {}


def declare(rule: Rule) -> None:
    """Called by the owning room when the application starts; a second rule of one table replaces the first."""
    _rules[rule.table] = rule


def rules() -> list[Rule]:
    return [_rules[table] for table in sorted(_rules)]


def retire() -> Retired:
    """Drop what is due. Safe to run twice and at the same time; does nothing while a legal hold is in force."""
    done = Retired()
    if legal_holds():
        log.info("retention_held")
        return replace(done, held=True)
    for rule in rules():
        months = rule.months()
        if months > 0:
            done = _retire_table(rule, first_day_kept(months), done)
    return replace(done, keys=inbox_keys_prune(), rejects=rejects_prune())


def first_day_kept(months: int) -> date:
    """The first day that is kept: that of the month ``months`` before the present one."""
    today = clock.today()
    number = today.year * 12 + today.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


@contextmanager
def dropping() -> Iterator[Any]:
    """A database transaction in which rows may be dropped: a cursor, or None while a legal hold is in force. Whoever places
    a hold waits for it, so that nothing goes once the hold stands."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        yield None if _held(cursor) else cursor


def _retire_table(rule: Rule, cutoff: date, done: Retired) -> Retired:
    for partition in partitions(rule.table):
        if partition.until is None or partition.until > cutoff:
            break
        reason, carried = _retire_month(rule, partition)
        if not reason:
            done = replace(done, dropped=(*done.dropped, partition.name), carried=done.carried + carried)
            continue
        log.warning("retention_month_kept", partition=partition.name, reason=reason)
        done = replace(done, kept=(*done.kept, (partition.name, reason)))
        if rule.in_order:
            break
    if rule.in_order:
        return done
    return replace(done, deleted=done.deleted + _prune_default(rule, cutoff))


def _retire_month(rule: Rule, partition: Partition) -> tuple[str, int]:
    """``(reason why it stays, rows carried over)``."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            if _held(cursor):
                return "a legal hold is in force", 0
            # Looked at before the table is locked, so that a month that stays costs nobody a wait; and again afterwards.
            reason = _why_not(cursor, rule, partition)
            if reason:
                return reason, 0
            cursor.execute(f"LOCK TABLE {rule.table} IN ACCESS EXCLUSIVE MODE")
            if not _exists(cursor, partition):
                return "", 0
            reason = _why_not(cursor, rule, partition)
            if reason:
                return reason, 0
            return "", _drop(cursor, rule, partition)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
            raise
        return "its table was busy; the next run tries again", 0


def _why_not(cursor: Any, rule: Rule, partition: Partition) -> str:
    reason = rule.refuse(cursor, partition.name) if rule.refuse else ""
    if reason or rule.keep == "false":
        return reason
    cursor.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {partition.name} r WHERE {rule.keep} LIMIT %s) x",  # noqa: S608
        [MOST_CARRIED + 1],
    )
    return "too many of its rows are still needed" if cursor.fetchone()[0] > MOST_CARRIED else ""


def _drop(cursor: Any, rule: Rule, partition: Partition) -> int:
    cursor.execute("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE relname = %s", [partition.name])
    about = cursor.fetchone()[0]
    cursor.execute(f"ALTER TABLE {rule.table} DETACH PARTITION {partition.name}")
    carried = 0
    if rule.keep != "false":
        cursor.execute(
            f"INSERT INTO {rule.table} SELECT r.* FROM {partition.name} r WHERE {rule.keep}"  # noqa: S608
        )
        carried = cursor.rowcount
    cursor.execute(f"DROP TABLE {partition.name}")
    record(
        verb="retention.dropped",
        object_type="partition",
        object_ref=partition.name,
        new={
            "table": rule.table,
            "from": partition.since,
            "to": partition.until,
            "rows_about": about,
            "carried_over": carried,
        },
        why=f"Older than the {rule.months()} months that are kept.",
    )
    return carried


def _prune_default(rule: Rule, cutoff: date) -> int:
    """Rows of months long gone that waited in DEFAULT until nobody needed them."""
    with connection.cursor() as cursor:
        by = partition_column(cursor, rule.table)
    statement = (
        f"DELETE FROM {rule.table}_default WHERE ctid = ANY(ARRAY("  # noqa: S608
        f"SELECT r.ctid FROM {rule.table}_default r WHERE r.{by} < %s AND NOT coalesce({rule.keep}, false)"
        " LIMIT %s))"
    )
    total = 0
    for _ in range(MOST_BATCHES):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            if _held(cursor):
                break
            cursor.execute(statement, [datetime(cutoff.year, cutoff.month, 1, tzinfo=UTC), BATCH])
            deleted = cursor.rowcount
        total += deleted
        if deleted < BATCH:
            break
    if total:
        record(
            verb="retention.deleted",
            object_type="partition",
            object_ref=f"{rule.table}_default",
            new={"rows": total, "before": cutoff},
            why="Nobody needs them any more, and their months have gone.",
        )
    return total


def _exists(cursor: Any, partition: Partition) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [partition.name])
    return cursor.fetchone()[0]


# ---- Legal hold ------------------------------------------------------------------------------------------------------


def legal_holds() -> list[LegalHold]:
    """The holds in force; while there is one, nothing is dropped."""
    return list(LegalHold.objects.filter(lifted_at=None).order_by("id"))


def _held(cursor: Any) -> bool:
    cursor.execute("SELECT EXISTS (SELECT 1 FROM journal_legalhold WHERE lifted_at IS NULL)")
    return cursor.fetchone()[0]


def legal_hold_place(*, reason: str, by: str) -> LegalHold:
    """From the moment this commits nothing is dropped any more. ``by`` names the person who asked for it."""
    if not reason.strip() or not by.strip():
        raise InvalidInput("A legal hold needs a reason and the name of the person who asked for it.")
    with transaction.atomic(), connection.cursor() as cursor:
        # The droppers hold the same lock while they drop: one that is at work ends first.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        hold = LegalHold.objects.create(reason=reason.strip(), placed_by=by.strip()[:200])
        record(
            verb="legal_hold.placed",
            object_type="legal_hold",
            object_ref=str(hold.pk),
            new={"by": hold.placed_by},
            why=hold.reason,
        )
    return hold


def legal_hold_lift(*, id: int, by: str, why: str) -> None:
    """Raises :class:`WrongState` when the hold is not in force."""
    if not by.strip() or not why.strip():
        raise InvalidInput("Lifting a legal hold needs a reason and the name of the person who asked for it.")
    with transaction.atomic():
        lifted = LegalHold.objects.filter(pk=id, lifted_at=None).update(
            lifted_at=clock.now(), lifted_by=by.strip()[:200]
        )
        if not lifted:
            raise WrongState(f"Legal hold {id} is not in force.")
        record(
            verb="legal_hold.lifted",
            object_type="legal_hold",
            object_ref=str(id),
            new={"by": by.strip()[:200]},
            why=why.strip(),
        )


# ---- The journal's own tables ----------------------------------------------------------------------------------------


def _unsealed(cursor: Any, partition: str) -> str:
    cursor.execute(
        f"SELECT (SELECT xid FROM {partition} ORDER BY xid DESC LIMIT 1)"  # noqa: S608
        " >= coalesce((SELECT xid_to FROM journal_seal ORDER BY id DESC LIMIT 1), '0'::xid8)"
    )
    return "it holds rows that are not sealed yet" if cursor.fetchone()[0] else ""


def declare_own() -> None:
    """The rules of inbox and audit. Pending and dead events are never dropped, nor audit rows without a seal."""
    declare(Rule("journal_inbox", lambda: settings.RETENTION_MONTHS_INBOX, keep="r.done_at IS NULL"))
    declare(
        Rule("journal_audit", lambda: settings.RETENTION_MONTHS_AUDIT, refuse=_unsealed, in_order=True),
    )
