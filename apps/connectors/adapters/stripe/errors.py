"""Stripe's errors in our kinds, as data.

Public surface: :data:`CODES`, :data:`TYPES`, :data:`FIELDS`, :func:`sort_error`, :func:`was_replayed`.

Source: Stripe API reference, "Errors" and "Error codes"; "Idempotent requests". ``Stripe-Should-Retry`` overrules the
status, as Stripe's own libraries have it.
"""

from __future__ import annotations

from typing import Any

from apps.connectors.protocols.http import Answer, retry_after
from apps.connectors.spi import AdapterError, ErrorKind

#: error.code → (kind, catalogue code); asked before the type.
CODES: dict[str, tuple[ErrorKind, str]] = {
    "resource_missing": (ErrorKind.NOT_FOUND, ""),
    "parameter_unknown": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "parameter_missing": (ErrorKind.REJECTED, ""),
    "parameter_invalid_empty": (ErrorKind.REJECTED, ""),
    "parameter_invalid_integer": (ErrorKind.REJECTED, ""),
    "tax_id_invalid": (ErrorKind.REJECTED, "CUS-TAXID-INVALID"),
    "customer_tax_location_invalid": (ErrorKind.REJECTED, "CUS-ADDRESS"),
    "country_code_invalid": (ErrorKind.REJECTED, "CUS-ADDRESS"),
    "postal_code_invalid": (ErrorKind.REJECTED, "CUS-ADDRESS"),
    "email_invalid": (ErrorKind.REJECTED, "INV-DELIVERY"),
    "customer_max_payment_methods": (ErrorKind.REJECTED, ""),
    "invoice_no_customer_line_items": (ErrorKind.REJECTED, ""),
    "invoice_not_editable": (ErrorKind.CONFLICT, "INT-LOCK"),
    "invoice_upcoming_none": (ErrorKind.REJECTED, ""),
    "amount_too_large": (ErrorKind.REJECTED, ""),
    "amount_too_small": (ErrorKind.REJECTED, ""),
    "lock_timeout": (ErrorKind.TRANSIENT, "INT-LOCK"),
    "rate_limit": (ErrorKind.RATE_LIMITED, "INT-RATE"),
    "idempotency_key_in_use": (ErrorKind.TRANSIENT, "INT-LOCK"),
    "api_key_expired": (ErrorKind.AUTH, "INT-AUTH"),
    "platform_api_key_expired": (ErrorKind.AUTH, "INT-AUTH"),
    "testmode_charges_only": (ErrorKind.PERMISSION, "INT-PERM"),
}
#: error.type → (kind, catalogue code).
TYPES: dict[str, tuple[ErrorKind, str]] = {
    # the same key with other parameters: what we meant then is not what we mean now, so plan again
    "idempotency_error": (ErrorKind.CONFLICT, "INT-LOCK"),
    "card_error": (ErrorKind.REJECTED, ""),
}
#: HTTP status → (kind, catalogue code), where neither code nor type decides.
STATUSES: dict[int, tuple[ErrorKind, str]] = {
    400: (ErrorKind.REJECTED, ""),
    401: (ErrorKind.AUTH, "INT-AUTH"),
    402: (ErrorKind.REJECTED, ""),
    403: (ErrorKind.PERMISSION, "INT-PERM"),
    404: (ErrorKind.NOT_FOUND, ""),
    # a second request with our key while the first still runs
    409: (ErrorKind.TRANSIENT, "INT-LOCK"),
    429: (ErrorKind.RATE_LIMITED, "INT-RATE"),
}
#: Their parameter → our field.
FIELDS: dict[str, str] = {
    "customer": "customer",
    "currency": "currency",
    "email": "email",
    "amount": "amount",
    "days_until_due": "due_on",
    "due_date": "due_on",
    "address[country]": "billing_address.country",
    "address[postal_code]": "billing_address.postal_code",
    "tax_id_data[0][value]": "tax_id",
    "number": "number",
}


def was_replayed(answer: Answer) -> bool:
    """The answer is the stored one of an earlier request with the same idempotency key."""
    return answer.headers.get("Idempotent-Replayed", "").lower() == "true"


def sort_error(answer: Answer, write: bool) -> AdapterError | None:
    """An :class:`AdapterError` for Stripe's ``{"error": {…}}``; None when the body is not in that form or a 5xx."""
    entry = answer.data.get("error") if isinstance(answer.data, dict) else None
    if not isinstance(entry, dict):
        return None
    code, kind_of_error = str(entry.get("code") or ""), str(entry.get("type") or "")
    known = CODES.get(code) or TYPES.get(kind_of_error) or STATUSES.get(answer.status)
    should_retry = answer.headers.get("Stripe-Should-Retry", "").lower()
    if should_retry == "true" and (answer.status < 500 or not write):
        kept = known[1] if known else ""
        known = (ErrorKind.RATE_LIMITED if answer.status == 429 else ErrorKind.TRANSIENT, kept)
    if known is None:
        return None
    param = str(entry.get("param") or "")
    details: dict[str, Any] = {"type": kind_of_error, "param": param}
    if entry.get("request_log_url"):
        details["request_log_url"] = entry["request_log_url"]
    return AdapterError(
        known[0],
        f"Stripe: {entry.get('message') or code or kind_of_error}",
        code=known[1],
        vendor_code=code or kind_of_error or str(answer.status),
        field=FIELDS.get(param, param),
        retry_after=retry_after(answer.headers),
        exchange=answer.exchange,
        details=details,
    )
