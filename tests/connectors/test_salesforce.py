"""Salesforce: composing deals, paging, polling, writing back, change events."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from apps.canonical.money import Money
from apps.connectors.adapters.salesforce import events
from apps.connectors.adapters.salesforce.adapter import SalesforceAdapter
from apps.connectors.adapters.salesforce.soql import literal
from apps.connectors.protocols.oauth import forget_tokens
from apps.connectors.spi import AdapterError, ErrorKind, Push, Settings, WebhookRefused
from apps.core import clock
from apps.demo.sandbox_client import SystemControl
from tests.connectors.rawserver import RawServer, whole
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="module")
def sandbox(free_port_block, tmp_path_factory) -> Iterator[SandboxProcess]:
    with SandboxProcess(free_port_block(7), tmp_path_factory.mktemp("sf-sandbox")) as running:
        yield running


def signing_key() -> tuple[str, str]:
    """A private and a public key, both PEM."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


@pytest.fixture
def crm(sandbox: SandboxProcess) -> SystemControl:
    sandbox.control.reset(["crm"], everything=True)
    sandbox.control.credentials("crm", client_id="key", client_secret="secret-of-the-test")
    forget_tokens()
    return sandbox.control.system("crm")


@pytest.fixture
def settings_of_crm(sandbox: SandboxProcess) -> Settings:
    return Settings(
        system="crm",
        base_url=sandbox.url("crm"),
        config={"client_id": "key"},
        secrets={"client_secret": "secret-of-the-test"},
    )


@pytest.fixture
def adapter(crm, settings_of_crm) -> SalesforceAdapter:
    return SalesforceAdapter(settings_of_crm)


@pytest.fixture
def deal(sandbox, crm) -> dict[str, str]:
    """A complete deal; ids by object."""

    def seed(kind: str, *rows: dict) -> list[str]:
        return sandbox.control.seed({"crm": {kind: list(rows)}})["crm"][kind]

    account = seed(
        "Account",
        {
            "Name": "Northwind",
            "CurrencyIsoCode": "GBP",
            "BillingStreet": "1 High Street\nUnit 4",
            "BillingCity": "Leeds",
            "BillingPostalCode": "LS1 4AP",
            "BillingCountryCode": "GB",
            "Tax_Id__c": "GB123456789",
            "Payment_Terms__c": "Net 30",
            "PO_Required__c": True,
        },
    )[0]
    contract = seed(
        "Contract",
        {
            "AccountId": account,
            "Status": "Activated",
            "Kind__c": "SOW",
            "Signed_On__c": "2026-11-01",
            "Not_To_Exceed__c": 50000,
        },
    )[0]
    opportunity = seed(
        "Opportunity",
        {
            "Name": "ERP implementation",
            "AccountId": account,
            "ContractId": contract,
            "StageName": "Closed Won",
            "CloseDate": "2026-11-20",
            "CurrencyIsoCode": "GBP",
            "Amount": 30000.55,
            "Contracting_Entity__c": "MER-UK",
            "Billing_Type__c": "milestone",
            "Start_Date__c": "2026-12-01",
            "PO_Number__c": "PO-7",
            "Project_Manager__c": "maya@meridane.example",
        },
    )[0]
    seed(
        "OpportunityLineItem",
        {
            "OpportunityId": opportunity,
            "ProductCode": "IMP-200",
            "Quantity": 2,
            "UnitPrice": 15000.275,
            "TotalPrice": 30000.55,
            "SortOrder": 1,
        },
    )
    seed(
        "Billing_Schedule__c",
        {
            "Opportunity__c": opportunity,
            "Label__c": "Go-live",
            "Amount__c": 20000.55,
            "Trigger__c": "acceptance",
            "Sort__c": 2,
        },
        {
            "Opportunity__c": opportunity,
            "Label__c": "Kick-off",
            "Amount__c": 10000,
            "Trigger__c": "date",
            "Due_Date__c": "2026-12-15",
            "Sort__c": 1,
        },
    )
    seed(
        "Deal_Rate__c",
        {"Opportunity__c": opportunity, "Role__c": "Consultant", "Unit__c": "day", "Bill_Rate__c": 1100},
    )
    return {"account": account, "contract": contract, "opportunity": opportunity}


def test_a_deal_is_read_whole_in_four_queries(crm, adapter, deal):
    adapter.check()
    before = crm.requests()[-1]["seq"]
    [found] = adapter.find(object_type="deal", by="id", value=deal["opportunity"])
    assert len(crm.requests(since=before, path="/query")) == 4
    body = found.body
    assert body.key == f"crm:{deal['opportunity']}"
    assert body.customer_key == f"crm:{deal['account']}"
    assert body.amount == Money.of("30000.55", "GBP")
    assert body.billing_model == "milestone"
    assert body.payment_terms == "Net 30"
    assert (body.is_won, body.is_closed, body.closed_on) == (True, True, date(2026, 11, 20))
    assert body.contract.status == "activated"
    assert body.contract.not_to_exceed == Money.of(50000, "GBP")
    [line] = body.lines
    assert (line.service_code, line.quantity, line.amount.amount) == (
        "IMP-200",
        Decimal(2),
        Decimal("30000.55"),
    )
    assert [(entry.label, entry.trigger) for entry in body.schedule] == [
        ("Kick-off", "date"),
        ("Go-live", "acceptance"),
    ]
    assert [(rate.role, rate.unit, rate.bill_rate.amount) for rate in body.rates] == [
        ("Consultant", "day", Decimal("1100.00"))
    ]
    assert found.container_id == deal["account"]


def test_the_version_of_a_deal_follows_its_parts(crm, adapter, deal):
    [before] = adapter.find(object_type="deal", by="id", value=deal["opportunity"])
    entry = crm.records("Billing_Schedule__c", Label__c="Go-live")[0]
    crm.delete("Billing_Schedule__c", entry["Id"])
    [after] = adapter.find(object_type="deal", by="id", value=deal["opportunity"])
    assert after.version != before.version
    assert len(after.body.schedule) == 1


def test_a_customer_is_read_with_its_address_and_terms(adapter, deal):
    [found] = adapter.find(object_type="customer", by="id", value=deal["account"])
    assert found.body.billing_address.line1 == "1 High Street"
    assert found.body.billing_address.line2 == "Unit 4"
    assert found.body.billing_address.country == "GB"
    assert found.body.po_required
    assert found.body.payment_terms == "Net 30"


def test_more_lines_than_a_page_are_all_read(sandbox, adapter, deal):
    lines = [
        {
            "OpportunityId": deal["opportunity"],
            "ProductCode": "IMP-200",
            "Quantity": 1,
            "UnitPrice": 1,
            "SortOrder": n,
        }
        for n in range(2300)
    ]
    sandbox.control.seed({"crm": {"OpportunityLineItem": lines}})
    [found] = adapter.find(object_type="deal", by="id", value=deal["opportunity"])
    assert len(found.body.lines) == 2301


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("Billing_Type__c", "by the moon", "billing_model"),
        ("CurrencyIsoCode", "QQQ", "currency"),
        ("Amount", 10.005, "amount"),
    ],
)
def test_a_value_nobody_understands_is_rejected_with_its_field(crm, adapter, deal, field, value, named):
    crm.patch("Opportunity", deal["opportunity"], {field: value})
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type="deal", by="id", value=deal["opportunity"])
    assert caught.value.kind is ErrorKind.REJECTED
    assert (caught.value.field, caught.value.value) == (named, str(value))


def test_a_deal_without_a_contracting_entity_is_read_all_the_same(crm, adapter, deal):
    crm.patch("Opportunity", deal["opportunity"], {"Contracting_Entity__c": None, "ContractId": None})
    [found] = adapter.find(object_type="deal", by="id", value=deal["opportunity"])
    assert found.body.legal_entity_code == ""
    assert found.body.contract is None


@pytest.mark.parametrize("value", ["", "x' OR Id != '", "006000000000001AAA' LIMIT 1", "../limits"])
def test_what_is_no_record_id_never_reaches_a_query(crm, adapter, value):
    with pytest.raises(AdapterError) as caught:
        adapter.find(object_type="deal", by="id", value=value)
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert crm.requests(path="/query") == []


def test_text_in_a_query_cannot_end_its_literal():
    assert literal("O'Brien\\") == "'O\\'Brien\\\\'"


@pytest.mark.parametrize(
    ("following", "kind"),
    [
        ("https://evil.example/services/data/v68.0/query/1-2000", ErrorKind.CONTRACT_DRIFT),
        ("//evil.example/services/data/", ErrorKind.CONTRACT_DRIFT),
        ("/apex/anything", ErrorKind.CONTRACT_DRIFT),
    ],
)
def test_a_next_page_elsewhere_is_not_fetched(following, kind):
    page = json.dumps({"totalSize": 2, "done": False, "nextRecordsUrl": following, "records": []}).encode()

    def answer(connection, request):
        token = b'{"access_token": "t"}'
        connection.sendall(whole(token if b"POST /services/oauth2" in request else page))

    with RawServer(answer) as server:
        adapter = SalesforceAdapter(
            Settings(system=f"next-{server.port}", base_url=server.url, config={"client_id": "k"}, secrets={})
        )
        with pytest.raises(AdapterError) as caught:
            adapter.find(object_type="customer", by="id", value="001000000000001AAA")
        assert caught.value.kind is kind
        assert len(server.requests) == 2


def test_signing_a_contract_is_found_by_polling_as_a_change_of_its_deal(crm, adapter, deal):
    cursor = adapter.fetch(object_type="deal", cursor="").cursor
    crm.patch("Contract", deal["contract"], {"Signed_On__c": "2026-11-22"})
    page = adapter.fetch(object_type="deal", cursor=cursor)
    assert deal["opportunity"] in {change.external_id for change in page.changes}
    assert any(change.event_id.startswith("poll:Contract:") for change in page.changes)


def test_many_records_of_one_instant_are_paged_without_loss(sandbox, crm, adapter):
    at = f"{clock.now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}.000+0000"
    rows = [{"Name": f"A{n}", "SystemModstamp": at, "LastModifiedDate": at} for n in range(25)]
    ids = set(sandbox.control.seed({"crm": {"Account": rows}})["crm"]["Account"])
    seen, cursor, more, pages = [], "", True, 0
    while more:
        page = adapter.fetch(object_type="customer", cursor=cursor, limit=10)
        seen.extend(change.external_id for change in page.changes)
        cursor, more, pages = page.cursor, page.more, pages + 1
    assert pages == 3
    assert set(seen) == ids
    assert len(seen) == 25


def test_a_change_that_committed_late_with_an_older_stamp_is_still_found(sandbox, crm, adapter):
    now = clock.now()

    def account(name: str, minutes: int) -> str:
        at = f"{now - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S}.000+0000"
        row = {"Name": name, "SystemModstamp": at, "LastModifiedDate": at}
        return sandbox.control.seed({"crm": {"Account": [row]}})["crm"]["Account"][0]

    account("early", 1)
    cursor = adapter.fetch(object_type="customer", cursor="").cursor
    late = account("committed late", 4)
    page = adapter.fetch(object_type="customer", cursor=cursor)
    assert late in {change.external_id for change in page.changes}


def test_two_changes_within_one_second_are_both_told(sandbox, crm, adapter):
    """Stamps have whole seconds: a change seen before its second is over may not be the last one of that second."""

    def at_second(name: str, stamp: str) -> None:
        crm.patch("Account", account, {"Name": name, "LastModifiedDate": stamp})

    def told(cursor: str) -> tuple[set[str], str]:
        page = adapter.fetch(object_type="customer", cursor=cursor)
        return {change.event_id for change in page.changes if change.external_id == account}, page.cursor

    [account] = sandbox.control.seed({"crm": {"Account": [{"Name": "At first"}]}})["crm"]["Account"]
    now = clock.now()
    this_second = f"{now:%Y-%m-%dT%H:%M:%S}.000+0000"
    at_second("Once", this_second)
    with time_machine.travel(now):
        seen, cursor = told("")
    at_second("Twice", this_second)
    with time_machine.travel(now + timedelta(seconds=20)):
        later, cursor = told(cursor)
        assert later - seen, "the inbox would drop an event that it has"
        again, _cursor = told(cursor)
    assert again == later, "what is over is told under one id for good"


def test_each_answer_tells_how_much_of_a_days_calls_is_used(sandbox, crm, adapter):
    assert adapter.used() is None, "nobody has asked yet"
    sandbox.control.settings("crm", api_used=4_000, api_limit=8_000)
    adapter.fetch(object_type="customer", cursor="")
    assert 0.5 < adapter.used() < 0.51
    assert adapter.used() is None, "told once"
    sandbox.control.settings("crm", api_used=8_000)
    with pytest.raises(AdapterError) as caught:
        adapter.fetch(object_type="customer", cursor="")
    assert caught.value.kind is ErrorKind.RATE_LIMITED
    assert adapter.used() > 1, "a refusal tells it too"


@pytest.mark.parametrize(
    ("header", "used"),
    [
        ("api-usage=18/5000", 18 / 5000),
        ("api-usage=4800/5000; per-app-api-usage=17/250(appName=sample)", 0.96),
        ("per-app-api-usage=240/250(appName=sample)", None),
        ("api-usage=18/0", None),
        ("api-usage=many/5000", None),
        ("", None),
    ],
)
def test_only_the_orgs_own_usage_counts(settings_of_crm, header, used):
    page = whole(
        b'{"records": [], "done": true}', headers=f"Connection: close\r\nSforce-Limit-Info: {header}\r\n"
    )

    def answer(connection, request):
        token = whole(b'{"access_token": "t"}')
        connection.sendall(token if b"POST /services/oauth2" in request else page)

    with RawServer(answer) as server:
        adapter = SalesforceAdapter(
            replace(settings_of_crm, system=f"usage-{server.port}", base_url=server.url)
        )
        adapter.find(object_type="customer", by="id", value="001000000000001AAA")
        assert adapter.used() == used


def status_push(deal, **values) -> Push:
    return Push(
        object_type="deal_status",
        operation="create",
        key="ENG-2026-000042",
        idempotency_key=uuid.uuid4().hex,
        refs={"deal": deal["opportunity"]},
        values={"status": "Provisioned", **values},
    )


def test_a_status_is_written_and_updated_in_one_record(crm, adapter, deal):
    first = adapter.push(status_push(deal))
    second = adapter.push(status_push(deal, invoice_status="paid", paid_amount="10000.00"))
    assert (first.created, second.created) == (True, False)
    row = crm.record("Eng_Status__c", Engagement_Key__c="ENG-2026-000042")
    assert (row["Invoice_Status__c"], float(row["Paid_Amount__c"])) == ("paid", 10000.0)
    assert row["Opportunity__c"] == deal["opportunity"]


def test_a_probe_of_a_later_status_is_not_satisfied_by_an_earlier_one(adapter, deal):
    adapter.push(status_push(deal))
    assert adapter.probe(status_push(deal)) is not None
    assert adapter.probe(status_push(deal, invoice_status="paid")) is None


@pytest.mark.provokes("CUS-AMBIG-EXTID")
def test_two_records_of_one_external_id_are_a_case_for_a_person(sandbox, crm, adapter, deal):
    rows = [{"Engagement_Key__c": "ENG-2026-000042", "Status__c": "x"} for _ in range(2)]
    sandbox.control.seed({"crm": {"Eng_Status__c": rows}})
    with pytest.raises(AdapterError) as caught:
        adapter.push(status_push(deal))
    assert caught.value.kind is ErrorKind.REJECTED
    assert caught.value.code == "CUS-AMBIG-EXTID"
    assert len(caught.value.details["records"]) == 2


def ref_push(deal, **more) -> Push:
    return Push(
        object_type="customer_ref",
        operation="update",
        key="cus-1",
        idempotency_key="1",
        external_id=deal["account"],
        values={"erp_customer_id": "647"},
        **more,
    )


def test_the_erp_id_of_a_customer_is_written_back(crm, adapter, deal):
    adapter.push(ref_push(deal))
    assert crm.record("Account", Id=deal["account"])["ERP_Customer_Id__c"] == "647"
    assert adapter.probe(ref_push(deal)) is not None


@pytest.mark.provokes("INT-LOCK")
def test_an_account_changed_since_we_read_it_is_a_conflict(crm, adapter, deal):
    seen = (clock.now() - timedelta(days=1)).isoformat()
    with pytest.raises(AdapterError) as caught:
        adapter.push(ref_push(deal, if_version=seen))
    assert caught.value.kind is ErrorKind.CONFLICT
    assert caught.value.code == "INT-LOCK"


@pytest.mark.parametrize(
    ("status", "entry", "kind", "code"),
    [
        (400, {"errorCode": "UNABLE_TO_LOCK_ROW", "message": "x"}, ErrorKind.TRANSIENT, "INT-LOCK"),
        (500, {"errorCode": "UNABLE_TO_LOCK_ROW", "message": "x"}, ErrorKind.TRANSIENT, "INT-LOCK"),
        (403, {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "x"}, ErrorKind.RATE_LIMITED, "INT-RATE"),
        (403, {"errorCode": "INSUFFICIENT_ACCESS", "message": "x"}, ErrorKind.PERMISSION, "INT-PERM"),
        (400, {"errorCode": "INVALID_FIELD", "message": "x"}, ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"),
        (
            400,
            {"errorCode": "STRING_TOO_LONG", "message": "x", "fields": ["Message__c"]},
            ErrorKind.REJECTED,
            "",
        ),
        (404, {"errorCode": "ENTITY_IS_DELETED", "message": "x"}, ErrorKind.NOT_FOUND, ""),
    ],
)
def test_the_error_code_decides_before_the_status(crm, adapter, deal, status, entry, kind, code):
    crm.fault("status", method="PATCH", path="Eng_Status__c", status=status, body=[entry])
    with pytest.raises(AdapterError) as caught:
        adapter.push(status_push(deal))
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert caught.value.vendor_code == entry["errorCode"]
    if "fields" in entry:
        assert caught.value.field == "message"


def test_a_duplicate_rule_names_the_records_it_found(crm, adapter, deal):
    match = {"matchRecords": [{"record": {"Id": "001000000000009AAA"}}]}
    entry = {
        "errorCode": "DUPLICATES_DETECTED",
        "message": "Use one of these records?",
        "duplicateResult": {"matchResults": [match]},
    }
    crm.fault("status", method="PATCH", path="Account", status=400, body=[entry])
    with pytest.raises(AdapterError) as caught:
        adapter.push(ref_push(deal))
    assert caught.value.code == "CUS-DUP"
    assert caught.value.details["duplicates"] == ["001000000000009AAA"]


def test_signing_in_by_jwt_bearer_works_too(sandbox, crm, settings_of_crm):
    private, public = signing_key()
    crm.credentials(client_id="key", public_key=public, username="sync@meridane.example")
    settings = replace(
        settings_of_crm,
        config={"client_id": "key", "auth": "jwt_bearer", "username": "sync@meridane.example"},
        secrets={"private_key": private},
    )
    assert SalesforceAdapter(settings).check().ok


def test_the_limit_of_calls_is_told_by_the_check(crm, adapter):
    crm.settings(api_limit=1000)
    health = adapter.check()
    assert health.details["api_calls_a_day"] == 1000
    assert 0 < health.details["api_calls_left"] < 1000


# ---- change events ---------------------------------------------------------------------------------------------------


def event(**header) -> bytes:
    return json.dumps(
        {
            "schema": "s-1",
            "channel": "/data/OpportunityChangeEvent",
            "payload": {
                "ChangeEventHeader": {
                    "entityName": "Opportunity",
                    "recordIds": ["006000000000001AAA"],
                    "changeType": "UPDATE",
                    "changeOrigin": "com/salesforce/api/rest/68.0;client=other",
                    "commitTimestamp": 1795407025338,
                    **header,
                },
                **(
                    {"Opportunity__c": "006000000000007AAA"}
                    if header.get("entityName") == "Deal_Rate__c"
                    else {}
                ),
            },
            "event": {"replayId": 1},
        }
    ).encode()


def test_an_event_of_several_records_tells_each_with_an_id_of_its_own():
    found = events.changes(event(recordIds=["006A", "006B"]), event_id="e")
    assert [(change.external_id, change.event_id) for change in found] == [
        ("006A", "e:006A"),
        ("006B", "e:006B"),
    ]


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("com/salesforce/api/rest/68.0;client=pssync", True),
        ("com/salesforce/api/rest/68.0;client=pssync-other", False),
        ("com/salesforce/api/soap/68.0;client=SfdcInternalAPI/", False),
        ("", False),
    ],
)
def test_our_own_changes_are_recognised_by_their_client(origin, own):
    [change] = events.changes(event(changeOrigin=origin), event_id="e")
    assert change.own_write is own


@pytest.mark.parametrize("kind", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"])
def test_a_gap_event_still_names_its_record(kind):
    [change] = events.changes(event(changeType=kind), event_id="e")
    assert (change.external_id, change.event_type) == ("006000000000001AAA", kind)


@pytest.mark.parametrize("ids", [[], ["006*"]])
def test_an_overflow_or_a_wildcard_asks_for_polling(ids):
    [change] = events.changes(event(changeType="GAP_OVERFLOW", recordIds=ids), event_id="e")
    assert (change.object_type, change.external_id) == ("deal", "*")


def test_a_part_that_names_its_deal_tells_the_deal():
    [change] = events.changes(event(entityName="Deal_Rate__c", recordIds=["a04"]), event_id="e")
    assert (change.object_type, change.external_id) == ("deal", "006000000000007AAA")


def test_an_entity_nobody_listens_to_is_taken_without_a_change():
    assert events.changes(event(entityName="Lead"), event_id="e") == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "malformed"),
        (b"[]", "malformed"),
        (b'{"schema": "s", "payload": 1}', "malformed"),
        (b'{"schema": "s", "payload": {"Data": 1}}', "unknown_version"),
        (event(changeType="MELTED"), "unknown_version"),
        (event(recordIds="006"), "unknown_version"),
        (event(commitTimestamp="yesterday"), "malformed"),
        (event().replace(b'"schema": "s-1"', b'"schema": null'), "unknown_version"),
    ],
)
def test_an_event_in_an_unknown_form_is_refused(body, reason):
    with pytest.raises(WebhookRefused) as caught:
        events.changes(body, event_id="e")
    assert caught.value.reason == reason


def test_only_listed_schemas_are_taken_when_some_are_listed():
    assert events.changes(event(), event_id="e", schemas=["s-1"])
    with pytest.raises(WebhookRefused) as caught:
        events.changes(event(), event_id="e", schemas=["s-0"])
    assert caught.value.reason == "unknown_version"
