"""Nested values as Stripe's form fields, and canonical objects as Stripe's parameters.

Public surface: :func:`flatten`, :func:`to_minor`, :func:`from_minor`, :func:`customer`, :func:`invoice`,
:func:`invoice_line`, :data:`KEY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import Customer, Invoice
from apps.connectors.protocols.convert import decimal
from apps.connectors.spi import AdapterError, ErrorKind, Push

#: Metadata entry that carries our external key.
KEY = "pssync_key"
EU = {
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
}  # fmt: skip
#: Country → tax id type (Stripe API reference, "tax_id.type"); a country that is not here sends no tax id.
TAX_ID_TYPES: dict[str, str] = {
    **dict.fromkeys(EU, "eu_vat"),
    "AU": "au_abn",
    "CA": "ca_bn",
    "CH": "ch_vat",
    "GB": "gb_vat",
    "IN": "in_gst",
    "JP": "jp_cn",
    "NO": "no_vat",
    "NZ": "nz_gst",
    "SG": "sg_gst",
    "US": "us_ein",
}
DEFAULT_DAYS_UNTIL_DUE = 30
#: Currencies that Stripe does not count in hundredths ("Supported currencies").
_WHOLE = (
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_THOUSANDTHS = ("BHD", "JOD", "KWD", "OMR", "TND")
EXPONENTS: dict[str, int] = {**dict.fromkeys(_WHOLE, 0), **dict.fromkeys(_THOUSANDTHS, 3)}


def exponent(currency: str) -> int:
    """Decimals that Stripe counts in (its list differs from ISO 4217: MGA has none there, ISK two)."""
    return EXPONENTS.get(currency.upper(), 2)


def to_minor(amount: Money) -> int:
    """Stripe's integer for an amount. Raises ``REJECTED`` when it would lose a decimal."""
    scaled = amount.amount.scaleb(exponent(amount.currency))
    if scaled != scaled.to_integral_value():
        raise AdapterError(
            ErrorKind.REJECTED,
            f"Stripe cannot hold {amount}: it has too many decimals.",
            field="amount",
            value=str(amount.amount),
        )
    return int(scaled)


def from_minor(value: Any, currency: str) -> Money:
    """An amount from Stripe's integer."""
    return Money.of(Decimal(int(value or 0)).scaleb(-exponent(currency)), currency)


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """``{"address": {"line1": "x"}, "expand": ["a"]}`` → ``address[line1]=x``, ``expand[0]=a``.

    None leaves a parameter out, "" clears it, booleans are ``true`` and ``false``.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{prefix}[{name}]" if prefix else str(name)
        if value is None:
            continue
        if isinstance(value, Mapping):
            pairs.extend(flatten(value, label))
        elif isinstance(value, list | tuple):
            pairs.extend(flatten({str(index): item for index, item in enumerate(value)}, label))
        elif isinstance(value, bool):
            pairs.append((label, "true" if value else "false"))
        else:
            pairs.append((label, str(value)))
    return pairs


def customer(push: Push) -> dict[str, Any]:
    """Parameters of ``POST /v1/customers``."""
    body = push.body
    if not isinstance(body, Customer):
        raise _wrong_body(push, "a customer")
    address = body.billing_address
    values: dict[str, Any] = {
        "name": body.name,
        "email": body.email or None,
        "phone": body.phone or None,
        "address": {
            "line1": address.line1 or None,
            "line2": address.line2 or None,
            "city": address.city or None,
            "state": address.region or None,
            "postal_code": address.postal_code or None,
            "country": address.country,
        },
        "tax_exempt": "exempt" if body.tax_exempt else None,
        "metadata": {KEY: push.key, "canonical_key": body.key},
    }
    tax_type = TAX_ID_TYPES.get(address.country or "")
    if body.tax_id and tax_type and push.operation == "create":
        values["tax_id_data"] = [{"type": tax_type, "value": body.tax_id}]
    return values


def invoice(push: Push) -> dict[str, Any]:
    """Parameters of ``POST /v1/invoices``: a draft that nothing happens to until we finalize it."""
    body = push.body
    if not isinstance(body, Invoice):
        raise _wrong_body(push, "an invoice")
    days = DEFAULT_DAYS_UNTIL_DUE if body.due_on is None else max(0, (body.due_on - body.invoice_on).days)
    fields = [("Invoice", body.number), ("PO", body.po_number)]
    return {
        "customer": _ref(push, "customer"),
        "collection_method": "send_invoice",
        "days_until_due": days,
        "auto_advance": False,
        "currency": body.currency.lower(),
        "description": body.memo or None,
        "custom_fields": [{"name": name, "value": value[:140]} for name, value in fields if value] or None,
        "pending_invoice_items_behavior": "exclude",
        "automatic_tax": {"enabled": False},
        "metadata": {
            KEY: push.key,
            "canonical_key": body.key,
            "engagement_key": body.engagement_key,
            "customer_key": body.customer_key,
            "legal_entity": body.legal_entity_code,
            "number": body.number or None,
            "invoice_on": body.invoice_on.isoformat(),
        },
    }


def invoice_line(push: Push) -> dict[str, Any]:
    """Parameters of ``POST /v1/invoiceitems``. ``values``: amount and currency (exact), description, source_key."""
    currency = str(push.values.get("currency") or "")
    amount = decimal(push.values.get("amount"), field="amount")
    if amount is None or not currency:
        raise AdapterError(
            ErrorKind.REJECTED, "An invoice line needs an amount and a currency.", field="amount"
        )
    try:
        exact = Money(amount=amount, currency=currency)
    except ValueError as error:
        raise AdapterError(
            ErrorKind.REJECTED,
            f"{amount} is not an amount in {currency}.",
            field="amount",
            value=str(amount),
        ) from error
    return {
        "customer": _ref(push, "customer"),
        "invoice": _ref(push, "invoice"),
        "amount": to_minor(exact),
        "currency": currency.lower(),
        "description": str(push.values.get("description") or "") or None,
        "metadata": {
            KEY: push.key,
            "source_key": push.values.get("source_key") or None,
            "billing_code": push.values.get("billing_code") or None,
            "service_code": push.values.get("service_code") or None,
        },
    }


def _ref(push: Push, role: str) -> str:
    value = push.refs.get(role)
    if not value:
        raise AdapterError(
            ErrorKind.REJECTED,
            f"The {role} has no Stripe id yet.",
            field=role,
            vendor_code="missing_reference",
        )
    return value


def _wrong_body(push: Push, wanted: str) -> AdapterError:
    return AdapterError(
        ErrorKind.CONTRACT_DRIFT, f"{push.object_type}/{push.operation} needs {wanted}.", code="INT-SCHEMA"
    )
