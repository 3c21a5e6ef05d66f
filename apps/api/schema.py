"""The OpenAPI schema of this room. Public surface: :class:`Schema` (view), :data:`PROBLEM_RESPONSES`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiResponse
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class Problem(serializers.Serializer):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    correlation_id = serializers.UUIDField()
    code = serializers.CharField(required=False)
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.CharField(), required=False
    )


def _problem(description: str) -> OpenApiResponse:
    return OpenApiResponse(Problem, description=description)


_MEDIA = "application/problem+json"
PROBLEM_RESPONSES: dict[Any, Any] = {
    (400, _MEDIA): _problem("The request is not understood; errors names each wrong field."),
    (401, _MEDIA): _problem("No valid API key."),
    (403, _MEDIA): _problem("The key may not do this."),
    (404, _MEDIA): _problem("There is no such deal or system."),
    (413, _MEDIA): _problem("The body is larger than 256 KB."),
    (415, _MEDIA): _problem("The body is not JSON."),
    (429, _MEDIA): _problem("Too many calls; Retry-After says when to come back."),
    (503, _MEDIA): _problem("Neither the system nor our records can answer now."),
}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key <key>`; the key holds the scopes it may use.",
        }


class MaySeeSchema(BasePermission):
    """Everybody on a developer's machine, staff in production."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return not settings.PRODUCTION or bool(request.user and request.user.is_staff)


class Schema(SpectacularAPIView):
    authentication_classes = (SessionAuthentication,)
    permission_classes = (MaySeeSchema,)
