"""The inbox: every event exactly once, durable before it is acknowledged. When an event is due, the database's clock says.

Public surface: :func:`receive`, :func:`reject`, :func:`inbox_claim`, :func:`inbox_done`, :func:`inbox_failed`,
:func:`inbox_revive`, :func:`inbox_keys_prune`, :func:`rejects_prune`, :class:`InboxRow`.
Outsiders take them from :mod:`apps.journal.services`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection

from apps.core import clock, correlation, statements
from apps.core.errors import InvalidInput
from apps.journal.models import InboxReject

log = structlog.get_logger(__name__)

#: Headers that are kept; all others (cookies, authorization, signatures) never enter our tables.
_KEPT_HEADERS = frozenset(
    {
        "content-type",
        "content-length",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "x-correlation-id",
        "traceparent",
        "ce-id",
        "ce-type",
    }
)
_REJECT_BODY = 2048
_REJECTS_A_MINUTE = 600
_REJECTS_KEPT = timedelta(days=30)
MAX_ATTEMPTS = 10

_RECEIVE = """
WITH fresh AS (
    INSERT INTO journal_inboxkey (source, event_id, created_at) VALUES (%(source)s, %(event_id)s, %(now)s)
    ON CONFLICT (source, event_id) DO NOTHING RETURNING id
)
INSERT INTO journal_inbox
    (id, received_at, not_before, source, event_id, legal_entity_id, headers, body, changes, correlation_id)
SELECT id, %(now)s, now(), %(source)s, %(event_id)s, %(legal_entity_id)s::bigint, %(headers)s::jsonb, %(body)s,
       %(changes)s::jsonb, %(correlation_id)s::uuid
FROM fresh
"""

_CLAIM = """
SELECT id, source, event_id, headers, body, changes, correlation_id, received_at, attempts, legal_entity_id
FROM journal_inbox
WHERE done_at IS NULL AND dead_at IS NULL AND not_before <= now() {which}
ORDER BY id {order} LIMIT %s FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True)
class InboxRow:
    """A pending event. ``changes`` are the adapter's parsed hints as plain dicts."""

    id: int
    source: str
    event_id: str
    headers: Mapping[str, str]
    body: bytes
    changes: Sequence[Mapping[str, Any]]
    correlation_id: str
    received_at: datetime
    attempts: int
    legal_entity_id: int | None


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        kept: _printable(str(value)[:500])
        for name, value in headers.items()
        if (kept := name.lower()) in _KEPT_HEADERS
    }


def _printable(text: str) -> str:
    """Text that PostgreSQL stores: no NUL, no lone surrogate."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _storable_json(changes: Sequence[Mapping[str, Any]]) -> str:
    """JSON text for a ``jsonb`` column; refuses what PostgreSQL cannot hold (NUL, lone surrogates, NaN)."""
    try:
        text = json.dumps(changes, ensure_ascii=False, allow_nan=False, default=_as_text)
        text.encode("utf-8")
    except ValueError as error:
        raise InvalidInput("The event holds text that cannot be stored.") from error
    if "\\u0000" in text:
        raise InvalidInput("The event holds NUL characters.")
    return text


def _checked_event_id(event_id: str) -> str:
    if not event_id or len(event_id) > 255 or not event_id.isprintable():
        raise InvalidInput("The event's id must be 1 to 255 printable characters.")
    return event_id


def receive(
    *,
    source: str,
    event_id: str,
    headers: Mapping[str, str],
    body: bytes,
    changes: Sequence[Mapping[str, Any]],
    correlation_id: str,
    legal_entity_id: int | None = None,
    pushed_at: datetime | None = None,
) -> bool:
    """Store an event; True if it is new, False if ``(source, event_id)`` was received before.

    One statement, durable when the (auto)commit returns. ``pushed_at`` is when a pushed event happened, by the sender's
    word: older than the keys that we keep, it can only be a late redelivery, and is answered as one (polling finds what
    changed in any case). Raises :class:`InvalidInput` for an event that cannot be stored as it is (unprintable id, NUL
    characters).
    """
    if pushed_at is not None and pushed_at < clock.now() - timedelta(days=settings.INBOX_KEY_DAYS):
        log.warning("inbox_event_older_than_keys", source=source[:80], event_id=event_id[:255])
        return False
    parameters: dict[str, Any] = {
        "source": source,
        "event_id": _checked_event_id(event_id),
        "now": clock.now(),
        "legal_entity_id": legal_entity_id,
        "headers": json.dumps(_kept(headers)),
        "body": body,
        "changes": _storable_json(changes),
        "correlation_id": correlation_id,
    }
    return statements.count(_RECEIVE, parameters) == 1


def reject(
    *,
    source: str,
    reason: str,
    message: str,
    headers: Mapping[str, str],
    body: bytes,
    size: int | None = None,
) -> bool:
    """Keep a trace of a refused event: its first 2 KB, its size, why. False when over 600 came within a minute.

    The bound keeps an anonymous stranger from filling the disk; what is over it is only logged. ``size`` in bytes is
    that of the whole event where ``body`` was not read to its end.
    """
    since = clock.now() - timedelta(minutes=1)
    recent = InboxReject.objects.filter(created_at__gt=since).values("id")[: _REJECTS_A_MINUTE + 1]
    if len(recent) > _REJECTS_A_MINUTE:
        log.warning("inbox_reject_not_kept", source=_printable(source)[:80], reason=reason)
        return False
    InboxReject.objects.create(
        source=_printable(source)[:80],
        reason=reason[:40],
        message=_printable(message)[:500],
        headers=_kept(headers),
        body=body[:_REJECT_BODY],
        size=min(len(body) if size is None else size, 2**63 - 1),
        correlation_id=uuid.UUID(correlation.current()),
    )
    return True


def rejects_prune() -> int:
    """Forget rejects older than 30 days; returns how many."""
    return InboxReject.objects.filter(created_at__lt=clock.now() - _REJECTS_KEPT).delete()[0]


_KEYS_A_BATCH, _KEY_BATCHES = 5_000, 400
_PRUNE_KEYS = """
WITH page AS (SELECT id, created_at FROM journal_inboxkey WHERE id > %(after)s ORDER BY id LIMIT %(limit)s),
old AS (SELECT id FROM page WHERE created_at < %(before)s),
waiting AS (
    SELECT id FROM journal_inbox WHERE done_at IS NULL AND dead_at IS NULL AND id <= (SELECT max(id) FROM old)
    UNION ALL SELECT id FROM journal_inbox WHERE dead_at IS NOT NULL
),
gone AS (
    DELETE FROM journal_inboxkey WHERE id IN (SELECT id FROM old EXCEPT SELECT id FROM waiting) RETURNING 1
)
SELECT (SELECT max(id) FROM page), (SELECT count(*) FROM page), (SELECT count(*) FROM old), (SELECT count(*) FROM gone)
"""


def inbox_keys_prune() -> int:
    """Forget the keys of events that no sender sends again; returns how many.

    A key goes once it is older than ``INBOX_KEY_DAYS``, which is longer than any vendor redelivers, and its event is
    settled. A redelivery after that is known by its own time (``pushed_at`` of :func:`receive`); a poll's cursor only
    moves forward. Batches by the primary key, each its own transaction: keys rise with time, so the walk ends at the first
    page of young ones.
    """
    before = clock.now() - timedelta(days=settings.INBOX_KEY_DAYS)
    after, total = 0, 0
    for _ in range(_KEY_BATCHES):
        with connection.cursor() as cursor:
            cursor.execute(_PRUNE_KEYS, {"after": after, "limit": _KEYS_A_BATCH, "before": before})
            last, seen, old, gone = cursor.fetchone()
        total += gone
        if seen < _KEYS_A_BATCH or not old:
            break
        after = last
    return total


def inbox_claim(*, limit: int, newest: bool = False, ids: Sequence[int] | None = None) -> list[InboxRow]:
    """Pending events, oldest (or ``newest``) first, perhaps only some ``ids``, locked until the caller's transaction ends;
    rows locked by others are skipped.

    Must be called inside a transaction: the caller turns the events into work and calls :func:`inbox_done` in it.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("inbox_claim holds its rows by the caller's transaction; open one")
    with connection.cursor() as cursor:
        claim = _CLAIM.format(which="" if ids is None else "AND id = ANY(%s)", order="DESC" if newest else "")
        cursor.execute(claim, [*([] if ids is None else [list(ids)]), limit])
        rows = cursor.fetchall()
    return [
        InboxRow(
            id=row[0],
            source=row[1],
            event_id=row[2],
            headers=_loaded(row[3]),
            body=bytes(row[4]),
            changes=_loaded(row[5]),
            correlation_id=str(row[6]),
            received_at=row[7],
            attempts=row[8],
            legal_entity_id=row[9],
        )
        for row in rows
    ]


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


def inbox_done(*, ids: Sequence[int]) -> int:
    """Mark events as turned into work; returns how many were still pending."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE journal_inbox SET done_at = %s WHERE id = ANY(%s) AND done_at IS NULL AND dead_at IS NULL",
            [clock.now(), list(ids)],
        )
        return cursor.rowcount


def inbox_failed(*, id: int, message: str) -> bool:
    """Put an event off (2 s doubling up to 1 h); after ten attempts it is dead. True while it will be tried again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE journal_inbox SET attempts = attempts + 1, last_error = %(message)s,"
            " not_before = now() + least(interval '2 seconds' * power(2, attempts), interval '1 hour'),"
            " dead_at = CASE WHEN attempts + 1 >= %(most)s THEN %(now)s END"
            " WHERE id = %(id)s AND done_at IS NULL AND dead_at IS NULL RETURNING dead_at",
            {"message": _printable(message)[:2000], "now": clock.now(), "most": MAX_ATTEMPTS, "id": id},
        )
        row = cursor.fetchone()
    return row is not None and row[0] is None


def inbox_revive(*, ids: Sequence[int]) -> int:
    """Make dead events pending again, with a fresh budget of attempts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE journal_inbox SET dead_at = NULL, attempts = 0, not_before = now()"
            " WHERE id = ANY(%s) AND dead_at IS NOT NULL",
            [list(ids)],
        )
        return cursor.rowcount
