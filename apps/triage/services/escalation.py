"""Cases whose deadline is near and that nobody holds are told to who leads the role that should have taken them.

Public surface: :func:`cases_escalate` (the sweeper's). Each case once, however many schedulers run: what is to be escalated is
claimed under its lock, by the database's clock and on an index that holds nothing else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.organization import calendars
from apps.organization import selectors as organization
from apps.organization.permissions import Role
from apps.triage.catalogue import entry
from apps.triage.models import Case
from apps.triage.services import moves
from apps.triage.words import at_words

#: Who leads a role.
LEADS: dict[str, Role] = {
    Role.BILLING_ANALYST: Role.CONTROLLER,
    Role.RECEIVABLES: Role.CONTROLLER,
    Role.TAX: Role.CONTROLLER,
    Role.CONTROLLER: Role.CFO,
    Role.CFO: Role.CFO,
    Role.REVOPS_ANALYST: Role.REVOPS_APPROVER,
    Role.REVOPS_APPROVER: Role.CFO,
    Role.PROJECT_MANAGER: Role.PRACTICE_LEAD,
    Role.PRACTICE_LEAD: Role.CFO,
    Role.ADMIN: Role.ADMIN,
}
_AT_ONCE = 500
#: So often a bell takes the next ones; what is left waits for the next bell.
_ROUNDS = 10

#: Nobody is told of what is put aside: it was decided what happens to it, and the decision wakes it by itself.
_CLOSE = """
    AND c.severity = part.severity AND c.due_at <= part.until AND c.assignee_id IS NULL AND c.escalated_at IS NULL
    AND c.state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval')
    AND NOT c.group_id = ANY(ARRAY(
        SELECT id FROM triage_group WHERE state IN ('snoozed', 'ignored')
        UNION ALL SELECT m.id FROM triage_group g JOIN triage_group m ON m.family_id = g.id AND m.family_id IS NOT NULL
            WHERE g.state IN ('snoozed', 'ignored')))
    ORDER BY c.due_at LIMIT %(most)s
"""
_NEAR = f"""
SELECT near.id FROM unnest(%(entities)s::bigint[], %(severities)s::text[], %(until)s::timestamptz[])
    AS part (entity_id, severity, until)
CROSS JOIN LATERAL (
    (SELECT id, due_at FROM triage_case c WHERE c.legal_entity_id = part.entity_id {_CLOSE})
    UNION ALL
    (SELECT id, due_at FROM triage_case c WHERE part.entity_id IS NULL AND c.legal_entity_id IS NULL {_CLOSE})
) AS near ORDER BY near.due_at LIMIT %(most)s
"""  # noqa: S608


def cases_escalate() -> int:
    """Escalate what is due within the working hours of its severity and entity, nearest first, at most 5,000 a bell. Returns
    how many."""
    hours = {severity: number for severity, number in settings.ESCALATE_HOURS.items() if number}
    entities = organization.entities(active=None)
    if not hours or not entities:
        return 0
    now = _now()
    limits = calendars.hours_on(entities, now, hours.values())
    # What belongs to no entity yet is near as soon as it would be in one of them.
    near: dict[int | None, dict[int, datetime]] = {one.pk: limits[one.pk] for one in entities}
    near[None] = {number: max(of[number] for of in limits.values()) for number in hours.values()}
    parts = [
        (place, severity, until[number])
        for place, until in near.items()
        for severity, number in hours.items()
    ]
    given = dict(zip(("entities", "severities", "until"), map(list, zip(*parts, strict=True)), strict=True))
    done = 0
    for _round in range(_ROUNDS):
        taken = _escalate_some({**given, "most": _AT_ONCE}, now)
        done += taken
        if not taken:
            break
    return done


def lead_of(case: Case) -> Role:
    """Who is told: the lead of its queue, else of the first role that resolves its code."""
    role = case.queue or next(iter(entry(case.code).resolvers), Role.ADMIN.value)
    return LEADS.get(role, Role.CONTROLLER)


def _now() -> datetime:
    """By the clock of the database: those of the schedulers may differ."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def _escalate_some(given: dict[str, Any], now: datetime) -> int:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_NEAR, given)
            ids = [row[0] for row in cursor.fetchall()]
        rows = Case.objects.select_for_update(of=("self",), skip_locked=True).select_related("legal_entity")
        cases = list(rows.filter(pk__in=ids, assignee=None, escalated_at=None).order_by("id"))
        told: dict[Role, list[Case]] = {}
        for case in cases:
            told.setdefault(lead_of(case), []).append(case)
        for role, part in told.items():
            Case.objects.filter(pk__in=[case.pk for case in part]).update(
                escalated_at=now, escalated_to=role.value
            )
            _say(role, part)
    return len(cases)


def _say(role: Role, cases: list[Case]) -> None:
    """One event each; in as many statements as there are deadlines among them."""
    by_deadline: dict[tuple[int | None, datetime], list[Case]] = {}
    for case in cases:
        if case.due_at is not None:
            by_deadline.setdefault((case.legal_entity_id, case.due_at), []).append(case)
    for (_entity, due_at), part in by_deadline.items():
        note = _("Its invoice run closes on %(deadline)s and nobody holds it.") % {
            "deadline": at_words(due_at, part[0].legal_entity)
        }
        moves.event_many(part, what="escalated", new=str(role.label), by=None, note=note)
