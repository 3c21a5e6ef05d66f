"""The side navigation and who-am-I: which screens a person may open, and the letter that goes there.

Public surface: :func:`groups_for`, :func:`person_of`, :class:`Group`, :class:`Link`, :class:`Person`, :data:`SCREENS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.console.access import ConsoleRequest, permissions
from apps.core.scope import NOTHING
from apps.organization import selectors as organization
from apps.organization.permissions import Role

_WORK, _LOOK_UP = gettext_lazy("Work"), gettext_lazy("Look up")
_ANY = ("engagement.view", "exception.view", "transaction.view", "prebill.view")
#: (group, label, url name, icon, letter, verbs of which one is enough)
SCREENS = (
    ("", gettext_lazy("Home"), "console:home", "home", "h", _ANY),
    (_WORK, gettext_lazy("Exceptions"), "console:exceptions", "alert-triangle", "e", ("exception.view",)),
    (_WORK, gettext_lazy("Prebills"), "console:prebills", "receipt", "p", ("prebill.view",)),
    (_WORK, gettext_lazy("New mappings"), "console:mappings", "arrows-exchange", "m", ("mapping.view",)),
    (_WORK, gettext_lazy("My jobs"), "console:jobs", "list-check", "j", ("transaction.replay",)),
    (_LOOK_UP, gettext_lazy("Engagements"), "console:engagements", "briefcase", "n", ("engagement.view",)),
    (
        _LOOK_UP,
        gettext_lazy("Transactions"),
        "console:transactions",
        "list-details",
        "t",
        ("transaction.view",),
    ),
    (_LOOK_UP, gettext_lazy("Catalogue"), "console:catalogue", "book", "c", ("exception.view",)),
    (_LOOK_UP, gettext_lazy("Audit"), "console:audit", "shield-check", "u", ("audit.view",)),
)


@dataclass(frozen=True)
class Link:
    label: str
    url: str
    icon: str
    letter: str
    current: bool


@dataclass
class Group:
    label: str
    links: list[Link] = field(default_factory=list)


@dataclass(frozen=True)
class Person:
    """``entities`` is short ("MER-UK, MER-US", "All entities"), ``entities_title`` the names in full."""

    name: str
    roles: str
    entities: str
    entities_title: str


def groups_for(request: ConsoleRequest) -> list[Group]:
    """Only what exists and what the person may open; computed once a request."""
    cached = getattr(request, "console_navigation", None)
    if cached is not None:
        return cached
    groups: dict[str, Group] = {}
    user = getattr(request, "user", None)
    for title, label, name, icon, letter, verbs in SCREENS if user and user.is_authenticated else ():
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        if all(permissions(request).scope(verb) == NOTHING for verb in verbs):
            continue
        current = request.path == url or (url != "/" and request.path.startswith(url))
        group = groups.setdefault(str(title), Group(str(title)))
        group.links.append(Link(str(label), url, icon, letter, current))
    request.console_navigation = list(groups.values())
    return request.console_navigation


def person_of(request: ConsoleRequest) -> Person:
    """Name, roles and reach of the signed-in person. One query where the grants name entities."""
    held = permissions(request)
    roles = ", ".join(str(role.label) for role in Role if role in held.roles)
    everywhere = any(
        not entity and not key and role != Role.PROJECT_MANAGER for role, entity, key in held.grants
    )
    if everywhere:
        return Person(request.user.display_name, roles, _("All entities"), _("You see every legal entity."))
    ids = {entity for _role, entity, _key in held.grants if entity}
    named = [row for row in organization.entities(active=None) if row.pk in ids] if ids else []
    keys = {key for _role, _entity, key in held.grants if key}
    parts = [row.code for row in named]
    if keys:
        parts.append(ngettext("%(n)d engagement", "%(n)d engagements", len(keys)) % {"n": len(keys)})
    return Person(request.user.display_name, roles, ", ".join(parts), ", ".join(row.name for row in named))
