"""The vendors' published errors, one table a vendor: every name that their documentation lists has a kind and a code.

Sources: Salesforce REST API Developer Guide (status codes and error responses), SuiteTalk REST guide (error codes) with
SOAP ``StatusDetailCodeType``, Stripe API reference (errors), Kantata OX API (errors). The tables are transcribed, not
computed from the adapters: a name that an adapter forgets makes its row fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from apps.connectors.adapters.kantata import errors as kantata
from apps.connectors.adapters.netsuite import errors as netsuite
from apps.connectors.adapters.salesforce import errors as salesforce
from apps.connectors.adapters.stripe import errors as stripe
from apps.connectors.protocols.http import Answer, ErrorSorter, default_error
from apps.connectors.spi import AdapterError, ErrorKind, Exchange

REJECTED, CONFLICT, TRANSIENT = ErrorKind.REJECTED, ErrorKind.CONFLICT, ErrorKind.TRANSIENT
LIMITED, AUTH, PERMISSION = ErrorKind.RATE_LIMITED, ErrorKind.AUTH, ErrorKind.PERMISSION
DRIFT, GONE, UNKNOWN = ErrorKind.CONTRACT_DRIFT, ErrorKind.NOT_FOUND, ErrorKind.UNKNOWN

#: HTTP status, errorCode, kind, catalogue code.
SALESFORCE = [
    # the mapping or the query does not fit the org
    (400, "MALFORMED_QUERY", DRIFT, "INT-SCHEMA"),
    (400, "INVALID_FIELD", DRIFT, "INT-SCHEMA"),
    (400, "INVALID_TYPE", DRIFT, "INT-SCHEMA"),
    (400, "JSON_PARSER_ERROR", DRIFT, "INT-SCHEMA"),
    # data: a person
    (400, "REQUIRED_FIELD_MISSING", REJECTED, "DEAL-INCOMPLETE"),
    (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", REJECTED, ""),
    (400, "STRING_TOO_LONG", REJECTED, ""),
    (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", REJECTED, ""),
    (400, "FIELD_INTEGRITY_EXCEPTION", REJECTED, ""),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", REJECTED, ""),
    (400, "DUPLICATE_VALUE", REJECTED, "CUS-DUP"),
    (400, "DUPLICATES_DETECTED", REJECTED, "CUS-DUP"),
    (300, "", REJECTED, "CUS-AMBIG-EXTID"),
    # data or an administrator
    (400, "ENTITY_IS_DELETED", GONE, ""),
    (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", PERMISSION, "INT-PERM"),
    (400, "INVALID_CROSS_REFERENCE_KEY", REJECTED, ""),
    # passing; a lock has been seen as a server error too
    (400, "UNABLE_TO_LOCK_ROW", TRANSIENT, "INT-LOCK"),
    (500, "UNABLE_TO_LOCK_ROW", TRANSIENT, "INT-LOCK"),
    (400, "PROCESSING_HALTED", TRANSIENT, ""),
    (412, "BATCH_PROCESSING_HALTED", TRANSIENT, ""),
    (400, "INVALID_QUERY_LOCATOR", TRANSIENT, ""),
    (503, "SERVER_UNAVAILABLE", TRANSIENT, ""),
    (500, "QUERY_TIMEOUT", TRANSIENT, ""),
    # the status alone would say "permission"
    (403, "REQUEST_LIMIT_EXCEEDED", LIMITED, "INT-RATE"),
    (401, "INVALID_SESSION_ID", AUTH, "INT-AUTH"),
    (403, "INSUFFICIENT_ACCESS", PERMISSION, "INT-PERM"),
    (403, "API_DISABLED_FOR_ORG", PERMISSION, "INT-PERM"),
    (404, "NOT_FOUND", GONE, ""),
    (405, "METHOD_NOT_ALLOWED", DRIFT, "INT-SCHEMA"),
    (412, "PRECONDITION_FAILED", CONFLICT, "INT-LOCK"),
]
#: Status names of NetSuite, as ``o:errorCode`` or inside the detail: name, kind, catalogue code.
NETSUITE = [
    ("CLOSED_TRAN_PRD", REJECTED, "INV-PERIOD"),
    ("TRAN_PERIOD_CLOSED", REJECTED, "INV-PERIOD"),
    ("TRAN_PRD_CLOSED", REJECTED, "INV-PERIOD"),
    ("INVALID_PERIOD", REJECTED, "INV-PERIOD"),
    ("DUP_ENTITY", REJECTED, "CUS-DUP"),
    ("DUP_ENTITY_NAME", REJECTED, "CUS-DUP"),
    ("DUP_ENTITY_EMAIL", REJECTED, "CUS-DUP"),
    ("DUP_RCRD", REJECTED, "CUS-AMBIG-EXTID"),
    ("DUP_TRANS", REJECTED, "INV-DUP"),
    ("UNIQUE_CUST_ID_REQD", REJECTED, "CUS-DUP"),
    ("UNIQUE_ENTITY_NAME_REQD", REJECTED, "CUS-DUP"),
    ("INVALID_KEY_OR_REF", REJECTED, ""),
    ("INVALID_REF_KEY", REJECTED, ""),
    ("NONEXISTENT_EXTERNAL_ID", GONE, ""),
    ("SUBSIDIARY_MISMATCH", REJECTED, "CUS-LE-NOT-ENABLED"),
    ("SUBSIDIARY_CHANGE_NOT_ALLOWED", REJECTED, "CUS-LE-NOT-ENABLED"),
    ("INVALID_SUB", REJECTED, "CUS-LE-NOT-ENABLED"),
    ("MISMATCHED_CURRENCY", REJECTED, "CUS-CURRENCY"),
    ("INVALID_CURRENCY_CODE", REJECTED, "CUS-CURRENCY"),
    ("PRIMARY_CURRENCY_CHANGE_NOT_ALLOWED", REJECTED, "CUS-CURRENCY"),
    ("MISSING_CRNCY_EXCH_RATE", REJECTED, "INV-FX"),
    ("UNKNWN_EXCHANGE_RATE", REJECTED, "INV-FX"),
    ("INVALID_CRNCY_EXCH_RATE", REJECTED, "INV-FX"),
    ("TAX_CODE_REQD", REJECTED, "TAX-CODE"),
    ("INVALID_TAX_CODE", REJECTED, "TAX-CODE"),
    ("INVALID_TAX_CODE_FOR_SUB", REJECTED, "TAX-SUB"),
    ("ITEM_IS_UNAVAILABLE", REJECTED, "DEAL-SVC-INACTIVE"),
    ("ITEM_ACCT_REQD", REJECTED, "INV-ACCOUNT"),
    ("INVALID_TRAN_ITEM_LINE", REJECTED, "DEAL-SVC-INACTIVE"),
    ("BALANCE_EXCEEDS_CREDIT_LIMIT", REJECTED, "CUS-CREDIT-HOLD"),
    ("RCRD_HAS_BEEN_CHANGED", CONFLICT, "INT-LOCK"),
    ("CANT_UPDATE_RECRD_HAS_CHANGED", CONFLICT, "INT-LOCK"),
    ("RCRD_LOCKED_BY_WF", CONFLICT, "INT-LOCK"),
    ("COMP_DELETED_OR_MERGED", REJECTED, "CUS-INACTIVE"),
    ("CONCURRENCY_LIMIT_EXCEEDED", LIMITED, "INT-RATE"),
    ("WS_REQUEST_BLOCKED", LIMITED, "INT-RATE"),
    ("EXCEEDED_MAX_CONCUR_RQST", LIMITED, "INT-RATE"),
    ("SSS_REQUEST_LIMIT_EXCEEDED", LIMITED, "INT-RATE"),
    ("SESSION_TIMED_OUT", TRANSIENT, ""),
    ("USER_ERROR", REJECTED, ""),
]
#: The REST layer's own codes: HTTP status, ``o:errorCode``, kind, catalogue code.
NETSUITE_REST = [
    (401, "INVALID_LOGIN", AUTH, "INT-AUTH"),
    (403, "INSUFFICIENT_PERMISSION", PERMISSION, "INT-PERM"),
    (404, "NONEXISTENT_ID", GONE, ""),
    (404, "RCRD_DSNT_EXIST", GONE, ""),
    (400, "INVALID_CONTENT", REJECTED, ""),
    (400, "INVALID_ID", DRIFT, "INT-SCHEMA"),
    (400, "INVALID_PARAMETER", DRIFT, "INT-SCHEMA"),
    (400, "USER_ERROR", REJECTED, ""),
    (500, "UNEXPECTED_ERROR", UNKNOWN, ""),
    (400, "IDEMPOTENCY_ERROR", UNKNOWN, ""),
    (429, "", LIMITED, "INT-RATE"),
]
#: HTTP status, error.type, error.code, kind, catalogue code.
STRIPE = [
    (400, "invalid_request_error", "", REJECTED, ""),
    (400, "invalid_request_error", "parameter_unknown", DRIFT, "INT-SCHEMA"),
    (400, "invalid_request_error", "tax_id_invalid", REJECTED, "CUS-TAXID-INVALID"),
    (400, "idempotency_error", "", CONFLICT, "INT-LOCK"),
    (401, "invalid_request_error", "", AUTH, "INT-AUTH"),
    (402, "card_error", "card_declined", REJECTED, ""),
    (403, "invalid_request_error", "", PERMISSION, "INT-PERM"),
    (404, "invalid_request_error", "resource_missing", GONE, ""),
    (409, "invalid_request_error", "idempotency_key_in_use", TRANSIENT, "INT-LOCK"),
    (409, "invalid_request_error", "", TRANSIENT, "INT-LOCK"),
    (429, "invalid_request_error", "rate_limit", LIMITED, "INT-RATE"),
    (429, "invalid_request_error", "lock_timeout", TRANSIENT, "INT-LOCK"),
    (500, "api_error", "", UNKNOWN, ""),
]
#: HTTP status, errors[].type, kind, catalogue code; there are no machine codes.
KANTATA = [
    (400, "system", REJECTED, ""),
    (401, "oauth", AUTH, "INT-AUTH"),
    (403, "system", PERMISSION, "INT-PERM"),
    (404, "system", GONE, ""),
    (422, "validation", REJECTED, ""),
    (429, "system", LIMITED, "INT-RATE"),
    (503, "system", TRANSIENT, ""),
    (504, "system", UNKNOWN, ""),
]
#: What a status alone means, on a write: the same for every vendor.
STATUSES = [
    (400, REJECTED, ""),
    (401, AUTH, "INT-AUTH"),
    (403, PERMISSION, "INT-PERM"),
    (404, GONE, ""),
    (405, DRIFT, "INT-SCHEMA"),
    (408, TRANSIENT, ""),
    (409, CONFLICT, "INT-LOCK"),
    (410, GONE, ""),
    (412, CONFLICT, "INT-LOCK"),
    (414, DRIFT, "INT-SCHEMA"),
    (415, DRIFT, "INT-SCHEMA"),
    (420, TRANSIENT, ""),
    (423, CONFLICT, "INT-LOCK"),
    (428, CONFLICT, "INT-LOCK"),
    (429, LIMITED, "INT-RATE"),
    (431, DRIFT, "INT-SCHEMA"),
    (500, UNKNOWN, ""),
    (502, UNKNOWN, ""),
    (503, TRANSIENT, ""),
    (504, UNKNOWN, ""),
]
SORTERS = {
    "salesforce": salesforce.sort_error,
    "netsuite": netsuite.sort_error,
    "stripe": stripe.sort_error,
    "kantata": kantata.sort_error,
}


def refused(
    sort: ErrorSorter, status: int, data: Any, headers: Mapping[str, str] | None = None, *, write: bool = True
) -> AdapterError:
    """What a caller gets: the vendor's table first, then the status."""
    url = "https://vendor.example/services/rest/record/v1/customer/eid:x"
    exchange = Exchange("PATCH", url, status=status)
    answer = Answer(status, headers or {}, data, True, lambda: exchange)
    return sort(answer, write) or default_error(answer, write)


def suitetalk(status: int, code: str, detail: str = "Something is wrong.") -> dict[str, Any]:
    return {"title": "Error", "status": status, "o:errorDetails": [{"detail": detail, "o:errorCode": code}]}


@pytest.mark.parametrize(("status", "name", "kind", "code"), SALESFORCE)
def test_salesforce(status, name, kind, code):
    error = refused(salesforce.sort_error, status, [{"errorCode": name, "message": "No.", "fields": []}])
    assert (error.kind, error.code, error.vendor_code) == (kind, code, name or "300")


def test_salesforce_names_the_cause_and_not_what_was_halted_by_it():
    halted = {"errorCode": "PROCESSING_HALTED", "message": "The transaction was rolled back.", "fields": []}
    cause = {"statusCode": "STRING_TOO_LONG", "message": "Name: too long", "fields": ["Name"]}
    error = refused(salesforce.sort_error, 400, [halted, cause, halted])
    assert (error.kind, error.vendor_code, error.field) == (REJECTED, "STRING_TOO_LONG", "name")


@pytest.mark.parametrize(("name", "kind", "code"), NETSUITE)
def test_netsuite_status_names(name, kind, code):
    for data in (suitetalk(400, name), suitetalk(400, "USER_ERROR", f"Error. {name}: some words.")):
        error = refused(netsuite.sort_error, 400, data)
        assert (error.kind, error.code, error.vendor_code) == (kind, code, name)


@pytest.mark.parametrize(("status", "name", "kind", "code"), NETSUITE_REST)
def test_netsuite_rest_codes(status, name, kind, code):
    error = refused(netsuite.sort_error, status, suitetalk(status, name))
    assert (error.kind, error.code, error.vendor_code) == (kind, code, name or str(status))


def test_netsuite_keeps_the_id_of_an_unexpected_error():
    sentence = "An unexpected error occurred. Error ID: m4x0k2"
    error = refused(netsuite.sort_error, 500, suitetalk(500, "UNEXPECTED_ERROR", sentence), write=False)
    assert error.kind is TRANSIENT
    assert error.details["vendor_message"] == sentence


@pytest.mark.parametrize(("status", "kind_of_error", "name", "kind", "code"), STRIPE)
def test_stripe(status, kind_of_error, name, kind, code):
    data = {"error": {"type": kind_of_error, "message": "No."} | ({"code": name} if name else {})}
    error = refused(stripe.sort_error, status, data)
    assert (error.kind, error.code) == (kind, code)


@pytest.mark.parametrize("status", [400, 409, 429])
def test_stripes_own_word_on_trying_again_overrules_the_status(status):
    data = {"error": {"type": "invalid_request_error", "message": "No."}}
    error = refused(stripe.sort_error, status, data, {"Stripe-Should-Retry": "true"})
    assert error.kind in (TRANSIENT, LIMITED)


@pytest.mark.parametrize(("status", "kind_of_error", "kind", "code"), KANTATA)
def test_kantata(status, kind_of_error, kind, code):
    data = {"errors": [{"type": kind_of_error, "message": "A sentence nobody has seen.", "field": ""}]}
    error = refused(kantata.sort_error, status, data)
    assert (error.kind, error.code) == (kind, code)


@pytest.mark.parametrize("vendor", sorted(SORTERS))
@pytest.mark.parametrize(("status", "kind", "code"), STATUSES)
def test_a_status_without_a_word_means_the_same_for_every_vendor(vendor, status, kind, code):
    error = refused(SORTERS[vendor], status, "<html>no words of the vendor</html>")
    assert (error.kind, error.code, error.vendor_code) == (kind, code, str(status))


@pytest.mark.parametrize("status", [405, 414, 415, 431])
def test_a_request_that_is_built_wrongly_is_no_fault_of_the_data(status):
    bodies = {
        "salesforce": [{"errorCode": "URI_TOO_LONG" if status == 414 else "", "message": "No."}],
        "netsuite": suitetalk(status, "", "The request cannot be taken."),
        "stripe": {"error": {"type": "invalid_request_error", "message": "No."}},
        "kantata": {"errors": [{"type": "system", "message": "No.", "field": ""}]},
    }
    for vendor, data in bodies.items():
        error = refused(SORTERS[vendor], status, data)
        assert (error.kind, error.code) == (DRIFT, "INT-SCHEMA"), vendor
