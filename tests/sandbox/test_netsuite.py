"""The ERP over plain HTTP: tokens, records, transactions, SuiteQL, asynchronous requests."""

import threading
import uuid

import pytest
import requests

from apps.core import clock

from .conftest import erp_session, erp_token

RECORD = "/services/rest/record/v1"
MASTERS = {
    "subsidiary": [
        {"id": "1", "name": "Merridane UK", "country": "GB", "currency": "1"},
        {"id": "2", "name": "Merridane US", "country": "US", "currency": "2"},
    ],
    "serviceSaleItem": [
        {"id": "50", "itemId": "ADV-100", "subsidiary": ["1"]},
        {"id": "51", "itemId": "OLD-1", "isInactive": True},
    ],
    "salesTaxItem": [{"id": "9", "itemId": "VAT 20", "rate": 20.0}],
}


class Erp:
    """A session on the record API that answers with the response."""

    def __init__(self, sandbox, keys):
        sandbox.control.seed({"erp": MASTERS})
        self.base, self.session = sandbox.url("erp"), erp_session(sandbox, keys)

    def call(self, method: str, path: str, body=None, **headers) -> requests.Response:
        return self.session.request(
            method, f"{self.base}{RECORD}{path}", json=body, headers=headers, timeout=10
        )

    def ql(self, query: str, **params) -> requests.Response:
        url = f"{self.base}/services/rest/query/v1/suiteql"
        return self.session.post(
            url, json={"q": query}, params=params, headers={"Prefer": "transient"}, timeout=10
        )

    def customer(self, external: str = "ACC-1", **more) -> str:
        body = {"companyName": external, "subsidiary": {"id": "1"}, "currency": {"id": "1"}, **more}
        answer = self.call("PUT", f"/customer/eid:{external}", body)
        assert answer.status_code == 204, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def invoice(self, external: str = "INV-1", **more) -> requests.Response:
        line = {"item": {"id": "50"}, "quantity": 3, "rate": 99.995, "taxCode": {"id": "9"}}
        body = {"entity": {"externalId": "ACC-1"}, "item": {"items": [line]}, **more}
        return self.call("PUT", f"/invoice/eid:{external}", body)


@pytest.fixture
def erp(sandbox, keys) -> Erp:
    return Erp(sandbox, keys)


def detail(answer: requests.Response) -> tuple[int, str, str]:
    found = answer.json()["o:errorDetails"][0]
    return answer.status_code, found["o:errorCode"], found["detail"]


def test_the_assertion_must_be_signed_by_the_registered_certificate(sandbox, keys):
    good = erp_token(sandbox, keys.ec_key)
    assert good.status_code == 200
    assert good.json()["expires_in"] == "3600"
    assert erp_token(sandbox, keys.rsa_key, algorithm="PS256").json()["error"] == "invalid_client"
    assert erp_token(sandbox, keys.rsa_key, algorithm="RS256").json()["error"] == "invalid_request"
    assert erp_token(sandbox, keys.ec_key, kid="other").status_code == 401
    assert erp_token(sandbox, keys.ec_key, aud="https://elsewhere.test").json()["error"] == "invalid_grant"
    assert erp_token(sandbox, keys.ec_key, scope="restlets").json()["error"] == "invalid_scope"
    sandbox.control.credentials("erp", kid="kid-2", public_key=keys.rsa_public)
    assert erp_token(sandbox, keys.rsa_key, algorithm="PS256", kid="kid-2").status_code == 200


def test_upsert_by_external_id_answers_204_with_the_same_location(erp, sandbox):
    first, second = erp.customer(), erp.customer(email="ap@acc.test")
    assert first == second
    [record] = sandbox.control.records("erp", "customer")
    assert (record["externalId"], record["email"], record["entityId"]) == ("ACC-1", "ap@acc.test", "ACC-1")
    [relation] = sandbox.control.records("erp", "customerSubsidiaryRelationship")
    assert relation["entity"]["id"] == first
    assert erp.call("PUT", "/customer/12", {}).status_code == 400


def test_reading_shows_links_and_expands_sub_resources_on_request(erp):
    address = {"defaultBilling": True, "addressBookAddress": {"addr1": "1 Road", "country": {"id": "GB"}}}
    number = erp.customer(addressBook={"items": [address]})
    plain = erp.call("GET", f"/customer/{number}").json()
    assert "items" not in plain["addressBook"]
    assert plain["subsidiary"]["refName"] == "Merridane UK"
    full = erp.call("GET", "/customer/eid:ACC-1?expandSubResources=true").json()
    assert full["addressBook"]["items"][0]["addressBookAddress"]["addr1"] == "1 Road"
    assert erp.call("GET", "/customer/99999").json()["o:errorDetails"][0]["o:errorCode"] == "NONEXISTENT_ID"


def test_unknown_properties_and_references_are_refused(erp):
    strict = {"X-NetSuite-PropertyNameValidation": "Error"}
    unknown = erp.call(
        "POST", "/customer", {"companyName": "x", "subsidiary": {"id": "1"}, "nope": 1}, **strict
    )
    assert detail(unknown)[:2] == (400, "INVALID_CONTENT")
    assert unknown.json()["o:errorDetails"][0]["o:errorPath"] == "nope"
    ignored = erp.call(
        "POST", "/customer", {"companyName": "x", "subsidiary": {"id": "1"}, "nope": 1},
        **{"X-NetSuite-PropertyNameValidation": "ignore"},
    )  # fmt: skip
    assert ignored.status_code == 204
    status, code, text = detail(
        erp.call("POST", "/customer", {"companyName": "y", "subsidiary": {"id": "7"}})
    )
    assert (status, code) == (400, "USER_ERROR")
    assert "INVALID_KEY_OR_REF" in text


def test_a_second_customer_of_the_same_name_is_a_dup_entity(erp):
    erp.customer()
    answer = erp.call("POST", "/customer", {"companyName": "acc-1", "subsidiary": {"id": "1"}})
    assert "DUP_ENTITY" in detail(answer)[2]


def test_an_invoice_is_a_draft_until_approved_and_paid_when_payment_is_applied(erp, sandbox):
    erp.customer(terms={"id": "2"})
    assert erp.invoice(tranDate=str(clock.now().date())).status_code == 204
    draft = erp.call("GET", "/invoice/eid:INV-1").json()
    assert draft["status"]["refName"] == "Pending Approval"
    assert (draft["subtotal"], draft["taxTotal"], draft["total"]) == (299.99, 60.0, 359.99)
    assert "tranId" not in draft
    assert erp.call("PATCH", "/invoice/eid:INV-1", {"approvalStatus": {"id": "2"}}).status_code == 204
    posted = erp.call("GET", "/invoice/eid:INV-1").json()
    assert posted["status"]["refName"] == "Open"
    assert posted["tranId"].startswith("INV")
    assert posted["dueDate"] > posted["tranDate"]
    payment = {
        "customer": {"externalId": "ACC-1"}, "currency": {"id": "1"}, "payment": 100,
        "apply": {"items": [{"doc": {"id": posted["id"]}, "amount": 100, "apply": True}]},
    }  # fmt: skip
    assert erp.call("POST", "/customerPayment", payment).status_code == 204
    assert erp.call("GET", "/invoice/eid:INV-1").json()["amountRemaining"] == 259.99
    assert erp.call("POST", "/invoice/eid:INV-1/!transform/customerPayment", {}).status_code == 204
    paid = sandbox.control.records("erp", "invoice")[0]
    assert (paid["status"]["refName"], paid["amountRemaining"]) == ("Paid In Full", 0.0)


def test_a_credit_memo_reduces_what_is_due(erp):
    erp.customer()
    erp.invoice()
    erp.call("PATCH", "/invoice/eid:INV-1", {"approvalStatus": {"id": "2"}})
    number = erp.call("GET", "/invoice/eid:INV-1").json()["id"]
    memo = {
        "entity": {"externalId": "ACC-1"}, "item": {"items": [{"item": {"id": "50"}, "amount": 59.99}]},
        "apply": {"items": [{"doc": {"id": number}, "apply": True, "amount": 59.99}]},
    }  # fmt: skip
    assert erp.call("POST", "/creditMemo", memo).status_code == 204
    assert erp.call("GET", "/invoice/eid:INV-1").json()["amountRemaining"] == 300.0


def test_business_rules_name_their_code_in_the_detail(erp, sandbox):
    erp.customer()
    assert "SUBSIDIARY_MISMATCH" in detail(erp.invoice(subsidiary={"id": "2"}))[2]
    assert "MISMATCHED_CURRENCY" in detail(erp.invoice(currency={"id": "3"}))[2]
    inactive = {"items": [{"item": {"id": "51"}, "quantity": 1, "rate": 1}]}
    assert "Invalid item reference key 51 for subsidiary 1" in detail(erp.invoice(item=inactive))[2]
    sandbox.control.settings("erp", tax_code_required=["1"])
    untaxed = {"items": [{"item": {"id": "50"}, "quantity": 1, "rate": 1}]}
    assert "TAX_CODE_REQD" in detail(erp.invoice(item=untaxed))[2]
    today = str(clock.now().date())
    [period] = [
        p
        for p in sandbox.control.records("erp", "accountingPeriod")
        if p["startDate"] <= today <= p["endDate"]
    ]
    sandbox.control.patch("erp", "accountingPeriod", period["id"], {"closed": True})
    status, code, text = detail(erp.invoice(tranDate=today))
    assert (status, code) == (400, "USER_ERROR")
    assert "CLOSED_TRAN_PRD" in text
    assert sandbox.control.records("erp", "invoice") == []


def test_patching_lines_merges_by_line_and_replace_swaps_them(erp):
    erp.customer()
    erp.invoice()
    erp.call("PATCH", "/invoice/eid:INV-1", {"item": {"items": [{"line": 1, "quantity": 1}]}})
    assert erp.call("GET", "/invoice/eid:INV-1").json()["subtotal"] == 100.0
    lines = {"items": [{"item": {"id": "50"}, "quantity": 2, "rate": 10}]}
    erp.call("PATCH", "/invoice/eid:INV-1?replace=item", {"item": lines})
    assert erp.call("GET", "/invoice/eid:INV-1").json()["subtotal"] == 20.0


def test_suiteql_selects_filters_joins_pages_and_gives_text(erp):
    erp.customer("ALPHA")
    erp.customer("BETA")
    erp.customer("ACC-1")
    erp.invoice()
    found = erp.ql(
        "SELECT id, externalid, BUILTIN.DF(subsidiary) AS entity, TO_CHAR(lastmodifieddate, 'YYYY-MM-DD') AS day, isinactive "
        "FROM customer WHERE UPPER(companyname) LIKE 'A%' AND externalid NOT IN ('x') AND email IS NULL "
        "AND lastmodifieddate >= TO_TIMESTAMP('2026-01-01 00:00:00', 'YYYY-MM-DD HH24:MI:SS') ORDER BY id"
    ).json()
    assert [row["externalid"] for row in found["items"]] == ["ALPHA", "ACC-1"]
    assert found["items"][0]["entity"] == "Merridane UK"
    assert found["items"][0]["isinactive"] == "F"
    assert found["items"][0]["day"] == str(clock.now().date())
    page = erp.ql("SELECT id FROM customer ORDER BY id", limit=2, offset=2).json()
    assert (page["count"], page["hasMore"], page["totalResults"]) == (1, False, 3)
    lines = erp.ql(
        "SELECT t.externalid, tl.foreignamount FROM transactionline tl JOIN transaction t ON t.id = tl.transaction "
        "WHERE t.type = 'CustInvc' AND tl.mainline = 'F'"
    ).json()["items"]
    assert [(row["externalid"], row["foreignamount"]) for row in lines] == [("INV-1", "-299.99")]
    assert detail(erp.ql("SELECT nope FROM customer"))[:2] == (400, "INVALID_PARAMETER")
    url = f"{erp.base}/services/rest/query/v1/suiteql"
    assert erp.session.post(url, json={"q": "SELECT id FROM customer"}).status_code == 400


def test_collections_filter_with_q(erp):
    erp.customer("ALPHA")
    erp.customer("BETA")
    found = erp.call("GET", '/customer?q=companyName START_WITH "al" AND isInactive IS false').json()
    assert (found["totalResults"], found["hasMore"]) == (1, False)
    assert detail(erp.call("GET", '/customer?q=nope IS "x"'))[:2] == (400, "INVALID_PARAMETER")


def test_an_asynchronous_request_keeps_its_result_and_refuses_its_key_twice(erp):
    headers = {"Prefer": "respond-async", "X-NetSuite-Idempotency-Key": str(uuid.uuid4())}
    body = {"companyName": "Async", "subsidiary": {"id": "1"}}
    accepted = erp.call("POST", "/customer", body, **headers)
    assert (accepted.status_code, accepted.headers["Preference-Applied"]) == (202, "respond-async")
    again = erp.call("POST", "/customer", body, **headers)
    assert detail(again)[:2] == (400, "IDEMPOTENCY_ERROR")
    assert again.headers["Location"] == accepted.headers["Location"]
    assert erp.session.get(accepted.headers["Location"]).json()["progress"] == "succeeded"
    result = erp.session.get(f"{accepted.headers['Location']}/task/1/result")
    assert result.status_code == 204
    assert "/customer/" in result.headers["Location"]


def test_more_requests_at_once_than_the_account_allows_are_429(erp, sandbox):
    sandbox.control.settings("erp", concurrency=1)
    sandbox.control.fault("erp", "latency", path="/currency/1$", seconds=1.0)
    slow = threading.Thread(target=erp.call, args=("GET", "/currency/1"))
    slow.start()
    sandbox.control.system("erp").wait_for(lambda s: s.faults()[0]["hits"])
    answer = requests.get(
        f"{erp.base}{RECORD}/currency/2",
        headers={"Authorization": erp.session.headers["Authorization"]},
        timeout=10,
    )
    slow.join()
    assert detail(answer)[:2] == (429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert "Retry-After" not in answer.headers


def test_the_second_account_is_another_world(erp, sandbox, keys):
    erp.customer()
    assert sandbox.control.records("erp-be", "customer") == []
    base = [c["symbol"] for c in sandbox.control.records("erp-be", "currency") if c["isBaseCurrency"]]
    assert base == ["EUR"]
