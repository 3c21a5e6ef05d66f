"""Who works on a case: a person, or the queue of a role; one case or many, taken, given and handed over.

Public surface: :func:`case_assign`, :func:`case_take`, :func:`cases_assign`; for the undo :func:`put_back`;
for other verbs of many :func:`why_not_seen`, :func:`last_events`.

Every verb takes the place of the case as it was seen (``Case.seen``). What was moved since is not overwritten: one case
raises, many are answered with who was skipped and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.errors import InvalidInput, Stale
from apps.core.scope import Scope
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.organization.permissions import Role, roles_with
from apps.triage.models import Case, CaseEvent, CaseState
from apps.triage.services import moves, undos
from apps.triage.services.desk import ONLY_TOLD, lock_open, lock_seen, require
from apps.triage.states import place_of
from apps.triage.words import since_words

#: States that an assignment turns into ``assigned``; later ones keep telling how far the work is.
_UNTAKEN = (CaseState.OPEN, CaseState.TRIAGED)
#: States in which a case without a person waits in a queue.
_WAITING = (CaseState.OPEN, CaseState.ASSIGNED)
MOST = 5_000
_COMMITTED_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True)
class _Place:
    """Where cases are to go: to a person, into a role's queue, or (neither) back to whoever takes them."""

    to: Any = None
    queue: str = ""

    @property
    def words(self) -> str:
        if self.to is not None:
            return str(self.to.display_name)
        return str(Role(self.queue).label) if self.queue else ""


@dataclass(frozen=True)
class Assigned:
    """``skipped``: reference and reason. ``undo`` is the token, "" when nothing was done."""

    done: Sequence[str]
    skipped: Sequence[tuple[str, str]]
    undo: str


def case_assign(
    *, case: Case, to: Any = None, by: Any, queue: str = "", note: str = "", seen: str | None = None
) -> str:
    """Give an open case to a person or into the queue of a role (neither: back to whoever takes it); returns the undo's token.

    Raises :class:`InvalidInput` (who cannot get it, and why), :class:`Stale` (it was moved since it was ``seen``)."""
    require(case, by, "exception.fix")
    place = _place(to, queue)
    with transaction.atomic():
        locked = lock_seen(case, seen)
        refusal = _Taker(place).refuses(locked)
        if refusal:
            raise InvalidInput(refusal)
        token = _give([locked], place, by=by, note=note.strip())
    case.refresh_from_db()
    return token


def case_take(*, case: Case, by: Any, seen: str | None = None) -> bool:
    """Take a case that nobody has. False when another person was faster (see ``case.assignee`` afterwards).

    Raises :class:`Stale` when something else was done with it since it was ``seen``, :class:`InvalidInput` for whose fix of it
    waits for a second person."""
    require(case, by, "exception.fix")
    with transaction.atomic():
        locked = lock_open(case)
        if locked.assignee_id is None:
            locked = lock_seen(locked, seen)
        free = locked.assignee_id is None
        if free and (refusal := _Taker(_Place(to=by)).refuses(locked)):
            raise InvalidInput(refusal)
        if free:
            _give([locked], _Place(to=by), by=by, note="")
        mine = free or locked.assignee_id == by.pk
    case.refresh_from_db()
    return mine


def cases_assign(
    *,
    seen: Mapping[int, str | None],
    since: datetime | None = None,
    to: Any = None,
    by: Any,
    queue: str = "",
    note: str = "",
) -> Assigned:
    """The same for many: ``seen`` is ``{case id: its place as shown}``, None where only the instant is known at which the list
    was shown (``since``). What is closed, moved or new since, outside of what ``by`` may fix or not for who shall get it is
    skipped and said. A fixed number of statements."""
    if len(seen) > MOST:
        raise InvalidInput(_("At most %(most)s cases can be assigned at once.") % {"most": MOST})
    place, scope = _place(to, queue), organization.scope_of(by, "exception.fix")
    organization.require(by, "exception.fix")
    with transaction.atomic():
        rows = Case.objects.select_for_update(of=("self",)).select_related("assignee", "legal_entity")
        found = list(
            rows.within(organization.scope_of(by, "exception.view")).filter(pk__in=seen).order_by("id")
        )
        taker, give, skipped = _Taker(place), [], []
        last = last_events(case for case in found if case.seen != seen[case.pk])
        for case in found:
            why = why_not_seen(case, seen[case.pk], scope, last, since=since, by=by) or taker.refuses(case)
            if why:
                skipped.append((case.ref, why))
            else:
                give.append(case)
        token = _give(give, place, by=by, note=note.strip())
    return Assigned([case.ref for case in give], skipped, token)


def put_back(before: Mapping[str, Any], after: Mapping[str, Any], *, by: Any) -> str:
    """Take an assignment back where nothing has changed since; a sentence, with what has. Raises :class:`Stale` when all
    has, :class:`NotAllowed` for a case that ``by`` may not fix any more."""
    rows = Case.objects.select_for_update(of=("self",)).select_related("assignee")
    cases = list(rows.filter(pk__in=[int(key) for key in before]).order_by("id"))
    for case in cases:
        require(case, by, "exception.fix")
    same = [case for case in cases if case.seen == after[str(case.pk)]]
    moved = [case for case in cases if case not in same]
    last = last_events(moved)
    changed = [since_words(last.get(case.pk), case.ref) for case in moved]
    if not same:
        raise Stale(" ".join(changed[:3]) or _("There is nothing left to take back."))
    places: dict[tuple[str, int | None, str], list[Case]] = {}
    for case in same:
        was = before[str(case.pk)]
        places.setdefault((was["state"], was["assignee"], was["queue"]), []).append(case)
    for (state, assignee_id, queue), part in places.items():
        fields = {"assignee_id": assignee_id, "queue": queue, "reminded_at": None}
        stay = [case for case in part if case.state == state]
        go = [case for case in part if case.state != state]
        moves.move_many(go, to=CaseState(state), by=by, note=_("Taken back."), **fields)
        Case.objects.filter(pk__in=[case.pk for case in stay]).update(**fields)
        moves.event_many(stay, what="assigned", by=by, note=_("Taken back."))
    done = _("Taken back for %(n)s.") % {"n": ", ".join(case.ref for case in same[:5])}
    return " ".join([done, *changed[:3]])


# ---- Who may get it ----------------------------------------------------------------------------------------------------
class _Taker:
    """Who shall get cases, asked once for all of them."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self.scope = organization.scope_of(place.to, "exception.fix") if place.to is not None else None
        self._people: dict[tuple[int | None, str], bool] = {}

    def refuses(self, case: Case) -> str:
        """Why the case cannot go there; "" where it can."""
        if self.scope is not None:
            return self._refuses_person(case, self.scope)
        if self.place.queue and not self._has_people(case):
            return _("Nobody with the role %(role)s may fix %(ref)s.") % {
                "role": self.place.words,
                "ref": case.ref,
            }
        return ""

    def _refuses_person(self, case: Case, scope: Scope) -> str:
        names = {"who": self.place.words, "ref": case.ref}
        if not scope.allows(legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key):
            return _("%(who)s may not fix %(ref)s, so it cannot be assigned to that person.") % names
        if case.state == CaseState.AWAITING_APPROVAL and case.fixed_by_id == self.place.to.pk:
            return _("%(who)s made the fix of %(ref)s; another person has to decide on it.") % names
        return ""

    def _has_people(self, case: Case) -> bool:
        place = (case.legal_entity_id, case.engagement_key)
        if place not in self._people:
            self._people[place] = organization.anyone_with(
                self.place.queue, legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key
            )
        return self._people[place]


def _place(to: Any, queue: str) -> _Place:
    if to is not None and queue:
        raise InvalidInput(_("Choose a person or a role, not both."))
    if queue and queue not in roles_with("exception.fix"):
        raise InvalidInput(_("That role does not fix exceptions."), fields={"queue": _("Not possible.")})
    return _Place(to, queue)


def _later(event: CaseEvent | None, since: datetime, by: Any) -> bool:
    """Whether the last move of a case is one that a list shown at ``since`` cannot have shown. What others do may be committed
    a little after the instant that it bears."""
    if event is None:
        return True
    others = event.by_id not in (None, by.pk)
    return bool(event.created_at > (since - _COMMITTED_WITHIN if others else since))


def why_not_seen(
    case: Case,
    seen: str | None,
    scope: Scope,
    last: Mapping[int, CaseEvent],
    *,
    since: datetime | None = None,
    by: Any = None,
) -> str:
    """Why nothing is done with a case as it was ``seen`` (None: as a list showed it to ``by`` at ``since``); "" if it may."""
    if not scope.allows(legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key):
        return _("You may not fix it.")
    if seen is None and since is not None:
        changed = _later(last.get(case.pk), since, by)
    else:
        changed = case.seen != seen
    if changed:
        return since_words(last.get(case.pk), case.ref)
    return "" if case.is_open else _("It is closed.")


def last_events(cases: Iterable[Case]) -> dict[int, CaseEvent]:
    """The last move of each case, in one query; none for no cases. That people were told of it is no move."""
    ids = [case.pk for case in cases]
    rows = CaseEvent.objects.filter(case_id__in=ids).exclude(what__in=ONLY_TOLD)
    rows = rows.select_related("by").order_by("case_id", "-id")
    return {event.case_id: event for event in rows.distinct("case_id")} if ids else {}


# ---- Giving it ---------------------------------------------------------------------------------------------------------
def _give(cases: list[Case], place: _Place, *, by: Any, note: str) -> str:
    """Put locked cases there; those that are there already stay. Returns the token of the undo."""
    to_id = place.to.pk if place.to is not None else None
    cases = [case for case in cases if (case.assignee_id, case.queue) != (to_id, place.queue)]
    if not cases:
        return ""
    before = {
        str(case.pk): {"state": str(case.state), "assignee": case.assignee_id, "queue": case.queue}
        for case in cases
    }
    fields = {"assignee": place.to, "queue": place.queue, "reminded_at": None}
    state = CaseState.ASSIGNED if place.to is not None else CaseState.TRIAGED
    starts = _UNTAKEN if place.to is not None else _WAITING
    go = [case for case in cases if case.state in starts]
    stay = [case for case in cases if case.state not in starts]
    moves.move_many(go, to=state, by=by, note=_said(place, note), **fields)
    if stay:
        Case.objects.filter(pk__in=[case.pk for case in stay]).update(**fields)
        moves.event_many(stay, what="assigned", by=by, new=place.words, note=note)
        _record(stay, place, by=by, why=note)
    # Given back it is nobody's again: whoever had it answered the first call, and it may be told to the lead once more.
    back = [case.pk for case in cases if place.to is None and case.assignee_id is not None]
    if back:
        Case.objects.filter(pk__in=back).update(escalated_at=None, escalated_to="")
    after = {
        str(case.pk): place_of(
            case, state=state.value if case in go else str(case.state), assignee_id=to_id, queue=place.queue
        )
        for case in cases
    }
    for case in cases:
        case.assignee, case.queue = place.to, place.queue
    return undos.keep(by=by, what="assign", before=before, after=after)


def _said(place: _Place, note: str) -> str:
    if place.to is not None:
        text = _("Assigned to %(who)s.") % {"who": place.words}
    elif place.queue:
        text = _("Into the queue of: %(role)s.") % {"role": place.words}
    else:
        text = _("Back to the queue.")
    return f"{text} {note}" if note else text


def _record(cases: Iterable[Case], place: _Place, *, by: Any, why: str) -> None:
    journal.record_many(
        rows=[
            {
                "verb": "case.assigned",
                "object_type": "case",
                "object_ref": case.ref,
                "by": by,
                "legal_entity_id": case.legal_entity_id,
                "engagement_key": case.engagement_key,
                "old": {"assignee": case.assignee.display_name if case.assignee else "", "queue": case.queue},
                "new": {"assignee": place.words if place.to is not None else "", "queue": place.queue},
                "why": why,
            }
            for case in cases
        ]
    )
