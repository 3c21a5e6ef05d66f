"""What people do with a case besides fixing and assigning it: comment, run again; and who may.

Public surface: :func:`case_comment`, :func:`case_retry`; inside the room :func:`require`, :func:`require_group`,
:func:`actionable`, :func:`lock_open`, :func:`lock_seen`.
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
from apps.triage.families import ids_of
from apps.triage.models import OPEN_STATES, Case, Comment, Group
from apps.triage.services import moves
from apps.triage.words import since_words

_LONGEST_COMMENT = 5000
#: Events by which people are told of a case and nothing is done with it.
_ONLY_TOLD = ("escalated", "reminded")


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


def case_retry(
    *, case: Case, by: Any, whole_group: bool = False, why: str = "", seen: str | None = None
) -> dict[str, Any]:
    """Run the transaction of a case (or of every open case of its group that ``by`` may act on) again, as it is now.

    Raises :class:`Stale` when the case was moved since it was ``seen``.

    Returns what the engine answers: ``{"replayed": [ids], "skipped": [{transaction_id, ref, label, reason}]}``.
    """
    require(case, by, "transaction.replay")
    with transaction.atomic():
        sync.hold_still(transaction_ids=_transactions(case, whole_group=whole_group))
        cases = [lock_seen(case, seen)]
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
    ids = ids_of(group)
    stands = Case.objects.filter(group_id__in=ids, state__in=OPEN_STATES)
    mine = Case.objects.within(scope).filter(group_id__in=ids)
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


def lock_open(case: Case) -> Case:
    """The case, locked. Raises :class:`Stale` or :class:`WrongState` when it is closed."""
    locked = Case.objects.select_for_update().get(pk=case.pk)
    if not locked.is_open:
        error = Stale if case.is_open else WrongState
        raise error(
            _("%(ref)s is closed: %(state)s.") % {"ref": locked.ref, "state": locked.get_state_display()}
        )
    return locked


def lock_seen(case: Case, seen: str | None) -> Case:
    """:func:`lock_open`, as the page showed it (None: whatever): ``Case.seen``, for what runs something with ``#`` and the id
    of the last event, so that nothing is run a second time unseen. Raises :class:`Stale` with what has changed since; that
    a deadline has come near in the meantime is no change of the case."""
    locked = lock_open(case)
    if seen is None:
        return locked
    events = locked.events.select_related("by").exclude(what__in=_ONLY_TOLD)
    place, _mark, event = seen.partition("#")
    later = events.filter(pk__gt=int(event)).exists() if event.isdecimal() and len(event) < 16 else False
    if locked.seen != place or later:
        raise Stale(since_words(events.last(), locked.ref))
    return locked
