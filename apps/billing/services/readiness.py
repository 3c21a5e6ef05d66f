"""Readiness: looks at all open items of an engagement together and moves them between pending and ready.

Reads once per evaluation whatever the number of items: account, items, sums, holds, engagement, terms, prices, customer,
routing. The cap looks at the items in their order (event date, then age): bill up to it, split the one that crosses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
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
from apps.billing.services import predicates
from apps.billing.services.accounts import locked_account
from apps.billing.services.customers import customer_of
from apps.billing.services.predicates import Facts, ItemReadiness
from apps.billing.services.tax import TaxDecision, decide_tax
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.commercial.selectors import RateProblem
from apps.core import clock
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
    facts = gather(account, engagement)
    items = _open_items(account)
    rate_problems = _price(account, items)
    results = [
        ItemReadiness(
            item.pk,
            item.source_key,
            item.kind,
            item.description,
            item.state,
            None,
            predicates.evaluate(item, facts, rate_problems.get(item.pk)),
        )
        for item in items
    ]
    results, items = _apply_cap(account, engagement, items, results)
    _settle(items, results, engagement.legal_entity.timezone)
    account.evaluated_at = clock.now()
    account.save(update_fields=["evaluated_at"])
    states = dict(BillableItem.objects.filter(pk__in=[item.pk for item in items]).values_list("pk", "state"))
    final = [
        replace(
            result,
            state=states[item.pk],
            amount=None if item.amount is None else Money.of(item.amount, item.currency),
        )
        for item, result in zip(items, results, strict=True)
    ]
    return final + _edited_after_billing(account)


def gather(account: BillingAccount, engagement: Any) -> Facts:
    """What the predicates need, read once."""
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
        tax=tax_of(customer, entity),
    )


def tax_of(customer: Any, entity: Any) -> TaxDecision | None:
    """The tax decision with the codes of the entity's ERP; None while the customer is unknown."""
    if customer is None:
        return None
    route = organization.route(entity.pk, "erp")
    return decide_tax(
        customer=customer, entity_country=entity.country, settings=route.settings if route is not None else {}
    )


def _open_items(account: BillingAccount) -> list[BillableItem]:
    items = BillableItem.objects.filter(
        engagement_key=account.engagement_key, state__in=[ItemState.PENDING, ItemState.READY]
    ).select_for_update()
    return sorted(items, key=_order)


def _order(item: BillableItem) -> tuple[date, int]:
    return item.event_on or date.max, item.pk


def _price(account: BillingAccount, items: Sequence[BillableItem]) -> dict[int, RateProblem]:
    """Fill billing codes and, for time, the price that applies now; split items keep the price they were split at."""
    found: dict[int, RateProblem] = {}
    lines = {line.service_code: line for line in commercial.terms_lines(account.engagement_key)}
    only = next(iter(lines.values())) if len(lines) == 1 else None
    resolver = None
    split = set(
        BillableItem.objects.filter(parent_id__in=[item.pk for item in items if item.kind == ItemKind.TIME])
        .exclude(state=ItemState.EXCLUDED)
        .values_list("parent_id", flat=True)
    )
    for item in items:
        line = lines.get(item.service_code) or (only if not item.service_code else None)
        item.billing_code = line.billing_code if line else ""
        item.service_code = item.service_code or (line.service_code if line else "")
        if item.kind != ItemKind.TIME or item.parent_id or item.pk in split:
            continue
        resolver = resolver or commercial.rate_resolver(account.engagement_key)
        answer = resolver(item.role, item.service_code, item.event_on or date.max, item.person)
        item.rate_trace = list(answer.trace)
        if isinstance(answer, RateProblem):
            found[item.pk] = answer
            item.unit_price = item.amount = None
        else:
            item.unit_price = answer.hourly.amount
            item.amount = answer.amount_for(item.quantity).amount
    return found


def _apply_cap(
    account: BillingAccount, engagement: Any, items: list[BillableItem], results: list[ItemReadiness]
) -> tuple[list[ItemReadiness], list[BillableItem]]:
    """Add the cap's verdict to every item; what crosses the cap is split in two."""
    if engagement.not_to_exceed is None:
        return results, items
    cap = Money.of(engagement.not_to_exceed, account.currency)
    billed = consumed(account)
    # Holds do not count here: a cap that was only seen without holds would come and go with the case that it opens.
    counts = [all(one.ok or one.name == "hold" for one in result.predicates) for result in results]
    wanted = sum((item.known_amount for item, does in zip(items, counts, strict=True) if does), Decimal(0))
    left = max(cap.amount - billed, Decimal(0))
    params = {
        "billed": Money.of(billed, account.currency),
        "ready": Money.of(wanted, account.currency),
        "billable": Money.of(min(wanted, left), account.currency),
        "excess": Money.of(max(wanted - left, Decimal(0)), account.currency),
    }
    fine = predicates.cap_predicate(cap=cap, params=None)
    over = predicates.cap_predicate(cap=cap, params=params)
    checked: list[tuple[BillableItem, ItemReadiness]] = []
    for item, result, does in zip(items, results, counts, strict=True):
        if not does or item.known_amount <= left:
            left -= item.known_amount if does else Decimal(0)
            checked.append((item, predicates.with_predicate(result, fine)))
        elif left > 0:
            rest = _split(item, left)
            left = Decimal(0)
            checked.append((item, predicates.with_predicate(result, fine)))
            base = replace(result, item_id=rest.pk, source_key=rest.source_key)
            checked.append((rest, predicates.with_predicate(base, over)))
        else:
            checked.append((item, predicates.with_predicate(result, over)))
    return [result for _item, result in checked], [item for item, _result in checked]


def consumed(account: BillingAccount) -> Decimal:
    """Net amount that counts against the cap: before go-live, on prebills, on invoices that were not credited."""
    on_bills = (
        PrebillLine.objects.filter(prebill__engagement_key=account.engagement_key)
        .exclude(prebill__state__in=[PrebillState.VOID, PrebillState.CREDITED])
        .aggregate(net=Sum("amount"))["net"]
    )
    return account.opening_billed + (on_bills or Decimal(0))


def _split(item: BillableItem, billable: Decimal) -> BillableItem:
    """Cut an item at the cap: it keeps ``billable``, a part of its own takes the rest (amounts add up exactly)."""
    root = item.parent or item
    number = root.parts.count() + 1
    keeps = (item.quantity * billable / item.known_amount).quantize(Decimal("0.0001"))
    rest = BillableItem.objects.create(
        legal_entity_id=item.legal_entity_id,
        engagement_key=item.engagement_key,
        kind=item.kind,
        source_key=f"{root.source_key}:over{number}",
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
        parent=root,
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


def _edited_after_billing(account: BillingAccount) -> list[ItemReadiness]:
    """Items beyond recall whose source says something else now."""
    rows = BillableItem.objects.filter(
        engagement_key=account.engagement_key, state__in=[ItemState.DRAFTED, ItemState.INVOICED]
    ).exclude(blockers=[])
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
        for item in rows.order_by("id")
    ]
