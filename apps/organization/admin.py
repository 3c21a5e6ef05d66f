"""Break-glass admin of the organization: read entities and systems, manage people. Roles are given by services."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from apps.organization.models import Grant, LegalEntity, Routing, System, User


class _ReadOnly(admin.ModelAdmin):
    """Looks only: writes go through services, which check and leave audit rows."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


admin.site.register(User, UserAdmin)
for _model in (LegalEntity, System, Routing, Grant):
    admin.site.register(_model, _ReadOnly)
