"""Flow ``receipt.match``: money that came in and is applied to no invoice, or only in part, is told. Nothing is matched.

Public surface: :data:`FLOW`. Subject key: ``<ERP>:<payment id>``. It writes to no system: a payment without reference is
applied by a person in the ERP; that an invoice of the same amount is open is a hint, no proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.billing import selectors as billing
from apps.canonical.objects import Receipt
from apps.core import clock
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, Problem


@dataclass(frozen=True)
class ReceiptSnapshot:
    """``receipt`` None: the ERP has it no more, or it is of no customer of ours. ``same``: ``(number, prebill)`` of invoices
    of the customer over exactly the amount that is not applied."""

    as_of: datetime
    meta: Meta
    erp: Any
    receipt: Receipt | None
    same: tuple[tuple[str, str], ...] = ()


def gather(context: Context) -> ReceiptSnapshot:
    """The payment as the ERP shows it now. Raises ``AdapterError``."""
    erp, external_id = base.split_key(context.key)
    as_of = clock.now()
    seen = base.read_one(context, system=erp, object_type="receipt", external_id=external_id)
    customer_key = records.key_of(erp.id, "customer", seen.container_id) if seen is not None else None
    receipt: Receipt | None = seen.body if seen is not None else None  # type: ignore[assignment]
    if seen is None or receipt is None or customer_key is None:
        return ReceiptSnapshot(context.oldest(as_of), Meta(label="Payment"), erp, None)
    entity = _taken_in_by(erp, receipt, str(seen.facts.get("subsidiary") or ""))
    meta = Meta(
        label=f"Payment {receipt.number or external_id}",
        customer=base.customer_name(customer_key),
        customer_key=customer_key,
        legal_entity_id=entity.id if entity is not None else None,
        currency=receipt.amount.currency,
        amount=receipt.amount.amount,
    )
    same = (
        billing.open_with_balance(
            legal_entity_id=entity.id, customer_key=customer_key, balance=receipt.unapplied
        )
        if entity is not None and receipt.unapplied.amount > 0
        else []
    )
    hints = tuple((one.number or one.ref, one.ref) for one in same)
    return ReceiptSnapshot(context.oldest(as_of), meta, erp, receipt, hints)


def _taken_in_by(erp: Any, receipt: Receipt, subsidiary: str) -> Any:
    """Our legal entity that took the money in: by the ERP's word for it, or by the routing's; None where neither says."""
    for routing in organization.routed_to(erp.id):
        held = str(routing.settings.get("subsidiary") or "")
        if routing.legal_entity.code == receipt.legal_entity_code or (subsidiary and held == subsidiary):
            return routing.legal_entity
    return None


def plan(snapshot: ReceiptSnapshot) -> Draft:
    receipt = snapshot.receipt
    if receipt is None:
        return Draft((), summary=f"{snapshot.erp.name} holds no such payment of a customer of ours.")
    if receipt.unapplied.amount <= 0:
        return Draft((), summary=f"{receipt.amount} is applied in full.")
    problem = _unmatched(snapshot, receipt)
    return Draft((), (problem,), problem.reason)


def _unmatched(snapshot: ReceiptSnapshot, receipt: Receipt) -> Problem:
    reference = f", reference “{receipt.reference}”" if receipt.reference else " and named no reference"
    part = "it" if receipt.unapplied == receipt.amount else f"{receipt.unapplied} of it"
    numbers = [number for number, _ref in snapshot.same]
    hint = f" The same amount is open on {' and on '.join(numbers)}." if numbers else ""
    reason = (
        f"{snapshot.meta.customer or 'A customer'} paid {receipt.amount} on {receipt.received_on.isoformat()} "
        f"({receipt.number}{reference}); {snapshot.erp.name} applies {part} to no invoice.{hint}"
    )
    return Problem(
        "PAY-UNMATCHED",
        "receipt",
        "receipt",
        "unapplied",
        "",
        reason,
        {
            "paid": str(receipt.amount.amount),
            "unapplied": str(receipt.unapplied.amount),
            "reference": receipt.reference,
            "same_amount": numbers,
            # Money that is here holds no billing back.
            "held": "0",
        },
    )


FLOW = Flow("receipt.match", "receipt", "Look at a payment", gather, plan)
