"""How many cases each choice of a filter leaves, the other filters as they are.

Public surface: :func:`facets` (from the counter tables), :func:`facets_of` (of any set of cases), :class:`Facets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, QuerySet

from apps.core.keyset import MOST, bounded
from apps.core.scope import Scope
from apps.journal import counters
from apps.triage.catalogue import CATALOGUE, codes_for_role, entry
from apps.triage.models import ALL_STATES, CASES, OPEN_CASES, OPEN_STATES, Case


@dataclass(frozen=True)
class Facets:
    """How many cases each choice of a filter leaves, the other filters as they are; ``total`` is under all of them."""

    roles: Mapping[str, int]
    entities: Mapping[int, int]
    total: int


def facets(
    scope: Scope,
    *,
    states: Sequence[str] = (),
    severity: str = "",
    code: str = "",
    role: str = "",
    legal_entity_id: int | None = None,
) -> Facets:
    """From the counter tables. No ``states`` are all; a role counts the codes that it resolves."""
    asked: dict[str, Any] = {"legal_entity_id": legal_entity_id}
    if code:
        asked["among"] = [code] if not role or role in entry(code.upper()).resolvers else []
    elif role:
        # Those outside the catalogue belong to a role too.
        listed, others = codes_for_role(role)
        asked |= {"besides": sorted(CATALOGUE.keys() - listed)} if others else {"among": sorted(listed)}
    if set(states) == set(OPEN_STATES) and not severity:
        rows = Case.objects.filter(state__in=OPEN_STATES)
        found = counters.margins(OPEN_CASES, scope, rows, key=0, **asked)
    else:
        without = [state for state in ALL_STATES if states and state not in states]
        given = {1: severity} if severity else {}
        found = counters.margins(
            CASES, scope, Case.objects.all(), key=2, without=without, given=given, **asked
        )
    roles: dict[str, int] = {}
    for its_code, number in found.keys.items():
        if not code or its_code.lower() == code.lower():
            for name in entry(its_code).resolvers:
                roles[name] = roles.get(name, 0) + number
    return _facets(roles, found.entities, legal_entity_id)


def facets_of(rows: QuerySet[Case], *, role: str = "", legal_entity_id: int | None = None) -> Facets | None:
    """The same of any set of cases, which the filters ``role`` and ``legal_entity_id`` have not narrowed yet; for what no
    counter knows, as a search. None where they are more than ``MOST``: counting them would take longer than the list."""
    if bounded(rows, most=MOST) > MOST:
        return None
    found = (
        rows.prefetch_related(None).order_by().values_list("legal_entity_id", "code").annotate(Count("pk"))
    )
    roles: dict[str, int] = {}
    by_entity: dict[int | None, int] = {}
    for entity_id, code, number in found:
        resolvers = entry(code).resolvers
        if legal_entity_id is None or entity_id == legal_entity_id:
            for name in resolvers:
                roles[name] = roles.get(name, 0) + number
        if not role or role in resolvers:
            by_entity[entity_id] = by_entity.get(entity_id, 0) + number
    return _facets(roles, by_entity, legal_entity_id)


def _facets(
    roles: Mapping[str, int], by_entity: Mapping[int | None, int], legal_entity_id: int | None
) -> Facets:
    total = sum(by_entity.values()) if legal_entity_id is None else by_entity.get(legal_entity_id, 0)
    entities = {entity_id: number for entity_id, number in by_entity.items() if entity_id is not None}
    return Facets(roles, entities, total)
