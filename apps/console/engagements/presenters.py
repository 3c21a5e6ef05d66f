"""One engagement between signature and cash, put together from six rooms.

Public surface: :func:`engagement_page`, :class:`EngagementPage`, :class:`Moment`, :func:`rows_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.console.access import ConsoleRequest, permissions
from apps.console.transactions.presenters import flow_label
from apps.core.errors import NotFound
from apps.records import selectors as records
from apps.sync import selectors as sync
from apps.triage import selectors as triage

_ITEM_WORDS = {
    "final": gettext_lazy("The billable event has happened"),
    "ready": gettext_lazy("Ready to bill"),
}
_PREBILL_WORDS = {
    "drafted": gettext_lazy("Drafted"),
    "changed": gettext_lazy("Lines changed"),
    "submitted": gettext_lazy("Submitted for approval"),
    "pm_approved": gettext_lazy("Approved by the project manager"),
    "approved": gettext_lazy("Approved by finance"),
    "sent_back": gettext_lazy("Sent back"),
    "posted": gettext_lazy("Posted"),
    "issued": gettext_lazy("Issued"),
    "payment": gettext_lazy("Payment news"),
    "dispute": gettext_lazy("News of a dispute"),
    "voided": gettext_lazy("Voided"),
}
_ICONS = {"item": "flag", "hold": "lock", "prebill": "receipt", "payment": "cash"}
_PREBILL_TONES = {"sent_back": "warn", "voided": "", "dispute": "warn", "payment": "good", "approved": "good"}


@dataclass(frozen=True)
class Moment:
    """One line of the time line. ``tone`` colours its mark; ``url`` opens what it is about."""

    at: datetime
    icon: str
    tone: str
    title: str
    note: str = ""
    amount: Money | None = None
    url: str = ""
    ref: str = ""


@dataclass(frozen=True)
class Item:
    """A billable item with its check-list: what still keeps it from being billed, in sentences."""

    row: Any
    blockers: Sequence[Any]


@dataclass(frozen=True)
class EngagementPage:
    engagement: Any
    money: Any
    stages: list[tuple[str, str, str]]
    moments: list[Moment]
    items: list[Item]
    items_more: int
    holds: list[Any]
    prebills: list[Any]
    cases: list[Any]
    links: list[Any]
    terms: Any


SHOWN_ITEMS = 100


def rows_of(engagements: Iterable[Any]) -> list[tuple[Any, Money | None]]:
    """Engagements of one page with what is held on each; one query for all."""
    rows = list(engagements)
    held = billing.billing_held_by_engagement([row.key for row in rows])
    return [(row, held.get(row.key)) for row in rows]


def engagement_page(request: ConsoleRequest, key: str) -> EngagementPage:
    """Everything the page shows; not found outside the scope."""
    engagement = commercial.engagement(key, scope=request.scope)
    held = permissions(request)
    transactions = sync.for_engagement(held.scope("transaction.view"), key)
    prebills = list(billing.prebills(held.scope("prebill.view")).filter(engagement_key=key))
    cases = list(triage.cases_of_engagement(held.scope("exception.view"), key))
    try:
        money = billing.engagement_money(key)
    except NotFound:
        money = None
    everything = list(billing.engagement_items(key)[: SHOWN_ITEMS + 1])
    items = [Item(row, row.blockers) for row in everything[:SHOWN_ITEMS]]
    terms = commercial.current_terms(key)
    return EngagementPage(
        engagement=engagement,
        money=money,
        stages=_stages(engagement, items, prebills, cases),
        moments=_moments(engagement, terms, transactions, cases),
        items=items,
        items_more=billing.engagement_items(key).count() - SHOWN_ITEMS
        if len(everything) > SHOWN_ITEMS
        else 0,
        holds=list(billing.engagement_holds(key)),
        prebills=prebills,
        cases=[case for case in cases if case.is_open],
        links=_links(engagement),
        terms=terms,
    )


def _links(engagement: Any) -> list[Any]:
    found = records.links("engagement", engagement.key) + records.links("deal", engagement.deal_key)
    return found + records.links("customer", engagement.customer_key)


def _stages(
    engagement: Any, items: Sequence[Item], prebills: Sequence[Any], cases: Sequence[Any]
) -> list[tuple[str, str, str]]:
    """``(css, label, note)`` of each stage from closed-won to payment."""
    stuck = any(case.is_open and case.severity == "blocking-provisioning" for case in cases)
    stuck_billing = any(item.row.held for item in items)
    states = {row.state for row in prebills} - {"void"}
    invoiced = states & {"posted", "issued", "part_paid", "paid", "disputed", "credited"}
    paid = states & {"paid"}
    active = engagement.state != "planned"
    happened = any(item.row.final_at for item in items)
    reached = [True, active, happened, bool(states), bool(invoiced), bool(paid) and invoiced == paid]
    labels = [_("Closed-won"), _("Set up"), _("Delivered"), _("Prebill"), _("Invoiced"), _("Paid")]
    stages = []
    for number, (label, done) in enumerate(zip(labels, reached, strict=True)):
        here = not done and (number == 0 or reached[number - 1])
        css = "done" if done else "here" if here else ""
        if (number == 1 and stuck) or (number == 3 and stuck_billing and here):
            css = "stuck"
        stages.append((css, label, _("stopped") if css == "stuck" else ""))
    return stages


def _moments(engagement: Any, terms: Any, transactions: Sequence[Any], cases: Sequence[Any]) -> list[Moment]:
    value = Money.of(engagement.value, engagement.currency)
    title = _("Terms %(number)s accepted") % {"number": terms.label}
    moments = [Moment(terms.accepted_at, "signature", "good", title, amount=value)]
    moments += [_of_transaction(row) for row in transactions]
    moments += [moment for case in cases for moment in _of_case(case)]
    moments += [_of_billing(fact) for fact in billing.engagement_timeline(engagement.key)]
    return sorted(moments, key=lambda moment: moment.at, reverse=True)


def _of_transaction(row: Any) -> Moment:
    tones = {"succeeded": "good", "held": "bad", "dead": "bad", "suggested": "hold"}
    url = reverse("console:transaction", args=[row.ref])
    title = f"{flow_label(row.flow)}: {row.get_state_display()}"
    return Moment(
        row.finished_at or row.created_at,
        "refresh",
        tones.get(row.state, "info"),
        title,
        row.reason,
        url=url,
        ref=row.ref,
    )


def _of_case(case: Any) -> list[Moment]:
    url = reverse("console:case", args=[case.ref])
    found = [Moment(case.opened_at, "alert-triangle", "bad", case.reason, url=url, ref=case.ref)]
    if case.resolved_at:
        found.append(
            Moment(
                case.resolved_at, "circle-check", "good", _("Solved: ") + case.reason, url=url, ref=case.ref
            )
        )
    return found


def _of_billing(fact: Any) -> Moment:
    if fact.kind == "item":
        return Moment(
            fact.at, _ICONS["item"], "good", fact.title, str(_ITEM_WORDS.get(fact.verb, "")), fact.amount
        )
    if fact.kind == "hold":
        lifted = fact.verb == "lifted"
        title = _("Hold lifted") if lifted else _("Held")
        return Moment(
            fact.at, "lock-open" if lifted else "lock", "good" if lifted else "hold", title, fact.title
        )
    url = reverse("console:prebill", args=[fact.ref])
    tone = _PREBILL_TONES.get(fact.verb, "info")
    title = str(_PREBILL_WORDS.get(fact.verb, fact.title))
    note = fact.title if fact.title.casefold() != title.casefold() else ""
    return Moment(fact.at, _ICONS[fact.kind], tone, title, note, fact.amount, url, fact.ref)
