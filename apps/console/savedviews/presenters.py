"""The views of a screen as its page lists them.

Public surface: :data:`SCREENS`, :func:`shelf_of`, :func:`kept_query`, :class:`Shelf`, :class:`Line`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from django.urls import reverse

from apps.console.access import ConsoleRequest, permissions
from apps.organization import savedviews
from apps.organization.permissions import Audience, Role


@dataclass(frozen=True)
class Screen:
    """A screen with saved views: its address, the verb that opens it, what of its query string is kept."""

    url_name: str
    verb: str
    keeps: tuple[str, ...]


SCREENS = {
    "exceptions": Screen(
        "console:exceptions",
        "exception.view",
        (
            "view",
            "q",
            "role",
            "entity",
            "assignee",
            "state",
            "severity",
            "code",
            "order",
            "age",
            "status",
            "cols",
        ),
    ),
}


@dataclass(frozen=True)
class Line:
    """One view; ``mine`` may be deleted, ``current`` is what the page shows."""

    id: int
    name: str
    url: str
    mine: bool
    owner: str
    default: bool
    current: bool


@dataclass(frozen=True)
class Shelf:
    """Views of one screen, and what saving the present one needs."""

    screen: str
    lines: Sequence[Line]
    query: str
    audiences: Sequence[tuple[str, Any]]
    roles: Sequence[tuple[str, Any]]


def kept_query(screen: str, data: QueryDict) -> str:
    """The filters of an address in one order, so that equal views have equal addresses."""
    kept = QueryDict(mutable=True)
    for name in SCREENS[screen].keeps:
        if values := [value for value in data.getlist(name) if value]:
            kept.setlist(name, values)
    return kept.urlencode()


def shelf_of(request: ConsoleRequest, screen: str) -> Shelf:
    """One query."""
    held = permissions(request).roles
    address, query = reverse(SCREENS[screen].url_name), kept_query(screen, request.GET)
    return Shelf(
        screen=screen,
        lines=[
            Line(
                id=view.pk,
                name=view.name,
                url=f"{address}?{view.query}",
                mine=view.owner_id == request.user.pk,
                owner=view.owner.display_name,
                default=view.default and view.owner_id == request.user.pk,
                current=view.query == query,
            )
            for view in savedviews.views_for(request.user, screen=screen, roles=held)
        ],
        query=query,
        audiences=Audience.choices,
        roles=[(role.value, role.label) for role in Role if role in held],
    )
