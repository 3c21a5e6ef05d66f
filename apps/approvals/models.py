"""Tables of the approvals room: requests, their steps, and the decisions people took."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.scope import ScopedQuerySet
from apps.journal.transitions import Arrows


class RequestState(models.TextChoices):
    """``open`` → ``approved`` | ``rejected`` | ``sent_back`` | ``withdrawn``; every end is final (ask anew instead)."""

    OPEN = "open", _("Waiting for approval")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    SENT_BACK = "sent_back", _("Sent back")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class DecisionKind(models.TextChoices):
    APPROVE = "approve", _("Approve")
    REJECT = "reject", _("Reject")
    SEND_BACK = "send_back", _("Send back")


class Request(models.Model):
    """One question to one or more people about a subject whose content is pinned by ``digest``."""

    ARROWS = Arrows(
        {
            RequestState.OPEN: {
                RequestState.APPROVED,
                RequestState.REJECTED,
                RequestState.SENT_BACK,
                RequestState.WITHDRAWN,
            }
        }
    )

    AUDIT_TYPE = "approval"

    ref = models.CharField(max_length=32, unique=True)
    kind = models.CharField(max_length=40)
    subject_type = models.CharField(max_length=60)
    subject_ref = models.CharField(max_length=200)
    title = models.CharField(max_length=300)
    digest = models.CharField(max_length=128)
    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    engagement_key = models.CharField(max_length=64, blank=True, default="")
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    state = models.CharField(max_length=16, choices=RequestState.choices, default=RequestState.OPEN)
    current_step = models.PositiveSmallIntegerField(default=1)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    correlation_id = models.UUIDField()
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject_type", "subject_ref"],
                condition=Q(state="open"),
                name="approvals_one_open_request",
            ),
            models.CheckConstraint(
                condition=Q(amount__isnull=True) | ~Q(currency=""), name="approvals_amount_has_currency"
            ),
        ]
        indexes = [
            models.Index(
                fields=["legal_entity", "created_at"], name="approvals_open", condition=Q(state="open")
            ),
            models.Index(fields=["subject_ref", "created_at"], name="approvals_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"

    @property
    def is_open(self) -> bool:
        return self.state == RequestState.OPEN


class Step(models.Model):
    """One signature that is needed; whether it was given is told by its decision, not by a column."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField()
    verb = models.CharField(max_length=60)
    label = models.CharField(max_length=120)
    maker_may = models.BooleanField(default=False)

    class Meta:
        ordering = ["request_id", "number"]
        constraints = [models.UniqueConstraint(fields=["request", "number"], name="approvals_step_number")]

    def __str__(self) -> str:
        return f"{self.number}. {self.label}"


class Decision(models.Model):
    """What one person said to one step. The two unique keys hold even against a fault in the service."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="decisions")
    step = models.OneToOneField(Step, on_delete=models.CASCADE, related_name="given")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=16, choices=DecisionKind.choices)
    comment = models.TextField(blank=True, default="")
    digest = models.CharField(max_length=128)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["request_id", "id"]
        constraints = [
            models.UniqueConstraint(fields=["request", "decided_by"], name="approvals_person_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_decision_display()} ({self.step.label})"
