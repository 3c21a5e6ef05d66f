"""Seals: hashes over batches of audit rows, chained, so that a later change of any row shows and is named.

Public surface: :func:`seal_batch`, :func:`seal_all`, :func:`verify_seals`, :class:`SealProblem`, :class:`SealsAhead`.

A seal follows transactions, not identities: it takes rows whose writing transaction lies below
``pg_snapshot_xmin(pg_current_snapshot())``, the oldest transaction still open, so that a late committer is in a later
seal and never missed. A hash chain shows integrity, not completeness: rows never written are not its business.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection, transaction

from apps.core import clock
from apps.core.errors import Unavailable
from apps.journal.partitions import oldest_bound

_LOCK = 0x7073_7365_616C
_LEAF = struct.Struct(">q32s")
BATCH = 5000

#: The hash of one row: every column, in a text form that depends on no session setting.
_LEAF_SQL = (
    "sha256(convert_to(jsonb_build_array(id, xid::text, (extract(epoch FROM at) * 1000000)::bigint, verb, object_type,"
    " object_ref, actor_id, actor, legal_entity_id, engagement_key, old, new, why, correlation_id)::text, 'UTF8'))"
)
_ROWS = f"SELECT id, {_LEAF_SQL} FROM journal_audit WHERE xid >= %s::xid8 AND xid < %s::xid8 ORDER BY xid, id"  # noqa: S608


@dataclass(frozen=True)
class SealProblem:
    """One finding. ``kind``: ``altered``, ``missing``, ``added`` (a row) · ``broken`` (a seal itself)."""

    seal_id: int
    kind: str
    audit_id: int | None
    message: str


class SealsAhead(Unavailable):
    """The transaction counter lies below what is sealed: sealing on would miss rows without a word."""

    title = "The audit trail cannot be sealed"
    type = "seals-ahead"


def seal_batch(*, limit: int = BATCH) -> int:
    """Seal the next settled rows (about ``limit``, whole transactions); returns how many, 0 when none are settled."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT xid_to::text, digest FROM journal_seal ORDER BY id DESC LIMIT 1")
        last = cursor.fetchone()
        since, previous = (last[0], bytes(last[1])) if last else ("0", b"")
        until = _upper_bound(cursor, since, limit)
        if until is None:
            return 0
        cursor.execute(_ROWS, [since, until])
        rows = [(row[0], bytes(row[1])) for row in cursor.fetchall()]
        cursor.execute(
            "SELECT min(at) FROM journal_audit WHERE xid >= %s::xid8 AND xid < %s::xid8", [since, until]
        )
        first_at = cursor.fetchone()[0]
        leaves = b"".join(_LEAF.pack(row_id, leaf) for row_id, leaf in rows)
        cursor.execute(
            "INSERT INTO journal_seal (created_at, xid_from, xid_to, row_count, first_at, leaves, previous, digest)"
            " VALUES (%s, %s::xid8, %s::xid8, %s, %s, %s, %s, %s)",
            [
                clock.now(),
                since,
                until,
                len(rows),
                first_at,
                leaves,
                previous,
                _digest(previous, since, until, leaves),
            ],
        )
        return len(rows)


def seal_all() -> int:
    """Seal batch after batch until nothing settled is left; returns how many rows."""
    total = 0
    while sealed := seal_batch():
        total += sealed
    return total


def _upper_bound(cursor, since: str, limit: int) -> str | None:
    """The first transaction id *not* in the batch, or None when there is no settled row."""
    cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
    settled = cursor.fetchone()[0]
    if int(settled) < int(since):
        raise SealsAhead(
            "The database counts its transactions from below the last seal, as after a restore into a new cluster. "
            "Raise the counter (pg_resetwal --epoch) before sealing goes on; see docs/rooms/journal.md."
        )
    cursor.execute(
        "SELECT xid::text FROM journal_audit WHERE xid >= %s::xid8 AND xid < %s::xid8 ORDER BY xid, id LIMIT %s",
        [since, settled, limit],
    )
    found = cursor.fetchall()
    if not found:
        return None
    # A full page may have cut a transaction in two: the seal takes it whole.
    return str(int(found[-1][0]) + 1)


def _digest(previous: bytes, since: str, until: str, leaves: bytes) -> bytes:
    head = f"pssync-seal-1\n{since}\n{until}\n".encode()
    return hashlib.sha256(head + hashlib.sha256(previous).digest() + hashlib.sha256(leaves).digest()).digest()


def verify_seals() -> list[SealProblem]:
    """Check the whole chain and every sealed row; an empty list means that nothing was changed.

    Rows missing from months whose partition was retired are no finding.
    """
    oldest = oldest_bound("journal_audit")
    retired_before = datetime(oldest.year, oldest.month, 1, tzinfo=UTC) if oldest else None
    problems: list[SealProblem] = []
    previous, expected_from = b"", "0"
    for seal_id, since, until, first_at, leaves, before, digest in _seals():
        if before != previous or since != expected_from:
            problems.append(_broken(seal_id, "does not continue the seal before it"))
        if digest != _digest(before, since, until, leaves):
            problems.append(_broken(seal_id, "was altered"))
        retired = retired_before is not None and first_at < retired_before
        problems += _compare(seal_id, since, until, leaves, retired=retired)
        previous, expected_from = digest, until
    return problems


def _seals() -> Iterator[tuple[int, str, str, datetime, bytes, bytes, bytes]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, xid_from::text, xid_to::text, first_at, leaves, previous, digest FROM journal_seal"
                " WHERE id > %s ORDER BY id LIMIT 50",
                [last],
            )
            rows = cursor.fetchall()
        if not rows:
            return
        for row in rows:
            last = row[0]
            yield row[0], row[1], row[2], row[3], bytes(row[4]), bytes(row[5]), bytes(row[6])


def _compare(seal_id: int, since: str, until: str, leaves: bytes, *, retired: bool) -> list[SealProblem]:
    whole = len(leaves) - len(leaves) % _LEAF.size
    sealed = dict(_LEAF.iter_unpack(leaves[:whole]))
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [since, until])
        held = {row[0]: bytes(row[1]) for row in cursor.fetchall()}
    problems = []
    for row_id in sorted(sealed.keys() | held.keys()):
        if row_id not in held:
            if not retired:
                problems.append(_row(seal_id, "missing", row_id, "was removed after it was sealed"))
        elif row_id not in sealed:
            problems.append(_row(seal_id, "added", row_id, "was put under a seal that does not know it"))
        elif held[row_id] != sealed[row_id]:
            problems.append(_row(seal_id, "altered", row_id, "was altered after it was sealed"))
    return problems


def _row(seal_id: int, kind: str, row_id: int, what: str) -> SealProblem:
    return SealProblem(seal_id, kind, row_id, f"Audit row {row_id} {what} (seal {seal_id}).")


def _broken(seal_id: int, what: str) -> SealProblem:
    return SealProblem(seal_id, "broken", None, f"Seal {seal_id} {what}.")
