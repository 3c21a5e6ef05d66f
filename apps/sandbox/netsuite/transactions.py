"""Invoices, credit memos and payments: periods, totals, approval, application.

Public surface: settle (before saving), apply_lines (after saving), unapply.
Amounts are computed in decimals and rounded half up to the currency's places, then given as JSON numbers.
"""

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from ..core import clock
from . import fields as meta
from .errors import refuse, rule
from .masters import now_text

APPROVED_ID, REJECTED_ID = "2", "3"


def status_of(kind: str, id_: str) -> dict:
    return {"id": id_, "refName": meta.STATUSES[kind][id_]}


OPEN, PAID, PENDING, REJECTED, VOIDED = (status_of("invoice", id_) for id_ in "ABDEV")


def settle(account, kind: str, doc: dict, before: dict | None, *, enforce: bool) -> None:
    """Fill what the vendor computes; with ``enforce`` also refuse what it refuses."""
    customer_field = "customer" if kind == "customerPayment" else "entity"
    customer = account.resolve("customer", doc[customer_field]["id"]) if doc.get(customer_field) else None
    job = (
        account.resolve("job", doc[customer_field]["id"])
        if doc.get(customer_field) and not customer
        else None
    )
    if job and job.get("parent"):
        doc.setdefault("job", {"id": job["id"], "refName": job.get("refName")})
        customer = account.resolve("customer", job["parent"]["id"])
    doc["tranDate"] = doc.get("tranDate") or str(clock.now().date())
    if kind != "salesOrder":  # an order is not posted
        _period(account, doc, before, enforce)
    if customer:
        _party(account, doc, customer, enforce)
    _, places = account.symbol(doc.get("currency"))
    if kind != "customerPayment":
        _lines(account, doc, customer, places, enforce)
    if kind == "invoice":
        _invoice(account, doc, before, places)
        if enforce and customer:
            _credit(account, doc, customer, places)
    elif kind == "salesOrder":
        doc["tranId"] = doc.get("tranId") or _number(account, kind)
        doc["status"] = doc.get("status") or status_of(kind, "F")
    else:
        doc["tranId"] = doc.get("tranId") or _number(account, kind)
        if kind == "customerPayment":
            doc["total"] = doc.get("payment") or 0.0


def _number(account, kind: str) -> str:
    prefix = meta.TRANSACTIONS[kind][2]
    return f"{prefix}{account.system.number(f'tran:{kind}', start=10000)}"


def _money(value, places: int) -> Decimal:
    return Decimal(str(value or 0)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _period(account, doc: dict, before: dict | None, enforce: bool) -> None:
    periods = account.system.all("accountingPeriod")
    by_date = next(
        (
            p
            for p in periods
            if not p.get("isYear")
            and not p.get("isQuarter")
            and p["startDate"] <= doc["tranDate"] <= p["endDate"]
        ),
        None,
    )
    moved = before is not None and doc["tranDate"] != before.get("tranDate")
    given = (
        doc.get("postingPeriod")
        if not moved or doc.get("postingPeriod") != before.get("postingPeriod")
        else None
    )
    period = account.resolve("accountingPeriod", given["id"]) if given else by_date
    if period is None:
        if enforce:
            rule("INVALID_PERIOD", f"No accounting period holds the date {doc['tranDate']}.", path="tranDate")
        return
    if enforce and (period.get("closed") or period.get("allLocked") or period.get("arLocked")):
        word = "closed" if period.get("closed") else "locked"
        rule(
            "CLOSED_TRAN_PRD",
            f"The transaction date {doc['tranDate']} is not within an open accounting period: "
            f"{period['periodName']} is {word}. You cannot create or change this transaction.",
            path="postingPeriod" if given else "tranDate",
        )
    doc["postingPeriod"] = {"id": period["id"], "refName": period["periodName"]}


def _party(account, doc: dict, customer: dict, enforce: bool) -> None:
    doc["subsidiary"] = doc.get("subsidiary") or customer.get("subsidiary")
    doc["currency"] = doc.get("currency") or customer.get("currency")
    doc.setdefault("exchangeRate", 1.0)
    if not enforce:
        return
    if customer.get("isInactive"):
        rule(
            "INVALID_KEY_OR_REF",
            f"Invalid Field Value {customer['id']} for the following field: entity (the "
            "customer is inactive)",
            path="entity",
        )
    if doc.get("subsidiary") and doc["subsidiary"]["id"] not in account.subsidiaries(customer):
        rule(
            "SUBSIDIARY_MISMATCH",
            "The subsidiary of the transaction is not one of the customer's subsidiaries.",
            path="subsidiary",
        )
    if doc.get("currency") and doc["currency"]["id"] not in account.currencies(customer):
        rule(
            "MISMATCHED_CURRENCY",
            "The currency of the transaction is not one of the customer's currencies.",
            path="currency",
        )
    _rate_of_exchange(account, doc)


def _rate_of_exchange(account, doc: dict) -> None:
    """A foreign currency without a rate: its list of rates has been emptied for that day."""
    currency = account.resolve("currency", doc["currency"]["id"]) if doc.get("currency") else None
    subsidiary = account.resolve("subsidiary", doc["subsidiary"]["id"]) if doc.get("subsidiary") else None
    base = ((subsidiary or {}).get("currency") or {}).get("id")
    if currency and currency["id"] != base and currency.get("exchangeRate") == 0:
        rule(
            "MISSING_CRNCY_EXCH_RATE",
            f"There is no exchange rate for {currency['symbol']} on {doc['tranDate']}.",
            path="currency",
        )


def _credit(account, doc: dict, customer: dict, places: int) -> None:
    """Where the account's preference is to enforce holds, a limit holds back what would exceed it, unless overridden."""
    limit, enforced = customer.get("creditLimit"), account.system.setting("enforce_credit_holds", False)
    if not enforced or limit is None or (customer.get("creditHoldOverride") or {}).get("id") == "OFF":
        return
    open_amounts = [
        _money(one.get("amountRemaining"), places)
        for one in account.system.all("invoice")
        if (one.get("entity") or {}).get("id") == customer["id"]
        and one["id"] != doc.get("id")
        and (one.get("status") or {}).get("id") == OPEN["id"]
    ]
    if sum(open_amounts, _money(doc["total"], places)) > _money(limit, places):
        rule(
            "BALANCE_EXCEEDS_CREDIT_LIMIT",
            f"The balance of customer {customer['id']} would exceed the credit limit of {limit}.",
            path="entity",
        )


def _lines(account, doc: dict, customer: dict | None, places: int, enforce: bool) -> None:
    lines = doc.get("item", {}).get("items", [])
    if enforce and not lines:
        refuse(
            400,
            "USER_ERROR",
            "Error while accessing a resource. You must enter at least one line item for this transaction.",
            path="item",
        )
    total_tax, subtotal = Decimal(0), Decimal(0)
    settled = []
    for number, line in enumerate(lines):
        line = dict(line)
        if enforce:
            _item(account, doc, line, f"item.items[{number}]")
        if line.get("amount") is None:
            quantity = Decimal(str(line.get("quantity", 1)))
            line["amount"] = float(_money(quantity * Decimal(str(line.get("rate") or 0)), places))
        amount = _money(line["amount"], places)
        line["amount"] = float(amount)
        if line.get("rate") is None and line.get("quantity"):
            line["rate"] = float(amount / Decimal(str(line["quantity"])))
        tax = _tax(account, doc, line, customer, amount, places, enforce, number)
        line["tax1Amt"], line["grossAmt"] = float(tax), float(amount + tax)
        subtotal, total_tax = subtotal + amount, total_tax + tax
        settled.append(line)
    if settled:
        doc["item"] = {"items": settled}
    doc["subtotal"], doc["taxTotal"] = float(subtotal), float(total_tax)
    doc["total"] = float(subtotal + total_tax)


def _item(account, doc: dict, line: dict, path: str) -> None:
    if not line.get("item"):
        refuse(
            400,
            "USER_ERROR",
            "Error while accessing a resource. Please enter value(s) for: Item.",
            path=f"{path}.item",
        )
    found = next((d for d in (account.resolve(k, line["item"]["id"]) for k in meta.ITEM_TYPES) if d), None)
    subsidiary = (doc.get("subsidiary") or {}).get("id")
    allowed = {s["id"] for s in (found.get("subsidiary") or {}).get("items", [])}
    if found.get("isInactive") or (allowed and subsidiary not in allowed):
        rule(
            "INVALID_KEY_OR_REF",
            f"Invalid item reference key {found['id']} for subsidiary {subsidiary}.",
            path=f"{path}.item",
        )
    if "incomeAccount" in found and not found["incomeAccount"]:
        rule(
            "ITEM_ACCT_REQD",
            f"The item {found['id']} has no income account.",
            path=f"{path}.item",
        )


def _tax(account, doc, line, customer, amount: Decimal, places: int, enforce: bool, number: int) -> Decimal:
    code = line.get("taxCode") or doc.get("taxItem") or (customer or {}).get("taxItem")
    if code is None:
        required = account.system.setting("tax_code_required", [])
        subsidiary = (doc.get("subsidiary") or {}).get("id")
        if enforce and (required is True or subsidiary in (required or [])):
            rule(
                "TAX_CODE_REQD", "A tax code is required for each line.", path=f"item.items[{number}].taxCode"
            )
        return Decimal(0)
    item = account.resolve("salesTaxItem", code["id"])
    allowed = {s["id"] for s in ((item or {}).get("subsidiary") or {}).get("items", [])}
    if enforce and allowed and (doc.get("subsidiary") or {}).get("id") not in allowed:
        rule(
            "INVALID_TAX_CODE_FOR_SUB",
            f"The tax code {code.get('refName')} is not valid for the subsidiary.",
            path=f"item.items[{number}].taxCode",
        )
    line["taxCode"] = code
    line["taxRate1"] = float((item or {}).get("rate") or 0)
    return _money(amount * Decimal(str(line["taxRate1"])) / 100, places)


def _invoice(account, doc: dict, before: dict | None, places: int) -> None:
    doc["approvalStatus"] = doc.get("approvalStatus") or {"id": "1", "refName": "Pending Approval"}
    terms = account.resolve("term", doc["terms"]["id"]) if doc.get("terms") else None
    if terms is None and before is None and doc.get("entity"):
        customer = account.resolve("customer", doc["entity"]["id"]) or {}
        if customer.get("terms"):
            doc["terms"] = customer["terms"]
            terms = account.resolve("term", customer["terms"]["id"])
    if not doc.get("dueDate"):
        days = int(terms.get("daysUntilNetDue") or 0) if terms else 0
        doc["dueDate"] = str(date.fromisoformat(doc["tranDate"]) + timedelta(days=days))
    paid = _money(doc.get("amountPaid"), places)
    remaining = _money(doc["total"], places) - paid
    doc["amountPaid"], doc["amountRemaining"] = float(paid), float(remaining)
    approved = doc["approvalStatus"]["id"] == APPROVED_ID
    if (doc.get("status") or {}).get("id") == VOIDED["id"]:
        doc["amountRemaining"] = 0.0
        return
    if approved:
        doc["tranId"] = doc.get("tranId") or _number(account, "invoice")
        doc["status"] = PAID if remaining <= 0 and doc["total"] else OPEN
    else:
        doc["status"] = REJECTED if doc["approvalStatus"]["id"] == REJECTED_ID else PENDING


def apply_lines(account, kind: str, doc: dict, before: dict | None, *, enforce: bool) -> None:
    """Carry a payment's or credit's apply list into the invoices, undoing what it applied before."""
    if kind not in ("customerPayment", "creditMemo"):
        return
    if before:
        unapply(account, before)
    _, places = account.symbol(doc.get("currency"))
    available = _money(doc.get("total"), places)
    applied, settled = Decimal(0), []
    for number, line in enumerate(doc.get("apply", {}).get("items", [])):
        if not line.get("apply", True):
            continue
        invoice = account.resolve("invoice", line["doc"]["id"]) if line.get("doc") else None
        if invoice is None:
            continue
        path = f"apply.items[{number}]"
        amount = _money(
            line.get("amount") if line.get("amount") is not None else invoice["amountRemaining"], places
        )
        if enforce:
            _may_apply(doc, kind, invoice, amount, places, path)
        if enforce and applied + amount > available:
            rule(
                "USER_ERROR",
                "The amount applied exceeds the amount of the transaction.",
                path=f"{path}.amount",
            )
        applied += amount
        shift_paid(account, invoice["id"], amount, places)
        settled.append(
            {
                **line,
                "apply": True,
                "amount": float(amount),
                "total": invoice["total"],
                "due": invoice["amountRemaining"],
                "refNum": invoice.get("tranId"),
                "type": "Invoice",
            }
        )
    more = {"applied": float(applied), "unapplied": float(available - applied)}
    if settled:
        more["apply"] = {"items": settled}
    used_up = kind == "customerPayment" or applied >= available
    more["status"] = status_of(kind, "B" if used_up else "A")
    account.system.put(kind, doc["id"], {**doc, **more})


def _may_apply(doc: dict, kind: str, invoice: dict, amount: Decimal, places: int, path: str) -> None:
    party = doc["customer" if kind == "customerPayment" else "entity"]["id"]
    if invoice["entity"]["id"] != party:
        rule(
            "INVALID_KEY_OR_REF",
            f"Invalid Field Value {invoice['id']} for the following field: doc (the invoice "
            "belongs to another customer)",
            path=f"{path}.doc",
        )
    if invoice["status"] != OPEN:
        rule(
            "USER_ERROR",
            f"The invoice {invoice['id']} is {invoice['status']['refName']} and takes no payment.",
            path=f"{path}.doc",
        )
    if (invoice.get("currency") or {}).get("id") != (doc.get("currency") or {}).get("id"):
        rule(
            "MISMATCHED_CURRENCY", "The payment is in another currency than the invoice.", path=f"{path}.doc"
        )
    if amount > _money(invoice["amountRemaining"], places):
        rule("USER_ERROR", "The amount applied exceeds what is due on the invoice.", path=f"{path}.amount")


def shift_paid(account, invoice_id: str, amount: Decimal, places: int) -> None:
    invoice = dict(account.resolve("invoice", invoice_id))
    invoice["amountPaid"] = float(_money(invoice.get("amountPaid"), places) + amount)
    invoice["lastModifiedDate"] = now_text()
    _invoice(account, invoice, invoice, places)
    account.system.put("invoice", invoice["id"], invoice)


def unapply(account, doc: dict) -> None:
    """Take back what this payment or credit had applied."""
    _, places = account.symbol(doc.get("currency"))
    for line in doc.get("apply", {}).get("items", []):
        if line.get("apply") and line.get("doc") and account.resolve("invoice", line["doc"]["id"]):
            shift_paid(account, line["doc"]["id"], -_money(line.get("amount"), places), places)
