"""Several causes that are one: merged, and taken apart again.

Public surface: :func:`group_merge`, :func:`group_unmerge`. Cases stay where they are, so that a fix still clears exactly the
value it is about, and taking a group out again restores what was. Both are logged at both groups.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.errors import InvalidInput, Stale, WrongState
from apps.triage.models import Group
from apps.triage.services import moves
from apps.triage.services.desk import require_group
from apps.triage.states import HIDDEN
from apps.triage.words import since_words


def group_merge(*, into: Group, seen: int, group: Group, group_seen: int, by: Any, why: str = "") -> None:
    """Let ``into`` stand for ``group`` too, and for what was merged into that. Both of one legal entity and code.

    Raises :class:`InvalidInput` (not alike), :class:`WrongState` (part of another, put aside), :class:`Stale`."""
    if into.pk == group.pk:
        raise InvalidInput(_("A cause cannot be merged into itself."))
    with transaction.atomic():
        locked = _locked({into.pk: seen, group.pk: group_seen}, by)
        root, other = locked[into.pk], locked[group.pk]
        if (root.legal_entity_id, root.code) != (other.legal_entity_id, other.code):
            raise InvalidInput(_("Only causes of one legal entity and one code can be merged."))
        for one in (root, other):
            if one.merged_into is not None:
                raise WrongState(_("“%(cause)s” is part of another cause already.") % {"cause": one.reason})
            if one.state in HIDDEN:
                raise WrongState(
                    _("“%(cause)s” is %(state)s; take it up again first.")
                    % {"cause": one.reason, "state": one.get_state_display()}
                )
        Group.objects.filter(family_id=other.pk).update(family=root)
        for one in (root, other):
            one.family = root
        moves.say_group(other, what="merged", new=root.reason, by=by, note=why.strip())
        moves.say_group(root, what="merged", old=other.reason, by=by, note=why.strip())


def group_unmerge(*, group: Group, seen: int, by: Any, why: str = "") -> None:
    """Let a merged group stand for itself again. Raises :class:`WrongState` (it is not merged), :class:`Stale`."""
    root_id = Group.objects.values_list("family_id", flat=True).get(pk=group.pk)
    if root_id in (None, group.pk):
        raise WrongState(_("It is not part of another cause."))
    with transaction.atomic():
        locked = _locked({group.pk: seen, root_id: None}, by)
        member, root = locked[group.pk], locked[root_id]
        if member.family_id != root.pk:
            raise Stale(_("It is part of another cause by now; look again."))
        member.family = None
        moves.say_group(member, what="unmerged", old=root.reason, by=by, note=why.strip())
        if not Group.objects.filter(family=root).exclude(pk__in=[root.pk, member.pk]).exists():
            root.family = None
        moves.say_group(root, what="unmerged", new=member.reason, by=by, note=why.strip())


def _locked(seen: dict[int, int | None], by: Any) -> dict[int, Group]:
    """Groups, locked in one order and as they were ``seen`` (None: whatever), by who may decide about them."""
    rows = Group.objects.select_for_update(no_key=True).filter(pk__in=seen).order_by("pk")
    locked = {one.pk: one for one in rows}
    for one in locked.values():
        require_group(one, by)
        if seen[one.pk] is not None and seen[one.pk] != one.version:
            raise Stale(since_words(one.events.select_related("by").last(), _("The group")))
    return locked
