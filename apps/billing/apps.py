from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BillingConfig(AppConfig):
    name = "apps.billing"
    label = "billing"
    verbose_name = _("Billing")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.billing import receivers
        from apps.core import hooks

        hooks.approvals_decided.connect(receivers.on_approvals_decided)
        hooks.mappings_settled.connect(receivers.on_mappings_settled)
        hooks.records_observed.connect(receivers.on_records_observed)
