"""Every refusal of Kantata becomes one error of ours, though it only comes as a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from apps.connectors.adapters.kantata.errors import sort_error
from apps.connectors.protocols.http import Answer
from apps.connectors.spi import AdapterError, ErrorKind, Exchange


def refused(
    message: str, *, status: int = 422, kind: str = "validation", field: str = "", write: bool = True
) -> AdapterError | None:
    data: dict[str, Any] = {"errors": [{"type": kind, "message": message, "field": field}]}
    url = "https://api.mavenlink.com/api/v1/workspaces"
    return sort_error(Answer(status, {}, data, True, lambda: Exchange("POST", url, status=status)), write)


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        ("Unknown attribute: colour", ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
        ("Unknown parameter: colour", ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
        ("total is read-only", ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
        ("Workspace is archived", ErrorKind.REJECTED, "PRJ-CLOSED"),
        ("Date is locked", ErrorKind.REJECTED, "TIME-LATE"),
        ("Cannot be changed because it has been invoiced", ErrorKind.REJECTED, "TIME-EDITED"),
        ("Service name has already been taken", ErrorKind.REJECTED, "PRJ-DUP"),
        ("Currency is not included in the list", ErrorKind.REJECTED, "CUS-CURRENCY"),
        ("Role is invalid", ErrorKind.REJECTED, "RES-ROLE-NO-RATE"),
        ("Something nobody has seen before", ErrorKind.REJECTED, ""),
    ],
)
def test_a_sentence_is_sorted_by_what_it_says(message, kind, code):
    error = refused(message)
    assert (error.kind, error.code) == (kind, code)
    assert error.details["vendor_message"] == message


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, ErrorKind.AUTH, "INT-AUTH"),
        (403, ErrorKind.PERMISSION, "INT-PERM"),
        (404, ErrorKind.NOT_FOUND, ""),
        (429, ErrorKind.RATE_LIMITED, "INT-RATE"),
        (503, ErrorKind.TRANSIENT, ""),
        (504, ErrorKind.UNKNOWN, ""),
    ],
)
def test_a_status_goes_before_the_sentence(status, kind, code):
    error = refused("Date is locked", status=status, kind="system")
    assert (error.kind, error.code, error.retry_after) == (kind, code, None)


def test_a_timeout_of_a_read_may_be_tried_again():
    assert refused("Gateway timeout", status=504, kind="system", write=False).kind is ErrorKind.TRANSIENT


def test_the_field_is_named_in_our_words_and_the_sentence_shown_where_no_rule_fits():
    error = refused("Amount in cents is too large", field="amount_in_cents")
    assert error.field == "amount"
    assert "Amount in cents is too large" in error.message


def test_an_answer_without_errors_is_left_to_its_http_status():
    url = "https://api.mavenlink.com/api/v1/workspaces"
    assert (
        sort_error(Answer(502, {}, "<html>", False, lambda: Exchange("GET", url, status=502)), False) is None
    )
