"""When may an item be billed: one small predicate each, with the sentence that a person reads (pure, no queries).

Public surface: :class:`Facts`, :class:`Predicate`, :class:`ItemReadiness`, :func:`evaluate`, :func:`problems`.

A predicate that fails with a catalogue code is a problem somebody must act on; one that fails without a code is waiting
(a date, a hold whose own case is open elsewhere, an engagement that is not active yet). One that holds and has a code all the
same is a notice: it is told, and nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as declared
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from apps.billing.models import BillableItem, ItemKind
from apps.billing.services.tax import TaxDecision
from apps.canonical.money import Money
from apps.canonical.objects import Customer
from apps.commercial.selectors import RateProblem

#: Held without a code of its own: the root cause is a hold.
HOLD = "HOLD"
#: From this share of the agreed maximum on somebody is told.
NEAR = Decimal("0.8")


@dataclass(frozen=True)
class Predicate:
    """``name`` is stable; ``ok`` false comes with a ``reason``. ``final`` false = the event itself has not happened yet."""

    name: str
    label: str
    ok: bool
    code: str = ""
    reason: str = ""
    field: str = ""
    value: str = ""
    params: dict[str, str] = declared(default_factory=dict)
    final: bool = True

    def as_blocker(self) -> dict[str, Any]:
        """The failed predicate as it is kept on the item."""
        return {
            "predicate": self.name,
            "code": self.code,
            "reason": self.reason,
            "field": self.field,
            "value": self.value,
            "params": self.params,
        }


@dataclass(frozen=True)
class ItemReadiness:
    """One item with its check-list. ``amount`` None = unknown. ``state`` is the item's state after the evaluation."""

    item_id: int
    source_key: str
    kind: str
    description: str
    state: str
    amount: Money | None
    predicates: tuple[Predicate, ...]

    @property
    def ready(self) -> bool:
        return all(predicate.ok for predicate in self.predicates)

    @property
    def failed(self) -> tuple[Predicate, ...]:
        return tuple(predicate for predicate in self.predicates if not predicate.ok)


@dataclass(frozen=True)
class Facts:
    """What the predicates look at, the same for every item of one engagement. ``holds`` are reasons of level billing."""

    engagement_state: str
    engagement_name: str
    today: date
    po_number: str
    customer: Customer | None
    holds: tuple[str, ...]
    tax: TaxDecision | None
    start_on: date | None = None
    end_on: date | None = None


def evaluate(
    item: BillableItem, facts: Facts, rate: RateProblem | Predicate | None, sheet: Sequence[Predicate] = ()
) -> tuple[Predicate, ...]:
    """All predicates but the cap, which looks at the items together. ``rate``: why there is none, or what is said of the one
    found; ``sheet``: what is checked of time alone."""
    return (
        _source(item, facts),
        _evidence(item),
        _agrees(item),
        _engagement(facts),
        *sheet,
        _rule(item),
        rate if isinstance(rate, Predicate) else _rate(item, rate),
        _customer(facts),
        _purchase_order(facts),
        _tax(facts),
        _hold(facts),
    )


def problems(results: Sequence[ItemReadiness]) -> list[dict[str, Any]]:
    """The coded failures as problems for a plan, each cause once: ``{code, step, object_type, field, value, reason, params}``.

    ``params.held`` is the net amount behind the cause (``unknown`` when any of it is), ``params.items`` how many items.
    Only the first coded failure of an item counts, so that no amount appears under two causes. Notices come last and hold
    nothing.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    sums: dict[tuple[str, str, str], Decimal | None] = {}
    for result in results:
        cause = next((one for one in result.failed if one.code), None)
        if cause is None:
            continue
        key = (cause.code, cause.field, cause.value)
        problem = found.setdefault(key, _as_problem(cause, result.kind))
        problem["params"]["items"] += 1
        if cause.code == "TIME-UNAPPROVED" and problem["params"]["items"] > 1:
            _tell_all_hours(problem, cause)
        so_far = sums.get(key, Decimal(0))
        known = so_far is not None and result.amount is not None
        sums[key] = so_far + result.amount.amount if known else None  # type: ignore[operator, union-attr]
        problem["params"]["held"] = "unknown" if sums[key] is None else str(sums[key])
        problem["params"]["currency"] = (
            result.amount.currency if result.amount else cause.params.get("currency", "")
        )
    return [*found.values(), *_notices(results)]


def _notices(results: Sequence[ItemReadiness]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for result in results:
        for notice in result.predicates:
            if notice.ok and notice.code:
                told = _as_problem(notice, result.kind)
                problem = found.setdefault((notice.code, notice.field, notice.value), told)
                problem["params"]["items"] += 1
    for problem in found.values():
        problem["params"]["held"] = "0"
    return list(found.values())


def _as_problem(predicate: Predicate, kind: str) -> dict[str, Any]:
    return {
        "code": predicate.code,
        "step": "billing",
        "object_type": "engagement" if predicate.name in _WHOLE else kind,
        "field": predicate.field,
        "value": predicate.value,
        "reason": predicate.reason,
        "params": {**predicate.params, "items": 0},
    }


def _tell_all_hours(problem: dict[str, Any], cause: Predicate) -> None:
    """One sentence for a month of entries, not the first of them."""
    hours = Decimal(problem["params"]["hours"]) + Decimal(cause.params["hours"])
    problem["params"]["hours"] = f"{hours.normalize():f}"
    problem["reason"] = _("%(hours)s hours in %(items)s time entries of %(month)s are not approved.") % {
        "hours": problem["params"]["hours"],
        "items": problem["params"]["items"],
        "month": cause.params["month"],
    }


#: Predicates about the engagement as a whole, not about one item.
_WHOLE = {"purchase_order", "purchase_order_balance", "tax", "cap", "customer"}


def _ok(name: str, label: str) -> Predicate:
    return Predicate(name, label, ok=True)


def _source(item: BillableItem, facts: Facts) -> Predicate:
    if item.kind == ItemKind.TIME:
        return _time_approved(item, facts)
    if item.kind == ItemKind.MILESTONE:
        label = _("Milestone accepted")
        if (item.source.get("milestone") or {}).get("status") == "accepted":
            return _ok("source", label)
        reason = _("“%(what)s” has not been accepted yet.") % {"what": item.description}
        return Predicate("source", label, ok=False, reason=reason, final=False)
    label = _("Due date reached")
    if item.event_on is not None and item.event_on <= facts.today:
        return _ok("source", label)
    when = item.event_on.isoformat() if item.event_on else _("a date that is not set")
    reason = _("“%(what)s” is due on %(when)s.") % {"what": item.description, "when": when}
    return Predicate("source", label, ok=False, reason=reason, final=False)


def _time_approved(item: BillableItem, facts: Facts) -> Predicate:
    label = _("Time approved")
    status = item.source.get("status", "")
    if status == "approved":
        return _ok("source", label)
    hours, day = str(item.quantity.normalize()), item.event_on
    # Past the cut-off = the month in which it was worked is over; before that, unapproved time is plain waiting.
    late = day is not None and (day.year, day.month) < (facts.today.year, facts.today.month)
    reason = _("%(hours)s hours of %(person)s on %(day)s are %(status)s, not approved.") % {
        "hours": f"{item.quantity.normalize():f}",
        "person": item.person or item.role,
        "day": day.isoformat() if day else "?",
        "status": status,
    }
    month = f"{day:%Y-%m}" if day else ""
    return Predicate(
        "source",
        label,
        ok=False,
        code="TIME-UNAPPROVED" if late else "",
        reason=reason,
        field="status",
        value=month if late else "",
        params={"hours": hours, "month": month},
        final=late,
    )


def _evidence(item: BillableItem) -> Predicate:
    label = _("Acceptance certificate")
    milestone = item.source.get("milestone") or {}
    if item.kind != ItemKind.MILESTONE or milestone.get("status") != "accepted" or milestone.get("evidence"):
        return _ok("evidence", label)
    reason = _(
        "“%(what)s” was accepted on %(day)s, but no acceptance certificate of the client is attached."
    ) % {
        "what": item.description,
        "day": (milestone.get("accepted_at") or "")[:10] or _("an unknown day"),
    }
    return Predicate(
        "evidence",
        label,
        ok=False,
        code="MS-NO-EVIDENCE",
        reason=reason,
        field="evidence",
        value=item.source_key,
    )


def _agrees(item: BillableItem) -> Predicate:
    label = _("As agreed in the contract")
    milestone, agreed = item.source.get("milestone"), item.source.get("schedule")
    if item.source.get("gone"):
        reason = _("“%(what)s” is in the contract, but was deleted in the project system.") % {
            "what": item.description
        }
        return Predicate(
            "agrees",
            label,
            ok=False,
            code="MS-CHANGED",
            reason=reason,
            field="amount",
            value=item.source_key,
        )
    if not milestone or not agreed:
        return _ok("agrees", label)
    theirs, ours = Money.model_validate(milestone["amount"]), Money.model_validate(agreed["amount"])
    if theirs == ours:
        return _ok("agrees", label)
    reason = _("“%(what)s” is %(theirs)s in the project system and %(ours)s in the contract.") % {
        "what": item.description,
        "theirs": theirs,
        "ours": ours,
    }
    return Predicate(
        "agrees",
        label,
        ok=False,
        code="MS-CHANGED",
        reason=reason,
        field="amount",
        value=item.source_key,
        params={"project": str(theirs), "contract": str(ours)},
    )


def _engagement(facts: Facts) -> Predicate:
    label = _("Engagement active")
    if facts.engagement_state == "active":
        return _ok("engagement", label)
    reason = _("The engagement is %(state)s, not active.") % {"state": facts.engagement_state}
    return Predicate("engagement", label, ok=False, reason=reason)


def _rule(item: BillableItem) -> Predicate:
    label = _("Billing code")
    if item.billing_code and item.source.get("in_terms", True):
        return _ok("rule", label)
    what = item.service_code or item.description
    reason = _("The contract has no billing rule for “%(what)s”.") % {"what": what}
    return Predicate(
        "rule", label, ok=False, code="BILL-RULE-MISSING", reason=reason, field="service_code", value=what
    )


def _rate(item: BillableItem, problem: RateProblem | None) -> Predicate:
    label = _("Rate found")
    if problem is None:
        return _ok("rate", label)
    value = " · ".join(part for part in (problem.params.get("role") or item.role, item.service_code) if part)
    return Predicate(
        "rate",
        label,
        ok=False,
        code=problem.code,
        reason=problem.reason,
        field="role",
        value=value,
        params=dict(problem.params),
    )


def _customer(facts: Facts) -> Predicate:
    label = _("Customer known")
    if facts.customer is not None:
        return _ok("customer", label)
    reason = _("The customer's record has not been read yet, so PO and tax cannot be told.")
    return Predicate("customer", label, ok=False, reason=reason)


def _purchase_order(facts: Facts) -> Predicate:
    label = _("Purchase order")
    if facts.customer is None or not facts.customer.po_required or facts.po_number:
        return _ok("purchase_order", label)
    reason = _("%(customer)s requires a purchase order; “%(engagement)s” has none.") % {
        "customer": facts.customer.name,
        "engagement": facts.engagement_name,
    }
    return Predicate(
        "purchase_order",
        label,
        ok=False,
        code="CUS-PO-REQUIRED",
        reason=reason,
        field="po_number",
        value="",
        params={"customer": facts.customer.key},
    )


def _tax(facts: Facts) -> Predicate:
    label = _("Tax treatment")
    if facts.tax is None or not facts.tax.problem_code:
        return _ok("tax", label)
    return Predicate(
        "tax",
        label,
        ok=False,
        code=facts.tax.problem_code,
        reason=facts.tax.reason,
        field="tax_code",
        value=facts.tax.treatment,
    )


def _hold(facts: Facts) -> Predicate:
    label = _("No hold")
    if not facts.holds:
        return _ok("hold", label)
    return Predicate("hold", label, ok=False, reason=_("On hold: %(why)s") % {"why": " · ".join(facts.holds)})


def cap_predicate(*, cap: Money | None, params: dict[str, Money] | None) -> Predicate:
    """The cap's verdict for one item: fine without ``params``, else exceeded with all five figures."""
    label = _("Within the not-to-exceed amount")
    if cap is None or params is None:
        return _ok("cap", label)
    reason = _(
        "Billed or drafted %(billed)s and ready %(ready)s together exceed the agreed maximum of %(cap)s: "
        "%(billable)s can be billed, %(excess)s waits for a change order."
    ) % {"cap": cap, **params}
    return Predicate(
        "cap",
        label,
        ok=False,
        code="CAP-EXCEEDED",
        reason=reason,
        field="not_to_exceed",
        value=str(cap.amount),
        params={"cap": str(cap), **{name: str(money) for name, money in params.items()}},
    )


def near_cap(results: Sequence[ItemReadiness], *, cap: Money | None, billed: Decimal) -> list[dict[str, Any]]:
    """``CAP-NEAR`` when what is billed (``billed``, before the ready items are drafted) and ready comes near the cap, and
    nothing is over it; the shape is that of :func:`problems`."""
    if cap is None or not cap.amount or any(one.code == "CAP-EXCEEDED" for r in results for one in r.failed):
        return []
    ready = sum((one.amount.amount for one in results if one.ready and one.amount), Decimal(0))
    used = Money.of(billed + ready, cap.currency)
    share = used.amount / cap.amount
    if share < NEAR:
        return []
    reason = _("%(used)s of the agreed maximum of %(cap)s are billed or ready, %(percent)s %%.") % {
        "used": used,
        "cap": cap,
        "percent": int(share * 100),
    }
    near = Predicate(
        "cap",
        "",
        ok=True,
        code="CAP-NEAR",
        reason=reason,
        field="not_to_exceed",
        value=str(cap.amount),
        params={"cap": str(cap), "used": str(used), "left": str(cap - used), "held": "0"},
    )
    return [_as_problem(near, "engagement")]


def with_predicate(result: ItemReadiness, predicate: Predicate) -> ItemReadiness:
    """The same result with one more line on its check-list."""
    return replace(result, predicates=(*result.predicates, predicate))
