"""NetSuite's refusals in our words.

Public surface: :func:`sort_error`, :data:`RULES`.

SuiteTalk REST answers ``{"title", "status", "o:errorDetails": [{"detail", "o:errorPath", "o:errorCode"}]}``. The code
is often as broad as ``USER_ERROR`` and the exact status code stands inside the detail, so both are looked at.
Sources: SuiteTalk REST guide, section_156570709583 (error codes); SOAP ``StatusDetailCodeType`` (status code names).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from apps.connectors.protocols.http import MISSHAPEN, Answer, default_error, retry_after
from apps.connectors.spi import AdapterError, ErrorKind


@dataclass(frozen=True)
class Rule:
    """What one vendor code means. ``field`` is the canonical field it is about where that is certain."""

    kind: ErrorKind
    code: str
    message: str
    field: str = ""


_R, _C, _T, _L = ErrorKind.REJECTED, ErrorKind.CONFLICT, ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED

_PERIOD = Rule(_R, "INV-PERIOD", "The accounting period of this date is closed in NetSuite.", "invoice_on")
_DUPLICATE = Rule(_R, "CUS-DUP", "NetSuite already has a record of this name.", "name")
_SUBSIDIARY = Rule(
    _R,
    "CUS-LE-NOT-ENABLED",
    "The customer is not enabled for this subsidiary in NetSuite.",
    "legal_entity_code",
)
_CURRENCY = Rule(_R, "CUS-CURRENCY", "NetSuite does not allow this currency here.", "currency")
_RATE = Rule(_R, "INV-FX", "NetSuite has no exchange rate for this currency and date.", "currency")
_TAX_SUB = Rule(
    _R, "TAX-SUB", "The tax code does not belong to this subsidiary's country in NetSuite.", "tax_code"
)
_LOCK = Rule(_C, "INT-LOCK", "The record was changed in NetSuite meanwhile.")
_GONE = Rule(_R, "CUS-INACTIVE", "The record was deleted or merged into another one in NetSuite.")
_LIMIT = Rule(_L, "INT-RATE", "NetSuite asks us to slow down: too many requests at the same time.")
_AUTH = Rule(ErrorKind.AUTH, "INT-AUTH", "NetSuite refused our credentials.")
_PERMISSION = Rule(ErrorKind.PERMISSION, "INT-PERM", "Our role in NetSuite may not do this.")
_MISSING = Rule(ErrorKind.NOT_FOUND, "", "NetSuite does not have this record.")
_DRIFT = Rule(ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA", "NetSuite does not know a field that we sent.")

#: Status code names, wherever they appear: as ``o:errorCode`` or inside the detail.
RULES: dict[str, Rule] = {
    "CLOSED_TRAN_PRD": _PERIOD,
    "TRAN_PERIOD_CLOSED": _PERIOD,
    "TRAN_PRD_CLOSED": _PERIOD,
    "INVALID_PERIOD": _PERIOD,
    "DUP_ENTITY": _DUPLICATE,
    "DUP_ENTITY_NAME": _DUPLICATE,
    "DUP_ENTITY_EMAIL": Rule(
        _R, "CUS-DUP", "NetSuite already has a customer with this e-mail address.", "email"
    ),
    "UNIQUE_CUST_ID_REQD": _DUPLICATE,
    "UNIQUE_ENTITY_NAME_REQD": _DUPLICATE,
    "DUP_RCRD": Rule(_R, "CUS-AMBIG-EXTID", "NetSuite already has another record under this external id."),
    "DUP_TRANS": Rule(_R, "INV-DUP", "NetSuite already has this transaction."),
    "SUBSIDIARY_MISMATCH": _SUBSIDIARY,
    "INVALID_SUB": _SUBSIDIARY,
    "SUBSIDIARY_CHANGE_NOT_ALLOWED": Rule(
        _R,
        "CUS-LE-NOT-ENABLED",
        "NetSuite does not let the subsidiary be changed any more.",
        "legal_entity_code",
    ),
    "MISMATCHED_CURRENCY": _CURRENCY,
    "INVALID_CURRENCY_CODE": _CURRENCY,
    "PRIMARY_CURRENCY_CHANGE_NOT_ALLOWED": _CURRENCY,
    "MISSING_CRNCY_EXCH_RATE": _RATE,
    "UNKNWN_EXCHANGE_RATE": _RATE,
    "INVALID_CRNCY_EXCH_RATE": _RATE,
    "TAX_CODE_REQD": Rule(_R, "TAX-CODE", "NetSuite needs a tax code on each line.", "tax_code"),
    "INVALID_TAX_CODE": Rule(_R, "TAX-CODE", "NetSuite does not know this tax code.", "tax_code"),
    "INVALID_TAX_CODE_FOR_SUB": _TAX_SUB,
    "ITEM_IS_UNAVAILABLE": Rule(_R, "DEAL-SVC-INACTIVE", "The item is inactive in NetSuite.", "billing_code"),
    "INVALID_TRAN_ITEM_LINE": Rule(
        _R, "DEAL-SVC-INACTIVE", "NetSuite cannot use this item on the line.", "billing_code"
    ),
    "ITEM_ACCT_REQD": Rule(_R, "INV-ACCOUNT", "The item has no income account in NetSuite.", "billing_code"),
    "BALANCE_EXCEEDS_CREDIT_LIMIT": Rule(
        _R, "CUS-CREDIT-HOLD", "The customer is over its credit limit or on hold in NetSuite.", "customer_key"
    ),
    "COMP_DELETED_OR_MERGED": _GONE,
    "RCRD_HAS_BEEN_CHANGED": _LOCK,
    "CANT_UPDATE_RECRD_HAS_CHANGED": _LOCK,
    "RCRD_LOCKED_BY_WF": Rule(_C, "INT-LOCK", "A workflow in NetSuite has locked the record."),
    "CONCURRENCY_LIMIT_EXCEEDED": _LIMIT,
    "EXCEEDED_MAX_CONCUR_RQST": _LIMIT,
    "EXCEEDED_CONCURRENCY_LIMIT_BY_ONE_USER": _LIMIT,
    "SSS_REQUEST_LIMIT_EXCEEDED": _LIMIT,
    "WS_REQUEST_BLOCKED": _LIMIT,
    "SESSION_TIMED_OUT": Rule(_T, "", "NetSuite ended our session; the next attempt signs in again."),
    "INVALID_LOGIN": _AUTH,
    "INVALID_LOGIN_ATTEMPT": _AUTH,
    "INSUFFICIENT_PERMISSION": _PERMISSION,
    "NONEXISTENT_ID": _MISSING,
    "RCRD_DSNT_EXIST": _MISSING,
    "NONEXISTENT_EXTERNAL_ID": _MISSING,
    # Also HTTP 404, but about the record type: a feature is off. "Not there" would be a dangerous reading of it.
    "INVALID_URL": Rule(
        ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA", "This NetSuite account does not offer a record type we use."
    ),
    "INVALID_HEADER": _DRIFT,
    "INVALID_ID": Rule(ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA", "NetSuite cannot read an id that we sent."),
    "INVALID_PARAMETER": Rule(ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA", "NetSuite cannot read our query."),
    # Only documented for asynchronous requests: the earlier one with this key stands, so look at what it did.
    "IDEMPOTENCY_ERROR": Rule(ErrorKind.UNKNOWN, "", "NetSuite has had this request before."),
}

#: A reference to an object NetSuite does not have means something different in each field.
_BAD_REFERENCE: dict[str, Rule] = {
    "subsidiary": _SUBSIDIARY,
    "currency": _CURRENCY,
    "terms": Rule(_R, "CUS-TERMS", "NetSuite does not know these payment terms.", "payment_terms"),
    "item": Rule(
        _R,
        "DEAL-SVC-INACTIVE",
        "NetSuite cannot use the item: inactive, or not in this subsidiary.",
        "billing_code",
    ),
    "taxCode": Rule(_R, "TAX-CODE", "NetSuite does not know this tax code.", "tax_code"),
}
_BAD_REFERENCE_CODES = ("INVALID_KEY_OR_REF", "INVALID_REF_KEY")

#: The same vendor code means something else for another record type: (record type in the URL, code) → rule.
_BY_RECORD: dict[tuple[str, str], Rule] = {
    ("job", "DUP_ENTITY"): Rule(
        _R, "PRJ-DUP", "The customer already has a project of this name in NetSuite.", "name"
    ),
    ("invoice", "DUP_RCRD"): Rule(
        _R, "INV-DUP", "NetSuite already has another invoice under this external id."
    ),
}

#: Vendor property (first or last part of ``o:errorPath``) → canonical field.
FIELDS: dict[str, str] = {
    "companyName": "name",
    "entityId": "name",
    "vatRegNumber": "tax_id",
    "terms": "payment_terms",
    "otherRefNum": "po_number",
    "subsidiary": "legal_entity_code",
    "entity": "customer_key",
    "parent": "customer_key",
    "job": "engagement_key",
    "project": "engagement_key",
    "tranDate": "invoice_on",
    "dueDate": "due_on",
    "url": "website",
    "addressBook": "billing_address",
    "item": "billing_code",
    "taxCode": "tax_code",
    "startDate": "start_on",
    "projectedEndDate": "end_on",
    "billingRateCard": "rate_card_key",
}

_UNKNOWN_PROPERTY = re.compile(
    r"unknown (?:property|properties|field)"
    r"|(?:property|field).{0,80}(?:does not exist|is not (?:known|valid)|is read-only)"
    r"|search error occurred: (?:field|record)",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_QUOTED = re.compile(r"['\"]([^'\"]{1,100})['\"]")


def sort_error(answer: Answer, write: bool) -> AdapterError | None:
    """The error an answer stands for; None when it says no more than its HTTP status."""
    details = _details(answer.data)
    if not details:
        return None
    for detail in details:
        found = _rule(detail, _record_type(answer))
        if found is not None:
            rule, name = found
            return _error(rule, name, detail, answer)
    if answer.status >= 500 or answer.status in (401, 403, 404, 429) or answer.status in MISSHAPEN:
        error = default_error(answer, write)
        error.vendor_code = details[0].code or error.vendor_code
        error.details["vendor_message"] = details[0].text
        return error
    first = details[0]
    return _error(Rule(_R, "", f"NetSuite refused this: {first.text}"), first.code, first, answer)


@dataclass(frozen=True)
class _Detail:
    code: str
    text: str
    path: str


def _details(data: Any) -> list[_Detail]:
    if not isinstance(data, dict):
        return []
    found = data.get("o:errorDetails")
    if not isinstance(found, list):
        return []
    return [
        _Detail(
            str(item.get("o:errorCode") or ""),
            str(item.get("detail") or ""),
            str(item.get("o:errorPath") or ""),
        )
        for item in found
        if isinstance(item, dict)
    ]


def _record_type(answer: Answer) -> str:
    """``customer`` from ``…/services/rest/record/v1/customer/eid:x``."""
    found = re.search(r"/record/v1/([A-Za-z]+)", answer.exchange.url)
    return found.group(1) if found else ""


def _rule(detail: _Detail, record_type: str) -> tuple[Rule, str] | None:
    """The most exact rule: a name in the detail says more than the broad code beside it."""
    names = [name for name in [*_NAME.findall(detail.text), detail.code] if name]
    for name in names:
        if (record_type, name) in _BY_RECORD:
            return _BY_RECORD[record_type, name], name
        if name in RULES:
            return RULES[name], name
        if name in _BAD_REFERENCE_CODES:
            return _bad_reference(detail), name
    if detail.code == "INVALID_CONTENT" and _UNKNOWN_PROPERTY.search(detail.text):
        return _DRIFT, detail.code
    return None


def _bad_reference(detail: _Detail) -> Rule:
    if "inactive" in detail.text.lower() and "customer" in detail.text.lower():
        return Rule(_R, "CUS-INACTIVE", "The customer is inactive in NetSuite.", "customer_key")
    for part in reversed(_path_parts(detail.path)):
        if part in _BAD_REFERENCE:
            return _BAD_REFERENCE[part]
    lowered = detail.text.lower()
    for part, rule in _BAD_REFERENCE.items():
        if re.search(rf"\b{part.lower()}\b", lowered):
            return rule
    return Rule(_R, "", f"NetSuite does not know something we referred to: {detail.text}")


def _path_parts(path: str) -> list[str]:
    """``item.items[0].taxCode.id`` → ``["item", "taxCode"]``."""
    parts = [re.sub(r"\[.*?\]", "", part) for part in re.split(r"[./]", path)]
    return [part for part in parts if part and part not in ("id", "items", "refName")]


def canonical_field(path: str) -> str:
    """The canonical field that an ``o:errorPath`` speaks of; the vendor's own path when there is none."""
    for part in reversed(_path_parts(path)):
        if part in FIELDS:
            return FIELDS[part]
    parts = _path_parts(path)
    return parts[-1] if parts else ""


def _error(rule: Rule, name: str, detail: _Detail, answer: Answer) -> AdapterError:
    quoted = _QUOTED.search(detail.text)
    return AdapterError(
        rule.kind,
        rule.message,
        code=rule.code,
        vendor_code=name or str(answer.status),
        field=rule.field or canonical_field(detail.path),
        value=quoted.group(1) if quoted else "",
        retry_after=retry_after(answer.headers),
        exchange=answer.exchange,
        details={"vendor_message": detail.text, "vendor_path": detail.path, "vendor_status": answer.status},
    )
