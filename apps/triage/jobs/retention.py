"""Finished jobs are dropped with their rows once they are older than the setting says; what they did stays in the cases, in
the transactions and in the audit trail. Messages that were sent, or dropped, go with them.

Public surface: :func:`jobs_prune`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings

from apps.journal import services as journal

log = structlog.get_logger(__name__)
#: Rows deleted in one statement (with their job in the last one of it), and statements in one run.
BATCH, MOST_BATCHES = 5_000, 400
_ROWS = """
DELETE FROM triage_jobrow WHERE id = ANY(ARRAY(
    SELECT r.id FROM triage_job j JOIN triage_jobrow r ON r.job_id = j.id WHERE j.finished_at < %s LIMIT %s))
"""
_JOBS = """
DELETE FROM triage_job WHERE id = ANY(ARRAY(
    SELECT j.id FROM triage_job j WHERE j.finished_at < %s
        AND NOT EXISTS (SELECT 1 FROM triage_jobrow r WHERE r.job_id = j.id) LIMIT %s))
"""
_NOTICES = """
DELETE FROM triage_notice WHERE id = ANY(ARRAY(
    SELECT id FROM triage_notice WHERE created_at < %s AND (sent_at IS NOT NULL OR dropped <> '') LIMIT %s))
"""


def jobs_prune() -> dict[str, int] | None:
    """Drop what finished before the months that are kept; nothing while a legal hold is in force. None when nothing was done.

    Safe to run twice and at the same time: each statement is a transaction of its own."""
    months = settings.RETENTION_MONTHS_JOBS
    if not months:
        return None
    first = journal.first_day_kept(months)
    before = datetime(first.year, first.month, 1, tzinfo=UTC)
    done = {name: _delete(statement, before) for name, statement in _STATEMENTS.items()}
    if not any(done.values()):
        return None
    journal.record(
        verb="retention.deleted",
        object_type="job",
        object_ref="triage_job",
        new={**done, "before": first},
        why=f"Older than the {months} months that are kept.",
    )
    return done


_STATEMENTS: dict[str, Any] = {"rows": _ROWS, "jobs": _JOBS, "notices": _NOTICES}


def _delete(statement: str, before: datetime) -> int:
    total = 0
    for _number in range(MOST_BATCHES):
        with journal.dropping() as cursor:
            if cursor is None:
                log.info("jobs_retention_held")
                break
            cursor.execute(statement, [before, BATCH])
            deleted = cursor.rowcount
        total += deleted
        if deleted < BATCH:
            break
    return total
