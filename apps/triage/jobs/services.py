"""What a person does with a job: choose cases, look at the plan, run it, stop it, drop it.

Public surface: :func:`job_plan`, :func:`job_run`, :func:`job_stop`, :func:`job_drop`, :data:`MOST`.

Choosing freezes the set: what joins the filter afterwards is no part of the job. The bell plans it and keeps what it found;
running needs the plan to be complete and looked at, and carries out exactly these plans.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput, NotFound, Stale, WrongState
from apps.core.scope import ScopedQuerySet
from apps.journal import services as journal
from apps.journal import transitions
from apps.organization import selectors as organization
from apps.sync import services as sync
from apps.triage.catalogue import Severity
from apps.triage.job_models import Job, JobRow, JobState, Pace
from apps.triage.models import OPEN_STATES, UNDER_WAY, Case

#: Most cases of one job; of more, the oldest so many are a job and the rest is another.
MOST = 10_000
#: Counted from the last step of planning, so that planning itself cannot outlive it.
LIFETIME = timedelta(seconds=sync.TOKEN_MAX_AGE)


def job_plan(*, rows: ScopedQuerySet, by: Any, scope_words: str, address: str = "") -> Job:
    """Freeze the open cases of ``rows`` that ``by`` may run again and nobody is fixing, and have them planned.

    Raises :class:`Stale` when that is nothing, :class:`InvalidInput` when it is more than :data:`MOST`.
    """
    scope = organization.scope_of(by, "transaction.replay")
    states = [state for state in OPEN_STATES if state not in UNDER_WAY]
    chosen = rows.within(scope).filter(state__in=states).order_by("opened_at", "id")
    values = list(chosen.values_list("id", "transaction_id", "currency", "held_amount")[: MOST + 1])
    if not values:
        raise Stale(
            _(
                "None of the chosen cases can be run by you now: they are closed or a fix of them is under way."
            )
        )
    if len(values) > MOST:
        raise InvalidInput(
            _("A job takes at most %(most)s cases; narrow the filter.") % {"most": f"{MOST:,}"}
        )
    # What a subject holds is held once, under the oldest of its blocking cases; others hold nothing themselves.
    older = Case.objects.filter(
        subject_kind=OuterRef("subject_kind"),
        subject_key=OuterRef("subject_key"),
        state__in=OPEN_STATES,
        pk__lt=OuterRef("pk"),
    ).exclude(severity=Severity.WARNING)
    roots = set(chosen.exclude(severity=Severity.WARNING).exclude(Exists(older)).values_list("id", flat=True))
    now = clock.now()
    with transaction.atomic():
        job = Job.objects.create(
            ref=journal.next_ref("JOB", year=False),
            by=by,
            scope_words=scope_words[:300],
            address=address[:500],
            total=len(values),
            created_at=now,
            expires_at=now + LIFETIME,
            next_at=Now(),
        )
        JobRow.objects.bulk_create(
            [
                JobRow(
                    job=job,
                    case_id=case_id,
                    transaction_id=transaction_id,
                    currency=currency if case_id in roots else "",
                    held_amount=held if case_id in roots else 0,
                )
                for case_id, transaction_id, currency, held in values
            ],
            batch_size=1000,
        )
        _told(job, "job.planned", by=by, why=scope_words)
    return job


def job_run(*, ref: str, by: Any, pace: int = Pace.STEADY, why: str = "") -> Job:
    """Run exactly what the plan showed, oldest first. Raises :class:`WrongState` when it is not ready, :class:`Stale` when it
    is too old, :class:`NotFound` for another person's."""
    if pace not in Pace.values:
        raise InvalidInput(_("Choose how fast it may go."), fields={"pace": _("Required.")})
    with transaction.atomic():
        job = _locked(ref, by)
        if job.state == JobState.PLANNING:
            raise WrongState(_("%(ref)s is still being planned.") % {"ref": ref})
        if job.state == JobState.EXPIRED or job.expires_at <= clock.now():
            raise Stale(_("The plan of %(ref)s is too old; choose the cases again.") % {"ref": ref})
        if job.state != JobState.READY:
            raise WrongState(
                _("%(ref)s has been run already: %(state)s.") % {"ref": ref, "state": job.get_state_display()}
            )
        if not job.rows.exclude(digest="").exists():
            raise WrongState(
                _("No case of %(ref)s could be planned, so there is nothing to run.") % {"ref": ref}
            )
        fields: dict[str, Any] = {
            "started_at": clock.now(),
            "next_at": Now(),
            "pace": pace,
            "reason": why[:500],
        }
        transitions.move(job, to=JobState.RUNNING, by=by, why=why, **fields)
    return job


def job_stop(*, ref: str, by: Any) -> Job:
    """Begin no further case; what is under way comes to its end and is verified. Raises :class:`WrongState`."""
    with transaction.atomic():
        job = _locked(ref, by)
        if job.state != JobState.RUNNING:
            raise WrongState(_("%(ref)s is not running.") % {"ref": ref})
        if job.stop_asked_at is None:
            Job.objects.filter(pk=job.pk).update(stop_asked_at=clock.now(), next_at=Now())
            job.refresh_from_db()
            _told(job, "job.stop_asked", by=by)
    return job


def job_drop(*, ref: str, by: Any) -> Job:
    """Give up a job that has not been run. Raises :class:`WrongState`."""
    with transaction.atomic():
        job = _locked(ref, by)
        if job.state not in (JobState.PLANNING, JobState.READY):
            raise WrongState(
                _("%(ref)s cannot be dropped: %(state)s.") % {"ref": ref, "state": job.get_state_display()}
            )
        transitions.move(job, to=JobState.DROPPED, by=by, finished_at=clock.now(), next_at=None)
    return job


def _locked(ref: str, by: Any) -> Job:
    job = Job.objects.select_for_update().filter(ref=ref, by=by).first()
    if job is None:
        raise NotFound(_("There is no such job of yours."))
    return job


def _told(job: Job, verb: str, *, by: Any, why: str = "") -> None:
    journal.record(
        verb=verb,
        object_type="job",
        object_ref=job.ref,
        by=by,
        legal_entity_id=None,
        new={"cases": job.total},
        why=why,
    )
