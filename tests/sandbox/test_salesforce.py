"""The CRM as simple-salesforce and plain HTTP see it."""

import time

import jwt
import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

from .conftest import CLIENT_ID, CLIENT_SECRET, crm_session

API = "/services/data/v68.0"


class PlainHttp(HTTPAdapter):
    """simple-salesforce insists on https; the sandbox speaks http on this port."""

    def __init__(self, netloc: str):
        super().__init__()
        self._netloc = netloc

    def send(self, request, **options):
        path = request.url.split("/", 3)[3]
        request.url = f"http://{self._netloc}/{path}"
        return super().send(request, **options)


@pytest.fixture
def client(sandbox) -> Salesforce:
    session = requests.Session()
    session.mount("https://", PlainHttp(sandbox.url("crm").removeprefix("http://")))
    return Salesforce(
        consumer_key=CLIENT_ID,
        consumer_secret=CLIENT_SECRET,
        domain="merridane.my",
        session=session,
        version="68.0",
    )


def assertion_grant(sandbox, key, **claims):
    good = {"iss": CLIENT_ID, "sub": "sync@merridane.test", "aud": "https://login.salesforce.com"}
    assertion = jwt.encode({**good, "exp": int(time.time()) + 120, **claims}, key, algorithm="RS256")
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return requests.post(f"{sandbox.url('crm')}/services/oauth2/token", data=form, timeout=10)


def test_unmodified_simple_salesforce_creates_reads_changes_and_deletes(client, sandbox):
    made = client.Account.create({"Name": "Aldgate Partners", "BillingCountryCode": "GB"})
    assert made["success"] is True
    assert len(made["id"]) == 18
    assert client.Account.get(made["id"])["Name"] == "Aldgate Partners"
    assert client.Account.update(made["id"], {"Phone": "+44 20 7946 0000"}) == 204
    assert sandbox.control.records("crm", "Account", Id=made["id"])[0]["Phone"] == "+44 20 7946 0000"
    assert client.Account.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        client.Account.get(made["id"])


def test_upsert_by_external_id_creates_then_updates_and_is_ambiguous_when_two_match(client, sandbox):
    assert client.Account.upsert("ERP_Id__c/N1", {"Name": "One"}) == 201
    assert client.Account.upsert("ERP_Id__c/N1", {"Name": "One again"}) == 200
    assert [a["Name"] for a in sandbox.control.records("crm", "Account", ERP_Id__c="N1")] == ["One again"]
    sandbox.control.seed({"crm": {"Account": [{"Name": "Twin", "ERP_Id__c": "N1"}]}})
    with pytest.raises(SalesforceMoreThanOneRecord):
        client.Account.upsert("ERP_Id__c/N1", {"Name": "Which?"})
    assert sandbox.control.records("crm", "Account", Name="Which?") == []


def test_upsert_with_update_only_never_creates(sandbox):
    url = f"{sandbox.url('crm')}{API}/sobjects/Account/ERP_Id__c/none?updateOnly=true"
    assert crm_session(sandbox).patch(url, json={"Name": "x"}).status_code == 404
    assert sandbox.control.records("crm", "Account") == []


def test_query_pages_follow_the_locator_until_done(client, sandbox):
    sandbox.control.seed({"crm": {"Product2": [{"Name": f"P{n:03}"} for n in range(450)]}})
    first = client.query(
        "SELECT Id, Name FROM Product2 ORDER BY Name", headers={"Sforce-Query-Options": "batchSize=200"}
    )
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    second = client.query_more(
        first["nextRecordsUrl"], identifier_is_url=True, headers={"Sforce-Query-Options": "batchSize=200"}
    )
    assert second["records"][0]["Name"] == "P200"
    assert len(client.query_all("SELECT Id FROM Product2")["records"]) == 450


def test_a_query_locator_that_is_gone_is_refused(sandbox):
    answer = crm_session(sandbox).get(f"{sandbox.url('crm')}{API}/query/01gZZZ-2000")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_soql_reads_conditions_relationships_dates_and_sub_queries(client, sandbox):
    made = sandbox.control.seed(
        {
            "crm": {
                "Account": [{"Id": "001000000000001", "Name": "O'Brien Ltd"}],
                "Opportunity": [
                    {
                        "Id": "006000000000001",
                        "Name": "Big",
                        "AccountId": "001000000000001AAA",
                        "StageName": "Closed Won",
                        "CloseDate": "2026-11-20",
                        "SystemModstamp": "2026-11-23T04:00:00Z",
                        "Amount": 100,
                    },
                    {"Name": "Small", "StageName": "Prospecting", "CloseDate": "2026-01-01", "Amount": 5},
                ],
                "OpportunityLineItem": [
                    {
                        "OpportunityId": "006000000000001AAA",
                        "Quantity": 2,
                        "UnitPrice": 50,
                        "Description": "a",
                    }
                ],
            }
        }
    )
    assert len(made["crm"]["Opportunity"]) == 2

    def names(where: str) -> list[str]:
        found = client.query_all(f"SELECT Name FROM Opportunity WHERE {where} ORDER BY Name ASC NULLS LAST")
        return [record["Name"] for record in found["records"]]

    assert names(r"Account.Name = 'O\'Brien Ltd'") == ["Big"]
    assert names("IsWon = true AND (Amount > 50 OR Name LIKE 'S%')") == ["Big"]
    assert names("CloseDate < 2026-06-01") == ["Small"]
    assert names("SystemModstamp = 2026-11-23T04:00:00Z") == ["Big"]
    assert names("AccountId = null") == ["Small"]
    assert names("StageName IN ('Prospecting', 'x') OR NOT Amount < 50") == ["Big", "Small"]
    assert names("AccountId IN (SELECT Id FROM Account WHERE Name LIKE 'O%')") == ["Big"]
    nested = client.query(
        "SELECT Account.Name, (SELECT TotalPrice FROM OpportunityLineItems) FROM Opportunity WHERE Name = 'big'"
    )["records"][0]
    assert nested["Account"]["Name"] == "O'Brien Ltd"
    assert nested["OpportunityLineItems"]["records"][0]["TotalPrice"] == 100
    assert client.query("SELECT COUNT() FROM Opportunity")["totalSize"] == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
    ],
)
def test_wrong_queries_are_refused_with_the_vendors_code(client, query, code):
    with pytest.raises(SalesforceMalformedRequest) as caught:
        client.query(query)
    assert caught.value.content[0]["errorCode"] == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"Name": "x", "Nope": 1}, "INVALID_FIELD"),
        ({"Name": "x" * 256}, "STRING_TOO_LONG"),
        ({"Name": "x", "SystemModstamp": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": "x", "ParentId": "001000000000009AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
    ],
)
def test_wrong_values_are_refused_with_the_vendors_code(sandbox, body, code):
    answer = crm_session(sandbox).post(f"{sandbox.url('crm')}{API}/sobjects/Account", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_a_duplicate_rule_blocks_until_saving_is_allowed(sandbox):
    sandbox.control.seed(
        {
            "crm": {
                "DuplicateRule": [{"sobject": "Account", "fields": ["Name"]}],
                "Account": [{"Name": "Acme"}],
            }
        }
    )
    session, url = crm_session(sandbox), f"{sandbox.url('crm')}{API}/sobjects/Account"
    refused = session.post(url, json={"Name": "ACME"})
    assert refused.status_code == 400
    assert refused.json()[0]["errorCode"] == "DUPLICATES_DETECTED"
    assert refused.json()[0]["duplicateResult"]["matchResults"][0]["size"] == 1
    allowed = session.post(
        url, json={"Name": "ACME"}, headers={"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    )
    assert allowed.status_code == 201


def test_conditional_headers_guard_writes(sandbox):
    session = crm_session(sandbox)
    base = f"{sandbox.url('crm')}{API}/sobjects"
    account = session.post(f"{base}/Account", json={"Name": "Tag"}).json()["id"]
    tag = session.get(f"{base}/Account/{account}").headers["ETag"]
    assert session.get(f"{base}/Account/{account}", headers={"If-None-Match": tag}).status_code == 304
    changed = session.patch(f"{base}/Account/{account}", json={"Phone": "1"}, headers={"If-Match": tag})
    assert changed.status_code == 204
    stale = session.patch(f"{base}/Account/{account}", json={"Phone": "2"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    old = {"If-Unmodified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert session.patch(f"{base}/Account/{account}", json={"Phone": "3"}, headers=old).status_code == 412
    assert (
        session.get(
            f"{base}/Account/{account}", headers={"If-Modified-Since": "Mon, 01 Jan 2035 00:00:00 GMT"}
        ).status_code
        == 304
    )
    assert sandbox.control.records("crm", "Account")[0]["Phone"] == "1"


def test_composite_resolves_references_and_rolls_back_all_or_none(sandbox):
    session, url = crm_session(sandbox), f"{sandbox.url('crm')}{API}/composite"

    def call(opportunity: dict) -> list[dict]:
        steps = [
            {"method": "PATCH", "url": f"{API}/sobjects/Account/ERP_Id__c/C1", "referenceId": "acct",
             "body": {"Name": "Comp"}},
            {"method": "POST", "url": f"{API}/sobjects/Opportunity", "referenceId": "opp",
             "body": {"AccountId": "@{acct.id}", **opportunity}},
        ]  # fmt: skip
        answer = session.post(url, json={"allOrNone": True, "compositeRequest": steps})
        assert answer.status_code == 200
        return answer.json()["compositeResponse"]

    broken = call({"Name": "No stage"})
    assert [step["httpStatusCode"] for step in broken] == [400, 400]
    assert broken[0]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert broken[1]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert sandbox.control.records("crm", "Account") == []
    good = call({"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-01"})
    assert [step["httpStatusCode"] for step in good] == [201, 201]
    assert sandbox.control.records("crm", "Opportunity")[0]["AccountId"] == good[0]["body"]["id"]


def test_every_answer_tells_the_api_usage_and_the_limit_is_a_403(sandbox):
    session, url = crm_session(sandbox), f"{sandbox.url('crm')}{API}/limits"
    assert session.get(url).headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    sandbox.control.settings("crm", api_limit=2)
    assert session.get(url).json()["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
    over = session.get(url)
    assert (over.status_code, over.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "Retry-After" not in over.headers


def test_jwt_bearer_grants_only_what_is_signed_addressed_and_fresh(sandbox, keys):
    assert assertion_grant(sandbox, keys.rsa_key).json()["instance_url"] == sandbox.url("crm")
    late = assertion_grant(sandbox, keys.rsa_key, exp=int(time.time()) - 5)
    assert (late.status_code, late.json()["error_description"]) == (400, "expired authorization code")
    other = assertion_grant(sandbox, keys.rsa_key, aud="https://elsewhere.test")
    assert other.json() == {"error": "invalid_grant", "error_description": "audience is invalid"}
    stranger = assertion_grant(sandbox, keys.rsa_key, sub="other@merridane.test")
    assert stranger.json()["error_description"] == "user hasn't approved this consumer"


def test_an_expired_token_is_a_401_invalid_session(sandbox):
    session = crm_session(sandbox)
    assert sandbox.control.expire_tokens("crm") == 1
    answer = session.get(f"{sandbox.url('crm')}{API}/sobjects")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_describe_names_types_and_external_ids(client):
    fields = {field["name"]: field for field in client.Opportunity.describe()["fields"]}
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert fields["Engagement_Key__c"]["externalId"] is True
    assert "Opportunity" in {item["name"] for item in client.describe()["sobjects"]}
