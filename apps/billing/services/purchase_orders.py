"""What is left of a client's purchase order, and what no longer fits on it (``PO-EXHAUSTED``).

Public surface: :class:`PurchaseOrder`, :func:`order_of` (reads), :func:`judged` (pure).

The client may have given one order for several engagements with the same legal entity: all that is billed under its number
counts. Unlike a cap an order cuts nothing in two: an item that does not fit waits whole, since a raised or new order takes it.
What was billed before go-live is not counted; nobody has said under which order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from apps.billing.models import BillableItem, BillingAccount, PrebillLine, PrebillState
from apps.billing.services.predicates import ItemReadiness, Predicate, with_predicate
from apps.canonical.money import Money

_NOT_BILLED = (PrebillState.VOID, PrebillState.CREDITED)


@dataclass(frozen=True)
class PurchaseOrder:
    """``amount``: what the client ordered, net. ``elsewhere``: billed under its number for other engagements; ``on_bills``:
    item id → net of this engagement's own lines under it."""

    number: str
    amount: Money
    elsewhere: Decimal = Decimal(0)
    on_bills: tuple[tuple[int, Decimal], ...] = ()

    @property
    def billed(self) -> Decimal:
        return self.elsewhere + sum((net for _item, net in self.on_bills), Decimal(0))

    def only(self, items: Collection[int]) -> PurchaseOrder:
        """As it stands when of this engagement's items only these are on bills."""
        return replace(self, on_bills=tuple(pair for pair in self.on_bills if pair[0] in items))


def order_of(account: BillingAccount, engagement: Any) -> PurchaseOrder | None:
    """The engagement's order with what is billed or drafted on it; None without a number or without an amount."""
    if not engagement.po_number or engagement.po_amount is None:
        return None
    neighbours = BillingAccount.objects.filter(
        customer_key=account.customer_key, legal_entity_id=account.legal_entity_id, currency=account.currency
    )
    rows = (
        PrebillLine.objects.filter(
            prebill__engagement_key__in=list(neighbours.values_list("engagement_key", flat=True)),
            prebill__po_number__iexact=engagement.po_number,
        )
        .exclude(prebill__state__in=_NOT_BILLED)
        .order_by("id")
        .values_list("prebill__engagement_key", "item_id", "amount")
    )
    own: list[tuple[int, Decimal]] = []
    elsewhere = Decimal(0)
    for key, item_id, amount in rows:
        if key == account.engagement_key:
            own.append((item_id, amount))
        else:
            elsewhere += amount
    ordered = Money.of(engagement.po_amount, account.currency)
    return PurchaseOrder(engagement.po_number, ordered, elsewhere, tuple(own))


def judged(
    order: PurchaseOrder | None, checked: Iterable[tuple[BillableItem, ItemReadiness]]
) -> list[tuple[BillableItem, ItemReadiness]]:
    """Every item with the order's verdict on its check-list, in their order; only what may be billed otherwise takes of it."""
    pairs = list(checked)
    if order is None:
        return pairs
    # As with the cap, a hold does not count here: the case would come and go with the hold that it places.
    counts = [all(one.ok or one.name == "hold" for one in result.predicates) for _item, result in pairs]
    wanted = sum(
        (item.known_amount for (item, _r), does in zip(pairs, counts, strict=True) if does), Decimal(0)
    )
    left = max(order.amount.amount - order.billed, Decimal(0))
    over = _exhausted(order, wanted)
    fine = Predicate("purchase_order_balance", over.label, ok=True)
    found: list[tuple[BillableItem, ItemReadiness]] = []
    for (item, result), does in zip(pairs, counts, strict=True):
        fits = not does or item.known_amount <= left
        if does and fits:
            left -= item.known_amount
        found.append((item, with_predicate(result, fine if fits else over)))
    return found


def _exhausted(order: PurchaseOrder, wanted: Decimal) -> Predicate:
    currency = order.amount.currency
    money: dict[str, Money] = {
        "ordered": order.amount,
        "billed": Money.of(order.billed, currency),
        "ready": Money.of(wanted, currency),
        "left": Money.of(order.amount.amount - order.billed, currency),
    }
    reason = _(
        "Purchase order %(number)s is over %(ordered)s and %(billed)s are billed or drafted on it: %(ready)s are ready, "
        "%(left)s are left."
    ) % {"number": order.number, **money}
    return Predicate(
        "purchase_order_balance",
        _("Within the purchase order"),
        ok=False,
        code="PO-EXHAUSTED",
        reason=reason,
        field="po_amount",
        value=order.number,
        params={"number": order.number, **{name: str(value) for name, value in money.items()}},
    )
