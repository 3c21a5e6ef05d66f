"""Who may open a screen, and what they see of it.

Public surface: :func:`screen` (view decorator), :func:`permissions` (the person's grants, read once a request),
:func:`permitted` (may this person do this to that row, and if not, why and who could), :class:`Permission`,
:class:`ConsoleRequest`.

``@screen("exception.view")`` sends strangers to the log-in page (a fragment request is told to navigate there, so that the
form is never swapped into a page), refuses people without the verb in any entity or engagement, sets ``request.scope``
for the selectors and shows times in the person's zone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from apps.core.errors import NotAllowed
from apps.core.scope import NOTHING, Scope
from apps.organization import selectors as organization

View = Callable[..., HttpResponse]


class ConsoleRequest(HttpRequest):
    """A request as the views of the console get it: a signed-in person, and the scope of the screen's verb."""

    user: Any
    htmx: HtmxDetails
    scope: Scope
    console_permissions: organization.Permissions | None = None
    console_navigation: list[Any] | None = None


@dataclass(frozen=True)
class Permission:
    """``allowed``, or the sentence that says why not and who could act instead."""

    allowed: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.allowed


def permissions(request: ConsoleRequest) -> organization.Permissions:
    """The signed-in person's grants: one query a request, however many verbs a page asks for."""
    found = getattr(request, "console_permissions", None)
    if found is None:
        found = request.console_permissions = organization.permissions_of(request.user)
    return found


def _to_login(request: ConsoleRequest) -> HttpResponse:
    if not request.headers.get("HX-Request"):
        return redirect_to_login(request.get_full_path())
    back = request.headers.get("HX-Current-URL", "")
    path = "/" + back.split("/", 3)[3] if back.count("/") >= 3 else request.get_full_path()
    return HttpResponseClientRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': path})}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or settings.TIME_ZONE)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(settings.TIME_ZONE)


def screen(verb: str = "") -> Callable[[View], View]:
    """Decorator of every console view: log-in, the verb in some scope, ``request.scope``, the person's time zone.

    Without a verb the page is everybody's who is signed in (Home), and its parts ask for themselves.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        @vary_on_headers("HX-Request", "HX-Target")
        def guarded(request: ConsoleRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return _to_login(request)
            request.scope = permissions(request).scope(verb) if verb else NOTHING
            if verb and request.scope == NOTHING:
                organization.require(request.user, verb)
                raise NotAllowed(_("You may not open this screen."))
            with timezone.override(_zone(request.user.timezone)):
                return view(request, *args, **kwargs)

        return guarded

    return decorate


def permitted(
    request: ConsoleRequest, verb: str, *, legal_entity_id: int | None = None, engagement_key: str = ""
) -> Permission:
    """``organization.require`` as a value, so that a disabled button can say why and who could act. Fails closed for a
    row without entity and engagement."""
    scope = permissions(request).scope(verb)
    if scope.allows(legal_entity_id=legal_entity_id, engagement_key=engagement_key):
        return Permission(True)
    try:
        organization.require(
            request.user, verb, legal_entity_id=legal_entity_id, engagement_key=engagement_key
        )
    except NotAllowed as refusal:
        return Permission(False, refusal.message)
    return Permission(False, _("You may do this only inside your own legal entities."))
