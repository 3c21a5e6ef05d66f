"""Saved views: addresses of screens under a name, kept for oneself or shared.

Public surface: :func:`views_for`, :func:`default_of`, :func:`view_save`, :func:`view_delete`.

A view is words for an address and opens nothing: who follows it sees what their own scope lets them see.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _

from apps.core import clock, statements
from apps.core.errors import InvalidInput, NotFound
from apps.organization.models import SavedView, User
from apps.organization.permissions import Audience

#: Views of one person on one screen; more are no help to anybody.
MOST = 50


#: Each part by its index.
_FOUND = """
WHERE id IN (
    SELECT id FROM organization_savedview WHERE owner_id = %(owner)s AND screen = %(screen)s
    UNION ALL
    SELECT id FROM organization_savedview WHERE screen = %(screen)s AND audience = 'everyone'
    UNION ALL
    SELECT id FROM organization_savedview WHERE screen = %(screen)s AND audience = 'role' AND role = ANY(%(roles)s::text[])
)
"""


def views_for(user: User, *, screen: str, roles: Collection[str]) -> list[SavedView]:
    """A person's own views and those shared with one of their roles or with everyone, own first, by name. One query, and one
    for the owners where some are others'. It is asked by every look at a list, so it is prepared."""
    asked = {"owner": user.pk, "screen": screen, "roles": sorted(roles)}
    found = statements.instances(SavedView, _FOUND, asked)
    if any(view.owner_id != user.pk for view in found):
        prefetch_related_objects(found, "owner")
    else:
        for view in found:
            view.owner = user
    return sorted(found, key=lambda view: (view.owner_id != user.pk, view.name.lower(), view.pk))


def default_of(user: User, *, screen: str) -> str:
    """The query string that the person wants to begin with; "" for none."""
    found = SavedView.objects.filter(owner=user, screen=screen, default=True).values_list("query", flat=True)
    return found.first() or ""


def view_save(
    *,
    owner: User,
    screen: str,
    name: str,
    query: str,
    audience: str = Audience.ME,
    role: str = "",
    default: bool = False,
) -> SavedView:
    """Keep an address under a name; the same name again replaces it. Raises :class:`InvalidInput`."""
    name = " ".join(name.split())
    if not name or len(name) > 80:
        raise InvalidInput(
            _("Give the view a name of at most 80 characters."), fields={"name": _("Required.")}
        )
    if not query or len(query) > 1000:
        raise InvalidInput(
            _("There is no filter to be kept, or it is too long."), fields={"query": _("Required.")}
        )
    if audience not in Audience.values:
        raise InvalidInput(_("Choose who finds the view."), fields={"audience": _("Required.")})
    held = set(owner.grants.values_list("role", flat=True))
    if audience == Audience.ROLE and role not in held:
        raise InvalidInput(
            _("A view can be shared with a role that you hold."), fields={"role": _("Required.")}
        )
    with transaction.atomic():
        User.objects.select_for_update().get(
            pk=owner.pk
        )  # one view of a name, one default: also from two windows
        others = SavedView.objects.filter(owner=owner, screen=screen).exclude(name=name)
        if others.count() >= MOST:
            raise InvalidInput(_("You have %(most)s views here; delete one first.") % {"most": MOST})
        if default:
            others.filter(default=True).update(default=False)
        view, _made = SavedView.objects.update_or_create(
            owner=owner,
            screen=screen,
            name=name,
            defaults={
                "query": query,
                "audience": audience,
                "role": role if audience == Audience.ROLE else "",
                "default": default,
                "changed_at": clock.now(),
            },
        )
    return view


def view_delete(*, owner: User, view_id: int) -> None:
    """Forget one's own view. Raises :class:`NotFound`, also for somebody else's."""
    if not SavedView.objects.filter(pk=view_id, owner=owner).delete()[0]:
        raise NotFound(_("There is no such view of yours."))
