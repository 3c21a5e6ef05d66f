"""Reads of the billing room.

Public surface: :func:`prebills`, :func:`prebill`, :func:`prebill_detail`, :func:`prebills_awaiting`,
:func:`canonical_invoice`, :func:`canonical_milestones`, :func:`tax_treatment`, :func:`posting_holds`,
:func:`prebill_problems`, :func:`engagement_items`, :func:`engagement_holds`, :func:`engagements_held_by`,
:func:`engagements_lacking`, :func:`engagement_payments`, :func:`payment`, :func:`times_reversed`, :func:`disputes`,
:func:`open_with_balance`, :func:`engagement_timeline`, :func:`engagement_money`, :func:`billing_held`,
:func:`billing_held_by_engagement`, :func:`due_engagements`, :func:`engagements_of_customer`, :func:`sources_in_use`,
:func:`source_read_at`, :func:`unread_engagements`, and the dataclasses they return.

Amounts are net of tax. The number of queries never grows with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from apps.approvals import selectors as approvals
from apps.billing.models import (
    IN_REVIEW,
    NUMBERED,
    BillableItem,
    BillingAccount,
    Dispute,
    Hold,
    HoldLevel,
    ItemKind,
    ItemState,
    Payment,
    Prebill,
    PrebillEvent,
    PrebillLine,
    PrebillState,
)
from apps.billing.services.invoices import due_date
from apps.billing.services.lines import KIND
from apps.billing.services.observed import source_of
from apps.canonical import objects
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, Scope
from apps.organization import selectors as organization


@dataclass(frozen=True)
class PrebillDetail:
    """All that the prebill page shows. ``waiting`` is the open approval request; ``may_decide`` is about the asker."""

    prebill: Prebill
    lines: list[PrebillLine]
    events: list[PrebillEvent]
    approvals: list[Any]
    waiting: Any
    may_decide: bool
    holds: list[Hold]


@dataclass(frozen=True)
class HeldFigure:
    """Billing held of one entity in one currency: net, each amount once; ``unknown`` counts items without an amount."""

    legal_entity_id: int
    currency: str
    held: Money
    items: int
    unknown: int


@dataclass(frozen=True)
class EngagementMoney:
    """Net figures of one engagement in its currency; contract value and exposure are other figures, kept elsewhere."""

    currency: str
    waiting: Money
    held: Money
    ready: Money
    in_review: Money
    invoiced: Money
    paid: Money
    open_balance: Money
    unknown: int


@dataclass(frozen=True)
class TimelineFact:
    """One thing that happened, or is due: ``kind`` is item, hold, prebill or payment; ``ref`` what it is about."""

    at: datetime
    kind: str
    verb: str
    ref: str
    title: str
    amount: Money | None = None
    state: str = ""


def prebills(scope: Scope) -> QuerySet[Prebill]:
    """What this scope may see, newest first, with ``line_count``; narrow it with ``filters.PrebillFilter``."""
    return (
        Prebill.objects.within(scope)
        .select_related("legal_entity")
        .annotate(line_count=Count("lines"))
        .order_by("-id")
    )


def prebill(ref: str, *, scope: Scope = EVERYTHING) -> Prebill:
    """The prebill inside the scope; :class:`NotFound` otherwise."""
    found = Prebill.objects.within(scope).select_related("legal_entity").filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such prebill."))
    return found


def prebill_detail(ref: str, *, user: Any, scope: Scope) -> PrebillDetail:
    """The page of one prebill; :class:`NotFound` outside the scope."""
    found = prebill(ref, scope=scope)
    waiting = approvals.open_request(KIND, ref)
    return PrebillDetail(
        prebill=found,
        lines=list(found.lines.select_related("item")),
        events=list(found.events.select_related("by")),
        approvals=approvals.history(ref),
        waiting=waiting,
        may_decide=waiting is not None and approvals.may_decide(request=waiting, user=user),
        holds=list(
            Hold.objects.filter(engagement_key=found.engagement_key, lifted_at__isnull=True).order_by("id")
        ),
    )


def prebills_awaiting(user: Any) -> QuerySet[Prebill]:
    """Prebills whose present step this person may decide now, oldest first."""
    refs = approvals.waiting_for(user).filter(kind=KIND).order_by().values("subject_ref")
    return (
        Prebill.objects.filter(ref__in=refs)
        .select_related("legal_entity")
        .annotate(line_count=Count("lines"))
        .order_by("id")
    )


def canonical_invoice(prebill_ref: str) -> objects.Invoice:
    """The prebill as the invoice that ERP and billing platform shall hold; before approval its status is ``draft``."""
    row = prebill(prebill_ref)
    lines = row.lines.select_related("item").order_by("position")
    status = "draft" if row.state in IN_REVIEW else str(row.state)
    on = row.invoice_on
    if on is None:
        raise NotFound(_("%(ref)s has no invoice date yet.") % {"ref": prebill_ref})

    def money(value: Decimal | None) -> Money | None:
        return None if value is None else Money.of(value, row.currency)

    return objects.Invoice(
        key=row.ref,
        number=row.number,
        engagement_key=row.engagement_key,
        customer_key=row.customer_key,
        legal_entity_code=row.legal_entity.code,
        currency=row.currency,
        status=status,
        invoice_on=on,
        due_on=due_date(on, row.payment_terms),
        payment_terms=row.payment_terms,
        po_number=row.po_number,
        memo=row.engagement_name,
        lines=tuple(
            objects.InvoiceLine(
                key=line.item.source_key,
                description=line.description,
                billing_code=line.billing_code,
                service_code=line.service_code,
                quantity=line.quantity.normalize(),
                unit_price=Money.of(line.unit_price, row.currency),
                amount=Money.of(line.amount, row.currency),
                source_key=line.item.source_key,
            )
            for line in lines
        ),
        net=Money.of(row.net, row.currency),
        tax=money(row.tax),
        total=money(row.total),
        balance=money(row.balance),
    )


def tax_treatment(prebill_ref: str) -> objects.TaxTreatment:
    """The tax treatment that was signed with the prebill; the issuer computes the tax from its code."""
    row = prebill(prebill_ref)
    return objects.TaxTreatment(
        key=f"{row.ref}-TAX",
        customer_key=row.customer_key,
        legal_entity_code=row.legal_entity.code,
        treatment=row.tax_treatment or "standard",
        tax_code=row.tax_code,
        rate_percent=row.tax_rate,
        evidence=row.tax_evidence,
    )


def canonical_milestones(engagement_key: str) -> tuple[objects.Milestone, ...]:
    """The milestones of the billing schedule as the project system shall hold them, ``key`` being our external key."""
    items = BillableItem.objects.filter(
        engagement_key=engagement_key, kind=ItemKind.MILESTONE, parent=None
    ).exclude(state=ItemState.EXCLUDED)
    result = []
    for item in items.order_by("id"):
        agreed = item.source.get("schedule")
        if not agreed:
            continue
        seen = item.source.get("milestone") or {}
        result.append(
            objects.Milestone(
                key=item.source_key,
                engagement_key=engagement_key,
                name=item.description,
                amount=Money.model_validate(agreed["amount"]),
                due_on=agreed.get("due_on"),
                status=seen.get("status", "planned"),
                accepted_at=seen.get("accepted_at"),
                evidence=seen.get("evidence", ""),
                service_code=item.service_code,
            )
        )
    return tuple(result)


def posting_holds(engagement_key: str) -> list[str]:
    """The reasons why nothing of this engagement may be posted now (holds of both levels), oldest first."""
    return list(
        Hold.objects.filter(engagement_key=engagement_key, lifted_at__isnull=True)
        .order_by("id")
        .values_list("reason", flat=True)
    )


def prebill_problems(prebill_ref: str) -> list[dict[str, Any]]:
    """What the issuer's answer was not as expected in, as problems for a plan (``INV-TOTAL``, ``TAX-DIFF``)."""
    return list(prebill(prebill_ref).alerts)


def engagement_items(engagement_key: str) -> QuerySet[BillableItem]:
    """All items of an engagement in the order of their events, with the prebill each is on."""
    return (
        BillableItem.objects.filter(engagement_key=engagement_key)
        .select_related("prebill", "parent")
        .order_by("event_on", "id")
    )


def engagement_holds(engagement_key: str, *, open_only: bool = True) -> QuerySet[Hold]:
    """Holds on an engagement, oldest first."""
    rows = Hold.objects.filter(engagement_key=engagement_key).select_related("placed_by", "lifted_by")
    return (rows.filter(lifted_at__isnull=True) if open_only else rows).order_by("id")


def engagements_held_by(source_refs: Iterable[str]) -> list[str]:
    """Engagements on which an open hold of one of these sources stands."""
    rows = Hold.objects.filter(source_ref__in=list(source_refs), lifted_at__isnull=True).order_by()
    return sorted(set(rows.values_list("engagement_key", flat=True)))


def engagements_lacking(code: str, legal_entity_id: int | None) -> list[str]:
    """Engagements with items that this cause holds, in one legal entity (None: in all)."""
    rows = BillableItem.objects.filter(held=True, held_code=code, state=ItemState.PENDING).order_by()
    if legal_entity_id is not None:
        rows = rows.filter(legal_entity_id=legal_entity_id)
    return sorted(set(rows.values_list("engagement_key", flat=True)))


def engagement_payments(engagement_key: str) -> QuerySet[Payment]:
    """What is known about the money, newest first."""
    return (
        Payment.objects.filter(engagement_key=engagement_key)
        .select_related("prebill")
        .order_by("-observed_at")
    )


def payment(key: str) -> Payment | None:
    """What was last taken over under this key, or None."""
    return Payment.objects.filter(key=key).first()


def disputes(prebill_ref: str) -> list[Dispute]:
    """What the client has objected to on this invoice, oldest first."""
    return list(Dispute.objects.filter(prebill__ref=prebill_ref).order_by("opened_at", "id"))


def open_with_balance(*, legal_entity_id: int, customer_key: str, balance: Money) -> list[Prebill]:
    """Invoices of a customer on which exactly this much is open, at most 20: a hint for who applies a payment, no proof."""
    rows = Prebill.objects.filter(
        legal_entity_id=legal_entity_id,
        state__in=[PrebillState.POSTED, PrebillState.ISSUED, PrebillState.PART_PAID, PrebillState.DISPUTED],
        customer_key=customer_key,
        balance=balance.amount,
        currency=balance.currency,
    )
    return list(rows.order_by("id")[:20])


def times_reversed(prebill_ref: str) -> int:
    """How often money of this invoice was taken back."""
    told = PrebillEvent.objects.filter(prebill__ref=prebill_ref, verb=PrebillEvent.Verb.PAYMENT)
    return told.filter(new__status="reversed").count()


def engagement_timeline(engagement_key: str) -> list[TimelineFact]:
    """Billing's part of the engagement's time line, oldest first. Four queries."""
    facts: list[TimelineFact] = []
    for item in engagement_items(engagement_key).filter(kind__in=[ItemKind.MILESTONE, ItemKind.INSTALMENT]):
        money = None if item.amount is None else Money.of(item.amount, item.currency)
        for at, verb in ((item.final_at, "final"), (item.ready_at, "ready")):
            if at is not None:
                facts.append(
                    TimelineFact(at, "item", verb, item.source_key, item.description, money, str(item.state))
                )
    for hold in engagement_holds(engagement_key, open_only=False):
        facts.append(
            TimelineFact(hold.created_at, "hold", "placed", hold.source_ref, hold.reason, state=hold.level)
        )
        if hold.lifted_at:
            facts.append(
                TimelineFact(hold.lifted_at, "hold", "lifted", hold.source_ref, hold.reason, state=hold.level)
            )
    events = PrebillEvent.objects.filter(prebill__engagement_key=engagement_key).select_related("prebill")
    for event in events:
        bill = event.prebill
        kind = "payment" if event.verb == PrebillEvent.Verb.PAYMENT else "prebill"
        amount = Money.of(event.new.get("net", bill.net), bill.currency)
        if kind == "payment":
            amount = Money.of(event.new["paid"], bill.currency)
        elif event.verb == PrebillEvent.Verb.DISPUTE:
            amount = Money.of(event.new["amount"], bill.currency)
        title = event.comment or event.get_verb_display()
        facts.append(
            TimelineFact(event.created_at, kind, event.verb, bill.ref, title, amount, str(bill.state))
        )
    return sorted(facts, key=lambda fact: fact.at)


def engagement_money(engagement_key: str) -> EngagementMoney:
    """Where the money of one engagement stands. Three queries."""
    account = BillingAccount.objects.filter(engagement_key=engagement_key).first()
    if account is None:
        raise NotFound(_("Nothing is billed on this engagement yet."))
    mine = BillableItem.objects.filter(engagement_key=engagement_key)
    figures = mine.aggregate(
        waiting=Sum("amount", filter=Q(state=ItemState.PENDING, held=False)),
        held=Sum("amount", filter=Q(state=ItemState.PENDING, held=True)),
        ready=Sum("amount", filter=Q(state=ItemState.READY)),
        drafted=Sum("amount", filter=Q(state=ItemState.DRAFTED)),
        unknown=Count("id", filter=Q(amount__isnull=True) & ~Q(state=ItemState.EXCLUDED)),
    )
    bills = Prebill.objects.filter(engagement_key=engagement_key, state__in=NUMBERED).aggregate(
        net=Sum("net"), balance=Sum("balance"), total=Sum("total")
    )

    def money(value: Decimal | None) -> Money:
        return Money.of(value or 0, account.currency)

    return EngagementMoney(
        currency=account.currency,
        waiting=money(figures["waiting"]),
        held=money(figures["held"]),
        ready=money(figures["ready"]),
        in_review=money(figures["drafted"]),
        invoiced=money(bills["net"]),
        paid=money((bills["total"] or Decimal(0)) - (bills["balance"] or Decimal(0))),
        open_balance=money(bills["balance"]),
        unknown=figures["unknown"],
    )


def _held_items(scope: Scope) -> QuerySet[BillableItem]:
    """Pending items that a cause holds, and drafted ones that a posting hold keeps from release."""
    unreleased = Exists(
        Hold.objects.filter(
            engagement_key=OuterRef("engagement_key"), level=HoldLevel.POSTING, lifted_at__isnull=True
        )
    )
    reviewed = Q(state=ItemState.DRAFTED, prebill__state__in=IN_REVIEW) & unreleased
    return BillableItem.objects.within(scope).filter(Q(state=ItemState.PENDING, held=True) | reviewed)


def billing_held(scope: Scope) -> list[HeldFigure]:
    """*Billing held* per legal entity and currency: net of tax, after caps, billable now, each amount counted once."""
    rows = (
        _held_items(scope)
        .order_by()
        .values("legal_entity_id", "currency")
        .annotate(held=Sum("amount"), items=Count("id"), unknown=Count("id", filter=Q(amount__isnull=True)))
        .order_by("legal_entity_id", "currency")
    )
    return [
        HeldFigure(
            row["legal_entity_id"],
            row["currency"],
            Money.of(row["held"] or 0, row["currency"]),
            row["items"],
            row["unknown"],
        )
        for row in rows
    ]


def billing_held_by_engagement(keys: Iterable[str]) -> dict[str, Money]:
    """``{engagement_key: held}`` in one query, for lists of other rooms; engagements with nothing held are absent."""
    rows = (
        _held_items(EVERYTHING)
        .filter(engagement_key__in=set(keys))
        .order_by()
        .values("engagement_key", "currency")
        .annotate(held=Sum("amount"))
    )
    return {row["engagement_key"]: Money.of(row["held"] or 0, row["currency"]) for row in rows}


def due_engagements(at: datetime) -> list[str]:
    """Engagements whose instalments fell due (in the entity's own calendar day) since readiness last looked at them.

    Each is named until it has been evaluated on its day; what blocks it then is told by readiness and its own news."""
    found: set[str] = set()
    for entity in organization.entities():
        zone = ZoneInfo(entity.timezone)
        day = at.astimezone(zone).date()
        not_looked_at = Exists(
            BillingAccount.objects.filter(
                Q(evaluated_at=None) | Q(evaluated_at__lt=datetime.combine(day, time.min, zone)),
                engagement_key=OuterRef("engagement_key"),
            )
        )
        rows = BillableItem.objects.filter(
            not_looked_at,
            legal_entity=entity,
            kind=ItemKind.INSTALMENT,
            state=ItemState.PENDING,
            event_on__lte=day,
        )
        found.update(rows.values_list("engagement_key", flat=True))
    return sorted(found)


def sources_in_use(engagement_key: str, *, time: bool = True) -> dict[str, set[str]]:
    """``{"milestone": keys, "time_entry": keys}``: what the project system showed and an item stands on, billed or not.

    Without what is excluded and what is known to be deleted there, and without time entries unless they are wanted."""
    found: dict[str, set[str]] = {"milestone": set(), "time_entry": set()}
    rows = BillableItem.objects.filter(engagement_key=engagement_key, parent=None)
    rows = rows if time else rows.exclude(kind=ItemKind.TIME)
    for item in rows.exclude(state=ItemState.EXCLUDED):
        key = source_of(item)
        if key and not (item.source.get("edited") or {}).get("gone"):
            found["time_entry" if item.kind == ItemKind.TIME else "milestone"].add(key)
    return found


def source_read_at(engagement_key: str) -> datetime | None:
    """When the project system was last read in full for this engagement."""
    rows = BillingAccount.objects.filter(engagement_key=engagement_key)
    return rows.values_list("source_read_at", flat=True).first()


def unread_engagements(since: datetime, *, limit: int) -> list[str]:
    """Active engagements that were not read in full since then, those that wait longest first."""
    active = commercial.engagements(EVERYTHING).filter(state="active").order_by().values("key")
    rows = BillingAccount.objects.filter(
        Q(source_read_at=None) | Q(source_read_at__lt=since), engagement_key__in=active
    )
    waiting = rows.order_by(F("source_read_at").asc(nulls_first=True), "id")
    return list(waiting.values_list("engagement_key", flat=True)[:limit])


def engagements_of_customer(customer_key: str) -> list[str]:
    """Engagements with items that are not billed yet: a change of the customer's record may matter to them."""
    waiting = Exists(
        BillableItem.objects.filter(
            engagement_key=OuterRef("engagement_key"), state__in=[ItemState.PENDING, ItemState.READY]
        )
    )
    rows = BillingAccount.objects.filter(waiting, customer_key=customer_key)
    return sorted(rows.values_list("engagement_key", flat=True))
