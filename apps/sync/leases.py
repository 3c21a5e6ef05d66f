"""Leases on subjects: who works on what, until when, by the database's clock, with a fencing number.

Public surface: :class:`Lease`, :func:`claim`, :func:`claim_suspect`, :func:`renew`, :func:`heartbeat`, :func:`release`,
:func:`release_held`, :func:`lapse`; for pumps :class:`Seat`, :func:`take_slot`, :func:`keep_slot`, :func:`free_slot`.
A lost race is a normal return value; :class:`LeaseLost` is raised only where going on would be wrong.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.core import clock, statements


class LeaseLost(Exception):
    """Somebody else holds the subject now; whatever this worker still wanted to write must not be written."""


@dataclass
class Lease:
    """``taken_over``: the former holder never released it, so its last write may have happened. ``asked``: how often work had
    been asked for when it was claimed. ``good_until`` (monotonic clock) is until when it is ours for certain."""

    subject_id: int
    token: int
    taken_over: bool
    takeovers: int
    asked: int = 0
    good_until: float = field(default=0.0, compare=False)
    released: bool = field(default=False, compare=False)
    #: How far the clock of this process is ahead of the database's, which all due times go by.
    ahead: timedelta = field(default=timedelta(0), compare=False)

    def due(self, seconds: float = 0.0) -> datetime:
        """So many seconds from now by the database's clock."""
        return clock.now() - self.ahead + timedelta(seconds=seconds)


#: A pump says every second that it is there; one that has not for so long has died.
SLOT_SECONDS = 3


def owner() -> str:
    """This process; its threads hold seat and leases together, and any of them may renew them."""
    return f"{socket.gethostname()}:{os.getpid()}"


#: A *lane* is what one entity asks of one system at one urgency. The lanes that have something ready are found by a loose scan
#: of the partial index, so that a backlog of a hundred thousand in one of them costs the others nothing.
_CLAIM = """
WITH RECURSIVE lane AS (
    (SELECT coalesce(legal_entity_id, 0) AS entity, waits_for, priority FROM sync_subject WHERE ready_at IS NOT NULL
     ORDER BY coalesce(legal_entity_id, 0), waits_for, priority LIMIT 1)
    UNION ALL
    SELECT found.* FROM lane, LATERAL (
        SELECT coalesce(s.legal_entity_id, 0), s.waits_for, s.priority FROM sync_subject s WHERE s.ready_at IS NOT NULL
            AND (coalesce(s.legal_entity_id, 0), s.waits_for, s.priority) > (lane.entity, lane.waits_for, lane.priority)
        ORDER BY coalesce(s.legal_entity_id, 0), s.waits_for, s.priority LIMIT 1) found
), candidate AS (
    SELECT head.id, row_number() OVER (PARTITION BY lane.entity ORDER BY lane.priority, head.ready_at) AS turn
    FROM lane, LATERAL (
        SELECT s.id, s.ready_at FROM sync_subject s
        WHERE s.ready_at IS NOT NULL AND s.ready_at <= now() AND (s.lease_until IS NULL OR s.lease_until < now())
            AND coalesce(s.legal_entity_id, 0) = lane.entity AND s.waits_for = lane.waits_for
            AND s.priority = lane.priority AND s.takeovers + (s.lease_until IS NOT NULL)::int < %(below)s
        ORDER BY s.ready_at LIMIT %(limit)s) head
    WHERE NOT lane.waits_for = ANY(%(full)s)
), ready AS (
    SELECT s.id, s.lease_until IS NOT NULL AS taken_over FROM sync_subject s
    JOIN (SELECT id FROM candidate ORDER BY turn, random() LIMIT %(limit)s) first USING (id)
    WHERE s.ready_at <= now() AND (s.lease_until IS NULL OR s.lease_until < now())
    FOR UPDATE OF s SKIP LOCKED
)
UPDATE sync_subject AS s
SET lease_until = now() + make_interval(secs => %(seconds)s), lease_token = s.lease_token + 1, lease_owner = %(owner)s,
    takeovers = CASE WHEN ready.taken_over THEN s.takeovers + 1 ELSE s.takeovers END
FROM ready WHERE s.id = ready.id
RETURNING s.id, s.lease_token, ready.taken_over, s.takeovers, s.asked, clock_timestamp()
"""
_CLAIM_SUSPECT = """
UPDATE sync_subject AS s
SET lease_until = now() + make_interval(secs => %(seconds)s), lease_token = s.lease_token + 1, lease_owner = %(owner)s,
    takeovers = CASE WHEN ready.taken_over THEN s.takeovers + 1 ELSE s.takeovers END
FROM (
    SELECT id, lease_until IS NOT NULL AS taken_over FROM sync_subject
    WHERE ready_at IS NOT NULL AND ready_at <= now() AND (lease_until IS NULL OR lease_until < now())
        AND takeovers > 0 AND takeovers + (lease_until IS NOT NULL)::int >= %(below)s AND NOT waits_for = ANY(%(full)s)
    ORDER BY ready_at LIMIT 1 FOR UPDATE SKIP LOCKED
) ready WHERE s.id = ready.id
RETURNING s.id, s.lease_token, ready.taken_over, s.takeovers, s.asked, clock_timestamp()
"""
_NO_SUSPECT = 32_767


def last_chance() -> int:
    """Which takeover makes a subject a suspect: with the next one it is set aside, so that attempt is made alone.

    Who is worked on beside the culprit dies with it as often; that must not make a culprit of them. The claim itself counts
    the takeover, so a lease that has run out counts as one already. Fewer than three leave no attempt to be made alone."""
    return max(2, settings.SYNC_POISON_TAKEOVERS - 1)


def claim(*, limit: int, full: Sequence[int] = (), suspects: bool = True) -> list[Lease]:
    """Up to ``limit`` ready subjects; each entity in turn, its most urgent and oldest first. What other workers hold is
    skipped, not waited for; what waits for one of the systems in ``full`` is left alone. Who works on many at once does
    without ``suspects``, and asks for them by :func:`claim_suspect`."""
    return _claimed(_CLAIM, full, limit=limit, below=_NO_SUSPECT if suspects else last_chance())


def claim_suspect(*, full: Sequence[int] = ()) -> Lease | None:
    """One whose worker has died so often that its next attempt must be made alone."""
    return next(iter(_claimed(_CLAIM_SUSPECT, full, below=last_chance())), None)


def _claimed(statement: str, full: Sequence[int], **more: int) -> list[Lease]:
    asked_at = time.monotonic()
    parameters: dict[str, Any] = {
        "full": list(full),
        "seconds": settings.SYNC_LEASE_SECONDS,
        "owner": owner(),
        **more,
    }
    rows = statements.rows(statement, parameters)
    good_until = asked_at + settings.SYNC_LEASE_SECONDS
    now = clock.now()
    return [
        Lease(subject_id, token, taken_over, takeovers, asked, good_until, ahead=now - claimed_at)
        for subject_id, token, taken_over, takeovers, asked, claimed_at in rows
    ]


_RENEW = """
UPDATE sync_subject SET lease_until = greatest(lease_until, now() + make_interval(secs => %s)),
    takeovers = CASE WHEN %s THEN 0 ELSE takeovers END
WHERE id = %s AND lease_token = %s
"""


def renew(lease: Lease, *, progress: bool = False, seconds: float | None = None) -> None:
    """Extend the lease (never shorten it); the same statement proves that it is still ours. Raises :class:`LeaseLost`.

    With ``progress`` the count of takeovers starts anew: the subject is no poison."""
    asked_at, length = time.monotonic(), seconds or settings.SYNC_LEASE_SECONDS
    if not statements.count(_RENEW, [length, progress, lease.subject_id, lease.token]):
        raise LeaseLost
    lease.good_until = max(lease.good_until, asked_at + length)


def make_sure(lease: Lease, *, seconds: float) -> None:
    """See to it that the lease is good for so long; asks the database only when it is not known to be."""
    if lease.good_until - time.monotonic() < seconds:
        renew(lease, seconds=seconds)


_HEARTBEAT = """
UPDATE sync_subject AS s SET lease_until = greatest(s.lease_until, now() + make_interval(secs => %s))
FROM unnest(%s::bigint[], %s::bigint[]) AS held(id, token) WHERE s.id = held.id AND s.lease_token = held.token RETURNING s.id
"""


def heartbeat(leases: Iterable[Lease]) -> int:
    """Renew all leases of a process in one statement; how many are still ours. Lost ones are noticed by their holders."""
    held = {lease.subject_id: lease for lease in leases}
    if not held:
        return 0
    asked_at = time.monotonic()
    rows = sorted(held.values(), key=lambda lease: lease.subject_id)
    ours = statements.rows(
        _HEARTBEAT,
        [
            settings.SYNC_LEASE_SECONDS,
            [lease.subject_id for lease in rows],
            [lease.token for lease in rows],
        ],
    )
    for (subject_id,) in ours:
        lease = held[subject_id]
        lease.good_until = max(lease.good_until, asked_at + settings.SYNC_LEASE_SECONDS)
    return len(ours)


_FREE = """
UPDATE sync_subject SET lease_until = NULL, lease_owner = '', waits_for = %(waits_for)s, ready_at = (
    SELECT greatest(coalesce(t.not_before, now()), now() + make_interval(secs => %(delay)s)) FROM sync_transaction t
    WHERE t.subject_id = sync_subject.id AND t.state IN ('pending', 'running', 'retrying')
    ORDER BY t.id LIMIT 1
) WHERE id = %(id)s AND lease_token = %(token)s
"""


def release(lease: Lease, *, waits_for: int = 0, delay: float = 0.0) -> bool:
    """Give the subject back; it is ready again when its oldest transaction is due. False if the lease was lost.

    The oldest, since that is what is worked on next: were a later one to make it ready, workers would claim it for nothing.
    ``waits_for`` names the system that turned it away, ``delay`` in seconds is how long it is left alone.

    One statement would not see what is enqueued while it waits for the row. So it only counts when nothing has been asked for
    since the claim; otherwise the row is locked first and the second statement sees what the wait let in."""
    values = {"waits_for": waits_for, "delay": delay, "id": lease.subject_id, "token": lease.token}
    if lease.released:
        return True
    if statements.count(_FREE + " AND asked = %(asked)s", {**values, "asked": lease.asked}):
        return True
    with transaction.atomic():
        statements.rows(
            "SELECT 1 FROM sync_subject WHERE id = %s AND lease_token = %s FOR UPDATE",
            [lease.subject_id, lease.token],
        )
        return statements.count(_FREE, values) == 1


def release_held(lease: Lease) -> None:
    """Give the subject back at the end of a database transaction that has locked its row (by :func:`renew`): one commit
    less, and nothing can have been asked for in between. Raises :class:`LeaseLost`."""
    values = {"waits_for": 0, "delay": 0.0, "id": lease.subject_id, "token": lease.token}
    if not statements.count(_FREE, values):
        raise LeaseLost
    lease.released = True


def lapse(lease: Lease, *, counted: bool = True) -> None:
    """Let the lease run out soon instead of giving it back: the next holder probes first and counts a takeover, unless it
    shall not be ``counted`` (the subject had no part in it)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET ready_at = coalesce(ready_at, now()),"
            " lease_until = now() + make_interval(secs => CASE WHEN %(counted)s THEN takeovers ELSE 1 END),"
            " takeovers = takeovers - CASE WHEN %(counted)s THEN 0 ELSE 1 END"
            " WHERE id = %(id)s AND lease_token = %(token)s",
            {"counted": counted, "id": lease.subject_id, "token": lease.token},
        )


@dataclass(frozen=True)
class Seat:
    """The place of one pump among ``SYNC_PUMP_SLOTS``; any thread of the pump may keep it."""

    number: int
    owner: str


def take_slot() -> Seat | None:
    """A free seat for a pump, or None when all are taken."""
    mine = f"{owner()}:{secrets.token_hex(4)}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sync_pumpslot (number, owner) SELECT n, '' FROM generate_series(1, %s) n ON CONFLICT DO NOTHING",
            [settings.SYNC_PUMP_SLOTS],
        )
        cursor.execute(
            "UPDATE sync_pumpslot SET lease_until = now() + make_interval(secs => %s), owner = %s WHERE number = ("
            "  SELECT number FROM sync_pumpslot WHERE number <= %s AND (lease_until IS NULL OR lease_until < now())"
            "  ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING number",
            [SLOT_SECONDS, mine, settings.SYNC_PUMP_SLOTS],
        )
        row = cursor.fetchone()
        return Seat(row[0], mine) if row else None


def keep_slot(seat: Seat) -> bool:
    """Stay on the seat for a little longer. False when it was given to somebody else meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_pumpslot SET lease_until = now() + make_interval(secs => %s) WHERE number = %s AND owner = %s",
            [SLOT_SECONDS, seat.number, seat.owner],
        )
        return cursor.rowcount == 1


def free_slot(seat: Seat) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_pumpslot SET lease_until = NULL, owner = '' WHERE number = %s AND owner = %s",
            [seat.number, seat.owner],
        )
