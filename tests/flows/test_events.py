"""Signed events through the real door of a real web process: repeated, late, lost, out of order, refused, half-known."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from apps.connectors.models import Connection
from apps.connectors.secrets import decrypt
from apps.core import clock
from apps.journal import selectors as journal
from apps.journal.models import Inbox
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.models import Action, Transaction
from tests.api.doors import deal_changed, signed
from tests.flows import acts
from tests.flows.bench import Bench

#: Every system that a provisioning writes to.
SYSTEMS = ("crm", "erp", "psa", "billing")
HALF_KNOWN = replace(acts.SMALL, name="Half-known", schedule=())


@pytest.fixture
def bench(served_bench: Bench) -> Bench:
    """Events wait at the CRM until the test lets them go."""
    served_bench.control.hold("crm")
    served_bench.control.lose("crm")
    return served_bench


def events_of(bench: Bench, deal_id: str) -> list[str]:
    """Ids of the held events of a deal, oldest first."""
    return [e["id"] for e in bench.control.events("crm") if e["state"] == "held" and deal_id in json.dumps(e)]


def deliver(bench: Bench, *event_ids: str, times: int = 1) -> list[int]:
    return [sent["status"] for sent in bench.control.deliver("crm", list(event_ids), times=times)]


def closed(bench: Bench, spec: Any = acts.SMALL) -> tuple[str, str]:
    """A deal closed in the CRM and the id of the event that says so; nothing has been sent."""
    deal_id = bench.deal(spec)
    bench.control.lose("crm")
    bench.close(deal_id)
    return deal_id, events_of(bench, deal_id)[-1]


def runs(deal_id: str) -> int:
    return Transaction.objects.filter(subject__key=f"crm:{deal_id}", flow="deal.provision").count()


def test_the_same_event_ten_times_is_one_row_and_one_transaction(bench: Bench):
    before = bench.objects()
    deal_id, event_id = closed(bench)
    statuses = deliver(bench, event_id, times=10)
    assert statuses == [202] + [200] * 9
    assert Inbox.objects.filter(source="crm", event_id=event_id).count() == 1
    bench.settle()
    assert runs(deal_id) == 1
    assert bench.added(before) == acts.SMALL_OBJECTS


def test_a_late_copy_of_an_event_does_nothing_more(bench: Bench):
    deal_id, event_id = closed(bench)
    deliver(bench, event_id)
    bench.settle()
    before = bench.objects()
    assert deliver(bench, event_id, times=3) == [200] * 3
    bench.settle()
    assert (runs(deal_id), bench.added(before)) == (1, {})


@pytest.mark.parametrize("first", ["push", "poll"])
def test_push_and_poll_of_one_change_provision_once(bench: Bench, first: str):
    before = bench.objects()
    deal_id, event_id = closed(bench)
    steps = [lambda: deliver(bench, event_id), lambda: bench.poll(("crm", "deal"), settle=False)]
    for step in steps if first == "push" else reversed(steps):
        step()
    bench.settle()
    assert runs(deal_id) == 1
    assert bench.added(before) == acts.SMALL_OBJECTS
    bench.poll(("crm", "deal"))
    assert bench.added(before) == acts.SMALL_OBJECTS


def test_a_lost_push_is_found_by_the_next_poll(bench: Bench):
    before = bench.objects()
    deal_id, event_id = closed(bench)
    assert bench.control.lose("crm", [event_id]) == 1
    bench.settle()
    assert runs(deal_id) == 0
    bench.poll(("crm", "deal"))
    assert bench.provisioning(deal_id).state == "succeeded"
    assert bench.added(before) == acts.SMALL_OBJECTS


def test_events_out_of_order_leave_the_newest_truth(bench: Bench):
    before = bench.objects()
    deal_id, _ = closed(bench)
    bench.control.patch("crm", "Opportunity", deal_id, {"StageName": "Negotiation", "PO_Number__c": "PO-7"})
    won, lost = events_of(bench, deal_id)
    deliver(bench, lost)
    bench.settle()
    deliver(bench, won)
    bench.settle()
    assert bench.added(before) == {}, "the deal is not won any more, whatever the late event says"
    seen = records.record(organization.system("crm").id, "deal", deal_id)
    assert (seen.body["stage"], seen.body["po_number"]) == ("Negotiation", "PO-7")


# ---- refused ---------------------------------------------------------------------------------------------------------


def secret() -> str:
    row = Connection.objects.get(system__code="crm")
    return decrypt(row.secrets, system_id=row.system_id)["webhook_secret"]


def post(bench: Bench, body: bytes, headers: dict[str, str], system: str = "crm") -> requests.Response:
    content = {"Content-Type": "application/json"}
    return requests.post(
        f"{bench.world.web_url}/hooks/{system}", data=body, headers=content | headers, timeout=10
    )


def event() -> bytes:
    return json.dumps(deal_changed("006Refused")).encode()


def _unsigned(bench: Bench) -> requests.Response:
    return post(bench, event(), {})


def _altered(bench: Bench) -> requests.Response:
    return post(bench, event() + b" ", signed(event(), secret=secret()))


def _stale(bench: Bench) -> requests.Response:
    return post(bench, event(), signed(event(), secret=secret(), age_seconds=3600))


def _oversized(bench: Bench) -> requests.Response:
    body = b'{"payload": "' + b"x" * 3_000_000 + b'"}'
    return post(bench, body, signed(body, secret=secret()))


def _malformed(bench: Bench) -> requests.Response:
    return post(bench, b"{not json", signed(b"{not json", secret=secret()))


def _unknown_version(bench: Bench) -> requests.Response:
    body = json.dumps({"schema": "next-year", "payload": {"Header2": {}}}).encode()
    return post(bench, body, signed(body, secret=secret()))


def _unknown_system(bench: Bench) -> requests.Response:
    return post(bench, event(), signed(event(), secret=secret()), system="nowhere")


@pytest.mark.parametrize(
    ("send", "status", "reason"),
    [
        (_unsigned, 401, "unsigned"),
        (_altered, 401, "bad_signature"),
        (_stale, 401, "stale"),
        (_oversized, 413, "too_large"),
        (_malformed, 400, "malformed"),
        (_unknown_version, 400, "unknown_version"),
        (_unknown_system, 404, "unknown_system"),
    ],
)
def test_a_bad_event_gets_a_problem_document_and_a_row_in_the_rejects(bench: Bench, send, status, reason):
    source = "nowhere" if send is _unknown_system else "crm"
    known = len(journal.inbox_rejects(source=source))
    answer = send(bench)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert {"type", "title", "status", "detail"} <= set(answer.json())
    assert answer.json()["status"] == status
    rejects = journal.inbox_rejects(source=source)
    assert len(rejects) == known + 1
    assert rejects[0].reason == reason


def test_rubbish_with_a_good_signature_is_never_a_500(bench: Bench):
    chance = random.Random(26)
    good = event()
    for _ in range(40):
        body = bytearray(good)
        for _ in range(chance.randint(1, 12)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        answer = post(bench, bytes(body), signed(bytes(body), secret=secret()))
        assert answer.status_code < 500, (answer.status_code, bytes(body))


# ---- half-known ------------------------------------------------------------------------------------------------------


@pytest.mark.provokes("DEAL-INCOMPLETE")
def test_a_half_known_deal_creates_nothing_until_the_crm_is_corrected(bench: Bench):
    before = bench.objects()
    deal_id, event_id = closed(bench, HALF_KNOWN)
    key = f"crm:{deal_id}"
    deliver(bench, event_id)
    bench.settle()
    held = bench.provisioning(deal_id)
    assert held.state == "held"
    assert "billing schedule" in held.reason
    assert bench.cases(key) == [("DEAL-INCOMPLETE", "open")]
    assert bench.added(before) == {}, "nothing may stand anywhere"

    bench.control.create(
        "crm",
        "Billing_Schedule__c",
        {
            "Opportunity__c": deal_id,
            "Label__c": "Handover",
            "Amount__c": str(Decimal("9000")),
            "Trigger__c": "date",
            "Due_Date__c": clock.today().isoformat(),
            "Service_Code__c": "IMP-200",
            "Sort__c": 1,
        },
    )
    deliver(bench, *events_of(bench, deal_id))
    bench.settle()
    assert bench.provisioning(deal_id).state == "succeeded"
    assert bench.provisioning(deal_id).id == held.id, "the same transaction goes on"
    assert bench.cases(key) == [("DEAL-INCOMPLETE", "resolved")]
    assert bench.added(before)["erp job"] == 1


@pytest.mark.provokes("CUS-ADDRESS")
def test_an_account_without_an_address_is_a_case_until_the_account_is_corrected(bench: Bench):
    before = bench.objects()
    account = bench.account(BillingStreet=None, BillingCity=None)
    deal_id = bench.deal(acts.SMALL, account=account)
    bench.control.lose("crm")
    bench.close(deal_id)
    deliver(bench, *events_of(bench, deal_id))
    bench.settle()
    assert bench.cases(f"crm:{deal_id}") == [("CUS-ADDRESS", "open")]
    assert bench.added(before) == {}
    bench.control.patch("crm", "Account", account, {"BillingStreet": "1 Long Lane", "BillingCity": "York"})
    deliver(bench, *events_of(bench, account))
    bench.settle()
    assert bench.cases(f"crm:{deal_id}") == [("CUS-ADDRESS", "resolved")]
    assert bench.added(before) == acts.SMALL_OBJECTS


# ---- one id from the door to the announcement ------------------------------------------------------------------------


def test_one_correlation_id_follows_an_event_through_rows_log_lines_calls_and_the_announcement(bench: Bench):
    wanted = str(uuid.uuid4())
    deal_id = bench.deal(acts.SMALL)
    bench.close(deal_id)
    bench.control.lose("crm")
    body = json.dumps(deal_changed(deal_id)).encode()
    seen_before = {name: len(bench.control.requests(name)) for name in SYSTEMS}
    answer = post(bench, body, signed(body, secret=secret()) | {"X-Correlation-Id": wanted})
    assert (answer.status_code, answer.headers["X-Correlation-Id"]) == (202, wanted)
    assert wanted in bench.world.log("web")

    with capture_logs(processors=[merge_contextvars]) as lines:
        bench.settle()

    assert Inbox.objects.filter(correlation_id=wanted).count() == 1
    transaction = Transaction.objects.get(subject__key=f"crm:{deal_id}", flow="deal.provision")
    assert str(transaction.correlation_id) == wanted
    children = Transaction.objects.filter(correlation_id=wanted).values_list("flow", flat=True)
    assert {"customer.sync", "project.provision"} <= set(children)
    assert Action.objects.filter(correlation_id=wanted, outcome="succeeded").count() >= 5
    rested = [line for line in lines if line["event"] == "transaction_rested"]
    assert {line["correlation_id"] for line in rested if line["ref"] == transaction.ref} == {wanted}
    for name in SYSTEMS:
        calls = bench.control.requests(name)[seen_before[name] :]
        assert any(call["correlation_id"] == wanted for call in calls), f"no call to {name} carried it"
    announced = journal.announced(subject=transaction.engagement_key)
    assert {str(row.correlation_id) for row in announced} == {wanted}
