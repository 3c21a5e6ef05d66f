"""Groups of equal problems and what the cases hold, in words and money.

Public surface (through :mod:`apps.triage.selectors`): :func:`group_list`, :func:`groups`, :func:`group_rows`,
:func:`billing_held`, :func:`billing_held_by_entity`, :func:`held_of`, :func:`next_due`, :func:`reporting_currency`,
:func:`reporting_rates`, :func:`in_reporting` and the row types.

What everybody looks at, the groups and sums of all open cases, comes from :mod:`apps.triage.rollups`; a search, and what a
project manager sees of single engagements, is counted from the cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case as When_
from django.db.models import Count, DecimalField, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Cast

from apps.canonical.money import Money
from apps.core import clock, statements
from apps.core.scope import Scope
from apps.organization import selectors as organization
from apps.triage import rollups
from apps.triage.catalogue import CATALOGUE, Entry, Severity, codes_for_role, entry
from apps.triage.families import families, older, rooted, sees_all
from apps.triage.models import OPEN_STATES, Case, Group
from apps.triage.states import HIDDEN

_MONEY = DecimalField(max_digits=24, decimal_places=4)


@dataclass(frozen=True)
class Held:
    """Billing held in one currency; ``unknown`` counts what has no amount. ``reporting`` is None without a rate, ``rate_on``
    the day of the rate (None in the reporting currency itself)."""

    currency: str
    amount: Decimal
    unknown: int
    reporting: Money | None
    rate_on: date | None = None


class Rates(dict[str, Decimal]):
    """What one unit of each currency is worth in the reporting currency; ``on`` are the days of the rates."""

    on: dict[str, date | None]


@dataclass(frozen=True)
class GroupRow:
    """One line of the exceptions list: equal problems, how many, what they hold, until when, who must act."""

    id: int
    entry: Entry
    code: str
    reason: str
    value: str
    flow: str
    step: str
    legal_entity_id: int | None
    legal_entity: str
    count: int
    held: Sequence[Held]
    oldest: datetime
    due_at: datetime | None
    first_ref: str
    state: str

    @property
    def resolvers(self) -> tuple[str, ...]:
        return self.entry.resolvers


# ---- Groups ---------------------------------------------------------------------------------------------------------
def reporting_currency() -> str:
    return str(getattr(settings, "REPORTING_CURRENCY", "GBP"))


def reporting_rates(rows: QuerySet[Case]) -> Rates:
    """What one unit of each currency of these cases is worth in the reporting currency; absent without a rate.

    Taken from a large round sum, so that the rounding to minor units does not enter the rate.
    """
    return rates_for(rows.order_by().exclude(currency="").values_list("currency", flat=True).distinct())


def rates_for(currencies: Iterable[str], lines: Iterable[organization.RateLine] | None = None) -> Rates:
    target, sample = reporting_currency(), 1_000_000
    found = organization.rates_of(target, set(currencies) - {""}, clock.today(), lines=lines)
    rates = Rates(
        {name: Money.of(rate * sample, target).amount / sample for name, (rate, _on) in sorted(found.items())}
    )
    rates.on = {name: on for name, (_rate, on) in found.items()}
    return rates


def in_reporting(rates: Mapping[str, Decimal]) -> Any:
    """An expression: the held amount of a row in the reporting currency; NULL when amount or rate is unknown."""
    whens = [When(currency=currency, then=F("held_amount") * Value(rate)) for currency, rate in rates.items()]
    return When_(*whens, default=Cast(Value(None), _MONEY), output_field=_MONEY)


def groups(rows: QuerySet[Case], *, scope: Scope | None = None, order: str = "money") -> QuerySet[Any]:
    """Aggregate filtered cases into groups: dicts for :func:`group_rows`, ready for a paginator.

    ``order``: ``money`` (largest in the reporting currency first; unknown last), ``due`` (nearest first), ``age`` (oldest
    first), ``count``. ``rows`` must already be scoped and filtered, so a group never tells of a case that is hidden. An amount
    counts once, under the oldest case that blocks its subject of all in ``scope`` (None: of ``rows``).
    """
    rates = reporting_rates(rows)
    aggregated = (
        rooted(rows, families())
        .order_by()
        .values("root")
        .annotate(
            count=Count("id"),
            oldest=Min("opened_at"),
            due=Min("due_at"),
            first=Min("id"),
            newest=Max("id"),
            worth=Sum(
                in_reporting(rates),
                filter=~Q(severity=Severity.WARNING) & ~Q(older(scope, rows)),
                output_field=_MONEY,
            ),
        )
    )
    orders = {
        "money": [F("worth").desc(nulls_last=True), F("due").asc(nulls_last=True)],
        "due": [F("due").asc(nulls_last=True), F("worth").desc(nulls_last=True)],
        "age": [F("oldest").asc()],
        "count": [F("count").desc()],
    }
    return aggregated.order_by(*orders.get(order, orders["money"]), "root")


def with_status(rows: QuerySet[Case], status: str) -> QuerySet[Case]:
    """Cases of groups in a state of the desk; "" leaves out what is snoozed or ignored, ``any`` nothing."""
    if status == "any":
        return rows
    found = groups_of_status(HIDDEN if status == "" else [status])
    return rows.exclude(group_id__in=found) if status == "" else rows.filter(group_id__in=found)


def groups_of_status(states: Iterable[str]) -> QuerySet[Any]:
    """The ids of groups in these states of the desk, those of a family by the one that stands for it."""
    alone = Q(family=None, state__in=states)
    return Group.objects.filter(alone | Q(family__isnull=False, family__state__in=states)).values("pk")


def put_aside(scope: Scope) -> dict[str, int]:
    """How many groups with open cases that the scope sees are snoozed and ignored; states without any are absent."""
    seen = Case.objects.within(scope).filter(state__in=OPEN_STATES)
    alone = Q(Exists(seen.filter(group_id=OuterRef("pk"))), family=None)
    root = Q(Exists(seen.filter(group__family_id=OuterRef("pk"))), family=F("pk"))
    found = Group.objects.filter(alone | root, state__in=HIDDEN).values_list("state")
    return dict(found.annotate(number=Count("pk")).order_by())


def group_rows(
    page: Iterable[Mapping[str, Any]], rows: QuerySet[Case], *, scope: Scope | None = None
) -> list[GroupRow]:
    """One page of :func:`groups`, of the same ``rows`` and ``scope``, with words and money: six queries whatever its length.
    Who sees only some engagements of a group (or names no ``scope``) reads the newest sentence among ``rows``."""
    page = list(page)
    ids = [line["root"] for line in page]
    found = Group.objects.select_related("legal_entity").in_bulk(ids)
    roots = families()
    members = [group_id for group_id, root in roots.items() if root in set(ids)]
    held = _held_by_group(rows.filter(group_id__in=[*ids, *members]), roots, older(scope, rows))
    refs = dict(Case.objects.filter(pk__in=[line["first"] for line in page]).values_list("pk", "ref"))
    newest = dict(Case.objects.filter(pk__in=[line["newest"] for line in page]).values_list("pk", "reason"))
    rows_told = []
    for line in page:
        group = found[line["root"]]
        whole = scope is not None and sees_all(scope, group)
        rows_told.append(_row(line, group, held, refs, reason="" if whole else newest[line["newest"]]))
    return rows_told


class GroupList:
    """Groups of all open cases of a scope as rows, ready for a paginator: counted, and sliced in a fixed number of queries."""

    def __init__(self, sums: rollups.GroupSums, rates: Rates) -> None:
        self._sums = sums
        self._rates = rates

    def count(self) -> int:
        return self._sums.count()

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, wanted: slice) -> list[GroupRow]:
        sums = self._sums.page(wanted.start or 0, wanted.stop)
        found = Group.objects.select_related("legal_entity").in_bulk([one.group_id for one in sums])
        refs = dict(Case.objects.filter(pk__in=[one.first_id for one in sums]).values_list("pk", "ref"))
        rates = self._rates
        rows = []
        for one in sums:
            line = {"count": one.cases, "oldest": one.oldest, "due": one.due_at, "first": one.first_id}
            names = ("currency", "total", "unknown")
            held = [held_line(dict(zip(names, part, strict=True)), rates) for part in one.held]
            rows.append(_row(line, found[one.group_id], {one.group_id: held}, refs))
        return rows


def group_list(
    scope: Scope,
    *,
    order: str = "money",
    roles: Iterable[str] | None = None,
    code: str = "",
    legal_entity_id: int | None = None,
    status: str = "",
) -> GroupList | None:
    """What :func:`groups` and :func:`group_rows` say of all open cases, from totals that are kept: of one legal entity, one
    code, or those that one of ``roles`` resolves, and of one ``status`` as :func:`with_status` takes it. None where no totals
    are kept for such a scope."""
    if not rollups.answers(scope):
        return None
    codes, but = _codes(roles, code)
    currencies = rollups.currencies()
    rates = rates_for(currencies)
    return GroupList(
        rollups.GroupSums(
            scope,
            order=order,
            rates=rates,
            unrated=set(currencies) - set(rates),
            entity_id=legal_entity_id,
            codes=codes,
            but=but,
            status=status,
        ),
        rates,
    )


def _codes(roles: Iterable[str] | None, code: str) -> tuple[set[str] | None, set[str] | None]:
    """The codes asked for, and beside them all but those of the catalogue where a role takes what it does not know."""
    codes: set[str] | None = None
    but: set[str] | None = None
    if roles is not None:
        codes = set()
        for role in roles:
            resolves, takes_unknown = codes_for_role(role)
            codes |= resolves
            but = set(CATALOGUE) if takes_unknown else but
    if code:
        known = next((one for one in CATALOGUE if one.lower() == code.lower()), code)
        allowed = codes is None or known in codes or (but is not None and known not in but)
        codes, but = ({known} if allowed else set()), None
    return codes, but


def _row(
    line: Mapping[str, Any],
    found: Group,
    held: Mapping[int, Sequence[Held]],
    refs: Mapping[int, str],
    *,
    reason: str = "",
) -> GroupRow:
    """``reason`` is for a reader who does not see all of the group: its sentence may be of a case of others."""
    return GroupRow(
        id=found.pk,
        entry=entry(found.code),
        code=found.code,
        reason=reason or found.reason,
        value=found.value,
        flow=found.flow,
        step=found.step,
        legal_entity_id=found.legal_entity_id,
        legal_entity=found.legal_entity.code if found.legal_entity else "",
        count=line["count"],
        held=held.get(found.pk, []),
        oldest=line["oldest"],
        due_at=line["due"],
        first_ref=refs[line["first"]],
        state=found.state,
    )


# ---- Money ----------------------------------------------------------------------------------------------------------
def billing_held(scope: Scope) -> list[Held]:
    """Billing held by open blocking cases, per currency; a subject with several cases counts once, under its oldest."""
    if not rollups.answers(scope):
        return held_of(Case.objects.within(scope).filter(state__in=OPEN_STATES))
    found: dict[str, dict[str, Any]] = {}
    sums, rates_known = rollups.held_sums(scope, reporting_currency(), clock.today())
    for line in sums:
        known = found.setdefault(line["currency"], {**line, "total": 0, "unknown": 0})
        known["total"] += line["total"]
        known["unknown"] += line["unknown"]
    rates = rates_for(found, rates_known)
    return [held_line(found[name], rates) for name in sorted(found)]


def held_of(rows: QuerySet[Case]) -> list[Held]:
    """The same over any set of cases: each subject once."""
    sums = _once(rows, "currency")
    rates = rates_for(line["currency"] for line in sums)
    return [held_line(line, rates) for line in sums]


_FIRST_DUE = f"FROM triage_case WHERE {rollups.OPEN} AND due_at IS NOT NULL"
_NEXT_DUE = f"SELECT due_at {_FIRST_DUE} ORDER BY due_at, id LIMIT 1"
#: The first of each legal entity by its index: a walk over the deadlines of all would be long for who sees few.
_NEXT_DUE_OF = f"""
SELECT min(first.due_at) FROM unnest(%(entities)s::bigint[]) AS one (id) CROSS JOIN LATERAL (
    SELECT due_at {_FIRST_DUE} AND legal_entity_id = one.id ORDER BY due_at, id LIMIT 1
) AS first
"""  # noqa: S608


def next_due(scope: Scope) -> datetime | None:
    """The nearest deadline of an open case."""
    if not rollups.answers(scope):
        rows = Case.objects.within(scope).filter(state__in=OPEN_STATES, due_at__isnull=False)
        return rows.order_by("due_at", "id").values_list("due_at", flat=True).first()
    if scope.everything:
        found = statements.rows(_NEXT_DUE, {})
    else:
        found = statements.rows(_NEXT_DUE_OF, {"entities": sorted(scope.entity_ids)})
    return found[0][0] if found else None


@dataclass(frozen=True)
class EntityHeld:
    """Billing held of one legal entity: per currency, and by how many subjects."""

    legal_entity_id: int
    held: list[Held]
    subjects: int


def billing_held_by_entity(scope: Scope) -> list[EntityHeld]:
    """:func:`billing_held`, entity by entity; what belongs to no entity yet is left out."""
    known = None
    if rollups.answers(scope):
        sums, known = rollups.held_sums(scope, reporting_currency(), clock.today())
        sums = [line for line in sums if line["legal_entity_id"] is not None]
    else:
        rows = Case.objects.within(scope).filter(state__in=OPEN_STATES, legal_entity__isnull=False)
        sums = _once(rows, "legal_entity_id", "currency")
    rates = rates_for((line["currency"] for line in sums), known)
    answer: dict[int, EntityHeld] = {}
    for line in sums:
        found = answer.setdefault(line["legal_entity_id"], EntityHeld(line["legal_entity_id"], [], 0))
        held = [*found.held, held_line(line, rates)]
        answer[found.legal_entity_id] = EntityHeld(
            found.legal_entity_id, held, found.subjects + line["subjects"]
        )
    return list(answer.values())


def _once(rows: QuerySet[Case], *by: str) -> list[dict[str, Any]]:
    """Sums over the oldest blocking case of each subject (its amount is held once, under its root cause): ``total``,
    ``unknown`` and ``subjects`` for each value of ``by``. One pass over an index that holds all of it."""
    once = (
        rows.exclude(severity=Severity.WARNING)
        .order_by("subject_kind", "subject_key", "id")
        .distinct("subject_kind", "subject_key")
        .values("legal_entity_id", "currency", "held_amount")
    )
    try:
        sql, parameters = once.query.sql_with_params()
    except EmptyResultSet:
        return []
    columns = ", ".join(by)  # names from the callers here
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns}, sum(held_amount), count(*) FILTER (WHERE held_amount IS NULL), count(*)"  # noqa: S608
            f" FROM ({sql}) AS once GROUP BY {columns} ORDER BY {columns}",
            parameters,
        )
        return [
            dict(zip((*by, "total", "unknown", "subjects"), line, strict=True)) for line in cursor.fetchall()
        ]


def _held_by_group(
    rows: QuerySet[Case], roots: Mapping[int, int], elsewhere: Exists
) -> dict[int, list[Held]]:
    """What cases hold that do so by themselves, not by an older one ``elsewhere``."""
    blocking = rooted(rows, roots).order_by().exclude(severity=Severity.WARNING).exclude(elsewhere)
    rates = reporting_rates(blocking)
    answer: dict[int, list[Held]] = {}
    for line in _sums(blocking.values("root", "currency")):
        answer.setdefault(line["root"], []).append(held_line(line, rates))
    return answer


def _sums(grouped: QuerySet[Any]) -> QuerySet[Any]:
    return grouped.annotate(
        total=Sum("held_amount"), unknown=Count("id", filter=Q(held_amount__isnull=True))
    ).order_by("currency")


def in_reporting_currency(amount: Decimal | None, currency: str) -> tuple[Money, date] | None:
    """One amount in the reporting currency with the day of its rate; None when it is unknown, has no rate, or is in it."""
    if amount is None or currency in ("", reporting_currency()):
        return None
    return organization.convert(Money.of(amount, currency), reporting_currency(), clock.today())


def held_line(line: Mapping[str, Any], rates: Rates) -> Held:
    amount = line["total"] if line["total"] is not None else Decimal(0)
    rate = rates.get(line["currency"])
    reporting = Money.of(amount * rate, reporting_currency()) if rate is not None else None
    return Held(line["currency"], amount, line["unknown"], reporting, rates.on.get(line["currency"]))
