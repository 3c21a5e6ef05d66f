"""The side navigation: which screens a person may open, and the letter that goes there.

Public surface: :func:`groups_for`, :class:`Group`, :class:`Link`, :data:`SCREENS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from apps.console.access import is_empty
from apps.organization import selectors as organization

#: (group, label, url name, icon, letter, verbs of which one is enough)
SCREENS = (
    (
        "",
        _("Home"),
        "console:home",
        "home",
        "h",
        ("engagement.view", "exception.view", "transaction.view", "prebill.view"),
    ),
    (_("Work"), _("Exceptions"), "console:exceptions", "alert-triangle", "e", ("exception.view",)),
    (_("Work"), _("Prebill"), "console:prebills", "receipt", "p", ("prebill.view",)),
    (_("Work"), _("New mappings"), "console:mappings", "arrows-exchange", "m", ("mapping.view",)),
    (_("Look up"), _("Engagements"), "console:engagements", "briefcase", "n", ("engagement.view",)),
    (_("Look up"), _("Transactions"), "console:transactions", "list-details", "t", ("transaction.view",)),
    (_("Look up"), _("Systems"), "console:systems", "plug-connected", "s", ("system.view",)),
    (_("Look up"), _("Audit"), "console:audit", "shield-check", "u", ("audit.view",)),
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


def groups_for(request: HttpRequest) -> list[Group]:
    """Only what exists and what the person may open; computed once a request."""
    cached = getattr(request, "_console_navigation", None)
    if cached is not None:
        return cached
    user = getattr(request, "user", None)
    groups: dict[str, Group] = {}
    if user is not None and user.is_authenticated:
        for title, label, name, icon, letter, verbs in SCREENS:
            try:
                url = reverse(name)
            except NoReverseMatch:
                continue
            if all(is_empty(organization.scope_of(user, verb)) for verb in verbs):
                continue
            current = request.path == url or (url != reverse("console:home") and request.path.startswith(url))
            groups.setdefault(str(title), Group(str(title))).links.append(
                Link(str(label), url, icon, letter, current)
            )
    request._console_navigation = list(groups.values())
    return request._console_navigation
