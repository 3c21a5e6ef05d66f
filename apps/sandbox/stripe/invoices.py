"""Invoices, their items, credit notes and payments. Amounts are integers in minor units of the currency.

Public surface: Invoicing.
"""

import secrets
import time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from .errors import invalid, refuse
from .forms import boolean, integer, metadata, need

COLLECTION = ("charge_automatically", "send_invoice")
PLAIN = (
    "description",
    "footer",
    "statement_descriptor",
    "custom_fields",
    "rendering",
    "payment_settings",
    "shipping_details",
    "effective_at",
)


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def amount_of(values: dict) -> tuple[int, str | None, str]:
    """Amount in minor units, unit amount and quantity of an item's parameters."""
    amount = integer(values, "amount")
    quantity = values.get("quantity_decimal") or values.get("quantity") or "1"
    unit = values.get("unit_amount_decimal")
    price = values.get("price_data") or {}
    unit = unit if unit is not None else price.get("unit_amount_decimal", price.get("unit_amount"))
    if amount is not None and unit is not None:
        invalid("You may only specify one of these parameters: amount, unit_amount_decimal.", param="amount")
    if amount is None and unit is None:
        invalid(
            "One of amount, unit_amount_decimal or price_data is required.",
            code="parameter_missing",
            param="amount",
        )
    if amount is None:
        try:
            exact = Decimal(str(unit)) * Decimal(str(quantity))
        except InvalidOperation:
            invalid("Invalid decimal.", param="unit_amount_decimal")
        amount = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    return amount, None if unit is None else str(unit), str(quantity)


class Invoicing:
    """Works on the system's documents; ``emit(type, object, previous)`` publishes an event."""

    def __init__(self, system, emit):
        self._system, self._emit = system, emit

    def get(self, kind: str, id_: str, *, param: str = "id") -> dict:
        doc = self._system.get(kind, id_)
        if doc is None:
            label = {"invoiceitem": "invoiceitem", "credit_note": "credit_note"}.get(kind, kind)
            refuse(404, f"No such {label}: '{id_}'", code="resource_missing", param=param)
        return doc

    # -- items -----------------------------------------------------------------------------------

    def add_item(self, values: dict) -> dict:
        customer = self._system.get("customer", need(values, "customer"))
        if customer is None:
            refuse(
                400, f"No such customer: '{values['customer']}'", code="resource_missing", param="customer"
            )
        invoice = None
        if values.get("invoice"):
            invoice = self.get("invoice", values["invoice"], param="invoice")
            self._draft(invoice)
            if invoice["customer"] != customer["id"]:
                refuse(400, "The invoice belongs to another customer.", param="invoice")
        amount, unit, quantity = amount_of(values)
        currency = (values.get("currency") or (values.get("price_data") or {}).get("currency") or "").lower()
        currency = currency or (invoice["currency"] if invoice else "")
        if not currency:
            invalid("Missing required param: currency.", code="parameter_missing", param="currency")
        if invoice and currency != invoice["currency"]:
            refuse(
                400,
                f"The currency of the invoice item ({currency}) does not match the currency of the invoice "
                f"({invoice['currency']}).",
                param="currency",
            )
        now = int(time.time())
        item = {
            "id": new_id("ii"),
            "object": "invoiceitem",
            "amount": amount,
            "currency": currency,
            "customer": customer["id"],
            "date": now,
            "description": values.get("description"),
            "discountable": True,
            "invoice": invoice["id"] if invoice else None,
            "livemode": False,
            "metadata": metadata({}, values.get("metadata")),
            "period": self._period(values, now),
            "proration": False,
            "quantity": int(Decimal(quantity)),
            "quantity_decimal": quantity,
            "unit_amount_decimal": unit,
            "tax_rates": values.get("tax_rates") or [],
            "tax_code": values.get("tax_code"),
            "tax_behavior": values.get("tax_behavior"),
            "test_clock": None,
        }
        self._system.put("invoiceitem", item["id"], item)
        if invoice:
            self.attach(invoice, [item])
        self._emit("invoiceitem.created", item)
        return item

    def _period(self, values: dict, now: int) -> dict:
        period = values.get("period") or {}
        return {"start": int(period.get("start") or now), "end": int(period.get("end") or now)}

    def attach(self, invoice: dict, items: list[dict]) -> dict:
        lines = list(invoice["lines"]["data"])
        for item in items:
            line = {
                "id": new_id("il"),
                "object": "line_item",
                "amount": item["amount"],
                "currency": item["currency"],
                "description": item["description"],
                "discountable": True,
                "invoice": invoice["id"],
                "livemode": False,
                "metadata": item["metadata"],
                "period": item["period"],
                "quantity": item["quantity"],
                "quantity_decimal": item["quantity_decimal"],
                "pricing": {"type": "price_details", "unit_amount_decimal": item["unit_amount_decimal"]},
                "parent": {
                    "type": "invoice_item_details",
                    "invoice_item_details": {"invoice_item": item["id"]},
                },
                "tax_rates": item.get("tax_rates") or [],
                "taxes": [],
            }
            lines.append(line)
            if self._system.get("invoiceitem", item["id"]):
                self._system.put("invoiceitem", item["id"], {**item, "invoice": invoice["id"]})
        return self.save({**invoice, "lines": {**invoice["lines"], "data": lines}})

    def detach(self, item: dict) -> None:
        if item.get("invoice"):
            invoice = self.get("invoice", item["invoice"])
            self._draft(invoice)
            keep = [
                line
                for line in invoice["lines"]["data"]
                if line["parent"]["invoice_item_details"]["invoice_item"] != item["id"]
            ]
            self.save({**invoice, "lines": {**invoice["lines"], "data": keep}})
        self._system.delete("invoiceitem", item["id"])
        self._emit("invoiceitem.deleted", item)

    # -- invoices --------------------------------------------------------------------------------

    def create(self, values: dict) -> dict:
        customer = self._system.get("customer", need(values, "customer"))
        if customer is None:
            refuse(
                400, f"No such customer: '{values['customer']}'", code="resource_missing", param="customer"
            )
        method = values.get("collection_method") or "charge_automatically"
        if method not in COLLECTION:
            invalid(
                f"Invalid collection_method: must be one of {' or '.join(COLLECTION)}",
                param="collection_method",
            )
        days, due = integer(values, "days_until_due"), integer(values, "due_date")
        if method == "send_invoice" and days is None and due is None:
            invalid(
                "If invoice `collection_method` is 'send_invoice', you must specify one of `due_date` or "
                "`days_until_due`.",
                param="days_until_due",
            )
        if method == "charge_automatically" and (days is not None or due is not None):
            invalid("days_until_due is only for send_invoice.", param="days_until_due")
        now = int(time.time())
        invoice = {
            "id": new_id("in"),
            "object": "invoice",
            "account_country": "GB",
            "amount_due": 0,
            "amount_paid": 0,
            "amount_remaining": 0,
            "amount_overpaid": 0,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": boolean(values, "auto_advance") or False,
            "automatic_tax": {
                "enabled": str((values.get("automatic_tax") or {}).get("enabled")).lower() == "true",
                "status": None,
            },
            "billing_reason": "manual",
            "collection_method": method,
            "created": now,
            "currency": (values.get("currency") or customer.get("currency") or "usd").lower(),
            "customer": customer["id"],
            "customer_address": customer.get("address"),
            "customer_email": customer.get("email"),
            "customer_name": customer.get("name"),
            "default_tax_rates": values.get("default_tax_rates") or [],
            "due_date": due,
            "days_until_due": days,
            "ending_balance": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "lines": {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": ""},
            "livemode": False,
            "metadata": metadata({}, values.get("metadata")),
            "next_payment_attempt": None,
            "number": values.get("number"),
            "paid_out_of_band": False,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": {
                "finalized_at": None,
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "subtotal": 0,
            "total": 0,
            "total_taxes": [],
            "webhooks_delivered_at": None,
        }
        invoice |= {name: values.get(name) for name in PLAIN}
        invoice["lines"]["url"] = f"/v1/invoices/{invoice['id']}/lines"
        self.save(invoice)
        if values.get("pending_invoice_items_behavior") == "include":
            pending = [
                i
                for i in self._system.find("invoiceitem", "customer", customer["id"])
                if not i["invoice"] and i["currency"] == invoice["currency"]
            ]
            invoice = self.attach(invoice, pending)
        self._emit("invoice.created", self.get("invoice", invoice["id"]))
        return self.get("invoice", invoice["id"])

    def update(self, invoice: dict, values: dict) -> dict:
        before = invoice
        frozen = set(values) - {
            "metadata",
            "auto_advance",
            "description",
            "footer",
            "expand",
            "payment_settings",
        }
        if invoice["status"] != "draft" and frozen:
            refuse(
                400,
                f"Finalized invoices can't be updated in this way: {', '.join(sorted(frozen))}",
                code="invoice_not_editable",
            )
        change = {name: values[name] for name in PLAIN if name in values}
        for name in ("days_until_due", "due_date"):
            if name in values:
                change[name] = integer(values, name)
        if "default_tax_rates" in values:
            change["default_tax_rates"] = values["default_tax_rates"] or []
        if "auto_advance" in values:
            change["auto_advance"] = boolean(values, "auto_advance")
        if "metadata" in values:
            change["metadata"] = metadata(invoice["metadata"], values["metadata"])
        after = self.save({**invoice, **change})
        self._emit("invoice.updated", after, before)
        return after

    def save(self, invoice: dict) -> dict:
        """Recompute sums and keep."""
        subtotal, taxes = 0, {}
        lines = []
        for line in invoice["lines"]["data"]:
            subtotal += line["amount"]
            rates = line.get("tax_rates") or invoice.get("default_tax_rates") or []
            line_taxes = [self._tax(rate, line["amount"]) for rate in rates]
            for tax in line_taxes:
                taxes[tax["tax_rate_details"]["tax_rate"]] = (
                    taxes.get(tax["tax_rate_details"]["tax_rate"], 0) + tax["amount"]
                )
            lines.append({**line, "taxes": line_taxes})
        total = subtotal + sum(taxes.values())
        due = max(0, total - invoice["pre_payment_credit_notes_amount"])
        invoice = {
            **invoice,
            "subtotal": subtotal,
            "total": total,
            "total_excluding_tax": subtotal,
            "total_taxes": [
                {
                    "amount": amount,
                    "tax_behavior": "exclusive",
                    "type": "tax_rate_details",
                    "tax_rate_details": {"tax_rate": rate},
                }
                for rate, amount in taxes.items()
            ],
            "amount_due": due,
            "amount_remaining": max(0, due - invoice["amount_paid"]),
            "lines": {**invoice["lines"], "data": lines, "total_count": len(lines)},
        }
        if invoice["status"] in ("paid", "void"):
            invoice["amount_remaining"] = 0 if invoice["status"] == "paid" else invoice["amount_remaining"]
        return self._system.put("invoice", invoice["id"], invoice)

    def _tax(self, rate_id: str, amount: int) -> dict:
        rate = self._system.get("tax_rate", rate_id)
        if rate is None:
            refuse(400, f"No such tax rate: '{rate_id}'", code="resource_missing", param="tax_rates")
        tax = (Decimal(amount) * Decimal(str(rate["percentage"])) / 100).quantize(Decimal(1), ROUND_HALF_UP)
        return {
            "amount": int(tax),
            "tax_behavior": "exclusive",
            "taxable_amount": amount,
            "type": "tax_rate_details",
            "tax_rate_details": {"tax_rate": rate_id},
        }

    def _draft(self, invoice: dict) -> None:
        if invoice["status"] != "draft":
            refuse(400, "This invoice is no longer editable", code="invoice_not_editable", param="invoice")

    def _move(self, invoice: dict, status: str, stamp: str, **more) -> dict:
        transitions = {**invoice["status_transitions"], stamp: int(time.time())}
        return self.save({**invoice, "status": status, "status_transitions": transitions, **more})

    def finalize(self, invoice: dict) -> dict:
        if invoice["status"] != "draft":
            refuse(
                400,
                "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
                code="invoice_already_finalized",
            )
        now = int(time.time())
        customer = self.get("customer", invoice["customer"])
        number = customer["next_invoice_sequence"]
        self._system.put("customer", customer["id"], {**customer, "next_invoice_sequence": number + 1})
        due = invoice["due_date"]
        if due is None and invoice.get("days_until_due") is not None:
            due = now + invoice["days_until_due"] * 86400
        secret = secrets.token_urlsafe(16)
        after = self._move(
            invoice,
            "open",
            "finalized_at",
            number=invoice["number"] or f"{customer['invoice_prefix']}-{number:04d}",
            due_date=due,
            effective_at=invoice.get("effective_at") or now,
            hosted_invoice_url=f"{self._system.base_url}/i/{invoice['id']}?s={secret}",
            invoice_pdf=f"{self._system.base_url}/i/{invoice['id']}/pdf?s={secret}",
        )
        self._emit("invoice.finalized", after, invoice)
        if after["amount_due"] == 0:
            after = self.settle(after, 0)
        return after

    def send(self, invoice: dict) -> dict:
        if invoice["collection_method"] != "send_invoice":
            refuse(400, "You can only manually send an invoice if its collection method is 'send_invoice'.")
        if invoice["status"] == "draft":
            invoice = self.finalize(invoice)
        if invoice["status"] not in ("open", "paid"):
            refuse(400, f"You can't send an invoice that is {invoice['status']}.")
        self._emit("invoice.sent", invoice)
        return invoice

    def pay(self, invoice: dict, values: dict) -> dict:
        if invoice["status"] == "draft":
            invoice = self.finalize(invoice)
        if invoice["status"] == "paid":
            refuse(400, "Invoice is already paid", code="invoice_already_paid")
        if invoice["status"] not in ("open", "uncollectible"):
            refuse(400, f"Invoices that are {invoice['status']} can't be paid.", code="invoice_not_payable")
        outside = boolean(values, "paid_out_of_band") or False
        if not outside and not values.get("payment_method"):
            refuse(
                400,
                "There is no default payment method set on this Customer or Invoice. Please set one or pass "
                "payment_method.",
                code="resource_missing",
            )
        return self.settle(invoice, invoice["amount_remaining"], out_of_band=outside)

    def settle(self, invoice: dict, amount: int, *, out_of_band: bool = False) -> dict:
        """Money arrived: whole or part of what is due."""
        paid = invoice["amount_paid"] + (0 if out_of_band else amount)
        if amount < invoice["amount_remaining"]:
            after = self.save({**invoice, "amount_paid": paid, "attempted": True})
            self._payment(after, amount)
            self._emit("invoice.updated", after, invoice)
            return after
        after = self._move(
            invoice, "paid", "paid_at", amount_paid=paid, paid_out_of_band=out_of_band, attempted=True
        )
        if amount and not out_of_band:
            self._payment(after, amount)
        self._emit("invoice.updated", after, invoice)
        self._emit("invoice.paid", after)
        self._emit("invoice.payment_succeeded", after)
        return after

    def _payment(self, invoice: dict, amount: int) -> None:
        payment = {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": amount,
            "amount_requested": amount,
            "created": int(time.time()),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "livemode": False,
            "is_default": False,
            "status": "paid",
            "status_transitions": {"paid_at": int(time.time())},
            "payment": {"type": "payment_intent", "payment_intent": new_id("pi")},
        }
        self._system.put("invoice_payment", payment["id"], payment)
        self._emit("invoice_payment.paid", payment)

    def void(self, invoice: dict) -> dict:
        if invoice["status"] not in ("open", "uncollectible"):
            refuse(
                400,
                f"You can only void open or uncollectible invoices; this one is {invoice['status']}.",
                code="invoice_not_voidable",
            )
        after = self._move(invoice, "void", "voided_at")
        self._emit("invoice.voided", after, invoice)
        return after

    def mark_uncollectible(self, invoice: dict) -> dict:
        if invoice["status"] != "open":
            refuse(400, f"You can only mark open invoices uncollectible; this one is {invoice['status']}.")
        after = self._move(invoice, "uncollectible", "marked_uncollectible_at")
        self._emit("invoice.marked_uncollectible", after, invoice)
        return after

    def discard(self, invoice: dict) -> None:
        if invoice["status"] != "draft":
            refuse(400, "You can only delete draft invoices.")
        for item in self._system.find("invoiceitem", "invoice", invoice["id"]):
            self._system.delete("invoiceitem", item["id"])
        self._system.delete("invoice", invoice["id"])
        self._emit("invoice.deleted", invoice)

    # -- credit notes ----------------------------------------------------------------------------

    def credit(self, values: dict) -> dict:
        invoice = self.get("invoice", need(values, "invoice"), param="invoice")
        if invoice["status"] not in ("open", "paid", "uncollectible"):
            refuse(400, f"You can't credit an invoice that is {invoice['status']}.", param="invoice")
        lines = values.get("lines") or []
        amount = integer(values, "amount")
        if amount is None and not lines:
            invalid("You must specify amount or lines.", code="parameter_missing", param="amount")
        if amount is None:
            amount = sum(self._credit_line(invoice, line) for line in lines)
        left = (
            invoice["total"]
            - invoice["pre_payment_credit_notes_amount"]
            - invoice["post_payment_credit_notes_amount"]
        )
        if amount <= 0 or amount > left:
            refuse(
                400,
                f"The credit note amount {amount} is not within what is left to credit ({left}).",
                param="amount",
            )
        before_payment = invoice["status"] != "paid"
        if before_payment and amount > invoice["amount_remaining"]:
            refuse(
                400,
                "The credit note is greater than what is still due; say refund, credit or out of band.",
                param="amount",
            )
        sides = sum(integer(values, n) or 0 for n in ("refund_amount", "credit_amount", "out_of_band_amount"))
        if not before_payment and sides != amount:
            refuse(
                400,
                "The sum of refund_amount, credit_amount and out_of_band_amount must equal the credit note "
                "amount.",
                param="amount",
            )
        number = len(self._system.find("credit_note", "invoice", invoice["id"])) + 1
        note = {
            "id": new_id("cn"),
            "object": "credit_note",
            "amount": amount,
            "created": int(time.time()),
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "invoice": invoice["id"],
            "livemode": False,
            "memo": values.get("memo"),
            "metadata": metadata({}, values.get("metadata")),
            "number": f"{invoice['number']}-CN-{number:02d}",
            "reason": values.get("reason"),
            "status": "issued",
            "subtotal": amount,
            "total": amount,
            "type": "pre_payment" if before_payment else "post_payment",
            "out_of_band_amount": integer(values, "out_of_band_amount"),
            "voided_at": None,
        }
        self._system.put("credit_note", note["id"], note)
        self._shift_credit(invoice, note, amount)
        self._emit("credit_note.created", note)
        return note

    def _credit_line(self, invoice: dict, line: dict) -> int:
        if line.get("type") == "invoice_line_item":
            source = next(
                (x for x in invoice["lines"]["data"] if x["id"] == line.get("invoice_line_item")), None
            )
            if source is None:
                refuse(400, "No such invoice line item.", code="resource_missing", param="lines")
            given = integer(line, "amount")
            return given if given is not None else source["amount"]
        return amount_of(line)[0]

    def _shift_credit(self, invoice: dict, note: dict, amount: int) -> None:
        name = f"{note['type']}_credit_notes_amount"
        after = self.save({**invoice, name: invoice[name] + amount})
        if after["status"] == "open" and after["amount_remaining"] == 0:
            self.settle(after, 0)
        else:
            self._emit("invoice.updated", after, invoice)

    def void_credit(self, note: dict) -> dict:
        if note["status"] != "issued" or note["type"] != "pre_payment":
            refuse(400, "You can only void an issued credit note of an open invoice.")
        after = self._system.put(
            "credit_note", note["id"], {**note, "status": "void", "voided_at": int(time.time())}
        )
        invoice = self.get("invoice", note["invoice"])
        self._shift_credit(invoice, note, -note["amount"])
        self._emit("credit_note.voided", after, note)
        return after
