"""Tables of the governance room: value mappings, ownership rules and the version counter; history by trigger."""

from __future__ import annotations

import pghistory
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.scope import ScopedQuerySet
from apps.journal.transitions import Arrows


class MappingKind(models.TextChoices):
    """What is translated; :data:`TOUCHES_LEDGER` names the kinds that decide on tax or revenue accounts."""

    SERVICE_ITEM = "service_item", _("Service to billing code")
    PAYMENT_TERMS = "payment_terms", _("Payment terms")
    CURRENCY = "currency", _("Currency")
    TAX_CODE = "tax_code", _("Tax treatment to tax code")


TOUCHES_LEDGER = frozenset({MappingKind.TAX_CODE})


class MappingState(models.TextChoices):
    """``proposed`` or ``effective`` → ``confirmed`` | ``rejected`` · ``effective`` or ``confirmed`` → ``retired``.

    ``effective`` is in use but not confirmed: what it releases stops at draft. An effective mapping is retired, too, when
    another one takes its place.
    """

    PROPOSED = "proposed", _("Waiting for a second person")
    EFFECTIVE = "effective", _("In use, to be confirmed")
    CONFIRMED = "confirmed", _("Confirmed")
    REJECTED = "rejected", _("Rejected")
    RETIRED = "retired", _("Retired")


ACTIVE = (MappingState.EFFECTIVE, MappingState.CONFIRMED)
TO_REVIEW = (MappingState.PROPOSED, MappingState.EFFECTIVE)


@pghistory.track()
class Mapping(models.Model):
    """``source`` (our or the CRM's word) means ``target`` (the vendor's id or code) for one legal entity, or for all."""

    ARROWS = Arrows(
        {
            MappingState.PROPOSED: {MappingState.CONFIRMED, MappingState.REJECTED},
            MappingState.EFFECTIVE: {MappingState.CONFIRMED, MappingState.REJECTED, MappingState.RETIRED},
            MappingState.CONFIRMED: {MappingState.RETIRED},
        }
    )

    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    kind = models.CharField(max_length=40, choices=MappingKind.choices)
    source = models.CharField(max_length=200)
    target = models.CharField(max_length=200)
    target_label = models.CharField(max_length=300, blank=True, default="")
    state = models.CharField(max_length=16, choices=MappingState.choices)
    reason = models.TextField(blank=True, default="")
    touches_ledger = models.BooleanField(default=False)
    #: What the mapping released when it was added, net; unknown stays empty.
    exposure_amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    exposure_currency = models.CharField(max_length=3, blank=True, default="")
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: The instant from which it is in use; empty while it only is a proposal.
    valid_from = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "legal_entity", "source"],
                condition=Q(state__in=["effective", "confirmed"]),
                nulls_distinct=False,
                name="governance_one_active_mapping",
            ),
            models.UniqueConstraint(
                fields=["kind", "legal_entity", "source"],
                condition=Q(state="proposed"),
                nulls_distinct=False,
                name="governance_one_proposed_mapping",
            ),
        ]
        indexes = [
            models.Index(
                fields=["legal_entity", "created_at"],
                condition=Q(state__in=["proposed", "effective"]),
                name="governance_to_review",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} → {self.target_label or self.target}"


class Policy(models.TextChoices):
    """What happens when a system that is not the owner shows another value."""

    OVERWRITE = "overwrite", _("The owner's value is written over it")
    HOLD = "hold", _("Held for a person")
    ASK = "ask", _("The owner is asked to take it over")


@pghistory.track()
class OwnershipRule(models.Model):
    """Which kind of system is right about a field; ``*`` is every field, no legal entity is all of them."""

    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    object_type = models.CharField(max_length=60)
    field = models.CharField(max_length=120, default="*")
    system_kind = models.CharField(max_length=20)
    policy = models.CharField(max_length=16, choices=Policy.choices)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["object_type", "field", "legal_entity"],
                condition=Q(valid_to__isnull=True),
                nulls_distinct=False,
                name="governance_one_current_owner",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=models.F("valid_from")),
                name="governance_owner_validity",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.object_type}.{self.field}: {self.system_kind} ({self.policy})"


class Version(models.Model):
    """One row: raised in the transaction of every change that planning can see.

    A counter under a row lock and not ``max(id)`` of a history table, because identities become visible out of order: with
    them a plan could carry a version that another transaction later fills with other content.
    """

    number = models.BigIntegerField(default=1)

    def __str__(self) -> str:
        return str(self.number)
