"""Business time of legal entities: working days counted back, working hours counted on.

Public surface: :func:`days_back`, :func:`hours_on`, :func:`hours_at_work`. Reads only, one query for the company-closed days
of all entities asked for. A working day is no weekend, no public holiday of the entity's country and no company-closed day, in
the entity's own zone; working hours begin at :data:`OPENS` and last as long as a day of the entity does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from apps.organization.models import ClosedDay, LegalEntity
from apps.organization.selectors import public_holidays

OPENS = dt.time(9, 0)
#: No run of days off is as long; a calendar without any working day in it is a mistake of its data.
_LONGEST_BREAK = 366
_Closed = Collection[dt.date]


def days_back(
    legal_entities: Sequence[LegalEntity], at: dt.datetime, days: Iterable[int]
) -> dict[int, list[dt.datetime]]:
    """For each entity the instants that many working days before ``at``: what began then is that many business days old.

    On a day off the working day before it counts as just ended. ``days`` ascending; the instants are aware UTC."""
    wanted = list(days)
    closed = _closed_days(legal_entities, at - dt.timedelta(days=3 * max(wanted, default=0) + 60), at)
    return {one.pk: _days_back(one, at, wanted, closed[one.pk]) for one in legal_entities}


def hours_on(
    legal_entities: Sequence[LegalEntity], at: dt.datetime, hours: Iterable[int]
) -> dict[int, dict[int, dt.datetime]]:
    """For each entity and each number of working hours the instant at which so many have passed since ``at``: what is due up
    to then is due within them."""
    wanted = sorted(set(hours))
    until = at + dt.timedelta(days=3 * max(wanted, default=0) / 8 + 60)
    closed = _closed_days(legal_entities, at, until)
    return {one.pk: {n: _hours_on(one, at, n, closed[one.pk]) for n in wanted} for one in legal_entities}


def hours_at_work(legal_entity: LegalEntity, on: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """When work begins and ends on a working day, in the entity's zone."""
    begins = dt.datetime.combine(on, OPENS, tzinfo=ZoneInfo(legal_entity.timezone))
    # In UTC, so that the hours are as long on the days on which the clocks change.
    ends = begins.astimezone(dt.UTC) + dt.timedelta(hours=float(legal_entity.hours_per_day))
    return begins, ends.astimezone(begins.tzinfo)


def _days_back(
    legal_entity: LegalEntity, at: dt.datetime, wanted: Sequence[int], closed: _Closed
) -> list[dt.datetime]:
    local = at.astimezone(ZoneInfo(legal_entity.timezone))
    on, clock = local.date(), local.time()
    if not _works(legal_entity, on, closed):
        on, clock = _step(legal_entity, on, -1, closed), dt.time.max
    found, passed = [], 0
    for number in wanted:
        while passed < number:
            on, passed = _step(legal_entity, on, -1, closed), passed + 1
        found.append(dt.datetime.combine(on, clock, tzinfo=local.tzinfo).astimezone(dt.UTC))
    return found


def _hours_on(legal_entity: LegalEntity, at: dt.datetime, hours: int, closed: _Closed) -> dt.datetime:
    left = dt.timedelta(hours=hours)
    on = at.astimezone(ZoneInfo(legal_entity.timezone)).date()
    if not _works(legal_entity, on, closed):
        on = _step(legal_entity, on, 1, closed)
    while True:
        begins, ends = (moment.astimezone(dt.UTC) for moment in hours_at_work(legal_entity, on))
        start = max(begins, at)
        if start + left < ends:
            return (start + left).astimezone(dt.UTC)
        left -= max(ends - start, dt.timedelta(0))
        on = _step(legal_entity, on, 1, closed)


def _step(legal_entity: LegalEntity, on: dt.date, way: int, closed: _Closed) -> dt.date:
    """The next working day that way."""
    for _ in range(_LONGEST_BREAK):
        on += dt.timedelta(days=way)
        if _works(legal_entity, on, closed):
            return on
    raise ValueError(f"{legal_entity.code} has no working day around {on}")


def _works(legal_entity: LegalEntity, on: dt.date, closed: _Closed) -> bool:
    return on.weekday() < 5 and on not in closed and on not in public_holidays(legal_entity.country, on.year)


def _closed_days(
    legal_entities: Sequence[LegalEntity], since: dt.datetime, until: dt.datetime
) -> Mapping[int, set[dt.date]]:
    closed: dict[int, set[dt.date]] = {one.pk: set() for one in legal_entities}
    day = dt.timedelta(days=1)
    rows = ClosedDay.objects.filter(
        legal_entity_id__in=closed, on__gte=since.date() - day, on__lte=until.date() + day
    )
    for entity_id, on in rows.values_list("legal_entity_id", "on"):
        closed[entity_id].add(on)
    return closed
