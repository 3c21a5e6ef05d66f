"""What people do with a case besides fixing and assigning it: comment; and who may do what.

Public surface: :func:`case_comment`; inside the room :func:`require`, :func:`require_group`, :func:`lock_open`,
:func:`lock_seen`.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, Stale, WrongState
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.triage.families import ids_of
from apps.triage.models import OPEN_STATES, Case, Comment, Group
from apps.triage.words import since_words

_LONGEST_COMMENT = 5000
#: Events by which people are told of a case and nothing is done with it.
ONLY_TOLD = ("escalated", "reminded")


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
    events = locked.events.select_related("by").exclude(what__in=ONLY_TOLD)
    place, _mark, event = seen.partition("#")
    later = events.filter(pk__gt=int(event)).exists() if event.isdecimal() and len(event) < 16 else False
    if locked.seen != place or later:
        raise Stale(since_words(events.last(), locked.ref))
    return locked
