"""Taking back what one has just done.

Public surface: :func:`undo`. It is a move of its own, with history; where something has changed since, it says what and does
nothing to that.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import NotFound, Stale
from apps.triage.models import Case, CaseState, Group, Undo
from apps.triage.services import moves
from apps.triage.services.assigning import put_back
from apps.triage.services.desk import require_group
from apps.triage.services.merging import families_back
from apps.triage.services.stances import stand_back
from apps.triage.states import GroupState
from apps.triage.words import since_words


def undo(*, token: str, by: Any) -> str:
    """Take back what the token names; returns a sentence. Raises :class:`NotFound` (another person's, too old),
    :class:`Stale` (taken back already, or something has changed since: it says what)."""
    with transaction.atomic():
        kept = _kept(token, by)
        done = _UNDO[kept.what](kept, by)
        kept.used_at = clock.now()
        kept.save(update_fields=["used_at"])
    return done


def _kept(token: str, by: Any) -> Undo:
    try:
        kept = Undo.objects.select_for_update().filter(key=uuid.UUID(token), by=by).first()
    except ValueError:
        kept = None
    if kept is None or kept.expires_at <= clock.now():
        raise NotFound(_("There is nothing to take back any more: it was done too long ago."))
    if kept.used_at is not None:
        raise Stale(_("It has been taken back already."))
    return kept


def _undo_group(kept: Undo, by: Any) -> str:
    before = dict(kept.before)
    group = Group.objects.select_for_update(no_key=True).get(pk=before.pop("group"))
    require_group(group, by)
    if group.version != kept.after["version"]:
        raise Stale(since_words(group.events.select_related("by").last(), _("The group")))
    _reopen_cases(before.pop("cases", {}), group, by)
    state = GroupState(before.pop("state"))
    for name in ("until", "moved_at"):
        before[name] = datetime.fromisoformat(before[name]) if before[name] else None
    moves.move_group(group, to=state, by=by, said=_("Taken back."), **before)
    return _("Taken back: it is %(state)s again.") % {"state": group.get_state_display()}


def _reopen_cases(states: Mapping[str, str], group: Group, by: Any) -> None:
    """The cases that the act has closed; all or none."""
    cases = list(Case.objects.select_for_update().filter(pk__in=[int(key) for key in states]).order_by("id"))
    moved_on = next((case for case in cases if case.state != CaseState.RESOLVED), None)
    if moved_on is not None:
        raise Stale(since_words(moved_on.events.select_related("by").last(), moved_on.ref))
    moves.move_many(cases, to=CaseState.OPEN, by=by, note=_("Taken back."), resolved_at=None, how="")
    for state in sorted(set(states.values()) - {CaseState.OPEN.value}):
        again = [case for case in cases if states[str(case.pk)] == state]
        for case in Case.objects.filter(pk__in=[case.pk for case in again]):
            moves.move(case, to=CaseState(state), by=by, note=_("Taken back."))


# ---- An assignment ----------------------------------------------------------------------------------------------------
def _undo_assignment(kept: Undo, by: Any) -> str:
    return put_back(kept.before, kept.after, by=by)


def _undo_stance(kept: Undo, by: Any) -> str:
    return stand_back(kept.before, kept.after, by=by)


# ---- A merge ----------------------------------------------------------------------------------------------------------
def _undo_family(kept: Undo, by: Any) -> str:
    return families_back(kept.before, kept.after, by=by)


_UNDO = {
    "group": _undo_group,
    "assign": _undo_assignment,
    "stance": _undo_stance,
    "family": _undo_family,
}
