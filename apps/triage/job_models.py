"""A job and the cases that it froze.

Public surface: :class:`Job`, :class:`JobRow`, :class:`JobState`, :class:`Outcome`, :class:`Result`, :class:`Pace`.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.journal.transitions import Arrows


class JobState(models.TextChoices):
    """A job is planned, looked at, run and verified; who does not run it drops it, or it expires::

    planning → ready → running → done ;  planning, ready → dropped | expired ;  running → stopped
    """

    PLANNING = "planning", _("Being planned")
    READY = "ready", _("Ready to run")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")
    DROPPED = "dropped", _("Dropped")
    EXPIRED = "expired", _("Too old to run")


class Outcome(models.TextChoices):
    """What running a case again would do, as far as its plan tells."""

    CLEARS = "clears", _("clears")
    CHANGES = "changes", _("changes the error")
    STAYS = "stays", _("stays")
    UNREACHABLE = "unreachable", _("could not be planned now")
    IN_DOUBT = "in_doubt", _("waits for a look-up")


class Result(models.TextChoices):
    """What became of a case once it was begun; ``accepted`` until its end has been verified."""

    ACCEPTED = "accepted", _("accepted, not verified yet")
    CLEARED = "cleared", _("cleared")
    TURNED = "turned", _("stops at something else")
    BACK = "back", _("did not clear")
    SKIPPED = "skipped", _("skipped")
    GOES_ON = "goes_on", _("goes on by itself")


class Pace(models.IntegerChoices):
    """Most transactions of a job that are under way at once."""

    GENTLE = 5, _("Gently, 5 at once")
    STEADY = 25, _("Steadily, 25 at once")
    FAST = 200, _("As fast as the systems allow")


class Job(models.Model):
    """Many cases that one person wants to run again. ``scope_words`` says what was chosen, ``address`` where.

    ``next_at`` is when the bell looks at it next (NULL: never again); a worker that holds it says so in ``lease_until``.
    """

    ARROWS = Arrows(
        {
            JobState.PLANNING: {JobState.READY, JobState.DROPPED, JobState.EXPIRED},
            JobState.READY: {JobState.RUNNING, JobState.DROPPED, JobState.EXPIRED},
            JobState.RUNNING: {JobState.DONE, JobState.STOPPED},
        }
    )

    ref = models.CharField(max_length=32, unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, choices=JobState.choices, default=JobState.PLANNING)
    scope_words = models.CharField(max_length=300)
    address = models.CharField(max_length=500, blank=True, default="")
    #: Why the person runs it, in their words.
    reason = models.CharField(max_length=500, blank=True, default="")
    #: The mapping whose fix it carries out: its cases were planned with it and end as fixed by it.
    mapping_id = models.BigIntegerField(null=True)
    pace = models.PositiveSmallIntegerField(choices=Pace.choices, default=Pace.STEADY)
    total = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    stop_asked_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["by", "-id"], name="triage_job_mine"),
            models.Index(
                fields=["finished_at"], condition=Q(finished_at__isnull=False), name="triage_job_finished"
            ),
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="triage_job_due"),
        ]

    def __str__(self) -> str:
        return self.ref

    @property
    def moving(self) -> bool:
        """Whether it changes by itself."""
        return self.state in (JobState.PLANNING, JobState.RUNNING)


class JobRow(models.Model):
    """One case of a job, in the order ``id`` in which it is run: oldest first. ``run_id`` is the transaction that runs for it
    (that of the case, or its successor)."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="rows")
    case = models.ForeignKey("triage.Case", on_delete=models.CASCADE, related_name="+")
    transaction_id = models.BigIntegerField()
    currency = models.CharField(max_length=3, blank=True, default="")
    held_amount = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, blank=True, default="")
    digest = models.CharField(max_length=64, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    result = models.CharField(max_length=12, choices=Result.choices, blank=True, default="")
    run_id = models.BigIntegerField(null=True)
    begun_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "case"], name="triage_job_case_once")]
        indexes = [
            models.Index(fields=["job", "id"], condition=Q(outcome=""), name="triage_job_unplanned"),
            models.Index(
                fields=["job", "id"], condition=Q(result="") & ~Q(digest=""), name="triage_job_unbegun"
            ),
            models.Index(fields=["job", "id"], condition=Q(result="accepted"), name="triage_job_unverified"),
        ]

    def __str__(self) -> str:
        return f"{self.case_id} {self.result or self.outcome}"
