"""Leases on subjects: who works on what, until when, by the database's clock, with a fencing number.

Public surface: :class:`Lease`, :func:`claim`, :func:`renew`, :func:`release`; for pumps :func:`take_slot`,
:func:`keep_slot`, :func:`free_slot`.
A lost race is a normal return value; :class:`LeaseLost` is raised only where going on would be wrong.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction


class LeaseLost(Exception):
    """Somebody else holds the subject now; whatever this worker still wanted to write must not be written."""


@dataclass(frozen=True)
class Lease:
    """``taken_over``: the former holder never released it, so its last write may have happened."""

    subject_id: int
    token: int
    taken_over: bool
    takeovers: int


#: A pump says every second that it is there; one that has not for so long has died.
SLOT_SECONDS = 3


def owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"


_CLAIM = """
WITH ready AS (
    SELECT id, lease_until IS NOT NULL AS taken_over FROM sync_subject
    WHERE ready_at IS NOT NULL AND ready_at <= now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY priority, ready_at LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE sync_subject AS s
SET lease_until = now() + make_interval(secs => %s), lease_token = s.lease_token + 1, lease_owner = %s,
    takeovers = CASE WHEN ready.taken_over THEN s.takeovers + 1 ELSE s.takeovers END
FROM ready WHERE s.id = ready.id
RETURNING s.id, s.lease_token, ready.taken_over, s.takeovers
"""


def claim(*, limit: int) -> list[Lease]:
    """Up to ``limit`` ready subjects, most urgent first; subjects of other workers are skipped, not waited for."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [limit, settings.SYNC_LEASE_SECONDS, owner()])
        return [Lease(*row) for row in cursor.fetchall()]


def renew(lease: Lease, *, progress: bool = False) -> None:
    """Extend the lease; the same statement proves that it is still ours. Raises :class:`LeaseLost`.

    With ``progress`` the count of takeovers starts anew: the subject is no poison."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET lease_until = now() + make_interval(secs => %s),"
            " takeovers = CASE WHEN %s THEN 0 ELSE takeovers END WHERE id = %s AND lease_token = %s",
            [settings.SYNC_LEASE_SECONDS, progress, lease.subject_id, lease.token],
        )
        if cursor.rowcount != 1:
            raise LeaseLost


_RELEASE = """
UPDATE sync_subject SET lease_until = NULL, lease_owner = '', ready_at = (
    SELECT coalesce(t.not_before, now()) FROM sync_transaction t
    WHERE t.subject_id = sync_subject.id AND t.state IN ('pending', 'running', 'retrying')
    ORDER BY t.id LIMIT 1
) WHERE id = %s AND lease_token = %s
"""


def release(lease: Lease) -> bool:
    """Give the subject back; it is ready again when its oldest transaction is due. False if the lease was lost.

    The oldest, since that is what is worked on next: were a later one to make it ready, workers would claim it for nothing.
    Two statements on purpose: the second sees what was enqueued while this one waited for the row."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM sync_subject WHERE id = %s AND lease_token = %s FOR UPDATE",
            [lease.subject_id, lease.token],
        )
        cursor.execute(_RELEASE, [lease.subject_id, lease.token])
        return cursor.rowcount == 1


def take_slot() -> int | None:
    """A free seat for a pump, or None when all are taken."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sync_pumpslot (number, owner) SELECT n, '' FROM generate_series(1, %s) n ON CONFLICT DO NOTHING",
            [settings.SYNC_PUMP_SLOTS],
        )
        cursor.execute(
            "UPDATE sync_pumpslot SET lease_until = now() + make_interval(secs => %s), owner = %s WHERE number = ("
            "  SELECT number FROM sync_pumpslot WHERE number <= %s AND (lease_until IS NULL OR lease_until < now())"
            "  ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING number",
            [SLOT_SECONDS, owner(), settings.SYNC_PUMP_SLOTS],
        )
        row = cursor.fetchone()
        return row[0] if row else None


def keep_slot(number: int) -> bool:
    """Stay on the seat for a little longer. False when it was given to somebody else meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_pumpslot SET lease_until = now() + make_interval(secs => %s) WHERE number = %s AND owner = %s",
            [SLOT_SECONDS, number, owner()],
        )
        return cursor.rowcount == 1


def free_slot(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_pumpslot SET lease_until = NULL, owner = '' WHERE number = %s AND owner = %s",
            [number, owner()],
        )
