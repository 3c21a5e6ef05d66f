"""Every refusal of NetSuite becomes one error of ours, with the catalogue code that tells who has to act."""

from __future__ import annotations

from typing import Any

import pytest

from apps.connectors.adapters.netsuite.errors import canonical_field, sort_error
from apps.connectors.protocols.http import Answer
from apps.connectors.spi import AdapterError, ErrorKind, Exchange


def refused(
    detail: str, *, code: str = "USER_ERROR", status: int = 400, path: str = "", record: str = "invoice"
) -> AdapterError | None:
    entry = {"detail": detail, "o:errorCode": code} | ({"o:errorPath": path} if path else {})
    data: dict[str, Any] = {"title": "Bad Request", "status": status, "o:errorDetails": [entry]}
    url = f"https://example.suitetalk.api.netsuite.com/services/rest/record/v1/{record}/eid:x"
    return sort_error(Answer(status, {}, data, True, lambda: Exchange("PUT", url, status=status)), True)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("CLOSED_TRAN_PRD", ErrorKind.REJECTED, "INV-PERIOD"),
        ("DUP_ENTITY", ErrorKind.REJECTED, "CUS-DUP"),
        ("SUBSIDIARY_MISMATCH", ErrorKind.REJECTED, "CUS-LE-NOT-ENABLED"),
        ("MISMATCHED_CURRENCY", ErrorKind.REJECTED, "CUS-CURRENCY"),
        ("TAX_CODE_REQD", ErrorKind.REJECTED, "TAX-CODE"),
        ("INVALID_TAX_CODE_FOR_SUB", ErrorKind.REJECTED, "TAX-SUB"),
        ("ITEM_IS_UNAVAILABLE", ErrorKind.REJECTED, "DEAL-SVC-INACTIVE"),
        ("ITEM_ACCT_REQD", ErrorKind.REJECTED, "INV-ACCOUNT"),
        ("BALANCE_EXCEEDS_CREDIT_LIMIT", ErrorKind.REJECTED, "CUS-CREDIT-HOLD"),
        ("MISSING_CRNCY_EXCH_RATE", ErrorKind.REJECTED, "INV-FX"),
        ("DUP_TRANS", ErrorKind.REJECTED, "INV-DUP"),
        ("COMP_DELETED_OR_MERGED", ErrorKind.REJECTED, "CUS-INACTIVE"),
        ("RCRD_HAS_BEEN_CHANGED", ErrorKind.CONFLICT, "INT-LOCK"),
        ("RCRD_LOCKED_BY_WF", ErrorKind.CONFLICT, "INT-LOCK"),
        ("CONCURRENCY_LIMIT_EXCEEDED", ErrorKind.RATE_LIMITED, "INT-RATE"),
        ("SSS_REQUEST_LIMIT_EXCEEDED", ErrorKind.RATE_LIMITED, "INT-RATE"),
        ("SESSION_TIMED_OUT", ErrorKind.TRANSIENT, ""),
        ("RCRD_DSNT_EXIST", ErrorKind.NOT_FOUND, ""),
    ],
)
def test_a_status_name_is_understood_as_code_and_inside_a_detail(name, kind, code):
    for error in (
        refused(f"Error while accessing a resource. {name}: some words.", record="customer"),
        refused("Some words without a name.", code=name, record="customer"),
    ):
        assert error is not None
        assert (error.kind, error.code, error.vendor_code) == (kind, code, name)


def test_the_vendors_own_words_are_kept_beside_ours():
    error = refused("Error. CLOSED_TRAN_PRD: Oct 2026 is closed.", path="tranDate")
    assert error.details["vendor_message"] == "Error. CLOSED_TRAN_PRD: Oct 2026 is closed."
    assert error.field == "invoice_on"
    assert "closed" in error.message


def test_a_duplicate_project_is_not_called_a_duplicate_customer():
    assert refused("DUP_ENTITY: a project has this name.", record="job").code == "PRJ-DUP"
    assert refused("DUP_ENTITY: a customer has this name.", record="customer").code == "CUS-DUP"


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        ("subsidiary", "CUS-LE-NOT-ENABLED", "legal_entity_code"),
        ("currency.id", "CUS-CURRENCY", "currency"),
        ("terms.id", "CUS-TERMS", "payment_terms"),
        ("item.items[0].item", "DEAL-SVC-INACTIVE", "billing_code"),
        ("item.items[2].taxCode.id", "TAX-CODE", "tax_code"),
    ],
)
def test_an_unknown_reference_means_what_its_field_means(path, code, field):
    error = refused(f"INVALID_KEY_OR_REF: Invalid Field Value 99 for the following field: {path}", path=path)
    assert (error.kind, error.code, error.field) == (ErrorKind.REJECTED, code, field)


def test_an_inactive_customer_is_named_as_such():
    error = refused(
        "INVALID_KEY_OR_REF: Invalid Field Value 7 for the following field: entity (the customer is inactive)",
        path="entity",
    )
    assert (error.code, error.field) == ("CUS-INACTIVE", "customer_key")


@pytest.mark.parametrize(
    "detail",
    [
        "Unknown property colour of record type invoice.",
        "Error while accessing a resource. The property total is read-only.",
        "Invalid search query. Search error occurred: Field 'colour' for record 'customer' was not found.",
    ],
)
def test_a_field_the_account_does_not_know_is_contract_drift(detail):
    error = refused(detail, code="INVALID_CONTENT", path="colour")
    assert (error.kind, error.code, error.field) == (ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA", "colour")


def test_a_record_type_the_account_does_not_offer_is_never_read_as_not_there():
    error = refused("Record type 'chargeRule' does not exist.", code="INVALID_URL", status=404)
    assert error.kind is ErrorKind.CONTRACT_DRIFT


def test_a_business_rule_without_a_known_name_is_shown_in_the_vendors_words():
    error = refused("Please enter value(s) for: Company Name.", path="companyName", record="customer")
    assert (error.kind, error.code, error.field) == (ErrorKind.REJECTED, "", "name")
    assert "Company Name" in error.message


def test_a_failure_while_writing_is_unknown_until_somebody_looked():
    assert (
        refused("An unexpected error occurred.", code="UNEXPECTED_ERROR", status=500).kind
        is ErrorKind.UNKNOWN
    )


def test_an_answer_without_details_is_left_to_its_http_status():
    url = "https://example.suitetalk.api.netsuite.com/x"
    assert (
        sort_error(Answer(502, {}, "<html>", False, lambda: Exchange("GET", url, status=502)), False) is None
    )


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("companyName", "name"),
        ("addressBook.items[0].addressBookAddress.zip", "billing_address"),
        ("custbody_x", "custbody_x"),
        ("", ""),
    ],
)
def test_a_vendor_path_leads_to_the_canonical_field(path, field):
    assert canonical_field(path) == field
