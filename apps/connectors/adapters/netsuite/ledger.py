"""Invoices and payments, and the master data they stand on: items and subsidiaries.

Public surface: :func:`find_invoices`, :func:`invoice_write`, :func:`post_write`, :func:`invoice_facts`,
:func:`payment_write`, :func:`find_items`, :func:`find_subsidiaries`.

Fields: SuiteTalk REST records ``invoice``, ``customerPayment``, ``serviceSaleItem``, ``subsidiary``. An invoice starts
as Pending Approval (``approvalStatus`` 1) and is posted by approving it (2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from moneyed import CURRENCIES

from apps.canonical.money import Money
from apps.canonical.objects import Address, Invoice, InvoiceLine, LegalEntity, ServiceItem
from apps.connectors.adapters.netsuite.client import (
    MODIFIED,
    day,
    decimal,
    is_true,
    items,
    like,
    literal,
    number,
    ref_id,
    ref_name,
    reference,
)
from apps.connectors.adapters.netsuite.vocabulary import Vocabulary
from apps.connectors.adapters.netsuite.writes import Write
from apps.connectors.protocols.convert import built
from apps.connectors.spi import AdapterError, ErrorKind, Observed, Push

PENDING, APPROVED, REJECTED = "1", "2", "3"
#: The ``status`` of a voided invoice.
VOIDED = "V"
#: How many rows a pick-list search shows.
LISTED = 200
InvoiceStatus = Literal["draft", "posted", "part_paid", "paid", "void"]


# -- invoices --------------------------------------------------------------------------------------


def find_invoices(words: Vocabulary, *, by: str, value: str) -> list[Observed]:
    """Invoices by ``id``, ``key`` (our external id) or ``number`` (``tranId``)."""
    if by == "number":
        rows = words.client.select("id", "transaction", "type = 'CustInvc'", f"tranid = {literal(value)}")
        keys = [str(row["id"]) for row in rows]
    elif by == "id":
        keys = [value] if value.isdigit() else []
    elif by == "key":
        keys = [f"eid:{value}"] if value else []
    else:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite invoices cannot be searched by {by}.", code="INT-SCHEMA"
        )
    records = [words.client.get("invoice", key) for key in keys]
    return [_observed(words, record) for record in records if record is not None]


def invoice_status(record: Mapping[str, Any]) -> InvoiceStatus:
    """Our word for the state of an invoice record."""
    if ref_id(record.get("status")) == VOIDED or "void" in ref_name(record.get("status")).lower():
        return "void"
    approval = ref_id(record.get("approvalStatus"))
    if approval == REJECTED:
        return "void"
    if approval == PENDING:
        return "draft"
    total, remaining = decimal(record.get("total")), decimal(record.get("amountRemaining"))
    if total is None or remaining is None or remaining >= total:
        return "posted"
    return "paid" if remaining <= 0 else "part_paid"


def invoice_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What planning and screens need of an invoice; amounts are decimal text."""
    approval = ref_id(record.get("approvalStatus"))
    return {
        "number": str(record.get("tranId") or "") if approval != PENDING else "",
        "status": invoice_status(record),
        "vendor_status": ref_name(record.get("status")),
        "approval_status": approval,
        "amount_remaining": _text(record.get("amountRemaining")),
        "total": _text(record.get("total")),
        "tax": _text(record.get("taxTotal")),
        "net": _text(record.get("subtotal")),
        "invoice_on": str(record.get("tranDate") or "")[:10],
        "due_on": str(record.get("dueDate") or "")[:10],
    }


def _text(value: Any) -> str | None:
    found = decimal(value)
    return None if found is None else str(found)


def _observed(words: Vocabulary, record: Mapping[str, Any]) -> Observed:
    system, internal_id = words.client.settings.system, str(record["id"])
    currency, issued = words.currency(record.get("currency")), day(record.get("tranDate"))
    if currency not in CURRENCIES or issued is None:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "The invoice in NetSuite lacks a currency or a date that we can read.",
            code="INT-SCHEMA",
        )
    lines = tuple(
        _line(index, line, currency) for index, line in enumerate(items(record.get("item")), start=1)
    )
    facts = invoice_facts(record)
    customer, project = ref_id(record.get("entity")), ref_id(record.get("job"))

    def money(value: Any) -> Money | None:
        found = decimal(value)
        return None if found is None else Money.of(found, currency)

    body = built(
        Invoice,
        "The invoice in NetSuite",
        key=str(record.get("externalId") or f"{system}:{internal_id}"),
        number=facts["number"],
        engagement_key=f"{system}:{project or 'none'}",
        customer_key=f"{system}:{customer or 'none'}",
        legal_entity_code=words.entity_code(ref_id(record.get("subsidiary"))),
        currency=currency,
        status=facts["status"],
        invoice_on=issued,
        due_on=day(record.get("dueDate")),
        payment_terms=ref_name(record.get("terms")),
        po_number=str(record.get("otherRefNum") or ""),
        memo=str(record.get("memo") or ""),
        lines=lines,
        net=money(record.get("subtotal"))
        or Money.of(sum((line.amount.amount for line in lines), Decimal(0)), currency),
        tax=money(record.get("taxTotal")),
        total=money(record.get("total")),
        balance=money(record.get("amountRemaining")),
    )
    return Observed(
        object_type="invoice",
        external_id=internal_id,
        body=body,
        version=str(record.get("lastModifiedDate") or ""),
        modified_at=words.client.moment(record.get("lastModifiedDate")),
        url=words.page("invoice", internal_id),
        container_id=project,
        facts={**facts, "customer_id": customer, "project_id": project, "currency": currency},
    )


def _line(index: int, line: Mapping[str, Any], currency: str) -> InvoiceLine:
    quantity = decimal(line.get("quantity"))
    amount = decimal(line.get("amount")) or Decimal(0)
    rate = decimal(line.get("rate"))
    if rate is None:
        rate = amount / quantity if quantity else amount
    return InvoiceLine(
        key=str(line.get("line") or index),
        description=str(line.get("description") or ""),
        billing_code=ref_id(line.get("item")),
        quantity=quantity if quantity is not None else Decimal(1),
        unit_price=Money.of(rate, currency),
        amount=Money.of(amount, currency),
    )


def invoice_write(words: Vocabulary, push: Push) -> Write:
    """The draft, all lines replaced: a second upsert after the prebill was sent back leaves no old line behind.

    Refs ``customer`` and ``project``; settings ``subsidiary``, ``terms_id``, ``currency_id``, ``tax_code_id`` (of all
    lines); ``values["tax_codes"]`` (line key → tax code id) goes before it.
    """
    body = push.body
    if not isinstance(body, Invoice):
        raise AdapterError(ErrorKind.CONTRACT_DRIFT, "An invoice write needs an invoice.", code="INT-SCHEMA")
    settings = push.settings
    wanted: dict[str, Any] = {
        "entity": reference(_ref(push, "customer")),
        "currency": reference(words.currency_id(body.currency, settings)),
        "tranDate": body.invoice_on.isoformat(),
        "approvalStatus": reference(PENDING),
        "memo": body.memo or body.key,
        "item": {"items": [_line_write(words, line, index, push) for index, line in enumerate(body.lines)]},
    }
    project = str(push.refs.get("project") or push.refs.get("engagement") or "")
    optional: dict[str, Any] = {
        "job": reference(project) if project else None,
        "subsidiary": reference(settings["subsidiary"]) if settings.get("subsidiary") else None,
        "terms": reference(settings["terms_id"]) if settings.get("terms_id") else None,
        "dueDate": body.due_on.isoformat() if body.due_on else None,
        "otherRefNum": body.po_number or None,
    }
    wanted |= {name: value for name, value in optional.items() if value is not None}
    return Write("invoice", wanted, external_id=push.key, replace="item")


def _line_write(words: Vocabulary, line: InvoiceLine, index: int, push: Push) -> dict[str, Any]:
    written: dict[str, Any] = {
        "item": reference(words.item_id(line.billing_code, field=f"lines[{line.key}].billing_code")),
        "quantity": number(line.quantity),
        "rate": number(line.unit_price.amount),
        "amount": number(line.amount.amount),
        "description": line.description,
    }
    own = push.values.get("tax_codes")
    tax = (
        (own.get(line.key) if isinstance(own, Mapping) else None)
        or push.settings.get("tax_code_id")
        or push.settings.get("tax_code")
    )
    if tax:
        written["taxCode"] = reference(tax)
    return written


def _ref(push: Push, role: str) -> str:
    found = str(push.refs.get(role) or "")
    if not found:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            f"The write of this {push.object_type} needs its {role}.",
            code="INT-SCHEMA",
            field=f"{role}_key",
        )
    return found


def post_write(words: Vocabulary, push: Push) -> Write:
    """Approve the draft; NetSuite then gives the number and posts it."""
    body = {"approvalStatus": reference(APPROVED)}
    if push.external_id:
        return Write("invoice", body, internal_id=push.external_id)
    return Write("invoice", body, internal_id=f"eid:{push.key}")


def reject_write(words: Vocabulary, push: Push) -> Write:
    """Reject a draft that is not wanted any more: nobody can approve it by mistake, and it never gets a number."""
    body = {"approvalStatus": reference(REJECTED)}
    return Write("invoice", body, internal_id=push.external_id or f"eid:{push.key}")


# -- payments --------------------------------------------------------------------------------------


def payment_write(words: Vocabulary, push: Push) -> Write:
    """A customer payment applied to one invoice: ``values`` amount, currency, reference, paid_on; its refs are the
    invoice and the customer."""
    values = push.values
    currency, invoice = str(values.get("currency") or ""), _ref(push, "invoice")
    amount = decimal(
        values["amount"].get("amount") if isinstance(values.get("amount"), Mapping) else values.get("amount")
    )
    if amount is None or amount <= 0:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "A payment needs an amount above zero.",
            code="INT-SCHEMA",
            field="amount",
            value=str(values.get("amount")),
        )
    wanted: dict[str, Any] = {
        "customer": reference(_ref(push, "customer")),
        "payment": number(amount),
        "memo": str(values.get("reference") or push.key),
        "apply": {"items": [{"doc": reference(invoice), "apply": True, "amount": number(amount)}]},
    }
    if currency:
        wanted["currency"] = reference(words.currency_id(currency, push.settings))
    if push.settings.get("subsidiary"):
        wanted["subsidiary"] = reference(push.settings["subsidiary"])
    if values.get("paid_on"):
        wanted["tranDate"] = str(values["paid_on"])[:10]
    if push.settings.get("account_id"):
        wanted["account"] = reference(push.settings["account_id"])
    return Write("customerPayment", wanted, external_id=push.key, replace="apply")


def find_payments(words: Vocabulary, *, by: str, value: str) -> Mapping[str, Any] | None:
    """A payment record by ``id`` or ``key``."""
    return words.client.get("customerPayment", value if by == "id" else f"eid:{value}") if value else None


# -- items -----------------------------------------------------------------------------------------

_ITEM_COLUMNS = f"id, itemid, displayname, isinactive, {MODIFIED}"


def find_items(words: Vocabulary, *, by: str, value: str) -> list[Observed]:
    """Service items by ``id``, ``code`` (``itemid``, exact) or ``name`` (contains; empty lists all, for pick lists)."""
    if by == "id":
        condition = f"id = {value}" if value.isdigit() else ""
    elif by in ("code", "key"):
        condition = f"itemid = {literal(value)}" if value else ""
    elif by == "name":
        condition = f"UPPER(displayname) LIKE {like(value.upper())}" if value else "id > 0"
    else:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite items cannot be searched by {by}.", code="INT-SCHEMA"
        )
    if not condition:
        return []
    rows = words.client.select(_ITEM_COLUMNS, "item", condition, limit=LISTED)
    return [_item(words, row) for row in rows]


def _item(words: Vocabulary, row: Mapping[str, Any]) -> Observed:
    internal_id, inactive = str(row["id"]), is_true(row.get("isinactive"))
    code = str(row.get("itemid") or internal_id)
    return Observed(
        object_type="service_item",
        external_id=internal_id,
        body=ServiceItem(key=code, name=str(row.get("displayname") or code), active=not inactive),
        version=str(row.get("lastmodifieddate") or ""),
        modified_at=words.client.moment(row.get("lastmodifieddate")),
        url=words.page("serviceSaleItem", internal_id),
        facts={"inactive": inactive, "code": code},
    )


# -- subsidiaries ----------------------------------------------------------------------------------


def find_subsidiaries(words: Vocabulary, *, by: str, value: str) -> list[Observed]:
    """Subsidiaries by ``id``, ``key`` (our legal-entity code by configuration) or ``name``."""
    wanted: Sequence[str]
    if by == "id":
        wanted = [value]
    elif by in ("key", "code"):
        known = words.config.get("subsidiaries")
        wanted = (
            [found for found, code in known.items() if code == value] if isinstance(known, Mapping) else []
        )
    elif by == "name":
        rows = words.client.select("id", "subsidiary", f"UPPER(name) = {literal(value.upper())}")
        wanted = [str(row["id"]) for row in rows]
    else:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite subsidiaries cannot be searched by {by}.", code="INT-SCHEMA"
        )
    records = [words.client.get("subsidiary", found) for found in wanted if found.isdigit()]
    return [_subsidiary(words, record) for record in records if record is not None]


def _subsidiary(words: Vocabulary, record: Mapping[str, Any]) -> Observed:
    internal_id = str(record["id"])
    country, currency = ref_id(record.get("country")).upper(), words.currency(record.get("currency"))
    if not re.fullmatch(r"[A-Z]{2}", country) or currency not in CURRENCIES:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "The subsidiary in NetSuite has no country or currency that we know.",
            code="INT-SCHEMA",
        )
    inactive = is_true(record.get("isInactive"))
    body = built(
        LegalEntity,
        "The subsidiary in NetSuite",
        key=words.entity_code(internal_id),
        name=str(record.get("legalName") or record.get("name") or internal_id),
        country=country,
        currency=currency,
        tax_id=str(record.get("federalIdNumber") or ""),
        active=not inactive,
        address=Address(country=country),
    )
    return Observed(
        object_type="subsidiary",
        external_id=internal_id,
        body=body,
        version=str(record.get("lastModifiedDate") or ""),
        modified_at=words.client.moment(record.get("lastModifiedDate")),
        url=words.page("subsidiary", internal_id),
        facts={"inactive": inactive},
    )
