"""What the bell does with jobs: plan the next cases, begin the next, verify those that have come to rest.

Public surface: :func:`work`.

Everything that is to be done stands in the database; a worker that dies leaves a lease that runs out. Each case is begun once:
its row is read and marked in the database transaction that asks for the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import AppError
from apps.journal import transitions
from apps.organization import selectors as organization
from apps.sync import selectors as transactions
from apps.sync import services as sync
from apps.triage.job_models import Job, JobRow, JobState, Outcome, Result
from apps.triage.jobs.services import LIFETIME
from apps.triage.models import OPEN_STATES, Case, CaseState
from apps.triage.services import moves
from apps.triage.services.fixes import release_skipped, why_not
from apps.triage.words import doubt_words

log = structlog.get_logger(__name__)
#: A step of planning takes about so long; other bells wait for it.
STEP_SECONDS = 1.5
#: Whoever holds a job for longer has died.
LEASE_SECONDS = 120
#: A case whose transaction does not come to rest for so long (it is retried, it waits for another) is not waited for.
PATIENCE = timedelta(minutes=15)
_AT_ONCE = 500
_CLAIM = """
UPDATE triage_job SET lease_until = clock_timestamp() + make_interval(secs => %s) WHERE id = (
    SELECT id FROM triage_job WHERE next_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""
_LEAVE = """
UPDATE triage_job SET lease_until = NULL,
    next_at = CASE WHEN state IN ('planning', 'running') THEN clock_timestamp() + make_interval(secs => %s) ELSE next_at END
WHERE id = %s
"""


def work(*, seconds: float = 2.0) -> int:
    """Look after the jobs that are due, for about so long. Returns how many looks did something."""
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until and (job_id := _claim()) is not None:
        moved = False
        try:
            moved = _look_after(Job.objects.select_related("by").get(pk=job_id))
        finally:
            _leave(job_id, pause=0.0 if moved else 1.0)
        done += moved
    return done


def _claim() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE_SECONDS])
        row = cursor.fetchone()
    return row[0] if row else None


def _leave(job_id: int, *, pause: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_LEAVE, [pause, job_id])


def _look_after(job: Job) -> bool:
    """One step; whether it brought the job on."""
    if job.state == JobState.PLANNING:
        return _plan(job)
    if job.state == JobState.RUNNING:
        verified, begun = _verify(job), _begin(job)
        return _finish(job) or verified or begun
    if job.state == JobState.READY and job.expires_at <= clock.now():
        return transitions.move(job, to=JobState.EXPIRED, finished_at=clock.now(), next_at=None)
    Job.objects.filter(pk=job.pk).update(next_at=Now() + LIFETIME)
    return False


# ---- Planning --------------------------------------------------------------------------------------------------------
def _plan(job: Job) -> bool:
    rows = list(job.rows.filter(outcome="").order_by("id")[:_AT_ONCE])
    doubtful = transactions.in_doubt({row.transaction_id for row in rows})
    asked = list(dict.fromkeys(row.transaction_id for row in rows if row.transaction_id not in doubtful))
    found = {
        one["transaction_id"]: one for one in sync.preview_some(transaction_ids=asked, seconds=STEP_SECONDS)
    }
    planned = []
    for row in rows:
        if row.transaction_id in doubtful:
            row.outcome, row.reason = Outcome.IN_DOUBT, doubt_words(doubtful[row.transaction_id])
        elif (result := found.get(row.transaction_id)) is not None:
            row.outcome, row.digest, row.reason = result["outcome"], result["digest"], result["reason"]
        else:
            continue
        planned.append(row)
    JobRow.objects.bulk_update(planned, ["outcome", "digest", "reason"], batch_size=250)
    now = clock.now()
    Job.objects.filter(pk=job.pk).update(expires_at=now + LIFETIME)
    if not job.rows.filter(outcome="").exists():
        transitions.move(job, to=JobState.READY, ready_at=now, next_at=Now() + LIFETIME)
    return True


# ---- Running ---------------------------------------------------------------------------------------------------------
def _begin(job: Job) -> bool:
    under_way = set(job.rows.filter(result=Result.ACCEPTED).values_list("run_id", flat=True))
    room = job.pace - len(under_way)
    if room <= 0 or Job.objects.filter(pk=job.pk, stop_asked_at__isnull=False).exists():
        return False
    unbegun = job.rows.filter(result="").exclude(digest="").order_by("id")
    heads = list(unbegun.values_list("transaction_id", flat=True)[:room])
    if not heads:
        return False
    # All cases of a transaction share its one run.
    runs: dict[int, list[int]] = {}
    for row_id, transaction_id in unbegun.filter(transaction_id__in=heads).values_list(
        "pk", "transaction_id"
    ):
        runs.setdefault(transaction_id, []).append(row_id)
    try:
        _begin_some(job, [row_id for ids in runs.values() for row_id in ids])
    except AppError:
        for ids in runs.values():  # one of them may not be run: it must not hold the others up
            try:
                _begin_some(job, ids)
            except AppError as error:
                JobRow.objects.filter(pk__in=ids, result="").update(
                    result=Result.SKIPPED, reason=error.message, verified_at=clock.now()
                )
    return True


def _begin_some(job: Job, ids: Sequence[int]) -> None:
    """Ask for these runs; cases that changed since the plan are skipped and said. All or nothing."""
    with transaction.atomic():
        planned = dict(JobRow.objects.filter(pk__in=ids).values_list("transaction_id", "digest"))
        sync.hold_still(transaction_ids=list(planned))
        rows = list(JobRow.objects.select_for_update().filter(pk__in=ids, result="").order_by("id"))
        scope = organization.scope_of(job.by, "transaction.replay")
        chosen = Case.objects.select_for_update().within(scope).filter(pk__in=[row.case_id for row in rows])
        cases = {case.pk: case for case in chosen.order_by("id")}
        doubts = transactions.in_doubt(planned.keys())
        good, digests = [], {}
        for row in rows:
            case = cases.get(row.case_id)
            reason = why_not(case, row.transaction_id, doubts) if case else _("You may not run it any more.")
            if reason or case is None:
                _mark(row, Result.SKIPPED, reason)
            else:
                good.append((row, case))
                digests[row.transaction_id] = row.digest
        moves.move_many(
            [case for _row, case in good],
            to=CaseState.IN_PROGRESS,
            by=job.by,
            note=_("Run again with %(ref)s.") % {"ref": job.ref},
            fixed_by=job.by,
            mapping_id=job.mapping_id,
        )
        why = _("Run again with %(ref)s. %(why)s") % {"ref": job.ref, "why": job.reason}
        answer: dict[str, Any] = {"runs": {}, "skipped": []}
        if digests:
            answer = sync.replay(transaction_ids=list(digests), by=job.by, tokens=digests, why=why.strip())
        release_skipped([case for _row, case in good], answer["skipped"])
        reasons = {one["transaction_id"]: one["reason"] for one in answer["skipped"]}
        for row, _case in good:
            if row.transaction_id in answer["runs"]:
                row.run_id, row.begun_at = answer["runs"][row.transaction_id], clock.now()
                _mark(row, Result.ACCEPTED, row.reason)
            else:
                _mark(row, Result.SKIPPED, reasons.get(row.transaction_id, ""))
        JobRow.objects.bulk_update(
            rows, ["result", "reason", "run_id", "begun_at", "verified_at"], batch_size=250
        )


def _mark(row: JobRow, result: Result, reason: str) -> None:
    row.result, row.reason = result, reason
    row.verified_at = None if result is Result.ACCEPTED else clock.now()


# ---- Verifying -------------------------------------------------------------------------------------------------------
def _verify(job: Job) -> bool:
    """What has come to rest is looked at: the case says whether it cleared, whatever the run itself says."""
    accepted = job.rows.filter(result=Result.ACCEPTED).select_related("case").order_by("id")
    rows = list(accepted[:_AT_ONCE])
    rested = transactions.at_rest({row.run_id for row in rows if row.run_id is not None})
    late = clock.now() - PATIENCE
    settled = [row for row in rows if row.run_id in rested]
    elsewhere = _stopped_elsewhere(settled)
    for row in settled:
        other = elsewhere.get((row.case.subject_kind, row.case.subject_key))
        if row.case.is_open:
            _mark(row, Result.BACK, row.case.reason)
        elif other is not None:
            _mark(row, Result.TURNED, other)
        else:
            _mark(row, Result.CLEARED, "")
    for row in rows:
        if row.run_id not in rested and row.begun_at is not None and row.begun_at <= late:
            _mark(row, Result.GOES_ON, _("It has not come to rest yet: it is retried or waits for another."))
            settled.append(row)
    JobRow.objects.bulk_update(settled, ["result", "reason", "verified_at"], batch_size=250)
    _give_back([row.case_id for row in settled if row.result == Result.BACK])
    return bool(settled)


def _stopped_elsewhere(rows: Sequence[JobRow]) -> dict[tuple[str, str], str]:
    """Subjects of cases that are closed and still stop at something: the sentence of the oldest open case."""
    closed = [row.case for row in rows if not row.case.is_open]
    keys = {case.subject_key for case in closed}
    found: dict[tuple[str, str], str] = {}
    open_ones = Case.objects.filter(state__in=OPEN_STATES, subject_key__in=keys).order_by("-id")
    for kind, key, reason in open_ones.values_list("subject_kind", "subject_key", "reason"):
        found[kind, key] = reason
    return found


def _give_back(case_ids: Sequence[int]) -> None:
    """A run that ended without saying anything of its case leaves it under way; it goes back to the desk."""
    with transaction.atomic():
        left = Case.objects.select_for_update().filter(pk__in=case_ids, state=CaseState.IN_PROGRESS)
        moves.back_to_desk(list(left.order_by("id")), _("The run did not clear it."))


def _finish(job: Job) -> bool:
    if job.rows.filter(result=Result.ACCEPTED).exists():
        return False
    unbegun = job.rows.filter(result="").exclude(digest="")
    stopped = Job.objects.filter(pk=job.pk, stop_asked_at__isnull=False).exists()
    if not stopped and unbegun.exists():
        return False
    now = clock.now()
    unbegun.update(result=Result.SKIPPED, reason=_("Stopped before its turn."), verified_at=now)
    end = JobState.STOPPED if stopped else JobState.DONE
    return transitions.move(job, to=end, finished_at=now, next_at=None)
