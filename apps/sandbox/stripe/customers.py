"""Customers, their tax ids, and tax rates.

Public surface: Customers (a part of the vendor class; needs ``system``, ``invoicing``, ``_emit``, ``_page``).
"""

import re
import secrets
import time

from ..core.http import Request, Response
from ..core.systems import NoSuchRecord
from .errors import invalid, refuse
from .forms import check, decode, integer, metadata, need
from .invoices import new_id


class Customers:
    def _new_customer(self, values: dict) -> dict:
        prefix = values.get("invoice_prefix") or secrets.token_hex(4).upper()
        if not re.fullmatch(r"[A-Z0-9]{3,12}", prefix):
            invalid("Invalid invoice_prefix: 3 to 12 uppercase letters or numbers.", param="invoice_prefix")
        if any(c["invoice_prefix"] == prefix for c in self.system.find("customer", "invoice_prefix", prefix)):
            refuse(400, f"The invoice prefix {prefix} is already used.", param="invoice_prefix")
        doc = {
            "id": new_id("cus"),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": int(time.time()),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "email": None,
            "invoice_prefix": prefix,
            "invoice_settings": {"custom_fields": None, "default_payment_method": None},
            "livemode": False,
            "metadata": metadata({}, values.get("metadata")),
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
        }
        ignored = ("metadata", "expand", "tax_id_data", "invoice_prefix", "payment_method", "test_clock")
        doc |= self._customer_values(doc, {k: v for k, v in values.items() if k not in ignored})
        self.system.put("customer", doc["id"], doc)
        for entry in values.get("tax_id_data") or []:
            self._put_tax_id(doc["id"], entry)
        self._emit("customer.created", doc)
        return doc

    def _customer_values(self, doc: dict, values: dict) -> dict:
        if values.get("email") and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", values["email"]):
            invalid(f"Invalid email address: {values['email']}", code="email_invalid", param="email")
        change = {k: (None if v == "" else v) for k, v in values.items()}
        for name in ("balance", "next_invoice_sequence"):
            if name in change:
                change[name] = integer(values, name)
        if isinstance(change.get("address"), dict):
            names = ("city", "country", "line1", "line2", "postal_code", "state")
            base = doc.get("address") or dict.fromkeys(names)
            bad = set(change["address"]) - set(names)
            if bad:
                invalid(
                    f"Received unknown parameter: address[{min(bad)}]",
                    code="parameter_unknown",
                    param="address",
                )
            change["address"] = {**base, **{k: v or None for k, v in change["address"].items()}}
        return change

    def _new_tax_rate(self, values: dict) -> dict:
        doc = {
            "id": new_id("txr"),
            "object": "tax_rate",
            "active": True,
            "created": int(time.time()),
            "display_name": need(values, "display_name"),
            "percentage": float(need(values, "percentage")),
            "inclusive": need(values, "inclusive") == "true",
            "metadata": metadata({}, values.get("metadata")),
            "livemode": False,
        }
        doc |= {n: values.get(n) for n in ("country", "description", "jurisdiction", "state", "tax_type")}
        return self.system.put("tax_rate", doc["id"], doc)

    def _put_tax_id(self, customer: str, values: dict) -> dict:
        doc = {
            "id": new_id("txi"),
            "object": "tax_id",
            "country": str(values.get("value") or "")[:2] or None,
            "created": int(time.time()),
            "customer": customer,
            "livemode": False,
            "type": need(values, "type"),
            "value": need(values, "value"),
            "verification": {"status": "pending", "verified_address": None, "verified_name": None},
        }
        self.system.put("tax_id", doc["id"], doc)
        self._emit("customer.tax_id.created", doc)
        return doc

    def _verify_tax_id(self, body: dict) -> dict:
        """The register answers, or cannot be reached: ``status`` and the ``name`` that it knows, for all ids of a customer."""
        status = body.get("status") or "verified"
        if status not in ("pending", "verified", "unverified", "unavailable"):
            raise ValueError(f"no status {status}")
        found = self.system.find("tax_id", "customer", str(body.get("customer")))
        if not found:
            raise NoSuchRecord(f"no tax id of {body.get('customer')}")
        name = body.get("name") if status == "verified" else None
        told = {"status": status, "verified_address": None, "verified_name": name}
        for before in found:
            after = self.system.put("tax_id", before["id"], {**before, "verification": told})
            self._emit("customer.tax_id.updated", after, before)
        return after

    def _tax_ids(self, request: Request, id: str) -> Response:
        self.invoicing.get("customer", id)
        values = decode(request.query_items)
        docs = list(reversed(self.system.find("tax_id", "customer", id)))
        return Response(200, self._page(request, "tax_id", docs, values))

    def _add_tax_id(self, request: Request, id: str) -> Response:
        values = decode(request.form())
        check("tax_id.create", values)
        self.invoicing.get("customer", id)
        return Response(200, self._put_tax_id(id, values))

    def _account(self, request: Request) -> Response:
        return Response(
            200,
            {
                "id": "acct_sandbox",
                "object": "account",
                "charges_enabled": True,
                "country": "GB",
                "default_currency": "gbp",
                "type": "standard",
            },
        )
