"""The pump: one bounded task that takes the inbox in and works on ready subjects, several at once.

Public surface: :func:`pump`, :func:`sweep`, :func:`drain`. Celery only rings; a pump that finds no free seat goes home, a
pump that dies loses nothing: its leases run out and others take over.
"""

from __future__ import annotations

import threading
import time

import structlog
from django.conf import settings
from django.db import connection, connections

from apps.sync import apply, intake, leases
from apps.sync.leases import Lease, LeaseLost

log = structlog.get_logger(__name__)
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


def pump() -> int:
    """Work for at most ``SYNC_PUMP_SECONDS``. Returns how many transactions were worked on."""
    slot = leases.take_slot()
    if slot is None:
        return 0
    until = time.monotonic() + settings.SYNC_PUMP_SECONDS
    counts: list[int] = []
    threads = [
        threading.Thread(target=_worker, args=(until, counts), name=f"pump-{number}")
        for number in range(settings.SYNC_PUMP_THREADS)
    ]
    try:
        for thread in threads:
            thread.start()
        _take_until(until, slot)
    finally:
        for thread in threads:
            thread.join()
        leases.free_slot(slot)
    return sum(counts)


def _take_until(until: float, slot: int) -> None:
    pause, keep_at = SHORTEST_PAUSE, 0.0
    while time.monotonic() < until:
        if time.monotonic() >= keep_at:
            if not leases.keep_slot(slot):
                return  # we were thought dead; the pump that has our seat goes on
            keep_at = time.monotonic() + 1.0
        pause = SHORTEST_PAUSE if intake.take() else min(pause * 2, LONGEST_PAUSE / 2)
        time.sleep(min(pause, max(0.0, until - time.monotonic())))


def _worker(until: float, counts: list[int]) -> None:
    """One thread: claim a subject, work on it, give it back; poll adaptively while there is nothing."""
    done, pause = 0, SHORTEST_PAUSE
    try:
        while time.monotonic() < until:
            worked = work_once()
            done += worked
            pause = SHORTEST_PAUSE if worked else min(pause * 1.5, LONGEST_PAUSE / 2)
            if not worked:
                time.sleep(min(pause, max(0.0, until - time.monotonic())))
    except Exception:
        log.exception("pump_worker_failed")
    finally:
        counts.append(done)
        connections.close_all()


def work_once() -> int:
    """Claim one ready subject and work on it. Returns the number of transactions worked on (0 or 1)."""
    for lease in leases.claim(limit=1):
        try:
            worked = apply.run_next(lease)
        except LeaseLost:
            return 0
        except Exception:  # noqa: BLE001 - logged in run_next, where the correlation id is bound
            # Logged where its correlation id is known. What this run last sent may be unjournaled: let the lease lapse, so
            # that the next holder probes first. Not released, so the failure is not swallowed: takeovers are counted.
            _lapse(lease)
            return 0
        leases.release(lease)
        return int(worked)
    return 0


def _lapse(lease: Lease) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET lease_until = now() + make_interval(secs => takeovers),"
            " ready_at = coalesce(ready_at, now()) WHERE id = %s AND lease_token = %s",
            [lease.subject_id, lease.token],
        )


def drain(*, seconds: float = 30.0) -> int:
    """Take and work in this thread until nothing is due; for commands and tests. Returns transactions worked on."""
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        taken, worked = intake.take(), work_once()
        done += worked
        if not taken and not worked:
            break
    return done


_WAKE_FORGOTTEN = """
UPDATE sync_subject s SET ready_at = now() WHERE s.ready_at IS NULL AND s.lease_until IS NULL AND s.id = ANY(ARRAY(
    SELECT t.subject_id FROM sync_transaction t WHERE t.state IN ('pending', 'running', 'retrying')))
"""
_WAKE_PARENTS = """
WITH due AS (
    SELECT p.id, p.subject_id FROM sync_transaction p WHERE p.state = 'waiting' AND NOT EXISTS (
        SELECT 1 FROM sync_dependency d JOIN sync_transaction c ON c.id = d.child_id
        WHERE d.parent_id = p.id AND c.state NOT IN ('succeeded', 'observed', 'cancelled'))
)
SELECT id FROM due
"""


def sweep() -> int:
    """Find work that nobody would wake: a safety net that should find nothing. Returns how much it found."""
    from apps.sync.services import wake_transaction

    with connection.cursor() as cursor:
        cursor.execute(_WAKE_FORGOTTEN)
        found = cursor.rowcount
        cursor.execute(_WAKE_PARENTS)
        forgotten = [row[0] for row in cursor.fetchall()]
    for transaction_id in forgotten:
        wake_transaction(transaction_id=transaction_id, why="Its steps have finished.")
    return found + len(forgotten)
