"""Stripe objects into canonical ones.

Public surface: :func:`invoice`, :func:`customer`, :func:`dispute`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import Address, Customer, Dispute, Invoice, InvoiceLine
from apps.connectors.adapters.stripe.forms import KEY, from_minor
from apps.connectors.protocols.convert import built, day, decimal, instant
from apps.connectors.spi import Observed

Row = Mapping[str, Any]


def invoice(*, row: Row, lines: Sequence[Row], url: str) -> Observed | None:
    """An invoice that we made; None for one that carries no key of ours (nothing of it is our business)."""
    metadata = row.get("metadata") or {}
    needed = ("canonical_key", "engagement_key", "customer_key", "legal_entity")
    if not metadata.get(KEY) or any(not metadata.get(name) for name in needed):
        return None
    currency = str(row["currency"]).upper()
    total = from_minor(row.get("total"), currency)
    tax = from_minor(_tax_minor(row), currency)
    number = str(metadata.get("number") or row.get("number") or "")
    transitions = row.get("status_transitions") or {}
    paid_at = instant(transitions.get("paid_at"), field="paid_at")
    body = built(
        Invoice,
        f"Invoice {number or row['id']}",
        key=metadata["canonical_key"],
        number=number,
        engagement_key=metadata["engagement_key"],
        customer_key=metadata["customer_key"],
        legal_entity_code=metadata["legal_entity"],
        currency=currency,
        status=_status(row),
        invoice_on=day(metadata.get("invoice_on"), field="invoice_on") or _date(row.get("created")),
        due_on=_date(row["due_date"]) if row.get("due_date") else None,
        po_number=_custom_field(row, "PO"),
        memo=str(row.get("description") or ""),
        lines=tuple(_line(line, currency) for line in lines),
        net=total - tax,
        tax=tax,
        total=total,
        balance=from_minor(row.get("amount_remaining"), currency),
    )
    return Observed(
        object_type="invoice",
        external_id=str(row["id"]),
        body=body,
        version=":".join(
            str(row.get(name)) for name in ("status", "amount_paid", "amount_remaining", "total")
        ),
        modified_at=_moved_at(row, transitions),
        url=url,
        container_id=str(row.get("customer") or ""),
        facts={
            "key": metadata[KEY],
            "status": str(row.get("status") or ""),
            "number": str(row.get("number") or ""),
            "currency": currency,
            "amount_paid": str(from_minor(row.get("amount_paid"), currency).amount),
            "amount_remaining": str(from_minor(row.get("amount_remaining"), currency).amount),
            "total": str(total.amount),
            "tax": str(tax.amount),
            "hosted_invoice_url": str(row.get("hosted_invoice_url") or ""),
            "invoice_pdf": str(row.get("invoice_pdf") or ""),
            "paid_at": paid_at.isoformat() if paid_at else "",
        },
    )


def customer(*, row: Row, url: str, tax_ids: Sequence[Row] = ()) -> Observed | None:
    """A customer that we made; None for one that carries no key of ours. What a register says of its tax ids is a fact."""
    metadata = row.get("metadata") or {}
    if not metadata.get(KEY):
        return None
    address = row.get("address") or {}
    currency = str(row.get("currency") or "").upper() or None
    body = built(
        Customer,
        f"Customer {row.get('name') or row['id']}",
        key=metadata.get("canonical_key") or metadata[KEY],
        name=str(row.get("name") or row["id"]),
        currency=currency,
        currencies=(currency,) if currency else (),
        tax_exempt=row.get("tax_exempt") == "exempt",
        email=str(row.get("email") or ""),
        phone=str(row.get("phone") or ""),
        billing_address=built(
            Address,
            f"Address of {row.get('name') or row['id']}",
            code="CUS-ADDRESS",
            line1=str(address.get("line1") or ""),
            line2=str(address.get("line2") or ""),
            city=str(address.get("city") or ""),
            region=str(address.get("state") or ""),
            postal_code=str(address.get("postal_code") or ""),
            country=address.get("country") or None,
        ),
    )
    return Observed(
        object_type="customer",
        external_id=str(row["id"]),
        body=body,
        version=str(row.get("updated") or row.get("created") or ""),
        modified_at=instant(row.get("created"), field="created"),
        url=url,
        facts={
            "key": metadata[KEY],
            "delinquent": bool(row.get("delinquent")),
            "tax_ids": [_tax_id(one) for one in tax_ids],
        },
    )


def _tax_id(row: Row) -> dict[str, str]:
    """``status``: pending, verified, unverified or unavailable, "" where Stripe asks no register for this type."""
    told = row.get("verification") or {}
    return {
        "value": str(row.get("value") or ""),
        "type": str(row.get("type") or ""),
        "status": str(told.get("status") or ""),
        "name": str(told.get("verified_name") or ""),
    }


#: How a dispute has ended; every other status is one that goes on.
_ENDED = {"won": "won", "prevented": "won", "lost": "lost", "warning_closed": "closed"}


def dispute(*, row: Row, invoice: Observed | None, key: str, url: str) -> Observed:
    """A dispute, ``invoice`` being ours that the disputed payment paid."""
    currency = str(row["currency"]).upper()
    due = (row.get("evidence_details") or {}).get("due_by")
    body = built(
        Dispute,
        f"Dispute {row['id']}",
        key=key,
        invoice_key=invoice.facts["key"] if invoice else None,
        amount=from_minor(row.get("amount"), currency),
        status=_ENDED.get(str(row.get("status")), "open"),
        reason=str(row.get("reason") or "").replace("_", " "),
        opened_at=instant(row.get("created"), field="created"),
        answer_by=instant(due, field="evidence_details.due_by") if due else None,
    )
    return Observed(
        object_type="dispute",
        external_id=str(row["id"]),
        body=body,
        version=str(row.get("status") or ""),
        modified_at=instant(row.get("created"), field="created"),
        url=url,
        container_id=invoice.external_id if invoice else "",
        facts={"status": str(row.get("status") or ""), "payment": str(row.get("payment_intent") or "")},
    )


def _status(row: Row) -> str:
    """Stripe's status; ``open`` with money in is part paid, ``uncollectible`` stays issued (the fact says so)."""
    status = str(row.get("status") or "draft")
    if status in ("draft", "paid", "void"):
        return status
    return "part_paid" if int(row.get("amount_paid") or 0) > 0 else "issued"


def _tax_minor(row: Row) -> int:
    if isinstance(row.get("total_taxes"), list):
        return sum(int(entry.get("amount") or 0) for entry in row["total_taxes"])
    if row.get("total_excluding_tax") is not None:
        return int(row.get("total") or 0) - int(row["total_excluding_tax"])
    return int(row.get("tax") or 0)


def _line(line: Row, currency: str) -> InvoiceLine:
    metadata = line.get("metadata") or {}
    given = line.get("quantity_decimal") or line.get("quantity")
    quantity = decimal(given, field="quantity") or Decimal(1)
    amount = from_minor(line.get("amount"), currency)
    return built(
        InvoiceLine,
        f"Line {line['id']}",
        key=str(metadata.get(KEY) or line["id"]),
        description=str(line.get("description") or ""),
        billing_code=str(metadata.get("billing_code") or ""),
        service_code=str(metadata.get("service_code") or ""),
        quantity=quantity,
        unit_price=Money.of(amount.amount / quantity, currency),
        amount=amount,
        source_key=metadata.get("source_key") or None,
    )


def _date(value: Any) -> date:
    return datetime.fromtimestamp(int(value), tz=UTC).date()


def _custom_field(row: Row, name: str) -> str:
    for entry in row.get("custom_fields") or []:
        if entry.get("name") == name:
            return str(entry.get("value") or "")
    return ""


def _moved_at(row: Row, transitions: Row) -> datetime | None:
    stamps = [row.get("created"), row.get("webhooks_delivered_at"), *transitions.values()]
    return instant(max((int(stamp) for stamp in stamps if stamp), default=None), field="status_transitions")
