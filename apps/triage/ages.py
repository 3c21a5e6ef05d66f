"""How old open cases are, in business days of their legal entity; one of none is as old as where it would be the oldest.

Public surface (through :mod:`apps.triage.selectors`): :data:`AGES`, :func:`age_bounds`, :func:`age_of`, :func:`ages`,
:func:`of_age`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core import clock, statements
from apps.core.scope import Scope
from apps.organization import calendars
from apps.organization import selectors as organization
from apps.triage.models import OPEN_STATES, Case

#: Buckets as filters name them; each holds what is older than its first number and not older than its second.
AGES = [
    ("0-1", _("up to 1 business day")),
    ("1-3", _("1–3 business days")),
    ("3-7", _("3–7 business days")),
    ("7-14", _("7–14 business days")),
    ("14", _("over 14 business days")),
]
_DAYS = (1, 3, 7, 14)
#: By legal entity (None: of none), the instants that lie 1, 3, 7 and 14 business days back.
Bounds = Mapping[int | None, Sequence[datetime]]


def age_bounds(entity_ids: Iterable[int | None] | None = None) -> Bounds:
    """Of all legal entities and of none, or of these; two queries at most."""
    wanted = None if entity_ids is None else set(entity_ids)
    of_none = wanted is None or None in wanted
    rows = [
        row
        for row in organization.entities(active=None)
        if wanted is None or row.pk in wanted or (of_none and row.active)
    ]
    found = calendars.days_back(rows, clock.now(), _DAYS) if rows else {}
    bounds: dict[int | None, Sequence[datetime]] = {
        **{pk: at for pk, at in found.items() if wanted is None or pk in wanted}
    }
    active = [found[row.pk] for row in rows if row.active]
    if of_none and active:
        bounds[None] = [max(instants) for instants in zip(*active, strict=True)]
    return bounds


def age_of(entity_id: int | None, opened_at: datetime, bounds: Bounds) -> str:
    """The words of the bucket; "" for a legal entity that has none here."""
    if entity_id not in bounds:
        return ""
    older = sum(opened_at < bound for bound in bounds[entity_id])
    return str(AGES[older][1])


def of_age(rows: QuerySet[Case], age: str) -> QuerySet[Case]:
    """Cases in a bucket by the calendar of their entity, or of all where they have none; none in one that does not exist."""
    names = [name for name, _label in AGES]
    if age not in names:
        return rows.none()
    at = names.index(age)
    wanted = Q(pk__in=[])
    for entity_id, bounds in age_bounds().items():
        part = Q(legal_entity_id=entity_id)  # None is asked for as NULL
        if at:
            part &= Q(opened_at__lt=bounds[at - 1])
        if at < len(bounds):
            part &= Q(opened_at__gte=bounds[at])
        wanted |= part
    return rows.filter(wanted)


_OPEN = ", ".join(f"'{state}'" for state in OPEN_STATES)
_AGED = f"c.opened_at >= part.since AND c.opened_at < part.until AND c.state IN ({_OPEN})"
_COUNTED = f"""
SELECT part.bucket, count(*)::bigint
FROM unnest(%(entities)s::bigint[], %(buckets)s::int[], %(since)s::timestamptz[], %(until)s::timestamptz[])
    AS part (entity_id, bucket, since, until)
CROSS JOIN LATERAL (
    SELECT 1 FROM triage_case c WHERE c.legal_entity_id = part.entity_id AND {_AGED}
    UNION ALL SELECT 1 FROM triage_case c WHERE part.entity_id IS NULL AND c.legal_entity_id IS NULL AND {_AGED}
) AS aged GROUP BY 1
"""  # noqa: S608
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def ages(scope: Scope) -> dict[str, int]:
    """How many open cases of the scope's legal entities are in each bucket, from an index. Engagements of a project manager in
    other entities are not counted."""
    bounds = age_bounds(None if scope.everything else scope.entity_ids)
    given: dict[str, list[object]] = {"entities": [], "buckets": [], "since": [], "until": []}
    for entity_id, instants in bounds.items():
        edges = [_LAST, *instants, _FIRST]
        for bucket, (until, since) in enumerate(pairwise(edges)):
            for name, value in zip(given, (entity_id, bucket, since, until), strict=True):
                given[name].append(value)
    found = dict(statements.rows(_COUNTED, given)) if bounds else {}
    return {name: found.get(number, 0) for number, (name, _label) in enumerate(AGES)}
