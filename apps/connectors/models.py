"""How each system is reached. Other rooms use the services and selectors of this room."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core import clock


class Connection(models.Model):
    """The address, configuration and encrypted credentials of one system.

    ``paused`` is an operator's wish to send nothing for a while; ``enabled`` false means that it is not set up for use.
    """

    system = models.OneToOneField("organization.System", on_delete=models.PROTECT, related_name="connection")
    base_url = models.URLField(_("address"), max_length=300)
    config = models.JSONField(default=dict, blank=True)
    secrets = models.BinaryField(default=bytes, editable=False)
    enabled = models.BooleanField(default=True)
    paused = models.BooleanField(default=False)
    last_ok_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True, default="")
    last_error_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    changed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")

    def __str__(self) -> str:
        return f"{self.system_id} {self.base_url}"
