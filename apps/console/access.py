"""Who may open a screen, and what they see of it.

Public surface: :func:`screen` (view decorator), :func:`permitted` (may this person do this to that row, and if not, why and
who could), :class:`Permission`.

``@screen("exception.view")`` sends strangers to the log-in page (a fragment request is told to navigate there instead of being
swapped into the page), refuses people without the verb in any entity or engagement, sets ``request.scope`` for the selectors
and shows times in the person's zone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect

from apps.core.errors import NotAllowed
from apps.core.scope import Scope
from apps.organization import selectors as organization

View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Permission:
    """``allowed``, or the sentence that says why not and who could act instead."""

    allowed: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.allowed


def is_empty(scope: Scope) -> bool:
    """True when the scope grants no row at all."""
    return not (scope.everything or scope.entity_ids or scope.engagement_keys)


def _to_login(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        back = request.headers.get("HX-Current-URL", request.get_full_path())
        path = "/" + back.split("/", 3)[3] if "://" in back and back.count("/") >= 3 else back
        return HttpResponseClientRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': path})}")
    return redirect_to_login(request.get_full_path())


def screen(verb: str) -> Callable[[View], View]:
    """Decorator of every console view: log-in, the verb in some scope, ``request.scope``, the person's time zone."""

    def decorate(view: View) -> View:
        @wraps(view)
        @vary_on_headers("HX-Request", "HX-Target")
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return _to_login(request)
            scope = organization.scope_of(request.user, verb)
            if is_empty(scope):
                organization.require(request.user, verb)
                raise NotAllowed("You may not open this screen.")
            request.scope = scope
            zone = getattr(request.user, "timezone", "") or settings.TIME_ZONE
            with timezone.override(ZoneInfo(zone)):
                response = view(request, *args, **kwargs)
                return response.render() if hasattr(response, "render") else response

        guarded.verb = verb
        return guarded

    return decorate


def permitted(
    user: Any, verb: str, *, legal_entity_id: int | None = None, engagement_key: str = ""
) -> Permission:
    """The answer of ``organization.require`` as a value, so that a disabled button can say why and who could act."""
    try:
        organization.require(user, verb, legal_entity_id=legal_entity_id, engagement_key=engagement_key)
    except NotAllowed as refusal:
        return Permission(False, " ".join(part for part in (refusal.message, refusal.who) if part))
    return Permission(True)
