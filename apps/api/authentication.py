"""Programs sign in with ``Authorization: Api-Key <key>``; a key holds the verbs it may use.

Public surface: :class:`ApiKeyAuthentication`, :class:`HasScope`, :class:`KeyThrottle`, :class:`Program`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from apps.organization.apikeys import api_key_authenticate

KEYWORD = "Api-Key"


@dataclass(frozen=True)
class Program:
    """Who calls: a program known by its key. It is nobody's user and approves nothing."""

    name: str
    prefix: str
    scopes: frozenset[str]
    legal_entity_code: str

    is_authenticated = True
    is_active = True
    is_staff = False


class ApiKeyAuthentication(BaseAuthentication):
    """Refuses an unknown, wrong, revoked or expired key with one and the same answer."""

    def authenticate(self, request: Request) -> tuple[Program, Any] | None:
        keyword, _space, secret = request.headers.get("Authorization", "").partition(" ")
        if keyword.lower() != KEYWORD.lower():
            return None
        key = api_key_authenticate(secret.strip())
        if key is None:
            raise AuthenticationFailed(_("The API key is not valid."))
        entity = key.legal_entity.code if key.legal_entity else ""
        return Program(key.name, key.prefix, frozenset(key.scopes), entity), key

    def authenticate_header(self, request: Request) -> str:
        return KEYWORD


class HasScope(BasePermission):
    """The key holds the view's ``required_scope``."""

    message = _("This API key may not do that.")

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, Program) and view.required_scope in request.user.scopes


class KeyThrottle(SimpleRateThrottle):
    """So many calls a minute for each key; counted in the shared cache over all web processes."""

    scope = "api_key"
    rate = "240/min"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not isinstance(request.user, Program):
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.prefix}
