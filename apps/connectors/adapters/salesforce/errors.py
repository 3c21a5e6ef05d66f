"""Salesforce's error codes in our kinds, as data.

Public surface: :data:`CODES`, :data:`FIELDS`, :func:`sort_error`.

Source: REST API Developer Guide, "Status Codes and Error Responses", and Object Reference, "API fault codes". The code decides
first and the HTTP status second: a rate limit comes as 403, a lock as 400 or 500.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.connectors.protocols.http import Answer, retry_after
from apps.connectors.spi import AdapterError, ErrorKind

#: errorCode → (kind, catalogue code).
CODES: dict[str, tuple[ErrorKind, str]] = {
    # our query or mapping does not fit the org
    "MALFORMED_QUERY": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "INVALID_FIELD": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "INVALID_FIELD_FOR_INSERT_UPDATE": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "INVALID_TYPE": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "JSON_PARSER_ERROR": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "METHOD_NOT_ALLOWED": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "UNSUPPORTED_API_VERSION": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    "URI_TOO_LONG": (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
    # the data is refused
    "REQUIRED_FIELD_MISSING": (ErrorKind.REJECTED, "DEAL-INCOMPLETE"),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": (ErrorKind.REJECTED, ""),
    "STRING_TOO_LONG": (ErrorKind.REJECTED, ""),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": (ErrorKind.REJECTED, ""),
    "FIELD_INTEGRITY_EXCEPTION": (ErrorKind.REJECTED, ""),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": (ErrorKind.REJECTED, ""),
    "INVALID_CROSS_REFERENCE_KEY": (ErrorKind.REJECTED, ""),
    "INVALID_TYPE_ON_FIELD_IN_RECORD": (ErrorKind.REJECTED, ""),
    "DUPLICATE_VALUE": (ErrorKind.REJECTED, "CUS-DUP"),
    "DUPLICATES_DETECTED": (ErrorKind.REJECTED, "CUS-DUP"),
    "DUPLICATE_EXTERNAL_ID": (ErrorKind.REJECTED, "CUS-AMBIG-EXTID"),
    # the addressed record
    "NOT_FOUND": (ErrorKind.NOT_FOUND, ""),
    "ENTITY_IS_DELETED": (ErrorKind.NOT_FOUND, ""),
    # somebody else was faster
    "PRECONDITION_FAILED": (ErrorKind.CONFLICT, "INT-LOCK"),
    # later
    "UNABLE_TO_LOCK_ROW": (ErrorKind.TRANSIENT, "INT-LOCK"),
    "SERVER_UNAVAILABLE": (ErrorKind.TRANSIENT, ""),
    "QUERY_TIMEOUT": (ErrorKind.TRANSIENT, ""),
    "INVALID_QUERY_LOCATOR": (ErrorKind.TRANSIENT, ""),
    # part of a request of which another part failed, so it was not done; that part's own error goes before it
    "PROCESSING_HALTED": (ErrorKind.TRANSIENT, ""),
    "BATCH_PROCESSING_HALTED": (ErrorKind.TRANSIENT, ""),
    "REQUEST_LIMIT_EXCEEDED": (ErrorKind.RATE_LIMITED, "INT-RATE"),
    # an administrator
    "INVALID_SESSION_ID": (ErrorKind.AUTH, "INT-AUTH"),
    "INSUFFICIENT_ACCESS": (ErrorKind.PERMISSION, "INT-PERM"),
    "INSUFFICIENT_ACCESS_OR_READONLY": (ErrorKind.PERMISSION, "INT-PERM"),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": (ErrorKind.PERMISSION, "INT-PERM"),
    "API_DISABLED_FOR_ORG": (ErrorKind.PERMISSION, "INT-PERM"),
}

_HALTED = ("PROCESSING_HALTED", "BATCH_PROCESSING_HALTED")

#: Their field → ours, where an error names one.
FIELDS: dict[str, str] = {
    "Name": "name",
    "AccountId": "customer_key",
    "Amount": "amount",
    "CurrencyIsoCode": "currency",
    "Tax_Id__c": "tax_id",
    "Payment_Terms__c": "payment_terms",
    "Billing_Email__c": "email",
    "ERP_Customer_Id__c": "erp_customer_id",
    "Opportunity__c": "deal",
    "Status__c": "status",
    "Message__c": "message",
}


def sort_error(answer: Answer, write: bool) -> AdapterError | None:
    """An :class:`AdapterError` for the first error in the answer that is no consequence of another; None when the body
    names no code that we know."""
    if answer.status == 300:
        return AdapterError(
            ErrorKind.REJECTED,
            "Several Salesforce records carry the same external id.",
            code="CUS-AMBIG-EXTID",
            vendor_code="300",
            exchange=answer.exchange,
            details={"records": answer.data if isinstance(answer.data, list) else []},
        )
    entry = _cause(answer.data)
    known = CODES.get(_code(entry))
    if known is None:
        return None
    kind, code = known
    fields = [str(name) for name in entry.get("fields") or []]
    details: dict[str, Any] = {"fields": fields}
    duplicates = _duplicates(entry)
    if duplicates:
        details["duplicates"] = duplicates
    return AdapterError(
        kind,
        f"Salesforce: {entry.get('message') or entry.get('errorCode')}",
        code=code,
        vendor_code=_code(entry),
        field=FIELDS.get(fields[0], fields[0]) if fields else "",
        retry_after=retry_after(answer.headers),
        exchange=answer.exchange,
        details=details,
    )


def _cause(data: Any) -> Mapping[str, Any]:
    entries = [entry for entry in (data if isinstance(data, list) else [data]) if isinstance(entry, dict)]
    causes = [entry for entry in entries if _code(entry) not in _HALTED]
    return next(iter([*causes, *entries]), {})


def _code(entry: Mapping[str, Any]) -> str:
    """The REST API says ``errorCode``, collections of records say ``statusCode``."""
    return str(entry.get("errorCode") or entry.get("statusCode") or "")


def _duplicates(entry: Mapping[str, Any]) -> list[str]:
    """Ids of the records that a duplicate rule found."""
    found = []
    for result in (entry.get("duplicateResult") or {}).get("matchResults") or []:
        for match in result.get("matchRecords") or []:
            record_id = (match.get("record") or {}).get("Id")
            if record_id:
                found.append(str(record_id))
    return found
