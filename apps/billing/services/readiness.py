"""Readiness: looks at all open items of an engagement together and moves them between pending and ready.

Reads once per evaluation whatever the number of items: account, items, sums, holds, engagement, terms, prices, customer,
routing. The cap looks at the items in their order (event date, then age): bill up to it, split the one that crosses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Sum

from apps.billing.models import (
    BillableItem,
    BillingAccount,
    Hold,
    HoldLevel,
    ItemKind,
    ItemState,
    PrebillLine,
    PrebillState,
)
from apps.billing.services import predicates, timesheets
from apps.billing.services.accounts import locked_account
from apps.billing.services.customers import customer_of
from apps.billing.services.predicates import Facts, ItemReadiness, Predicate
from apps.billing.services.purchase_orders import PurchaseOrder, judged, order_of
from apps.billing.services.tax import TaxDecision, decide_tax
from apps.canonical.money import Money
from apps.canonical.objects import EngagementLine
from apps.commercial import selectors as commercial
from apps.commercial.selectors import RateProblem
from apps.core import clock
from apps.governance import selectors as governance
from apps.governance.selectors import ProposedMapping
from apps.journal import transitions
from apps.organization import selectors as organization

_SAVED = (
    "amount",
    "quantity",
    "unit_price",
    "rate_trace",
    "billing_code",
    "service_code",
    "blockers",
    "held",
    "held_code",
    "final_at",
    "ready_at",
)


#: What is on such a prebill does not count against the cap.
NOT_BILLED = (PrebillState.VOID, PrebillState.CREDITED)


def readiness(engagement_key: str) -> list[ItemReadiness]:
    """Evaluate every open item, move it between pending and ready, and return each with its check-list.

    Invoiced items whose source was edited afterwards come too, with that one failure. :func:`predicates.problems` makes
    the list a plan shows. Raises ``NotFound`` for an unknown engagement.
    """
    with transaction.atomic():
        return evaluate_account(locked_account(engagement_key))


def evaluate_account(account: BillingAccount) -> list[ItemReadiness]:
    """The same under a lock that the caller holds."""
    engagement = commercial.engagement(account.engagement_key)
    items = _open_items(account)
    basis = Basis(
        facts=gather(account, engagement),
        lines=lines_of(account.engagement_key),
        rates=cache(lambda: commercial.rate_resolver(account.engagement_key)),
        cap=cap_of(engagement, account),
        billed=consumed(account),
        booked=_booked(account, items),
        order=order_of(account, engagement),
    )
    results, items = judge(items, basis, split=_split_ids(items), cut=_split)
    _settle(items, results, engagement.legal_entity.timezone)
    account.evaluated_at = clock.now()
    account.save(update_fields=["evaluated_at"])
    states = dict(BillableItem.objects.filter(pk__in=[item.pk for item in items]).values_list("pk", "state"))
    final = [
        replace(result, item_id=item.pk, state=states[item.pk])
        for item, result in zip(items, results, strict=True)
    ]
    billed = BillableItem.objects.filter(
        engagement_key=account.engagement_key, state__in=[ItemState.DRAFTED, ItemState.INVOICED]
    ).exclude(blockers=[])
    return final + edited_after_billing(billed.order_by("id"))


@dataclass(frozen=True)
class Basis:
    """What all items of an engagement are judged by. ``rates`` gives the resolver (asked for only when time is priced),
    ``billed`` is what counts against the cap already."""

    facts: Facts
    lines: Mapping[str, EngagementLine]
    rates: Callable[[], commercial.Resolver]
    cap: Money | None
    billed: Decimal
    #: Time that is on prebills already, as far as it may be what an open entry repeats.
    booked: AbstractSet[timesheets.Identity] = frozenset()
    #: The client's purchase order, where its amount is known.
    order: PurchaseOrder | None = None


def judge(
    items: Sequence[BillableItem],
    basis: Basis,
    *,
    split: AbstractSet[str],
    cut: Callable[[BillableItem, Decimal], BillableItem],
) -> tuple[list[ItemReadiness], list[BillableItem]]:
    """Price open items (in memory) and evaluate them in their order; what crosses the cap is cut in two by ``cut(item,
    billable)``, which makes the rest. ``split``: source keys of time that was cut before. Nothing is written here."""
    ordered = sorted(items, key=_order)
    rates = _price(ordered, basis, split)
    copied = timesheets.copies(ordered, billed=basis.booked)
    results = [
        ItemReadiness(
            item.pk or 0,
            item.source_key,
            item.kind,
            item.description,
            item.state,
            None,
            predicates.evaluate(
                item,
                basis.facts,
                rates.get(item.source_key),
                timesheets.checks(item, basis.facts, basis.lines.get(item.service_code), copied),
            ),
        )
        for item in ordered
    ]
    checked = judged(basis.order, _apply_cap(basis, ordered, results, cut))
    verdicts = [
        replace(result, amount=None if item.amount is None else Money.of(item.amount, item.currency))
        for item, result in checked
    ]
    return verdicts, [item for item, _result in checked]


def lines_of(engagement_key: str) -> dict[str, EngagementLine]:
    """The sold services by their code."""
    return {line.service_code: line for line in commercial.terms_lines(engagement_key)}


def cap_of(engagement: Any, account: BillingAccount) -> Money | None:
    agreed = engagement.not_to_exceed
    return None if agreed is None else Money.of(agreed, account.currency)


def gather(account: BillingAccount, engagement: Any, *, overlay: Iterable[ProposedMapping] = ()) -> Facts:
    """What the predicates need, read once; ``overlay`` holds mappings that only a preview knows."""
    entity = engagement.legal_entity
    customer = customer_of(account.customer_key)
    reasons = (
        Hold.objects.filter(
            engagement_key=account.engagement_key, level=HoldLevel.BILLING, lifted_at__isnull=True
        )
        .order_by("id")
        .values_list("reason", flat=True)
    )
    return Facts(
        engagement_state=str(engagement.state),
        engagement_name=engagement.name,
        today=clock.today(entity.timezone),
        po_number=engagement.po_number,
        customer=customer,
        holds=tuple(reasons),
        tax=tax_of(customer, entity, overlay=overlay),
        start_on=engagement.start_on,
        end_on=engagement.end_on,
    )


def tax_of(customer: Any, entity: Any, *, overlay: Iterable[ProposedMapping] = ()) -> TaxDecision | None:
    """The tax decision with the codes of the entity's ERP; None while the customer is unknown.

    Where the routing settings have no code for the treatment, the entity's mapping of it (kind ``tax_code``) is used."""
    if customer is None:
        return None
    route = organization.route(entity.pk, "erp")
    known = {
        "customer": customer,
        "entity_country": entity.country,
        "settings": route.settings if route is not None else {},
        "on": clock.today(entity.timezone),
    }
    decision = decide_tax(**known)
    if decision.problem_code != "TAX-CODE":
        return decision
    found = governance.translate(
        kind="tax_code", legal_entity_id=entity.pk, source=decision.treatment, overlay=overlay
    )
    return decide_tax(**known, mapped={decision.treatment: found.target}) if found else decision


def _open_items(account: BillingAccount) -> list[BillableItem]:
    items = BillableItem.objects.filter(
        engagement_key=account.engagement_key, state__in=[ItemState.PENDING, ItemState.READY]
    )
    return list(items.select_for_update())


def _booked(account: BillingAccount, items: Sequence[BillableItem]) -> frozenset[timesheets.Identity]:
    """The time of these days that is on prebills, without what has parts in ``items``."""
    days = {item.event_on for item in items if item.kind == ItemKind.TIME and item.parent_id is None}
    if not days:
        return frozenset()
    billed = BillableItem.objects.filter(
        engagement_key=account.engagement_key,
        kind=ItemKind.TIME,
        parent=None,
        state__in=[ItemState.DRAFTED, ItemState.INVOICED],
        event_on__in=days,
    )
    rows = billed.values_list("person", "role", "service_code", "event_on", "source")
    return frozenset(timesheets.identity(*row) for row in rows)


def _order(item: BillableItem) -> tuple[date, float]:
    """Event date, then age; what is not kept yet is the youngest."""
    return item.event_on or date.max, item.pk or math.inf


def _split_ids(items: Sequence[BillableItem]) -> set[str]:
    times = {item.pk: item.source_key for item in items if item.kind == ItemKind.TIME}
    parts = BillableItem.objects.filter(parent_id__in=list(times)).exclude(state=ItemState.EXCLUDED)
    return {times[parent_id] for parent_id in parts.values_list("parent_id", flat=True)}


def _price(
    items: Sequence[BillableItem], basis: Basis, split: AbstractSet[str]
) -> dict[str, RateProblem | Predicate]:
    """Fill billing codes and, for time, the price that applies now; split items keep the price they were split at."""
    found: dict[str, RateProblem | Predicate] = {}
    only = next(iter(basis.lines.values())) if len(basis.lines) == 1 else None
    for item in items:
        line = basis.lines.get(item.service_code) or (only if not item.service_code else None)
        item.billing_code = line.billing_code if line else ""
        item.service_code = item.service_code or (line.service_code if line else "")
        if item.kind != ItemKind.TIME or item.parent_id or item.source_key in split:
            continue
        answer = basis.rates()(item.role, item.service_code, item.event_on or date.max, item.person)
        item.rate_trace = list(answer.trace)
        if isinstance(answer, RateProblem):
            found[item.source_key] = answer
            item.unit_price = item.amount = None
        else:
            item.unit_price = answer.hourly.amount
            item.amount = answer.amount_for(item.quantity).amount
            found[item.source_key] = timesheets.rated(item, answer.hourly)
    return found


def _apply_cap(
    basis: Basis,
    items: Sequence[BillableItem],
    results: Sequence[ItemReadiness],
    cut: Callable[[BillableItem, Decimal], BillableItem],
) -> list[tuple[BillableItem, ItemReadiness]]:
    """Add the cap's verdict to every item; what crosses the cap is split in two."""
    if basis.cap is None:
        return list(zip(items, results, strict=True))
    cap, currency = basis.cap, basis.cap.currency
    # Holds do not count here: a cap that was only seen without holds would come and go with the case that it opens.
    counts = [all(one.ok or one.name == "hold" for one in result.predicates) for result in results]
    wanted = sum((item.known_amount for item, does in zip(items, counts, strict=True) if does), Decimal(0))
    left = max(cap.amount - basis.billed, Decimal(0))
    params = {
        "billed": Money.of(basis.billed, currency),
        "ready": Money.of(wanted, currency),
        "billable": Money.of(min(wanted, left), currency),
        "excess": Money.of(max(wanted - left, Decimal(0)), currency),
    }
    fine = predicates.cap_predicate(cap=cap, params=None)
    over = predicates.cap_predicate(cap=cap, params=params)
    checked: list[tuple[BillableItem, ItemReadiness]] = []
    for item, result, does in zip(items, results, counts, strict=True):
        if not does or item.known_amount <= left:
            left -= item.known_amount if does else Decimal(0)
            checked.append((item, predicates.with_predicate(result, fine)))
        elif left > 0:
            rest = cut(item, left)
            left = Decimal(0)
            checked.append((item, predicates.with_predicate(result, fine)))
            base = replace(result, source_key=rest.source_key)
            checked.append((rest, predicates.with_predicate(base, over)))
        else:
            checked.append((item, predicates.with_predicate(result, over)))
    return checked


def consumed(account: BillingAccount) -> Decimal:
    """Net amount that counts against the cap: before go-live, on prebills, on invoices that were not credited."""
    on_bills = (
        PrebillLine.objects.filter(prebill__engagement_key=account.engagement_key)
        .exclude(prebill__state__in=NOT_BILLED)
        .aggregate(net=Sum("amount"))["net"]
    )
    return account.opening_billed + (on_bills or Decimal(0))


def _split(item: BillableItem, billable: Decimal) -> BillableItem:
    """Cut an item at the cap, and keep the part."""
    root = item.parent or item
    rest = cut_at(item, billable, key=f"{root.source_key}:over{root.parts.count() + 1}")
    rest.parent = root
    rest.save()
    return rest


def cut_at(item: BillableItem, billable: Decimal, *, key: str) -> BillableItem:
    """The item keeps ``billable``, a part of its own takes the rest (amounts add up exactly). In memory only."""
    keeps = (item.quantity * billable / item.known_amount).quantize(Decimal("0.0001"))
    rest = BillableItem(
        legal_entity_id=item.legal_entity_id,
        engagement_key=item.engagement_key,
        kind=item.kind,
        source_key=key,
        service_code=item.service_code,
        billing_code=item.billing_code,
        description=item.description,
        role=item.role,
        person=item.person,
        quantity=item.quantity - keeps,
        unit_price=item.unit_price,
        amount=item.known_amount - billable,
        currency=item.currency,
        event_on=item.event_on,
        final_at=item.final_at,
        source=item.source,
        source_digest=item.source_digest,
        rate_trace=item.rate_trace,
    )
    item.quantity, item.amount = keeps, billable
    return rest


def _settle(items: Sequence[BillableItem], results: Sequence[ItemReadiness], zone: str) -> None:
    """Keep verdicts on the items, then move those whose readiness changed."""
    now = clock.now()
    for item, result in zip(items, results, strict=True):
        failed = result.failed
        item.blockers = [predicate.as_blocker() for predicate in failed]
        happened = all(predicate.final for predicate in failed)
        causes = [predicate for predicate in failed if predicate.code or predicate.name == "hold"]
        item.held = happened and bool(causes)
        coded = next((predicate.code for predicate in causes if predicate.code), predicates.HOLD)
        item.held_code = coded if item.held else ""
        if (
            item.kind == ItemKind.INSTALMENT
            and happened
            and item.final_at is None
            and item.event_on is not None
        ):
            item.final_at = datetime.combine(item.event_on, time.min, tzinfo=ZoneInfo(zone))
        if result.ready:
            item.ready_at = item.ready_at or now
        else:
            item.ready_at = None
    ready = [item.pk for item, result in zip(items, results, strict=True) if result.ready]
    rows = BillableItem.objects.filter(pk__in=[item.pk for item in items])
    # The database insists that what is ready has an amount: what falls back moves before its amount is taken away,
    # what becomes ready moves after its amount is there.
    transitions.move_many(rows.filter(state=ItemState.READY).exclude(pk__in=ready), to=ItemState.PENDING)
    BillableItem.objects.bulk_update(items, _SAVED)
    transitions.move_many(rows.filter(pk__in=ready, state=ItemState.PENDING), to=ItemState.READY)


def limits(engagement_key: str, results: Sequence[ItemReadiness]) -> list[dict[str, Any]]:
    """What is told of the cap as a whole after an evaluation and before what is ready is drafted. Reads only."""
    engagement = commercial.engagement(engagement_key)
    account = BillingAccount.objects.filter(engagement_key=engagement_key).first()
    if account is None or engagement.not_to_exceed is None:
        return []
    return predicates.near_cap(results, cap=cap_of(engagement, account), billed=consumed(account))


def edited_after_billing(rows: Iterable[BillableItem]) -> list[ItemReadiness]:
    """Items beyond recall whose source says something else now."""
    return [
        ItemReadiness(
            item.pk,
            item.source_key,
            item.kind,
            item.description,
            item.state,
            Money.of(item.known_amount, item.currency),
            tuple(
                predicates.Predicate(
                    blocker["predicate"],
                    "",
                    ok=False,
                    code=blocker["code"],
                    reason=blocker["reason"],
                    field=blocker["field"],
                    value=blocker["value"],
                    params=blocker["params"],
                )
                for blocker in item.blockers
            ),
        )
        for item in rows
    ]
