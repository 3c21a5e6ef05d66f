"""Tables of the journal. Partitioned and append-only ones are unmanaged: their SQL stands in the first migration."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core import clock
from apps.core.scope import ScopedQuerySet


class InboxKey(models.Model):
    """One row an event ever received; outlives the partitions of :class:`Inbox`, so no duplicate gets in late."""

    source = models.CharField(max_length=80)
    event_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "event_id"], name="journal_inboxkey_unique")]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class Inbox(models.Model):
    """An event as it came, pending while ``done_at`` and ``dead_at`` are empty. Unmanaged: partitioned by month."""

    id = models.BigIntegerField(primary_key=True)
    received_at = models.DateTimeField()
    source = models.CharField(max_length=80)
    event_id = models.CharField(max_length=255)
    legal_entity_id = models.BigIntegerField(null=True)
    headers = models.JSONField()
    body = models.BinaryField()
    changes = models.JSONField()
    correlation_id = models.UUIDField()
    attempts = models.IntegerField()
    not_before = models.DateTimeField()
    last_error = models.TextField()
    done_at = models.DateTimeField(null=True)
    dead_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "journal_inbox"

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class InboxReject(models.Model):
    """An event that was refused at the door, cut to a bounded size."""

    source = models.CharField(max_length=80)
    reason = models.CharField(max_length=40)
    message = models.CharField(max_length=500)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    size = models.BigIntegerField()
    correlation_id = models.UUIDField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="journal_reject_created"),
            models.Index(fields=["source", "-id"], name="journal_reject_source"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.reason}"


class Outbox(models.Model):
    """A CloudEvent that we announce. ``event_id`` is its CloudEvents id and the receivers' dedupe key."""

    event_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    type = models.CharField(max_length=120)
    subject = models.CharField(max_length=255)
    data = models.JSONField(encoder=DjangoJSONEncoder)
    legal_entity_id = models.BigIntegerField(null=True)
    correlation_id = models.UUIDField()
    #: NULL where an announcement needs no key: unique keys leave NULLs alone, and would not leave empty texts.
    key = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001
    created_at = models.DateTimeField(default=clock.now, editable=False)
    fanned_out_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(fanned_out_at=None), name="journal_outbox_waiting"
            ),
            models.Index(fields=["legal_entity_id", "-id"], name="journal_outbox_entity"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"


class Subscription(models.Model):
    """Who hears our events: an address, a sealed signing secret, the types wanted (prefixes; none = all)."""

    name = models.CharField(max_length=120, unique=True)
    url = models.URLField(max_length=500)
    secret = models.BinaryField()
    types = models.JSONField(default=list)
    legal_entity_id = models.BigIntegerField(null=True)
    active = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One event to one subscriber. Open while ``delivered_at`` and ``dead_at`` are empty; worked on under a lease."""

    outbox = models.ForeignKey(Outbox, on_delete=models.CASCADE, related_name="deliveries")
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="deliveries")
    attempts = models.IntegerField(default=0)
    not_before = models.DateTimeField(default=clock.now)
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    last_status = models.IntegerField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    delivered_at = models.DateTimeField(null=True)
    dead_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["outbox", "subscription"], name="journal_delivery_unique")
        ]
        indexes = [
            models.Index(
                fields=["not_before"],
                condition=models.Q(delivered_at=None, dead_at=None),
                name="journal_delivery_open",
            ),
            models.Index(
                fields=["dead_at"], condition=models.Q(dead_at__isnull=False), name="journal_delivery_dead"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outbox_id} to {self.subscription_id}"


class Audit(models.Model):
    """Who did what to which object, when, from what to what, and why. Unmanaged, partitioned, append-only by trigger.

    The table also holds ``xid`` (the writing transaction, ``xid8``), which the seals follow.
    """

    id = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(_("when"))
    verb = models.CharField(_("what"), max_length=80)
    object_type = models.CharField(max_length=80)
    object_ref = models.CharField(max_length=255)
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(_("who"), max_length=255)
    legal_entity_id = models.BigIntegerField(null=True)
    engagement_key = models.CharField(max_length=200)
    old = models.JSONField(null=True)
    new = models.JSONField(null=True)
    why = models.TextField(_("why"))
    correlation_id = models.UUIDField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "journal_audit"
        verbose_name = _("audit row")

    def __str__(self) -> str:
        return f"{self.verb} {self.object_type} {self.object_ref}"


class Seal(models.Model):
    """A hash over a batch of audit rows and the seal before. Unmanaged, append-only, outlives audit partitions.

    ``leaves`` holds 40 bytes a row (8 of id, 32 of SHA-256), so that the verifier can name the row that was altered.
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField()
    row_count = models.IntegerField()
    first_at = models.DateTimeField()
    leaves = models.BinaryField()
    previous = models.BinaryField()
    digest = models.BinaryField()

    class Meta:
        managed = False
        db_table = "journal_seal"

    def __str__(self) -> str:
        return f"seal {self.pk}"


class HookDue(models.Model):
    """News that a receiver failed to take; the sweeper hands it over again until it is taken."""

    hook = models.CharField(max_length=80)
    receiver = models.CharField(max_length=200)
    facts = models.JSONField(encoder=DjangoJSONEncoder)
    error = models.TextField(blank=True)
    attempts = models.IntegerField(default=1)
    not_before = models.DateTimeField(default=clock.now)
    correlation_id = models.UUIDField()
    created_at = models.DateTimeField(default=clock.now, editable=False)
    done_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["not_before"], condition=models.Q(done_at=None), name="journal_hookdue_open")
        ]

    def __str__(self) -> str:
        return f"{self.hook} to {self.receiver}"


class LegalHold(models.Model):
    """While one is in force (``lifted_at`` empty), retention drops nothing. Rows are never deleted."""

    reason = models.TextField()
    placed_at = models.DateTimeField(default=clock.now, editable=False)
    placed_by = models.CharField(max_length=200)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.pk}: {self.reason}"


class Count(models.Model):
    """How many rows of one kind a table has, as far as the deltas are folded; see :mod:`apps.journal.counters`."""

    name = models.CharField(max_length=40)
    legal_entity_id = models.BigIntegerField(null=True)
    keys = ArrayField(models.TextField())
    n = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "legal_entity_id", "keys"], name="journal_count_once", nulls_distinct=False
            )
        ]
        # A range of kinds (hours, say), whatever the entity.
        indexes = [models.Index(fields=["name", "keys"], name="journal_count_kinds")]


class CountDelta(models.Model):
    """What one statement added to or took from one kind; appended by triggers, folded into :class:`Count`."""

    name = models.CharField(max_length=40)
    legal_entity_id = models.BigIntegerField(null=True)
    keys = ArrayField(models.TextField())
    n = models.BigIntegerField()
