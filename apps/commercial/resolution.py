"""Which rate applies: a pure function of the candidate prices and the question (no queries).

Public surface: :class:`Candidate`, :class:`Question`, :class:`RateAnswer`, :class:`RateProblem`, :func:`resolve`,
:func:`amount_for`.

Precedence, the most specific first: scope (engagement, client, legal entity); inside a scope the kind of price (named
resource, blended, role); then more matched attributes; then the later effective date. Two prices still equal are
``RATE-OVERLAP``: nothing is chosen silently. The date tested is the work date, validity is half-open [from, to).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from apps.canonical.money import Money

SCOPES = ("engagement", "client", "entity")
KINDS = ("resource", "blended", "role")


@dataclass(frozen=True)
class Candidate:
    """One approved price. ``hours_per_day`` is the day length that applies to it (already decided by the caller)."""

    line_id: int
    card: str
    scope: str
    role: str
    service_code: str
    resource: str
    blended: bool
    unit: str
    rate: Decimal
    currency: str
    valid_from: date
    valid_to: date | None
    hours_per_day: Decimal

    @property
    def kind(self) -> str:
        if self.resource:
            return "resource"
        return "blended" if self.blended else "role"

    @property
    def label(self) -> str:
        what = self.resource or (_("any role") if self.blended else self.role)
        return f"{what} · {self.service_code}" if self.service_code else what

    def covers(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def fits(self, question: Question) -> bool:
        """Every attribute that the price names equals the question's; one it leaves empty fits anything."""
        pairs = (
            (self.role, question.role),
            (self.service_code, question.service_code),
            (self.resource, question.resource),
        )
        return all(not mine or mine == asked for mine, asked in pairs)

    @property
    def rank(self) -> tuple[int, int, int, date]:
        """Greater wins."""
        matched = sum(1 for attribute in (self.role, self.service_code, self.resource) if attribute)
        return -SCOPES.index(self.scope), -KINDS.index(self.kind), matched, self.valid_from


@dataclass(frozen=True)
class Question:
    role: str
    service_code: str
    resource: str
    worked_on: date
    currency: str


@dataclass(frozen=True)
class RateAnswer:
    """``money`` is the price as agreed per ``unit``; ``hourly`` is it per hour, rounded for showing.

    ``trace`` has one row per price that was looked at: ``{line_id, card, scope, kind, label, rate, unit, verdict,
    reason}`` with verdict ``chosen`` or ``passed``.
    """

    money: Money
    unit: str
    hourly: Money
    hours_per_day: Decimal
    source: str
    line_id: int
    trace: tuple[dict[str, Any], ...]

    def amount_for(self, hours: Decimal) -> Money:
        """Hours at this rate, rounded once, half-up to the currency's minor unit."""
        return amount_for(hours=hours, rate=self.money, unit=self.unit, hours_per_day=self.hours_per_day)


@dataclass(frozen=True)
class RateProblem:
    """Why no rate applies: ``RES-ROLE-NO-RATE``, ``RATE-GAP``, ``RATE-CCY`` or ``RATE-OVERLAP``, with a sentence."""

    code: str
    reason: str
    params: dict[str, str]
    trace: tuple[dict[str, Any], ...]


def amount_for(*, hours: Decimal, rate: Money, unit: str, hours_per_day: Decimal) -> Money:
    """``hours × rate`` for an hourly price, ``hours ÷ hours_per_day × rate`` for a daily one; rounded once, half-up."""
    exact = hours * rate.amount if unit == "hour" else hours * rate.amount / hours_per_day
    return Money.of(exact, rate.currency)


def resolve(candidates: Sequence[Candidate], question: Question) -> RateAnswer | RateProblem:
    """The one price for an hour of this work, or the reason why there is none."""
    trace: list[dict[str, Any]] = []
    live: list[Candidate] = []
    passed: dict[str, list[Candidate]] = {"date": [], "currency": []}
    for one in sorted(candidates, key=lambda c: (c.rank, -c.line_id), reverse=True):
        why = _why_not(one, question)
        if why is None:
            live.append(one)
            continue
        if why in passed:
            passed[why].append(one)
        trace.append(_row(one, "passed", _sentence(why, one, question)))
    if not live:
        return _no_rate(question, passed, tuple(trace))
    best = live[0]
    rivals = [one for one in live[1:] if one.rank == best.rank]
    if rivals:
        return _overlap(best, rivals, question, tuple([_row(one, "passed", "") for one in live] + trace))
    losers = [_row(one, "passed", _lost(one, best)) for one in live[1:]]
    money = Money.of(best.rate, best.currency)
    return RateAnswer(
        money=money,
        unit=best.unit,
        hourly=amount_for(hours=Decimal(1), rate=money, unit=best.unit, hours_per_day=best.hours_per_day),
        hours_per_day=best.hours_per_day,
        source=f"{best.card}: {best.label}",
        line_id=best.line_id,
        trace=(_row(best, "chosen", _("The most specific price that covers the day.")), *losers, *trace),
    )


def _why_not(one: Candidate, question: Question) -> str | None:
    if not one.fits(question):
        return "attributes"
    if one.unit not in ("hour", "day"):
        return "unit"
    if one.currency != question.currency:
        return "currency"
    return None if one.covers(question.worked_on) else "date"


def _sentence(why: str, one: Candidate, question: Question) -> str:
    if why == "attributes":
        return _("It is a price for %(label)s.") % {"label": one.label}
    if why == "unit":
        return _("It is not a price of time.")
    if why == "currency":
        return _("It is in %(theirs)s, the engagement in %(ours)s.") % {
            "theirs": one.currency,
            "ours": question.currency,
        }
    return _("It does not cover %(day)s.") % {"day": question.worked_on.isoformat()}


def _lost(one: Candidate, best: Candidate) -> str:
    if one.scope != best.scope:
        return _("A price of the %(scope)s goes first.") % {"scope": _scope_name(best.scope)}
    if one.kind != best.kind:
        return _("Inside one card a named person goes before a blended rate, and that before a role.")
    if one.rank[2] != best.rank[2]:
        return _("Another price of the same scope names more of what was asked.")
    return _("Another price of the same rank took effect later.")


def _scope_name(scope: str) -> str:
    return {"engagement": _("engagement"), "client": _("client"), "entity": _("legal entity")}[scope]


def _row(one: Candidate, verdict: str, reason: str) -> dict[str, Any]:
    return {
        "line_id": one.line_id,
        "card": one.card,
        "scope": one.scope,
        "kind": one.kind,
        "label": one.label,
        "rate": str(Money.of(one.rate, one.currency)),
        "unit": one.unit,
        "verdict": verdict,
        "reason": reason,
    }


def _no_rate(
    question: Question, passed: dict[str, list[Candidate]], trace: tuple[dict[str, Any], ...]
) -> RateProblem:
    params = {
        "role": question.role,
        "service_code": question.service_code,
        "worked_on": question.worked_on.isoformat(),
        "currency": question.currency,
    }
    who = question.role or question.resource or _("this work")
    if passed["date"]:
        nearest = passed["date"][0]
        until = nearest.valid_to.isoformat() if nearest.valid_to else _("open")
        reason = _(
            "%(who)s has no rate on %(day)s; the nearest price is valid from %(start)s to %(end)s."
        ) % {
            "who": who,
            "day": question.worked_on.isoformat(),
            "start": nearest.valid_from.isoformat(),
            "end": until,
        }
        return RateProblem("RATE-GAP", reason, params, trace)
    if passed["currency"]:
        found = ", ".join(sorted({one.currency for one in passed["currency"]}))
        reason = _("%(who)s has a rate in %(found)s only; the engagement is in %(ours)s.") % {
            "who": who,
            "found": found,
            "ours": question.currency,
        }
        return RateProblem("RATE-CCY", reason, {**params, "found": found}, trace)
    reason = _("No rate card in effect names %(who)s.") % {"who": who}
    return RateProblem("RES-ROLE-NO-RATE", reason, params, trace)


def _overlap(
    best: Candidate, rivals: list[Candidate], question: Question, trace: tuple[dict[str, Any], ...]
) -> RateProblem:
    all_of_them = [best, *rivals]
    reason = _("%(count)d prices of equal rank cover %(day)s: %(prices)s. End one of them.") % {
        "count": len(all_of_them),
        "day": question.worked_on.isoformat(),
        "prices": "; ".join(
            f"{one.card} {one.label} {Money.of(one.rate, one.currency)}" for one in all_of_them
        ),
    }
    return RateProblem(
        "RATE-OVERLAP",
        reason,
        {
            "worked_on": question.worked_on.isoformat(),
            "lines": ",".join(str(one.line_id) for one in all_of_them),
        },
        trace,
    )
