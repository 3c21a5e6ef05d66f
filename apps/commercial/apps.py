from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CommercialConfig(AppConfig):
    name = "apps.commercial"
    label = "commercial"
    verbose_name = _("Commercial")
    default_auto_field = "django.db.models.BigAutoField"
