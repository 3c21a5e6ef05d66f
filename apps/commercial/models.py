"""Tables of the commercial room: engagements, their terms versions, rate cards and their lines.

No model here is imported by another room; see services and selectors.
"""

from __future__ import annotations

from typing import ClassVar, Self

import pghistory
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, DateRangeField, RangeOperators
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Func, Q, Value
from django.utils.translation import gettext_lazy as _

from apps.core import clock
from apps.core.scope import Scope, ScopedQuerySet
from apps.journal.transitions import Arrows


class BillingModel(models.TextChoices):
    """How a sold service turns into money; the values are those of the canonical objects."""

    TIME_AND_MATERIALS = "time_and_materials", _("Time and materials")
    CAPPED = "capped_time_and_materials", _("Capped time and materials")
    MILESTONE = "milestone", _("Milestones")
    INSTALMENT = "instalment", _("Instalments")
    RETAINER = "retainer", _("Retainer")
    FIXED = "fixed", _("Fixed fee")


class EngagementState(models.TextChoices):
    """``planned`` → ``active`` ⇄ ``suspended``; each of them → ``closed``, which is final."""

    PLANNED = "planned", _("Planned")
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")
    CLOSED = "closed", _("Closed")


class EngagementQuerySet(ScopedQuerySet):
    """An engagement *is* what other rows name by ``engagement_key``; its own column is ``key``."""

    def within(self, scope: Scope) -> Self:
        if scope.everything:
            return self
        return self.filter(Q(legal_entity_id__in=scope.entity_ids) | Q(key__in=scope.engagement_keys))


class Engagement(models.Model):
    """A sold piece of work. ``key`` is its name in every connected system; ``deal_key`` is the deal it came from.

    ``value``, ``not_to_exceed`` and ``po_amount`` (what the client ordered; None: not said) are net of tax in ``currency``.
    """

    ARROWS: ClassVar[Arrows] = Arrows(
        {
            EngagementState.PLANNED: {EngagementState.ACTIVE, EngagementState.CLOSED},
            EngagementState.ACTIVE: {EngagementState.SUSPENDED, EngagementState.CLOSED},
            EngagementState.SUSPENDED: {EngagementState.ACTIVE, EngagementState.CLOSED},
            EngagementState.CLOSED: set(),
        }
    )
    AUDIT_TYPE: ClassVar[str] = "engagement"

    key = models.CharField(max_length=40, unique=True)
    deal_key = models.CharField(max_length=200, unique=True)
    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=300)
    customer_key = models.CharField(max_length=200)
    currency = models.CharField(max_length=3)
    billing_model = models.CharField(max_length=30, choices=BillingModel)
    state = models.CharField(max_length=12, choices=EngagementState, default=EngagementState.PLANNED)
    project_manager = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    project_manager_email = models.CharField(max_length=254, blank=True, default="")
    start_on = models.DateField(null=True, blank=True)
    end_on = models.DateField(null=True, blank=True)
    value = models.DecimalField(max_digits=19, decimal_places=4)
    not_to_exceed = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    po_number = models.CharField(max_length=100, blank=True, default="")
    po_amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    contract_number = models.CharField(max_length=100, blank=True, default="")
    payment_terms = models.CharField(max_length=100, blank=True, default="")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = EngagementQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(value__gte=0), name="commercial_engagement_value"),
            models.CheckConstraint(
                condition=Q(not_to_exceed__isnull=True) | Q(not_to_exceed__gte=0),
                name="commercial_engagement_cap",
            ),
        ]
        indexes = [
            models.Index(fields=["legal_entity", "state", "-id"], name="commercial_eng_entity"),
            models.Index(fields=["customer_key", "-id"], name="commercial_eng_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.name}"


class TermsVersion(models.Model):
    """What was agreed, whole, as it was read. The base contract is number 0, shown as 000; change orders follow.

    ``body`` is the canonical deal, ``lines`` the engagement lines with the ``mapping_id`` that gave each billing code.
    """

    engagement = models.ForeignKey(Engagement, on_delete=models.PROTECT, related_name="terms")
    number = models.PositiveSmallIntegerField()
    digest = models.CharField(max_length=64)
    body = models.JSONField(encoder=DjangoJSONEncoder)
    lines = models.JSONField(encoder=DjangoJSONEncoder)
    accepted_at = models.DateTimeField(default=clock.now)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["engagement_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["engagement", "number"], name="commercial_terms_number")
        ]

    def __str__(self) -> str:
        return f"{self.engagement_id}/{self.label}"

    @property
    def label(self) -> str:
        """Three digits, as change orders are numbered in the trade: 000, 001, …"""
        return f"{self.number:03d}"


class RateScope(models.TextChoices):
    """Whose price it is, the most specific first."""

    ENGAGEMENT = "engagement", _("Engagement")
    CLIENT = "client", _("Client")
    ENTITY = "entity", _("Legal entity")


class RateUnit(models.TextChoices):
    HOUR = "hour", _("Hour")
    DAY = "day", _("Day")
    MONTH = "month", _("Month")
    FIXED = "fixed", _("Fixed")


class CardState(models.TextChoices):
    """Drafts may overlap anything; ``draft`` → ``approved`` → ``retired``. Approved prices are never edited."""

    DRAFT = "draft", _("Draft")
    APPROVED = "approved", _("Approved")
    RETIRED = "retired", _("Retired")


@pghistory.track()
class RateCard(models.Model):
    """One version of a list of prices with one validity [from, to) in calendar days of the legal entity.

    ``hours_per_day`` set = the contract defines its day; empty = the legal entity's day.
    """

    ARROWS: ClassVar[Arrows] = Arrows(
        {
            CardState.DRAFT: {CardState.APPROVED, CardState.RETIRED},
            CardState.APPROVED: {CardState.RETIRED},
            CardState.RETIRED: set(),
        }
    )
    AUDIT_TYPE: ClassVar[str] = "rate_card"

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    scope = models.CharField(max_length=12, choices=RateScope)
    customer_key = models.CharField(max_length=200, blank=True, default="")
    engagement = models.ForeignKey(
        Engagement, null=True, blank=True, on_delete=models.PROTECT, related_name="rate_cards"
    )
    name = models.CharField(max_length=300)
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=CardState, default=CardState.APPROVED)
    effective_from = models.DateField()
    effective_to = models.DateField(null=True, blank=True)
    hours_per_day = models.DecimalField(max_digits=4, decimal_places=2, null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "version"], name="commercial_card_version"),
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
                name="commercial_card_validity",
            ),
            models.CheckConstraint(
                condition=Q(scope="engagement", engagement__isnull=False)
                | Q(scope="client", engagement__isnull=True) & ~Q(customer_key="")
                | Q(scope="entity", engagement__isnull=True, customer_key=""),
                name="commercial_card_owner",
            ),
            models.CheckConstraint(
                condition=Q(hours_per_day__isnull=True) | Q(hours_per_day__gt=0, hours_per_day__lte=24),
                name="commercial_card_hours_per_day",
            ),
        ]
        indexes = [
            models.Index(fields=["legal_entity", "scope", "customer_key"], name="commercial_card_scope")
        ]

    def __str__(self) -> str:
        return f"{self.key} v{self.version}"


class RateKey(models.Model):
    """What a price is for: its owner and the attributes it asks for. One row per distinct key, never changed.

    The exclusion constraint of lines compares this row's id, so that no extension of PostgreSQL is needed and no hash
    can collide.
    """

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    scope = models.CharField(max_length=12, choices=RateScope)
    customer_key = models.CharField(max_length=200, blank=True, default="")
    engagement = models.ForeignKey(
        Engagement, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    currency = models.CharField(max_length=3)
    role = models.CharField(max_length=120, blank=True, default="")
    service_code = models.CharField(max_length=60, blank=True, default="")
    resource = models.CharField(max_length=200, blank=True, default="")
    blended = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "legal_entity",
                    "scope",
                    "customer_key",
                    "engagement",
                    "currency",
                    "role",
                    "service_code",
                    "resource",
                    "blended",
                ],
                nulls_distinct=False,
                name="commercial_rate_key",
            ),
        ]

    def __str__(self) -> str:
        named = " · ".join(part for part in (self.role, self.service_code, self.resource) if part)
        return named or str(_("any role"))


@pghistory.track()
class RateLine(models.Model):
    """One price of a card. ``validity`` is the card's, kept here so that the database itself refuses an overlap."""

    card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="lines")
    rate_key = models.ForeignKey(RateKey, on_delete=models.PROTECT, related_name="lines")
    unit = models.CharField(max_length=8, choices=RateUnit, default=RateUnit.HOUR)
    bill_rate = models.DecimalField(max_digits=19, decimal_places=4)
    validity = DateRangeField()
    approved = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(bill_rate__gte=0), name="commercial_line_rate"),
            models.UniqueConstraint(fields=["card", "rate_key"], name="commercial_line_once"),
            ExclusionConstraint(
                name="commercial_line_no_overlap",
                index_type="gist",
                expressions=[
                    (
                        Func(
                            F("rate_key"),
                            F("rate_key"),
                            Value("[]"),
                            function="int8range",
                            output_field=BigIntegerRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    ("validity", RangeOperators.OVERLAPS),
                ],
                condition=Q(approved=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rate_key} {self.bill_rate}"
