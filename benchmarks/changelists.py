"""Django admin over transactions and cases, registered when this is imported: before the addresses of the admin are made."""

from django.contrib import admin

from apps.sync.models import Transaction
from apps.triage.models import Case


class TransactionAdmin(admin.ModelAdmin):
    """What the list of the product shows, 50 rows a page, the joins that it needs."""

    list_display = (
        "ref",
        "label",
        "customer",
        "flow",
        "state",
        "legal_entity",
        "amount",
        "attempts",
        "created_at",
    )
    list_filter = ("state", "flow", "legal_entity")
    list_select_related = ("legal_entity", "subject")
    list_per_page = 50
    ordering = ("-id",)


class CaseAdmin(admin.ModelAdmin):
    """All cases in the order of the product's list; the columns of its rows."""

    list_display = ("ref", "label", "reason", "state", "legal_entity", "assignee", "held_amount", "due_at")
    list_filter = ("state", "severity", "legal_entity")
    list_select_related = ("legal_entity", "assignee", "group")
    list_per_page = 50
    ordering = ("due_at", "id")


admin.site.register(Transaction, TransactionAdmin)
admin.site.register(Case, CaseAdmin)
