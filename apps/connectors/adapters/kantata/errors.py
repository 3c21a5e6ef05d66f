"""Kantata's refusals in our words.

Public surface: :func:`sort_error`, :data:`RULES`.

Kantata OX answers ``{"errors": [{"type": "oauth|system|validation", "message": "…", "field": "…"}]}`` and has no machine
codes, so the sentence decides. What no rule knows stays a refusal in the vendor's own words.
Source: developer.kantata.com, "Errors".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from apps.connectors.protocols.http import MISSHAPEN, Answer, default_error
from apps.connectors.spi import AdapterError, ErrorKind


@dataclass(frozen=True)
class Rule:
    """``pattern`` is searched in the message, without regard to case."""

    pattern: str
    kind: ErrorKind
    code: str
    message: str


_R, _D = ErrorKind.REJECTED, ErrorKind.CONTRACT_DRIFT

#: The first rule whose pattern is found decides.
RULES: tuple[Rule, ...] = (
    Rule(r"unknown (attribute|parameter)", _D, "INT-SCHEMA", "Kantata does not know a field that we sent."),
    Rule(
        r"is read-only|invalid include|param is missing",
        _D,
        "INT-SCHEMA",
        "Kantata does not take this request.",
    ),
    Rule(
        r"workspace is archived|project is (closed|archived)",
        _R,
        "PRJ-CLOSED",
        "The project is archived in Kantata.",
    ),
    Rule(r"date is locked", _R, "TIME-LATE", "The period of this date is locked in Kantata."),
    Rule(
        r"has been invoiced|is on an invoice",
        _R,
        "TIME-EDITED",
        "It has been invoiced and cannot be changed any more.",
    ),
    Rule(r"already been taken", _R, "PRJ-DUP", "Kantata already has an object with this value."),
    Rule(r"currency is (not included|invalid)", _R, "CUS-CURRENCY", "Kantata does not have this currency."),
    Rule(r"role is invalid", _R, "RES-ROLE-NO-RATE", "Kantata does not have this role."),
    Rule(r"rate card is invalid", _R, "RATE-STALE", "Kantata does not have this rate card."),
)

#: Kantata's attribute → canonical field.
FIELDS: dict[str, str] = {
    "title": "name",
    "amount_in_cents": "amount",
    "price": "budget",
    "date_to_invoice": "due_on",
    "start_date": "start_on",
    "due_date": "end_on",
    "workspace_id": "engagement_key",
    "rate_card_id": "rate_card_key",
    "rate": "bill_rate",
    "role_id": "role",
}


def sort_error(answer: Answer, write: bool) -> AdapterError | None:
    """The error an answer stands for; None when it says no more than its HTTP status."""
    first = _first(answer.data)
    if first is None:
        return None
    message, field = str(first.get("message") or ""), str(first.get("field") or "")
    details = {"vendor_message": message, "vendor_type": str(first.get("type") or "")}
    # These mean the same whatever the sentence says. 429 comes without Retry-After.
    if answer.status >= 500 or answer.status in (401, 403, 404, 429) or answer.status in MISSHAPEN:
        error = default_error(answer, write)
        error.details.update(details)
        return error
    for rule in RULES:
        if re.search(rule.pattern, message, re.IGNORECASE):
            return _error(answer, rule.kind, rule.message, rule.code, field, details)
    return _error(answer, _R, f"Kantata refused this: {message}", "", field, details)


def _error(
    answer: Answer, kind: ErrorKind, message: str, code: str, field: str, details: dict[str, Any]
) -> AdapterError:
    return AdapterError(
        kind,
        message,
        code=code,
        vendor_code=str(answer.status),
        field=FIELDS.get(field, field),
        exchange=answer.exchange,
        details=details,
    )


def _first(data: Any) -> dict[str, Any] | None:
    errors = data.get("errors") if isinstance(data, dict) else None
    if not isinstance(errors, list):
        return None
    return next((item for item in errors if isinstance(item, dict)), None)
