"""Until when a case has to be cleared: the next invoice run or lock of its legal entity, as the calendar stands today.

Public surface: :func:`due_of` (when a problem is seen), :func:`cases_reschedule` (the sweeper's).

A run that has closed without a case is history: its events say that it was missed, and the deadline is the next run, for which
it may be escalated anew. A calendar that changes moves all deadlines that are not past. What stops something and belongs to no
legal entity yet has the nearest run of all active ones, since any of them could be meant; what only warns has none then.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.core import clock
from apps.organization import selectors as organization
from apps.triage import rollups
from apps.triage.models import Case
from apps.triage.services import moves
from apps.triage.words import at_words

_AT_ONCE = 1_000
#: So often a bell takes the next ones; what is left waits for the next bell.
_ROUNDS = 10


def due_of(legal_entity_id: int | None, *, blocks: bool, known: dict[Any, Any]) -> datetime | None:
    """The deadline now; ``known`` keeps the answers of one batch."""
    if legal_entity_id is None and not blocks:
        return None
    if legal_entity_id not in known:
        if legal_entity_id is None:
            known[None] = _nearest(clock.now())
        else:
            entity = organization.entity(legal_entity_id)
            known[legal_entity_id] = organization.deadline(entity, clock.now()) if entity else None
    found: datetime | None = known[legal_entity_id]
    return found


def missed(due_at: datetime | None, renewed: datetime | None) -> dict[str, Any]:
    """What changes with a deadline that is renewed because its run has closed: the next one is escalated by itself."""
    past = due_at is not None and renewed is not None and due_at < clock.now() < renewed
    return {"escalated_at": None, "escalated_to": "", "reminded_at": None} if past else {}


def _nearest(now: datetime) -> datetime | None:
    active = organization.entities(active=True)
    return min(organization.deadlines(active, now).values(), default=None) if active else None


_OFF = f"""
SELECT off.id FROM unnest(%(entities)s::bigint[], %(due)s::timestamptz[]) AS part (entity_id, due_at) CROSS JOIN LATERAL (
    (SELECT id FROM triage_case c WHERE c.legal_entity_id = part.entity_id AND c.due_at < part.due_at AND {rollups.OPEN}
        ORDER BY c.due_at, c.id LIMIT %(most)s)
    UNION ALL
    (SELECT id FROM triage_case c WHERE c.legal_entity_id = part.entity_id AND c.due_at > part.due_at AND {rollups.OPEN}
        ORDER BY c.due_at, c.id LIMIT %(most)s)
    UNION ALL
    (SELECT id FROM triage_case c WHERE part.entity_id IS NULL AND c.legal_entity_id IS NULL AND c.severity <> 'warning'
        AND c.due_at IS DISTINCT FROM part.due_at AND {rollups.OPEN} LIMIT %(most)s)
) AS off LIMIT %(most)s
"""  # noqa: S608


def cases_reschedule() -> int:
    """Bring deadlines in line with the calendars, at most 10,000 a bell; from indexes that say at once that nothing is to do.
    Returns how many were moved. Claimed under their locks: each once, however many schedulers run."""
    now = clock.now()
    entities = organization.entities(active=None)
    runs = organization.deadlines(entities, now) if entities else {}
    known: dict[int | None, datetime] = {entity_id: at for entity_id, at in runs.items()}  # noqa: C416 - for None too
    if (nearest := _nearest(now)) is not None:
        known[None] = nearest
    given = {"entities": list(known), "due": list(known.values()), "most": _AT_ONCE}
    done = 0
    for _round in range(_ROUNDS):
        moved = _reschedule_some(given, known, now)
        done += moved
        if not moved:
            break
    return done


def _reschedule_some(given: dict[str, Any], known: dict[int | None, datetime], now: datetime) -> int:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_OFF, given)
            ids = [row[0] for row in cursor.fetchall()]
        rows = Case.objects.select_for_update(of=("self",), skip_locked=True)
        parts: dict[tuple[int | None, datetime | None], list[Case]] = {}
        for case in rows.select_related("legal_entity", "assignee").filter(pk__in=ids).order_by("id"):
            if case.is_open and case.due_at != known[case.legal_entity_id]:
                parts.setdefault((case.legal_entity_id, case.due_at), []).append(case)
        for (entity_id, was), cases in parts.items():
            _move(cases, was, known[entity_id], now)
    return sum(map(len, parts.values()))


def _move(cases: list[Case], was: datetime | None, to: datetime, now: datetime) -> None:
    """Cases of one entity from one deadline to another, each with its event."""
    entity = cases[0].legal_entity
    said = {"was": at_words(was, entity) if was else "", "deadline": at_words(to, entity)}
    if was is not None and was < now:
        note = _("The invoice run of %(was)s closed without it; the next closes on %(deadline)s.") % said
    else:
        note = _("By the calendar its invoice run closes on %(deadline)s.") % said
    Case.objects.filter(pk__in=[case.pk for case in cases]).update(due_at=to, **missed(was, to))
    moves.event_many(cases, what="due", by=None, new=said["deadline"], note=note)
