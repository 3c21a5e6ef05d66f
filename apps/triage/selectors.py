"""Reads of the triage room for screens and other rooms. Every list takes the reader's scope and a fixed number of queries.

Public surface: :func:`cases`, :func:`open_cases`, :func:`open_count`, :func:`facets`, :func:`case_detail`,
:func:`cases_of_engagement`, :func:`cases_of_transaction`, :func:`cleared_by_mappings` · :func:`groups`, :func:`group_rows`,
:func:`group` · :func:`billing_held`, :func:`billing_held_by_entity`, :func:`held_of`, :func:`reporting_currency`,
:func:`reporting_rates`, :func:`in_reporting` · :func:`mapping_kind_of`, :func:`mapping_candidates`,
:func:`mapping_in_force`, :func:`fix_under_way`, :func:`fix_progress` ·
the row types :class:`GroupRow`, :class:`CaseDetail`, :class:`Held`, :class:`Candidate`, :class:`FixProgress`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case as When_
from django.db.models import Count, DecimalField, F, Max, Min, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from apps.canonical.money import Money
from apps.core import clock
from apps.core.errors import NotFound
from apps.core.scope import Scope
from apps.governance import selectors as governance
from apps.journal import counters
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.triage.catalogue import Entry, Severity, entry
from apps.triage.fixing import FixProgress as FixProgress
from apps.triage.fixing import fix_progress as fix_progress
from apps.triage.fixing import fix_under_way as fix_under_way
from apps.triage.models import CASES, OPEN_STATES, Case, CaseEvent, Comment, Group, How
from apps.triage.ranking import Candidate, ranked

_MONEY = DecimalField(max_digits=24, decimal_places=4)


@dataclass(frozen=True)
class Held:
    """Billing held in one currency; ``unknown`` counts what has no amount. ``reporting`` is None without a rate."""

    currency: str
    amount: Decimal
    unknown: int
    reporting: Money | None


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

    @property
    def resolvers(self) -> tuple[str, ...]:
        return self.entry.resolvers


@dataclass(frozen=True)
class CaseDetail:
    """A case with everything its page shows of this room."""

    case: Case
    entry: Entry
    events: Sequence[CaseEvent]
    comments: Sequence[Comment]
    siblings: int


# ---- Cases ----------------------------------------------------------------------------------------------------------
def cases(scope: Scope) -> QuerySet[Case]:
    """All cases that the scope may see, nearest deadline first, ready to be listed without further queries."""
    # Groups are many: they are fetched for the page's cases and not joined.
    rows = Case.objects.within(scope).select_related("legal_entity", "assignee").prefetch_related("group")
    return rows.order_by(F("due_at").asc(nulls_last=True), "id")


def open_cases(scope: Scope) -> QuerySet[Case]:
    return cases(scope).filter(state__in=OPEN_STATES)


def open_count(scope: Scope) -> int:
    return facets(scope, states=OPEN_STATES).total


@dataclass(frozen=True)
class Facets:
    """How many cases each choice of a filter leaves, the other filters as they are; ``total`` is under all of them."""

    severities: Mapping[str, int]
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
    found = [
        one
        for one in counters.totals(CASES, scope, Case.objects.all())
        if (not states or one.keys[0] in states) and (not code or one.keys[2].lower() == code.lower())
    ]
    resolvers = {one.keys[2]: entry(one.keys[2]).resolvers for one in found}
    severities: dict[str, int] = {}
    roles: dict[str, int] = {}
    entities: dict[int, int] = {}
    total = 0
    for one in found:
        is_severity = severity in ("", one.keys[1])
        is_role = not role or role in resolvers[one.keys[2]]
        is_entity = legal_entity_id in (None, one.legal_entity_id)
        if is_role and is_entity:
            severities[one.keys[1]] = severities.get(one.keys[1], 0) + one.number
        if is_severity and is_entity:
            for name in resolvers[one.keys[2]]:
                roles[name] = roles.get(name, 0) + one.number
        if is_severity and is_role and one.legal_entity_id is not None:
            entities[one.legal_entity_id] = entities.get(one.legal_entity_id, 0) + one.number
        if is_severity and is_role and is_entity:
            total += one.number
    return Facets(severities, roles, entities, total)


def case_detail(scope: Scope, ref: str) -> CaseDetail:
    """One case by its reference. Raises :class:`NotFound`, also when it is out of scope."""
    found = cases(scope).select_related("fixed_by", "blocked_by").filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such case, or you may not see it."))
    siblings = open_cases(scope).filter(group_id=found.group_id).exclude(pk=found.pk).order_by().count()
    return CaseDetail(
        case=found,
        entry=entry(found.code),
        events=list(found.events.select_related("by")),
        comments=list(found.comments.select_related("by")),
        siblings=siblings,
    )


def cases_of_engagement(scope: Scope, engagement_key: str) -> QuerySet[Case]:
    """Open and closed cases of an engagement, newest first."""
    return cases(scope).filter(engagement_key=engagement_key).order_by("-opened_at", "-id")


def cases_of_transaction(scope: Scope, transaction_id: int) -> QuerySet[Case]:
    """Open and closed cases of a transaction, newest first."""
    return cases(scope).filter(transaction_id=transaction_id).order_by("-opened_at", "-id")


def cleared_by_mappings(mapping_ids: Iterable[int]) -> dict[int, int]:
    """How many cases each mapping has cleared, for the review list; mappings without any are absent."""
    rows = Case.objects.filter(mapping_id__in=list(mapping_ids), how=How.MANUAL)
    return dict(rows.values_list("mapping_id").annotate(number=Count("id")).order_by())


# ---- Groups ---------------------------------------------------------------------------------------------------------
def reporting_currency() -> str:
    return str(getattr(settings, "REPORTING_CURRENCY", "GBP"))


def reporting_rates(rows: QuerySet[Case]) -> dict[str, Decimal]:
    """What one unit of each currency of these cases is worth in the reporting currency; absent without a rate.

    Taken from a large round sum, so that the rounding to minor units does not enter the rate.
    """
    return _rates(rows.order_by().exclude(currency="").values_list("currency", flat=True).distinct())


def _rates(currencies: Iterable[str]) -> dict[str, Decimal]:
    today, target, sample = clock.today(), reporting_currency(), 1_000_000
    found = (
        (currency, organization.convert(Money.of(sample, currency), target, today))
        for currency in sorted(set(currencies) - {""})
    )
    return {currency: answer[0].amount / sample for currency, answer in found if answer is not None}


def in_reporting(rates: Mapping[str, Decimal]) -> Any:
    """An expression: the held amount of a row in the reporting currency; NULL when amount or rate is unknown."""
    whens = [When(currency=currency, then=F("held_amount") * Value(rate)) for currency, rate in rates.items()]
    return When_(*whens, default=Cast(Value(None), _MONEY), output_field=_MONEY)


def groups(rows: QuerySet[Case], *, order: str = "money") -> QuerySet[Any]:
    """Aggregate filtered cases into groups: dicts for :func:`group_rows`, ready for a paginator.

    ``order``: ``money`` (largest in the reporting currency first; unknown last), ``due`` (nearest first), ``age`` (oldest
    first), ``count``. ``rows`` must already be scoped and filtered, so a group never tells of a case that is hidden.
    """
    rates = reporting_rates(rows)
    aggregated = (
        rows.order_by()
        .values("group_id")
        .annotate(
            count=Count("id"),
            oldest=Min("opened_at"),
            due=Min("due_at"),
            first=Min("id"),
            newest=Max("id"),
            worth=Sum(in_reporting(rates), filter=~Q(severity=Severity.WARNING), output_field=_MONEY),
        )
    )
    orders = {
        "money": [F("worth").desc(nulls_last=True), F("due").asc(nulls_last=True)],
        "due": [F("due").asc(nulls_last=True), F("worth").desc(nulls_last=True)],
        "age": [F("oldest").asc()],
        "count": [F("count").desc()],
    }
    return aggregated.order_by(*orders.get(order, orders["money"]), "group_id")


def group_rows(page: Iterable[Mapping[str, Any]], rows: QuerySet[Case]) -> list[GroupRow]:
    """One page of :func:`groups` with words and money, in four queries whatever its length."""
    page = list(page)
    ids = [line["group_id"] for line in page]
    found = Group.objects.select_related("legal_entity").in_bulk(ids)
    held = _held_by_group(rows.filter(group_id__in=ids))
    refs = dict(Case.objects.filter(pk__in=[line["first"] for line in page]).values_list("pk", "ref"))
    return [_row(line, found[line["group_id"]], held, refs) for line in page]


def _row(
    line: Mapping[str, Any], found: Group, held: Mapping[int, Sequence[Held]], refs: Mapping[int, str]
) -> GroupRow:
    return GroupRow(
        id=found.pk,
        entry=entry(found.code),
        code=found.code,
        reason=found.reason,
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
    )


def group(scope: Scope, group_id: int) -> Group:
    """One group of which the scope sees at least one case; :class:`NotFound` otherwise."""
    visible = Case.objects.within(scope).filter(group_id=group_id)
    found = Group.objects.select_related("legal_entity").filter(pk__in=visible.values("group_id")).first()
    if found is None:
        raise NotFound(_("There is no such group of cases, or you may not see it."))
    return found


# ---- Money ----------------------------------------------------------------------------------------------------------
def billing_held(scope: Scope) -> list[Held]:
    """Billing held by open blocking cases, per currency; a subject with several cases counts once, under its oldest."""
    return held_of(Case.objects.within(scope).filter(state__in=OPEN_STATES))


def held_of(rows: QuerySet[Case]) -> list[Held]:
    """The same over any set of cases: each subject once."""
    sums = _once(rows, "currency")
    rates = _rates(line["currency"] for line in sums)
    return [_held(line, rates) for line in sums]


@dataclass(frozen=True)
class EntityHeld:
    """Billing held of one legal entity: per currency, and by how many subjects."""

    legal_entity_id: int
    held: list[Held]
    subjects: int


def billing_held_by_entity(scope: Scope) -> list[EntityHeld]:
    """:func:`billing_held`, entity by entity; what belongs to no entity yet is left out."""
    rows = Case.objects.within(scope).filter(state__in=OPEN_STATES, legal_entity__isnull=False)
    sums = _once(rows, "legal_entity_id", "currency")
    rates = _rates(line["currency"] for line in sums)
    answer: dict[int, EntityHeld] = {}
    for line in sums:
        found = answer.setdefault(line["legal_entity_id"], EntityHeld(line["legal_entity_id"], [], 0))
        held = [*found.held, _held(line, rates)]
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


def _held_by_group(rows: QuerySet[Case]) -> dict[int, list[Held]]:
    """A group holds at most one open case a subject, so plain sums count nothing twice."""
    blocking = rows.order_by().exclude(severity=Severity.WARNING)
    rates = reporting_rates(blocking)
    answer: dict[int, list[Held]] = {}
    for line in _sums(blocking.values("group_id", "currency")):
        answer.setdefault(line["group_id"], []).append(_held(line, rates))
    return answer


def _sums(grouped: QuerySet[Any]) -> QuerySet[Any]:
    return grouped.annotate(
        total=Sum("held_amount"), unknown=Count("id", filter=Q(held_amount__isnull=True))
    ).order_by("currency")


def _held(line: Mapping[str, Any], rates: Mapping[str, Decimal]) -> Held:
    amount = line["total"] if line["total"] is not None else Decimal(0)
    rate = rates.get(line["currency"])
    reporting = Money.of(amount * rate, reporting_currency()) if rate is not None else None
    return Held(line["currency"], amount, line["unknown"], reporting)


# ---- The fix form ---------------------------------------------------------------------------------------------------
def mapping_kind_of(case: Case) -> str:
    """The kind of mapping that fixes the case, "" where none does: a value that a system has refused (its parameters name the
    system) has a partner already, or is the system's own."""
    return entry(case.code).mapping_kind if case.value and "system" not in case.params else ""


def mapping_candidates(case: Case, *, limit: int = 50) -> list[Candidate]:
    """What the case's value could mean: items that the entity's ERP last showed, the likeliest first.

    Empty when the code has no mapping, or the entity no ERP.
    """
    kind = mapping_kind_of(case)
    route = organization.route(case.legal_entity_id, "erp") if case.legal_entity_id and kind else None
    if route is None:
        return []
    rows = records.of_type(system_id=route.system.pk, object_type=kind)
    wanted = " ".join(
        str(part) for part in (case.params.get("name"), case.params.get("description"), case.value) if part
    )
    return ranked(wanted, rows)[:limit]


def mapping_in_force(case: Case) -> Candidate | None:
    """What the case's value means already: the case was found before the mapping came into force and has not run since."""
    kind = mapping_kind_of(case)
    value = case.value.strip()
    if not kind or not value:
        return None
    found = governance.translate(kind=kind, legal_entity_id=case.legal_entity_id, source=value)
    if found is None:
        return None
    return Candidate(found.target, found.label or found.target, _("in force already"), 100.0)
