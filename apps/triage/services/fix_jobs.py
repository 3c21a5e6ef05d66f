"""A fix of more cases than one database transaction should carry becomes a job (:mod:`apps.triage.jobs` works on it).

Inner module of the room. Public surface: :func:`job_of_fix`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from apps.core import clock
from apps.journal import services as journal
from apps.journal import transitions
from apps.sync import services as sync
from apps.triage.job_models import Job, JobState, Pace
from apps.triage.models import FixPreview

_ROWS = """
INSERT INTO triage_jobrow (job_id, case_id, transaction_id, currency, held_amount, outcome, digest, reason, result)
SELECT %s, r.case_id, r.transaction_id, r.currency, r.held_amount, r.outcome, r.digest, r.reason, ''
FROM triage_fixpreviewrow r JOIN triage_case c ON c.id = r.case_id WHERE r.preview_id = %s ORDER BY c.opened_at, c.id
"""


def job_of_fix(*, preview: FixPreview, mapping_id: int, by: Any, scope_words: str, address: str) -> Job:
    """Run what the preview of a fix showed as a job that goes on by itself, oldest first; its plans are those of the preview,
    and it is stopped like any other. Inside the transaction that adds the mapping; the same statements for any size."""
    now = clock.now()
    job = Job.objects.create(
        ref=journal.next_ref("JOB", year=False),
        by=by,
        state=JobState.READY,
        scope_words=scope_words[:300],
        address=address[:500],
        mapping_id=mapping_id,
        total=preview.rows.count(),
        created_at=now,
        ready_at=now,
        expires_at=now + timedelta(seconds=sync.TOKEN_MAX_AGE),
        next_at=Now(),
    )
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [job.pk, preview.pk])
    journal.record(
        verb="job.planned",
        object_type="job",
        object_ref=job.ref,
        by=by,
        legal_entity_id=None,
        new={"cases": job.total, "mapping": mapping_id},
        why=scope_words,
    )
    going: dict[str, Any] = {
        "started_at": now,
        "next_at": Now(),
        "pace": Pace.FAST,
        "reason": scope_words[:500],
    }
    transitions.move(job, to=JobState.RUNNING, by=by, why=scope_words, **going)
    return job
