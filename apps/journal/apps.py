from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from apps.core import hooks


class JournalConfig(AppConfig):
    name = "apps.journal"
    label = "journal"
    verbose_name = _("Journal")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.journal import hooksdue, retention

        hooks.set_failure_recorder(hooksdue.record_failure)
        retention.declare_own()
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**kwargs: object) -> None:
    """After migrating, this month's and the next months' partitions exist; the daily task keeps them ahead."""
    from apps.journal import partitions

    partitions.ensure_partitions()
