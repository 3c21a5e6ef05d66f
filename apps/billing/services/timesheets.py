"""What is checked of time alone: does it lie within the engagement, is it billed by the hour, was it entered once, and does
the project system rate it as the contract does (pure, no queries).

Public surface: :func:`checks`, :func:`identity`, :func:`copies`, :data:`FIXED`.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from apps.billing.models import BillableItem, ItemKind
from apps.billing.services.predicates import Facts, Predicate
from apps.canonical.money import Money
from apps.canonical.objects import EngagementLine

#: Lines whose price is agreed as a whole: an hour on them is paid with it.
FIXED = frozenset({"milestone", "instalment", "fixed"})


def checks(
    item: BillableItem, facts: Facts, line: EngagementLine | None, copied: AbstractSet[str]
) -> tuple[Predicate, ...]:
    """Nothing for what is not time. ``line``: the sold service it belongs to; ``copied``: source keys that repeat another."""
    if item.kind != ItemKind.TIME:
        return ()
    return (_within(item, facts), _by_the_hour(item, line), _once(item, copied))


def _within(item: BillableItem, facts: Facts) -> Predicate:
    label = _("Within the engagement")
    day, start, end = item.event_on, facts.start_on, facts.end_on
    early = day is not None and start is not None and day < start
    late = day is not None and end is not None and day > end
    if day is None or not (early or late):
        return Predicate("within", label, ok=True)
    limit = start if early else end
    words = (
        _("%(person)s worked on %(day)s, before the engagement begins on %(limit)s.")
        if early
        else _("%(person)s worked on %(day)s, after the engagement has ended on %(limit)s.")
    )
    assert limit is not None
    reason = words % {
        "person": item.person or item.role,
        "day": day.isoformat(),
        "limit": limit.isoformat(),
    }
    return Predicate(
        "within",
        label,
        ok=False,
        code="TIME-OUTSIDE",
        reason=reason,
        field="worked_on",
        value="before" if early else "after",
        params={"start": start.isoformat() if start else "", "end": end.isoformat() if end else ""},
    )


def _by_the_hour(item: BillableItem, line: EngagementLine | None) -> Predicate:
    label = _("Billed by time")
    if line is None or line.billing_model not in FIXED:
        return Predicate("by_the_hour", label, ok=True)
    reason = _("Time on “%(service)s” is marked as billable, but the contract bills it by %(model)s.") % {
        "service": line.service_code,
        "model": line.billing_model,
    }
    return Predicate(
        "by_the_hour",
        label,
        ok=False,
        code="TIME-BILLFLAG",
        reason=reason,
        field="billable",
        value=line.service_code,
        params={"model": line.billing_model},
    )


def _once(item: BillableItem, copied: AbstractSet[str]) -> Predicate:
    label = _("Entered once")
    if item.source_key not in copied:
        return Predicate("once", label, ok=True)
    reason = _(
        "%(person)s has a second entry over %(hours)s hours of the same work on %(day)s with the same text."
    ) % {
        "person": item.person or item.role,
        "hours": f"{item.quantity.normalize():f}",
        "day": item.event_on.isoformat() if item.event_on else "?",
    }
    return Predicate(
        "once",
        label,
        ok=False,
        code="TIME-DUP",
        reason=reason,
        field="time_entry",
        value=item.person or item.role,
        params={"entry": item.source_key},
    )


Identity = tuple[str, str, str, date | None, str, str]


def identity(person: str, role: str, service_code: str, day: date | None, source: dict[str, Any]) -> Identity:
    """What two entries agree in when one is a copy of the other. Hours and text are the source's, before any cut."""
    return (person, role, service_code, day, str(source.get("hours")), str(source.get("notes") or "").strip())


def copies(items: Iterable[BillableItem], *, billed: AbstractSet[Identity]) -> frozenset[str]:
    """Source keys of the open entries that repeat a billed one or an open one before them. ``items`` in their order.

    Entries without a text are never compared: two halves of a day look alike."""
    seen, found = set(billed), set()
    for item in items:
        if item.kind != ItemKind.TIME or item.parent_id or not str(item.source.get("notes") or "").strip():
            continue
        one = identity(item.person, item.role, item.service_code, item.event_on, item.source)
        if one in seen:
            found.add(item.source_key)
        seen.add(one)
    return frozenset(found)


def _same(theirs: Money, ours: Money) -> bool:
    """Within one minor unit: a price of a day is rounded to show it by the hour."""
    return theirs.currency == ours.currency and abs(theirs.minor - ours.minor) <= 1


def rated(item: BillableItem, hourly: Money) -> Predicate:
    """The rate is found; a code beside it tells that the project system shows another one (a notice, nothing waits)."""
    label = _("Rate found")
    told = item.source.get("rate")
    theirs = Money.model_validate(told) if told else None
    if theirs is None or not theirs.amount or _same(theirs, hourly):
        return Predicate("rate", label, ok=True)
    who = item.role or item.person
    reason = _(
        "%(who)s is rated at %(theirs)s an hour in the project system; the contract says %(ours)s."
    ) % {
        "who": who,
        "theirs": theirs,
        "ours": hourly,
    }
    return Predicate(
        "rate",
        label,
        ok=True,
        code="RATE-MISMATCH",
        reason=reason,
        field="rate",
        value=f"{who} · {theirs.currency}",
        params={"project": str(theirs), "contract": str(hourly)},
    )
