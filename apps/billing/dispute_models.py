"""Objections of clients to payments, as the platform that took the payment tells them.

Imported by :mod:`apps.billing.models`, where the room takes them from.
"""

from __future__ import annotations

from django.db import models

from apps.core import clock
from apps.core.scope import ScopedQuerySet


class Dispute(models.Model):
    """One objection (``key``) to the money of one invoice; the newest truth replaces the former.

    ``status``: open, won, lost (the money is gone) or closed; ``answer_by``: until when the platform takes evidence.
    """

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    engagement_key = models.CharField(max_length=40)
    prebill = models.ForeignKey("billing.Prebill", on_delete=models.PROTECT, related_name="disputes")
    key = models.CharField(max_length=200, unique=True)
    status = models.CharField(max_length=12)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200, blank=True, default="")
    opened_at = models.DateTimeField()
    answer_by = models.DateTimeField(null=True, blank=True)
    observed_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["engagement_key"], name="billing_dispute_engagement")]

    def __str__(self) -> str:
        return f"{self.key} {self.status}"
