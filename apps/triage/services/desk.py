"""What people do with a case besides fixing it: take, assign, comment, run again.

Public surface: :func:`case_assign`, :func:`case_take`, :func:`case_comment`, :func:`case_retry`.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, Stale, WrongState
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.sync import services as sync
from apps.triage.models import OPEN_STATES, Case, CaseState, Comment, Group
from apps.triage.services import moves

_LONGEST_COMMENT = 5000
#: States that an assignment turns into ``assigned``; later ones keep telling how far the work is.
_UNTAKEN = (CaseState.OPEN, CaseState.TRIAGED)


def case_assign(*, case: Case, to: Any, by: Any) -> Case:
    """Give an open case to a person (None: back to the queue). The person must be allowed to fix it."""
    require(case, by, "exception.fix")
    if to is not None and not organization.scope_of(to, "exception.fix").allows(
        legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key
    ):
        raise InvalidInput(
            _("%(who)s may not fix %(ref)s, so it cannot be assigned to that person.")
            % {"who": to.display_name, "ref": case.ref}
        )
    with transaction.atomic():
        locked = _lock_open(case)
        _assign(locked, to=to, by=by)
    case.refresh_from_db()
    return case


def case_take(*, case: Case, by: Any) -> bool:
    """Take a case that nobody has. False when another person was faster (see ``case.assignee`` afterwards)."""
    require(case, by, "exception.fix")
    with transaction.atomic():
        locked = _lock_open(case)
        free = locked.assignee_id is None
        if free:
            _assign(locked, to=by, by=by)
        mine = free or locked.assignee_id == by.pk
    case.refresh_from_db()
    return mine


def case_comment(*, case: Case, by: Any, text: str) -> Comment:
    """Say something about a case, open or closed."""
    require(case, by, "exception.comment")
    text = text.strip()
    if not text:
        raise InvalidInput(_("An empty comment says nothing."), fields={"text": _("Required.")})
    if len(text) > _LONGEST_COMMENT:
        raise InvalidInput(
            _("A comment has at most %(limit)s characters.") % {"limit": _LONGEST_COMMENT},
            fields={"text": _("Too long.")},
        )
    with transaction.atomic():
        comment = Comment.objects.create(case=case, by=by, text=text, created_at=clock.now())
        journal.record(
            verb="case.commented",
            object_type="case",
            object_ref=case.ref,
            by=by,
            legal_entity_id=case.legal_entity_id,
            engagement_key=case.engagement_key,
            new={"comment": comment.pk},
        )
    return comment


def case_retry(*, case: Case, by: Any, whole_group: bool = False, why: str = "") -> dict[str, Any]:
    """Run the transaction of a case (or of every open case of its group that ``by`` may act on) again, as it is now.

    Returns what the engine answers: ``{"replayed": [ids], "skipped": [{transaction_id, ref, label, reason}]}``.
    """
    require(case, by, "transaction.replay")
    with transaction.atomic():
        sync.hold_still(transaction_ids=_transactions(case, whole_group=whole_group))
        cases = [_lock_open(case)]
        if whole_group:
            cases = actionable(case, by, "transaction.replay")
        for each in cases:
            moves.event(each, what="retried", by=by, note=why)
        return sync.replay(
            transaction_ids=sorted({each.transaction_id for each in cases}),
            by=by,
            tokens=None,
            why=why or _("Run again from %(ref)s.") % {"ref": case.ref},
        )


def _transactions(case: Case, *, whole_group: bool) -> list[int]:
    if not whole_group:
        return [case.transaction_id]
    rows = Case.objects.filter(group_id=case.group_id, state__in=OPEN_STATES)
    return list(rows.values_list("transaction_id", flat=True))


def require(case: Case, by: Any, verb: str) -> None:
    """Raise :class:`NotAllowed` unless ``by`` holds the verb there; without entity and engagement: everywhere."""
    organization.require(by, verb, legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key)
    allowed = organization.scope_of(by, verb).allows(
        legal_entity_id=case.legal_entity_id, engagement_key=case.engagement_key
    )
    if not allowed:
        raise NotAllowed(
            _("%(ref)s has no legal entity yet; it needs a role in all of them.") % {"ref": case.ref}
        )


def require_group(group: Group, by: Any) -> None:
    """Raise :class:`NotAllowed` unless ``by`` may fix every open case of the group."""
    scope = organization.scope_of(by, "exception.fix")
    if scope.allows(legal_entity_id=group.legal_entity_id):
        return
    stands = Case.objects.filter(group_id=group.pk, state__in=OPEN_STATES)
    mine = Case.objects.within(scope).filter(group_id=group.pk)
    if stands.exists() and not stands.exclude(pk__in=mine.values("pk")).exists():
        return
    organization.require(by, "exception.fix", legal_entity_id=group.legal_entity_id)
    raise NotAllowed(_("It reaches beyond what you may fix, so that you cannot decide about all of it."))


def actionable(case: Case, by: Any, verb: str) -> list[Case]:
    """The open cases of the case's group inside the scope in which ``by`` holds ``verb``, locked, in id order."""
    return list(
        Case.objects.within(organization.scope_of(by, verb))
        .select_for_update()
        .filter(group_id=case.group_id, state__in=OPEN_STATES)
        .order_by("id")
    )


def _lock_open(case: Case) -> Case:
    locked = Case.objects.select_for_update().get(pk=case.pk)
    if not locked.is_open:
        error = Stale if case.is_open else WrongState
        raise error(
            _("%(ref)s is closed: %(state)s.") % {"ref": locked.ref, "state": locked.get_state_display()}
        )
    return locked


def _assign(locked: Case, *, to: Any, by: Any) -> None:
    former = locked.assignee.display_name if locked.assignee else ""
    if to is not None and locked.state in _UNTAKEN:
        moves.move(
            locked,
            to=CaseState.ASSIGNED,
            by=by,
            note=_("Assigned to %(who)s.") % {"who": to.display_name},
            assignee=to,
        )
        return
    if to is None and locked.state == CaseState.ASSIGNED:
        moves.move(locked, to=CaseState.TRIAGED, by=by, note=_("Back to the queue."), assignee=None)
        return
    if locked.assignee_id == (to.pk if to else None):
        return
    locked.assignee = to
    locked.save(update_fields=["assignee"])
    moves.event(locked, what="assigned", by=by, old=former, new=to.display_name if to else "")
    journal.record(
        verb="case.assigned",
        object_type="case",
        object_ref=locked.ref,
        by=by,
        legal_entity_id=locked.legal_entity_id,
        engagement_key=locked.engagement_key,
        old={"assignee": former},
        new={"assignee": to.display_name if to else ""},
    )
