"""Tables of people, entities, systems and routing; other rooms go through selectors and services."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TypeVar

import pghistory
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import AbstractAPIKey

from apps.core import clock
from apps.organization.permissions import Audience, Role

_Model = TypeVar("_Model", bound=models.Model)


def _tracked(model: type[_Model]) -> type[_Model]:
    """Row history by trigger, deletions included: access and configuration can be read as of any date."""
    events = (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
    return pghistory.track(*events)(model)


class SystemKind(models.TextChoices):
    CRM = "crm", _("CRM")
    PSA = "psa", _("Project system")
    ERP = "erp", _("ERP")
    BILLING = "billing", _("Billing platform")
    SINK = "sink", _("Receiver of events")


class User(AbstractUser):
    """A person. What they may do comes from :class:`Grant` rows only.

    ``is_superuser`` opens the break-glass admin and gives no verb.
    """

    email = models.EmailField(_("e-mail"), blank=True)
    job_title = models.CharField(_("job title"), max_length=120, blank=True)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC")

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"), condition=~models.Q(email=""), name="organization_user_email_unique"
            )
        ]

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username


@_tracked
class LegalEntity(models.Model):
    """A company of the group that contracts, employs and invoices. ``code`` is what the CRM calls it."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2)
    currency = models.CharField(max_length=3)
    tax_id = models.CharField(max_length=40, blank=True)
    address = models.JSONField(default=dict, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    hours_per_day = models.DecimalField(max_digits=4, decimal_places=2, default=Decimal("8"))
    active = models.BooleanField(default=True)
    successor = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="predecessors"
    )
    #: The invoice run closes on this working day of the month at this local time.
    invoice_run_day = models.PositiveSmallIntegerField(default=2)
    invoice_run_time = models.TimeField(default=dt.time(16, 0))
    #: Receivables of the month before are locked on this working day at this local time; None: no lock is kept here.
    receivables_lock_day = models.PositiveSmallIntegerField(null=True, blank=True)
    receivables_lock_time = models.TimeField(default=dt.time(18, 0))
    #: In the entity's currency: a missing mapping that exposes no more takes effect at once.
    mapping_threshold = models.DecimalField(max_digits=18, decimal_places=2, default=Decimal("0"))
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = _("legal entity")
        verbose_name_plural = _("legal entities")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(hours_per_day__gt=0, hours_per_day__lte=24),
                name="organization_entity_hours_per_day",
            ),
            models.CheckConstraint(
                condition=models.Q(invoice_run_day__gte=1, invoice_run_day__lte=20),
                name="organization_entity_invoice_run_day",
            ),
            models.CheckConstraint(
                condition=models.Q(receivables_lock_day__isnull=True)
                | models.Q(receivables_lock_day__gte=1, receivables_lock_day__lte=20),
                name="organization_entity_receivables_lock_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@_tracked
class System(models.Model):
    """One external system (one account at a vendor). Credentials live in ``connectors``, never here."""

    Kind = SystemKind

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=SystemKind)
    vendor = models.CharField(max_length=40)
    active = models.BooleanField(default=True)
    #: ``https://…/{object_type}/{external_id}``: how a person opens a record there.
    record_url_template = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


@_tracked
class Routing(models.Model):
    """Which system plays a kind for an entity, and with which vendor settings (subsidiary, tax codes …)."""

    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="routings")
    kind = models.CharField(max_length=20, choices=SystemKind)
    system = models.ForeignKey(System, on_delete=models.PROTECT, related_name="routings")
    settings = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["legal_entity", "kind"], name="organization_routing_unique")
        ]

    def __str__(self) -> str:
        return f"{self.legal_entity_id} {self.kind}"


@_tracked
class Grant(models.Model):
    """A role given to a person: everywhere (no entity, no engagement), in one entity, or on one engagement.

    A project manager's grant counts only with an engagement; without one it names the role and opens nothing.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=30, choices=Role)
    legal_entity = models.ForeignKey(
        LegalEntity, null=True, blank=True, on_delete=models.PROTECT, related_name="grants"
    )
    engagement_key = models.CharField(max_length=200, blank=True, default="")
    granted_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="grants_given"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = _("role of a person")
        verbose_name_plural = _("roles of people")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "legal_entity", "engagement_key"],
                nulls_distinct=False,
                name="organization_grant_unique",
            )
        ]
        indexes = [models.Index(fields=["role", "legal_entity"], name="organization_grant_role")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"


class ApiKey(AbstractAPIKey):
    """A program's key, stored hashed: the verbs it may use (``scopes``), where set for one legal entity."""

    scopes = models.JSONField(default=list)
    legal_entity = models.ForeignKey(LegalEntity, null=True, blank=True, on_delete=models.PROTECT)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL)

    class Meta(AbstractAPIKey.Meta):
        verbose_name = _("API key")  # type: ignore[assignment]
        verbose_name_plural = _("API keys")  # type: ignore[assignment]


class ExchangeRate(models.Model):
    """``1 base = rate quote`` from ``on`` (inclusive) until the next row of the pair."""

    base = models.CharField(max_length=3)
    quote = models.CharField(max_length=3)
    on = models.DateField()
    rate = models.DecimalField(max_digits=20, decimal_places=10)
    source = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["base", "quote", "on"], name="organization_rate_unique"),
            models.CheckConstraint(condition=models.Q(rate__gt=0), name="organization_rate_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.base}/{self.quote} {self.on}"


class ClosedDay(models.Model):
    """A day on which an entity does not work besides weekends and public holidays (company shutdown)."""

    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.CASCADE, related_name="closed_days")
    on = models.DateField()
    label = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["legal_entity", "on"], name="organization_closed_day_unique")
        ]

    def __str__(self) -> str:
        return f"{self.on} {self.label}"


class SavedView(models.Model):
    """A name for an address of a screen: filters, order, columns. What it shows is always the reader's own scope."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    screen = models.CharField(max_length=40)
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=1000)
    audience = models.CharField(max_length=10, choices=Audience.choices, default=Audience.ME)
    role = models.CharField(max_length=30, choices=Role, blank=True, default="")
    #: Opened for its owner when the screen is asked for without any filter.
    default = models.BooleanField(default=False)
    changed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "screen", "name"], name="organization_view_name"),
            models.UniqueConstraint(
                fields=["owner", "screen"], condition=models.Q(default=True), name="organization_view_default"
            ),
            models.CheckConstraint(
                condition=models.Q(audience="role") ^ models.Q(role=""), name="organization_view_role"
            ),
        ]
        indexes = [models.Index(fields=["screen", "audience", "role"], name="organization_view_shared")]

    def __str__(self) -> str:
        return f"{self.screen}: {self.name}"
