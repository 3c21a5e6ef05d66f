"""Reads of the organization: who may do what and where, entities, routing, rates, deadlines.

Public surface: :func:`can`, :func:`require`, :func:`scope_of`, :func:`permissions_of`, :func:`who_can`, :func:`anyone_with`,
:func:`holders`, :func:`entities`, :func:`entity`, :func:`systems`, :func:`system`, :func:`route`, :func:`routed_to`,
:func:`remember_registry`, :func:`user_by_email`, :func:`convert`, :func:`rates_into`, :func:`rates_of`, :data:`RATES`,
:func:`invoice_run_due`, :func:`invoice_runs_due`,
:func:`deadline`, :func:`deadlines`.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, wraps
from typing import Any, cast
from zoneinfo import ZoneInfo

import holidays
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.canonical.money import Money
from apps.core import statements
from apps.core.errors import NotAllowed, NotFound
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.organization.models import ClosedDay, ExchangeRate, Grant, LegalEntity, Routing, System, User
from apps.organization.permissions import VERBS, Role, roles_with


# ---- Permissions --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Permissions:
    """One person's grants, read once; a page asks it many times.

    ``grants`` are ``(role, legal entity id or None, engagement key or "")``.
    """

    user_id: int | None
    grants: tuple[tuple[str, int | None, str], ...]

    def can(self, verb: str, *, legal_entity_id: int | None = None, engagement_key: str = "") -> bool:
        """May this person do ``verb`` there; with neither entity nor engagement: anywhere at all."""
        scope = self.scope(verb)
        if legal_entity_id is None and not engagement_key:
            return scope != NOTHING
        return scope.allows(legal_entity_id=legal_entity_id, engagement_key=engagement_key)

    def scope(self, verb: str) -> Scope:
        """Where this person may do ``verb``: everywhere, in some entities, on some engagements, or nowhere."""
        roles = roles_with(verb)
        entity_ids, keys = set(), set()
        for role, legal_entity_id, engagement_key in self.grants:
            if role not in roles:
                continue
            if engagement_key:
                keys.add(engagement_key)
            elif role == Role.PROJECT_MANAGER:
                continue  # names the role, opens nothing: project managers see their own engagements only
            elif legal_entity_id is None:
                return EVERYTHING
            else:
                entity_ids.add(legal_entity_id)
        return Scope(entity_ids=frozenset(entity_ids), engagement_keys=frozenset(keys))

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(role for role, _entity, _key in self.grants)


def permissions_of(user: User | None) -> Permissions:
    """The grants of a person in one query; nothing for nobody, the anonymous and the disabled."""
    if user is None or not user.is_authenticated or not user.is_active:
        return Permissions(None, ())
    rows = Grant.objects.filter(user_id=user.pk).values_list("role", "legal_entity_id", "engagement_key")
    return Permissions(user.pk, tuple(rows))


def can(
    user: User | None, verb: str, *, legal_entity_id: int | None = None, engagement_key: str = ""
) -> bool:
    """May ``user`` do ``verb`` there; without entity and engagement: anywhere at all (menus, lists).

    For a row that may lack both, ask ``scope_of(user, verb).allows(...)``, which fails closed.
    """
    return permissions_of(user).can(verb, legal_entity_id=legal_entity_id, engagement_key=engagement_key)


def require(
    user: User | None, verb: str, *, legal_entity_id: int | None = None, engagement_key: str = ""
) -> None:
    """Raise :class:`NotAllowed` unless :func:`can`; the error names who could act instead."""
    if can(user, verb, legal_entity_id=legal_entity_id, engagement_key=engagement_key):
        return
    people = who_can(verb, legal_entity_id=legal_entity_id, engagement_key=engagement_key)
    names = ", ".join(person.display_name for person in people[:3])
    what = VERBS[verb]
    message = _("You may not %(what)s here.") % {"what": what}
    if names:
        message += " " + _("Ask %(names)s.") % {"names": names}
    raise NotAllowed(message, who=names)


def scope_of(user: User | None, verb: str) -> Scope:
    """Where ``user`` may do ``verb``, for ``queryset.within(scope)``."""
    return permissions_of(user).scope(verb)


def who_can(verb: str, legal_entity_id: int | None = None, *, engagement_key: str = "") -> list[User]:
    """Active people who may do ``verb`` in the entity or on the engagement, nearest grant first, then by name."""
    everywhere_or_there = Q(legal_entity_id=None)
    if legal_entity_id is not None:
        everywhere_or_there |= Q(legal_entity_id=legal_entity_id)
    place = Q(engagement_key="") & everywhere_or_there & ~Q(role=Role.PROJECT_MANAGER)
    if engagement_key:
        place |= Q(engagement_key=engagement_key)
    grants = Grant.objects.filter(place, role__in=roles_with(verb), user__is_active=True).select_related(
        "user"
    )
    nearest: dict[int, tuple[int, str, User]] = {}
    for grant in grants:
        distance = 0 if grant.engagement_key else 1 if grant.legal_entity_id else 2
        entry = (distance, grant.user.display_name, grant.user)
        if grant.user_id not in nearest or entry[:2] < nearest[grant.user_id][:2]:
            nearest[grant.user_id] = entry
    return [entry[2] for entry in sorted(nearest.values(), key=lambda entry: entry[:2])]


@dataclass(frozen=True)
class Holder:
    """An active person who holds a role: everywhere, in one legal entity, or on one engagement."""

    user_id: int
    role: str
    legal_entity_id: int | None
    engagement_key: str

    def at(self, legal_entity_id: int | None, engagement_key: str = "") -> bool:
        """Whether the role is held there; without entity and engagement: everywhere."""
        if self.engagement_key:
            return self.engagement_key == engagement_key
        return self.role != Role.PROJECT_MANAGER and self.legal_entity_id in (None, legal_entity_id)


def holders(roles: Collection[str]) -> list[Holder]:
    """Who holds these roles, wherever. One query."""
    rows = Grant.objects.filter(role__in=list(roles), user__is_active=True).order_by("user_id", "id")
    return [Holder(*row) for row in rows.values_list("user_id", "role", "legal_entity_id", "engagement_key")]


def anyone_with(role: str, *, legal_entity_id: int | None = None, engagement_key: str = "") -> bool:
    """Whether an active person holds the role there; without entity and engagement: everywhere."""
    place = Q(legal_entity_id=None, engagement_key="") & ~Q(role=Role.PROJECT_MANAGER)
    if legal_entity_id is not None:
        place |= Q(legal_entity_id=legal_entity_id, engagement_key="") & ~Q(role=Role.PROJECT_MANAGER)
    if engagement_key:
        place |= Q(engagement_key=engagement_key)
    return Grant.objects.filter(place, role=role, user__is_active=True).exists()


def person(user_id: int) -> User | None:
    """The active person with this id, or None."""
    return User.objects.filter(pk=user_id, is_active=True).first()


def user_by_email(email: str) -> User | None:
    """The active person of this address (case does not matter), or None."""
    return User.objects.filter(email__iexact=email.strip(), is_active=True).first() if email.strip() else None


# ---- What hardly ever changes, for those who ask all the time ----------------------------------------------------------
@dataclass
class _Remembered:
    """An answer of the registry, and until when (monotonic clock) it is believed."""

    value: Any
    until: float


_local = threading.local()
#: What this process has read, for all its threads that remember.
_memory: dict[Any, _Remembered] = {}


def remember_registry(seconds: float | None) -> None:
    """From now on this thread believes what was read of entities, systems and routes in this process for so many seconds
    (None: it reads them each time).

    For the engine's workers; a change of the registry reaches them that much later."""
    _local.seconds = seconds
    _memory.clear()


def _remembered(read: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(read)
    def reading(*key: Any) -> Any:
        seconds: float | None = getattr(_local, "seconds", None)
        if seconds is None:
            return read(*key)
        now = time.monotonic()
        held = _memory.get((read, key))
        if held is not None and now < held.until:
            return held.value
        if held is not None:
            held.until = now + seconds  # the others go on with it while this thread looks
        try:
            value = read(*key)
        except BaseException:
            _memory.pop((read, key), None)
            raise
        _memory[read, key] = _Remembered(value, now + seconds)
        return value

    return reading


# ---- Entities, systems, routing -----------------------------------------------------------------------------------
def entities(*, scope: Scope | None = None, active: bool | None = True) -> list[LegalEntity]:
    """Legal entities by code; ``scope`` limits them, ``active=None`` includes the inactive."""
    rows = LegalEntity.objects.order_by("code")
    if active is not None:
        rows = rows.filter(active=active)
    if scope is not None and not scope.everything:
        rows = rows.filter(pk__in=scope.entity_ids)
    return list(rows)


_CHOICES = """
SELECT id, code FROM organization_legalentity
WHERE active AND (%(all)s::bool OR id = ANY(%(entities)s::bigint[])) ORDER BY code
"""


def entity_choices(scope: Scope) -> list[tuple[int, str]]:
    """Id and code of the active legal entities within the scope, by code: what a filter of a list offers."""
    given = {"all": scope.everything, "entities": sorted(scope.entity_ids)}
    return [(pk, code) for pk, code in statements.rows(_CHOICES, given)]


def entity(code_or_id: str | int) -> LegalEntity | None:
    """A legal entity by its code (``MER-UK``) or id, active or not; None when there is none."""
    found: LegalEntity | None = _entity(code_or_id)
    return found


@_remembered
def _entity(code_or_id: str | int) -> LegalEntity | None:
    if isinstance(code_or_id, int):
        return LegalEntity.objects.filter(pk=code_or_id).first()
    return LegalEntity.objects.filter(code=code_or_id).first()


def systems(kind: str | None = None, *, active: bool | None = True) -> list[System]:
    """Systems by code, of one kind or all."""
    rows = System.objects.order_by("code")
    if kind:
        rows = rows.filter(kind=kind)
    if active is not None:
        rows = rows.filter(active=active)
    return list(rows)


def system(code_or_id: str | int) -> System:
    """A system by code or id. Raises :class:`NotFound`."""
    found: System | None = _system(code_or_id)
    if found is None:
        raise NotFound(_("There is no system %(code)s.") % {"code": code_or_id})
    return found


@_remembered
def _system(code_or_id: str | int) -> System | None:
    rows = (
        System.objects.filter(pk=code_or_id)
        if isinstance(code_or_id, int)
        else System.objects.filter(code=code_or_id)
    )
    return rows.first()


def route(legal_entity_id: int, kind: str) -> Routing | None:
    """Which system plays ``kind`` for the entity, with its settings; None when nothing does."""
    found: Routing | None = _route(legal_entity_id, kind)
    return found


@_remembered
def _route(legal_entity_id: int, kind: str) -> Routing | None:
    return (
        Routing.objects.select_related("system", "legal_entity")
        .filter(legal_entity_id=legal_entity_id, kind=kind, system__active=True)
        .first()
    )


def routed_to(system_id: int) -> list[Routing]:
    """The legal entities that a system serves, each with its vendor settings there, by entity code."""
    rows = Routing.objects.filter(system_id=system_id).select_related("legal_entity")
    return list(rows.order_by("legal_entity__code"))


# ---- Exchange rates -----------------------------------------------------------------------------------------------
def convert(money: Money, to_currency: str, on: dt.date) -> tuple[Money, dt.date] | None:
    """``money`` in another currency by the newest rates of ``on`` or before, with the date of the oldest rate used.

    Looks for the pair, its inverse, then one currency between. Rounded half-up to the target's minor unit. None when
    there is no rate: an unknown amount is never guessed.
    """
    if money.currency == to_currency:
        return money, on
    found = _rate(money.currency, to_currency, on) or _cross_rate(money.currency, to_currency, on)
    if found is None:
        return None
    rate, rate_on = found
    return Money.of(money.amount * rate, to_currency), rate_on


#: ``code``, ``base``, ``rate``, ``on`` of each code of a ``text[]`` that has a pair with ``%(target)s`` by ``%(day)s``; also
#: within statements of figures, which then need no second one (:func:`rates_of`, ``lines``).
RATES = """
SELECT wanted.code, found.base, found.rate, found."on" FROM unnest({codes}) AS wanted (code) CROSS JOIN LATERAL (
    (SELECT base, rate, "on" FROM organization_exchangerate
        WHERE base = wanted.code AND quote = %(target)s AND "on" <= %(day)s ORDER BY "on" DESC LIMIT 1)
    UNION ALL
    (SELECT base, rate, "on" FROM organization_exchangerate
        WHERE base = %(target)s AND quote = wanted.code AND "on" <= %(day)s ORDER BY "on" DESC LIMIT 1)
    ORDER BY "on" DESC LIMIT 1
) AS found
"""
_RATES = RATES.format(codes="%(codes)s::text[]")
#: A line of :data:`RATES`.
RateLine = tuple[str, str, Decimal, dt.date]


def rates_into(target: str, currencies: Collection[str], on: dt.date) -> dict[str, Decimal]:
    """What one unit of each currency is worth in ``target``, as :func:`convert` finds it; absent without a rate."""
    return {code: rate for code, (rate, _on) in rates_of(target, currencies, on).items()}


def rates_of(
    target: str, currencies: Collection[str], on: dt.date, *, lines: Iterable[RateLine] | None = None
) -> dict[str, tuple[Decimal, dt.date | None]]:
    """:func:`rates_into` with the day of each rate (of the older of two; None for ``target`` itself). One query for all pairs,
    none where ``lines`` of a statement with :data:`RATES` in it are given, one more for each currency that needs another
    between."""
    rates: dict[str, tuple[Decimal, dt.date | None]] = (
        {target: (Decimal(1), None)} if target in currencies else {}
    )
    wanted = sorted(set(currencies) - {target})
    if not wanted:
        return rates
    if lines is None:
        asked = {"codes": wanted, "target": target, "day": on}
        lines = cast(list[RateLine], statements.rows(_RATES, asked))
    for code, base, rate, rate_on in lines:
        rates[code] = (rate if base == code else 1 / rate), rate_on
    for code in wanted:
        crossed = _cross_rate(code, target, on) if code not in rates else None
        if crossed:
            rates[code] = crossed
    return rates


def _rate(base: str, quote: str, on: dt.date) -> tuple[Decimal, dt.date] | None:
    pair = Q(base=base, quote=quote) | Q(base=quote, quote=base)
    row = ExchangeRate.objects.filter(pair, on__lte=on).order_by("-on").first()
    if row is None:
        return None
    return (row.rate if row.base == base else 1 / row.rate), row.on


def _cross_rate(base: str, quote: str, on: dt.date) -> tuple[Decimal, dt.date] | None:
    """Through the one currency whose older leg is newest; ties go by alphabet so that the answer is stable."""
    rows = ExchangeRate.objects.filter(on__lte=on).values_list("base", "quote").distinct()
    neighbours: dict[str, set[str]] = {}
    for one, other in rows:
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    best: tuple[Decimal, dt.date] | None = None
    for middle in sorted(neighbours.get(base, set()) & neighbours.get(quote, set())):
        first, second = _rate(base, middle, on), _rate(middle, quote, on)
        if first and second:
            leg_on = min(first[1], second[1])
            if best is None or leg_on > best[1]:
                best = (first[0] * second[0], leg_on)
    return best


# ---- Calendar of the close ----------------------------------------------------------------------------------------
def working_days(legal_entity: LegalEntity, year: int, month: int) -> list[dt.date]:
    """The entity's working days of a month: no weekend, public holiday of its country, or company-closed day."""
    closed = legal_entity.closed_days.filter(on__year=year, on__month=month).values_list("on", flat=True)
    return _working_days(legal_entity, year, month, set(closed))


def _working_days(legal_entity: LegalEntity, year: int, month: int, closed: set[dt.date]) -> list[dt.date]:
    off = public_holidays(legal_entity.country, year)
    day, days = dt.date(year, month, 1), []
    while day.month == month:
        if day.weekday() < 5 and day not in off and day not in closed:
            days.append(day)
        day += dt.timedelta(days=1)
    return days


@lru_cache(maxsize=256)
def public_holidays(country: str, year: int) -> frozenset[dt.date]:
    """Public holidays by the ``holidays`` package; none for a country that it does not know."""
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()


def invoice_run_due(legal_entity: LegalEntity, at: dt.datetime) -> dt.datetime:
    """The next invoice-run deadline at or after ``at``, aware UTC: the entity's n-th working day, its local time."""
    return invoice_runs_due([legal_entity], at)[legal_entity.pk]


def invoice_runs_due(legal_entities: Sequence[LegalEntity], at: dt.datetime) -> dict[int, dt.datetime]:
    """:func:`invoice_run_due` of several entities, by their ids; one query."""
    closed = _closed(legal_entities, at)
    return {
        one.pk: _due(one, at, closed[one.pk], one.invoice_run_day, one.invoice_run_time)
        for one in legal_entities
    }


def _closed(legal_entities: Sequence[LegalEntity], at: dt.datetime) -> dict[int, set[dt.date]]:
    """The days on which the entities are closed, since the month of ``at`` began."""
    closed: dict[int, set[dt.date]] = {one.pk: set() for one in legal_entities}
    since = at.date() - dt.timedelta(days=32)  # the month in which it is "now" somewhere began since then
    rows = ClosedDay.objects.filter(legal_entity_id__in=closed, on__gte=since)
    for entity_id, on in rows.values_list("legal_entity_id", "on"):
        closed[entity_id].add(on)
    return closed


def deadline(legal_entity: LegalEntity, at: dt.datetime) -> dt.datetime:
    """The next invoice run or, where the entity keeps one, the next lock of its receivables, whichever is first; aware UTC."""
    return deadlines([legal_entity], at)[legal_entity.pk]


def deadlines(legal_entities: Sequence[LegalEntity], at: dt.datetime) -> dict[int, dt.datetime]:
    """:func:`deadline` of several entities, by their ids; one query."""
    closed = _closed(legal_entities, at)
    found = {}
    for one in legal_entities:
        due = _due(one, at, closed[one.pk], one.invoice_run_day, one.invoice_run_time)
        if one.receivables_lock_day is not None:
            lock = _due(one, at, closed[one.pk], one.receivables_lock_day, one.receivables_lock_time)
            due = min(due, lock)
        found[one.pk] = due
    return found


def _due(
    legal_entity: LegalEntity, at: dt.datetime, closed: set[dt.date], day: int, until: dt.time
) -> dt.datetime:
    """The first time at or after ``at`` that is the ``day``-th working day of a month at ``until``, its local time."""
    zone = ZoneInfo(legal_entity.timezone)
    local = at.astimezone(zone)
    year, month = local.year, local.month
    while True:
        days = _working_days(legal_entity, year, month, closed)
        if days:
            on = days[min(day, len(days)) - 1]
            due = dt.datetime.combine(on, until, tzinfo=zone)
            if due >= at:
                return due.astimezone(dt.UTC)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
