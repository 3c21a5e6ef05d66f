"""Tables of the desk beside cases: the history of groups, what can be undone, groups to look at again, messages
that are owed.

Imported by :mod:`apps.triage.models`, where the room takes them from.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class GroupEvent(models.Model):
    """Every move of a group: who, when, from, to, why."""

    group = models.ForeignKey("triage.Group", on_delete=models.CASCADE, related_name="events")
    what = models.CharField(max_length=40)
    old = models.CharField(max_length=120, blank=True, default="")
    new = models.CharField(max_length=120, blank=True, default="")
    note = models.TextField(blank=True, default="")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    correlation_id = models.UUIDField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["group_id", "id"]

    def __str__(self) -> str:
        return f"{self.what} {self.old} → {self.new}"


class Undo(models.Model):
    """What one person has just done and may take back for a while: for each thing how it was before, and how it is after.

    ``before`` and ``after`` are ``{id: values}``; it is taken back only where the thing is still as ``after`` says.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    what = models.CharField(max_length=20)
    before = models.JSONField()
    after = models.JSONField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="triage_undo_expiry")]

    def __str__(self) -> str:
        return f"{self.what} {self.key}"


class Unsettled(models.Model):
    """A group whose state does not fit its cases any more, as the folder found it: it has cleared, or a case came back."""

    group_id = models.BigIntegerField()


class Notice(models.Model):
    """That a person is to be told of a case whose deadline is near: one line of a message, written with the escalation.

    ``next_at`` empty: its round is still going on. What is due of one person leaves as one message (``sent_at``), or is
    ``dropped`` with the reason because it is no longer so, or no longer theirs to see.
    """

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    case = models.ForeignKey("triage.Case", on_delete=models.CASCADE, related_name="+", db_index=False)
    #: The role that leads where nobody holds the case; "" for its holder.
    role = models.CharField(max_length=30, blank=True, default="")
    round = models.UUIDField()
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True, default="")
    sent_at = models.DateTimeField(null=True)
    dropped = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "person", "round"], name="triage_notice_once"),
        ]
        indexes = [
            models.Index(
                fields=["next_at", "id"], condition=Q(sent_at=None, dropped=""), name="triage_notice_owed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.case_id} → {self.person_id}"
