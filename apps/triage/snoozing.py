"""Cases that are snoozed: which they are, and how many the list of cases leaves out.

Public surface (through :mod:`apps.triage.selectors`): :func:`snoozed`, :func:`at_hand`, :func:`snoozed_facets`, :func:`less`,
:func:`seen_to_run`.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet

from apps.core.scope import Scope
from apps.triage.catalogue import entry
from apps.triage.facets import Facets
from apps.triage.figures import groups_of_status
from apps.triage.models import OPEN_STATES, Case
from apps.triage.states import HIDDEN, Stance


def snoozed_facets(
    scope: Scope,
    *,
    causes: bool = False,
    severity: str = "",
    code: str = "",
    role: str = "",
    legal_entity_id: int | None = None,
) -> Facets:
    """:func:`facets` of the open cases that are snoozed, which the list of cases leaves out; with ``causes`` also of those
    whose cause is snoozed or ignored. Few rows, each part by an index of its own."""
    rows = snoozed(Case.objects.within(scope))
    if causes:
        hidden = Case.objects.filter(state__in=OPEN_STATES, group_id__in=groups_of_status(HIDDEN))
        by_itself = snoozed(Case.objects.all())
        either = by_itself.order_by().values("pk").union(hidden.order_by().values("pk"))
        rows = Case.objects.within(scope).filter(pk__in=either)
    return _counted(rows, severity=severity, code=code, role=role, legal_entity_id=legal_entity_id)


def _counted(
    rows: QuerySet[Case], *, severity: Any, code: Any, role: Any, legal_entity_id: int | None
) -> Facets:
    rows = rows.filter(severity=severity) if severity else rows
    rows = rows.filter(code__iexact=code) if code else rows
    roles: dict[str, int] = {}
    entities: dict[int, int] = {}
    total = 0
    counted = rows.order_by().values_list("legal_entity_id", "code").annotate(number=Count("id"))
    for entity_id, its_code, number in counted:
        resolvers, here = entry(its_code).resolvers, legal_entity_id in (None, entity_id)
        for name in resolvers if here else ():
            roles[name] = roles.get(name, 0) + number
        if not role or role in resolvers:
            total += number if here else 0
            if entity_id is not None:
                entities[entity_id] = entities.get(entity_id, 0) + number
    return Facets(roles, entities, total)


def less(all_of_them: Facets, some: Facets) -> Facets:
    """The counts of what is left."""
    return Facets(
        {name: number - some.roles.get(name, 0) for name, number in all_of_them.roles.items()},
        {pk: number - some.entities.get(pk, 0) for pk, number in all_of_them.entities.items()},
        all_of_them.total - some.total,
    )


def snoozed(rows: QuerySet[Case]) -> QuerySet[Case]:
    """Of these cases the open ones that are snoozed."""
    return rows.filter(stance=Stance.SNOOZED, state__in=OPEN_STATES)


def at_hand(rows: QuerySet[Case]) -> QuerySet[Case]:
    """Of these cases those that are not snoozed."""
    return rows.exclude(stance=Stance.SNOOZED)


def seen_to_run(case: Case) -> str:
    """What a form that runs something sends as the case's place: with the last thing that happened to it."""
    return f"{case.seen}#{case.events.order_by('id').values_list('id', flat=True).last() or 0}"
