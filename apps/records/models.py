"""Tables of records: what each system last showed, and which ids are the same thing."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core import clock
from apps.core.scope import ScopedQuerySet


class LinkedBy(models.TextChoices):
    """How two ids came to be known as one object."""

    PUSH = "push", _("written by us")
    PROBE = "probe", _("found after an unknown outcome")
    MATCH = "match", _("matched")
    PERSON = "person", _("linked by a person")


class Record(models.Model):
    """One object as one system last showed it: canonical ``body`` and vendor ``facts``.

    ``modified_at`` is the system's own clock, ``observed_at`` ours. ``digest`` is of body and facts; ``former_digest``
    is the one that the last write met, so that a change is known without a second look.
    """

    system = models.ForeignKey("organization.System", on_delete=models.PROTECT, related_name="+")
    object_type = models.CharField(max_length=60)
    external_id = models.CharField(max_length=255)
    key = models.CharField(max_length=200)
    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    engagement_key = models.CharField(max_length=200, blank=True, default="")
    body = models.JSONField(encoder=DjangoJSONEncoder)
    facts = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    version = models.CharField(max_length=120, blank=True)
    digest = models.CharField(max_length=64)
    former_digest = models.CharField(max_length=64, blank=True)
    modified_at = models.DateTimeField(null=True)
    observed_at = models.DateTimeField()
    url = models.CharField(max_length=1000, blank=True)
    deleted = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["system", "object_type", "external_id"], name="records_record_unique"
            )
        ]
        indexes = [
            models.Index(fields=["legal_entity", "object_type", "id"], name="records_record_entity"),
            models.Index(fields=["object_type", "key"], name="records_record_key"),
            models.Index(
                fields=["engagement_key", "object_type"],
                condition=~models.Q(engagement_key=""),
                name="records_record_engagement",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.object_type} {self.external_id}"


class CrossReference(models.Model):
    """Our ``key`` of an object is ``external_id`` in a system; one each way, or there would be two truths."""

    object_type = models.CharField(max_length=60)
    key = models.CharField(max_length=200)
    system = models.ForeignKey("organization.System", on_delete=models.PROTECT, related_name="+")
    external_id = models.CharField(max_length=255)
    url = models.CharField(max_length=1000, blank=True)
    linked_by = models.CharField(max_length=10, choices=LinkedBy)
    evidence = models.JSONField(encoder=DjangoJSONEncoder, default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["object_type", "key", "system"], name="records_link_key_unique"),
            models.UniqueConstraint(
                fields=["system", "object_type", "external_id"], name="records_link_external_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.object_type} {self.key} = {self.external_id}"
