"""Several causes that are one: merged, and taken apart again.

Public surface: :func:`group_merge`, :func:`group_unmerge`; each returns the token of its undo (:func:`families_back`).

Cases stay where they are, so that a fix still clears exactly the
value it is about, and taking a group out again restores what was. Both are logged at both groups.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.core.errors import InvalidInput, Stale, WrongState
from apps.triage.models import Group
from apps.triage.services import moves, undos
from apps.triage.services.desk import require_group
from apps.triage.states import HIDDEN
from apps.triage.words import since_words


def group_merge(*, into: Group, seen: int, group: Group, group_seen: int, by: Any, why: str = "") -> str:
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
        before = _families(root, other)
        Group.objects.filter(family_id=other.pk).update(family=root)
        for one in (root, other):
            one.family = root
        moves.say_group(other, what="merged", new=root.reason, by=by, note=why.strip())
        moves.say_group(root, what="merged", old=other.reason, by=by, note=why.strip())
        return _kept(before, root, other, by)


def group_unmerge(*, group: Group, seen: int, by: Any, why: str = "") -> str:
    """Let a merged group stand for itself again. Raises :class:`WrongState` (it is not merged), :class:`Stale`."""
    root_id = Group.objects.values_list("family_id", flat=True).get(pk=group.pk)
    if root_id in (None, group.pk):
        raise WrongState(_("It is not part of another cause."))
    with transaction.atomic():
        locked = _locked({group.pk: seen, root_id: None}, by)
        member, root = locked[group.pk], locked[root_id]
        if member.family_id != root.pk:
            raise Stale(_("It is part of another cause by now; look again."))
        before = _families(root, member)
        member.family = None
        moves.say_group(member, what="unmerged", old=root.reason, by=by, note=why.strip())
        if not Group.objects.filter(family=root).exclude(pk__in=[root.pk, member.pk]).exists():
            root.family = None
        moves.say_group(root, what="unmerged", new=member.reason, by=by, note=why.strip())
        return _kept(before, root, member, by)


def families_back(before: dict[str, Any], after: dict[str, Any], *, by: Any) -> str:
    """Who belongs to whom as before a merge or its opposite. Raises :class:`Stale` when either was decided about since."""
    with transaction.atomic():
        locked = _locked({int(key): version for key, version in after["versions"].items()}, by)
        root, other = locked[before["root"]], locked[before["other"]]
        families = {int(key): family for key, family in before["families"].items()}
        for family in set(families.values()):
            moved = [pk for pk, its in families.items() if its == family and pk not in locked]
            Group.objects.filter(pk__in=moved).update(family_id=family)
        apart = families[other.pk] in (None, other.pk)
        for one, another in ((other, root), (root, other)):
            one.family_id = families[one.pk]
            words = {"old": another.reason} if apart else {"new": another.reason}
            what = "unmerged" if apart else "merged"
            moves.say_group(one, what=what, by=by, note=_("Taken back."), **words)
    return _("Taken back: they are two rows again.") if apart else _("Taken back: they are one row again.")


def _families(root: Group, other: Group) -> dict[str, Any]:
    """Who belongs to whom before the act, for the undo: both groups and what follows the one that moves."""
    rows = Group.objects.filter(Q(pk__in=[root.pk, other.pk]) | Q(family_id=other.pk, family__isnull=False))
    families = {str(pk): family for pk, family in rows.values_list("pk", "family_id")}
    return {"root": root.pk, "other": other.pk, "families": families}


def _kept(before: dict[str, Any], root: Group, other: Group, by: Any) -> str:
    versions = {str(one.pk): one.version for one in (root, other)}
    return undos.keep(by=by, what="family", before=before, after={"versions": versions})


def _locked(seen: dict[int, int | None], by: Any) -> dict[int, Group]:
    """Groups, locked in one order and as they were ``seen`` (None: whatever), by who may decide about them."""
    rows = Group.objects.select_for_update(no_key=True).filter(pk__in=seen).order_by("pk")
    locked = {one.pk: one for one in rows}
    for one in locked.values():
        require_group(one, by)
        if seen[one.pk] is not None and seen[one.pk] != one.version:
            raise Stale(since_words(one.events.select_related("by").last(), _("The group")))
    return locked
