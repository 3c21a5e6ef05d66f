"""Cases whose deadline is near: those that nobody holds are told to who leads the role that should have taken them, and to
those in whose queue they wait; those that somebody holds to that person.

Public surface: :func:`cases_escalate` (the sweeper's). Each case once, however many schedulers run: what is to be escalated is
claimed under its lock, by the database's clock and on an index that holds nothing else. The messages are written down in the
same database transaction (:mod:`apps.triage.services.notices`) and leave once the round is over.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.organization import calendars
from apps.organization import selectors as organization
from apps.organization.permissions import Role
from apps.triage.catalogue import entry
from apps.triage.models import Case
from apps.triage.services import moves, notices
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
    AND c.severity = part.severity AND c.due_at <= part.until AND {whose} AND c.stance <> 'snoozed'
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


#: What a round looks for, in words of the index that holds nothing else.
_UNHELD = _NEAR.format(whose="c.assignee_id IS NULL AND c.escalated_at IS NULL")
_HELD = _NEAR.format(whose="c.assignee_id IS NOT NULL AND c.reminded_at IS NULL")


def cases_escalate() -> int:
    """Escalate what is due within the working hours of its severity and entity, nearest first, at most 5,000 of nobody's and
    5,000 of somebody's a bell. Returns how many."""
    hours = {severity: number for severity, number in settings.ESCALATE_HOURS.items() if number}
    entities = organization.entities(active=None)
    if not hours or not entities:
        return 0
    now = _now()
    limits = calendars.hours_on(entities, now, hours.values())
    # What belongs to no entity yet is near as soon as it would be in one of them.
    near: dict[int | None, dict[int, datetime]] = {one.pk: limits[one.pk] for one in entities}
    near[None] = {number: max(of[number] for of in limits.values()) for number in hours.values()}
    limits_of = [
        (place, severity, until[number])
        for place, until in near.items()
        for severity, number in hours.items()
    ]
    given: dict[str, Any] = dict(
        zip(("entities", "severities", "until"), map(list, zip(*limits_of, strict=True)), strict=True)
    )
    given["most"] = _AT_ONCE
    done, this_round = 0, uuid.uuid4()
    # Who holds a case sees it among their own; only a message tells them more.
    parts = (_escalate_some, _remind_some) if settings.EMAIL_HOST else (_escalate_some,)
    for part in parts:
        for _number in range(_ROUNDS):
            taken = part(given, now, this_round)
            done += taken
            if not taken:
                break
    if done:
        notices.round_ends(this_round)
    return done


def lead_of(case: Case) -> Role:
    """Who is told: the lead of its queue, else of the first role that resolves its code."""
    return LEADS.get(queue_of(case), Role.CONTROLLER)


def queue_of(case: Case) -> str:
    """The role in whose queue it waits: where nobody has put it into one, the first that resolves its code."""
    return case.queue or next(iter(entry(case.code).resolvers), Role.ADMIN.value)


def _now() -> datetime:
    """By the clock of the database: those of the schedulers may differ."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def _found(near: str, given: dict[str, Any]) -> QuerySet[Case]:
    """The nearest, locked unless somebody else has them."""
    with connection.cursor() as cursor:
        cursor.execute(near, given)
        ids = [row[0] for row in cursor.fetchall()]
    rows = Case.objects.select_for_update(of=("self",), skip_locked=True)
    return rows.select_related("legal_entity", "assignee").filter(pk__in=ids).order_by("id")


def _remind_some(given: dict[str, Any], now: datetime, this_round: uuid.UUID) -> int:
    with transaction.atomic():
        cases = list(_found(_HELD, given).filter(assignee__isnull=False, reminded_at=None))
        Case.objects.filter(pk__in=[case.pk for case in cases]).update(reminded_at=now)
        _say("reminded", _("Its invoice run closes on %(deadline)s."), cases)
        notices.owe([(case.assignee_id, case, "") for case in cases if case.assignee_id], this_round)
    return len(cases)


def _escalate_some(given: dict[str, Any], now: datetime, this_round: uuid.UUID) -> int:
    with transaction.atomic():
        cases = list(_found(_UNHELD, given).filter(assignee=None, escalated_at=None))
        told: dict[Role, list[Case]] = {}
        for case in cases:
            told.setdefault(lead_of(case), []).append(case)
        for role, part in told.items():
            Case.objects.filter(pk__in=[case.pk for case in part]).update(
                escalated_at=now, escalated_to=role.value
            )
            said = _("Its invoice run closes on %(deadline)s and nobody holds it.")
            _say("escalated", said, part, new=str(role.label))
        notices.owe(_told(told), this_round)
    return len(cases)


def _told(leads: dict[Role, list[Case]]) -> list[tuple[int, Case, str]]:
    """Who is told of what nobody holds: those who lead, and those in whose queue it waits, where they may see it."""
    roles = {role.value for role in leads}
    roles |= {queue_of(case) for cases in leads.values() for case in cases}
    people = organization.holders(roles) if roles else []
    return [
        (one.user_id, case, role.value)
        for role, cases in leads.items()
        for case in cases
        for one in people
        if one.role in (role.value, queue_of(case)) and one.at(case.legal_entity_id, case.engagement_key)
    ]


def _say(what: str, said: str, cases: list[Case], *, new: str = "") -> None:
    """One event each; in as many statements as there are deadlines among them."""
    by_deadline: dict[tuple[int | None, datetime], list[Case]] = {}
    for case in cases:
        if case.due_at is not None:
            by_deadline.setdefault((case.legal_entity_id, case.due_at), []).append(case)
    for (_entity, due_at), part in by_deadline.items():
        note = said % {"deadline": at_words(due_at, part[0].legal_entity)}
        moves.event_many(part, what=what, new=new, by=None, note=note)
