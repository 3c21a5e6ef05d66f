"""Faults as a client feels them, the request log, outgoing webhooks, the sink, surviving a restart."""

import base64
import http.server
import json
import threading
import time

import pytest
import requests
import stripe
from standardwebhooks.webhooks import Webhook

from apps.core import clock
from apps.demo.sandbox_client import ControlError
from tests.sandbox_process import SandboxProcess, free_block

from .conftest import PORTS, STRIPE_KEY, WEBHOOK_SECRET, crm_session

UPSERT = "/services/data/v68.0/sobjects/Account/ERP_Id__c"


class Receiver:
    """A real HTTP server that keeps what it is sent and answers as told."""

    def __init__(self):
        receiver = self
        self.received: list[tuple[dict, bytes]] = []
        self.status = 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                """Keep the test output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def bodies(self) -> list[dict]:
        return [json.loads(body) for _, body in self.received]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver():
    found = Receiver()
    yield found
    found.close()


def until(condition, seconds: float = 10.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
    return found


def put(sandbox, key: str = "F1", timeout: float = 10) -> requests.Response:
    return crm_session(sandbox).patch(
        f"{sandbox.url('crm')}{UPSERT}/{key}", json={"Name": key}, timeout=timeout
    )


def written(sandbox, key: str = "F1") -> bool:
    return bool(sandbox.control.records("crm", "Account", ERP_Id__c=key))


@pytest.mark.parametrize(("kind", "committed"), [("reset_before", False), ("reset_after", True)])
def test_a_reset_reaches_the_client_before_or_after_the_commit(sandbox, kind, committed):
    sandbox.control.fault("crm", kind, method="PATCH", path="sobjects")
    with pytest.raises(requests.ConnectionError) as caught:
        put(sandbox)
    assert "Connection reset by peer" in str(caught.value)
    assert written(sandbox) is committed
    [seen] = sandbox.control.requests("crm", method="PATCH")
    assert (seen["status"], seen["fault"]) == (None, kind)
    assert put(sandbox).status_code in (200, 201)


@pytest.mark.parametrize(("kind", "committed"), [("hang_before", False), ("hang_after", True)])
def test_a_hang_lasts_until_the_client_gives_up(sandbox, kind, committed):
    sandbox.control.fault("crm", kind, method="PATCH", path="sobjects", seconds=20)
    with pytest.raises(requests.ReadTimeout):
        put(sandbox, timeout=0.4)
    until(lambda: sandbox.control.requests("crm", method="PATCH"))
    assert written(sandbox) is committed


def test_a_status_fault_speaks_the_vendors_language_and_does_not_commit(sandbox):
    sandbox.control.fault("crm", "status", path="sobjects", status=503, headers={"Retry-After": "3"}, skip=1)
    assert put(sandbox, "S1").status_code == 201
    refused = put(sandbox, "S2")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (503, "SERVER_UNAVAILABLE")
    assert refused.headers["Retry-After"] == "3"
    assert not written(sandbox, "S2")
    sandbox.control.fault("crm", "status", path="sobjects", status=429, body={"own": True})
    assert put(sandbox, "S3").json() == {"own": True}
    assert [f["spent"] for f in sandbox.control.faults("crm")] == [True, True]
    sandbox.control.fault("crm", "status_after", path="sobjects", status=500)
    assert put(sandbox, "S4").status_code == 500
    assert written(sandbox, "S4")


def test_latency_slow_body_and_truncation_are_felt(sandbox):
    sandbox.control.fault("crm", "latency", path="sobjects", seconds=0.3)
    started = time.monotonic()
    assert put(sandbox).status_code == 201
    assert time.monotonic() - started >= 0.3
    sandbox.control.fault("crm", "slow_body", path="sobjects", seconds=0.4)
    started = time.monotonic()
    assert put(sandbox).json()["success"] is True
    assert time.monotonic() - started >= 0.35
    sandbox.control.fault("crm", "truncate", path="sobjects")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        put(sandbox, "T1")
    assert written(sandbox, "T1")


@pytest.mark.parametrize(("kind", "committed"), [("callback_before", False), ("callback_after", True)])
def test_a_callback_is_told_at_that_very_moment(sandbox, kind, committed):
    states = []

    class Watcher(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            sandbox_records = requests.get(
                f"{sandbox.control.base_url}/_control/systems/crm/records/Account", timeout=10
            )
            states.append(sandbox_records.json()["count"] == 1)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments):
            """Keep the test output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Watcher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sandbox.control.fault("crm", kind, path="sobjects", url=f"http://127.0.0.1:{server.server_port}/")
    assert put(sandbox).status_code == 201
    server.shutdown()
    server.server_close()
    assert states == [committed]


def test_a_lost_answer_is_recovered_by_the_idempotency_key(sandbox):
    client = stripe.StripeClient(
        STRIPE_KEY, base_addresses={"api": sandbox.url("billing")}, max_network_retries=0
    )
    sandbox.control.fault("billing", "reset_after", method="POST", path="/v1/customers")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({"name": "Lost"}, {"idempotency_key": "lost-1"})
    again = client.v1.customers.create({"name": "Lost"}, {"idempotency_key": "lost-1"})
    assert [c["id"] for c in sandbox.control.records("billing", "customer")] == [again.id]


def test_the_request_log_keeps_ids_and_bodies_but_no_secrets(sandbox):
    session = crm_session(sandbox)
    session.patch(
        f"{sandbox.url('crm')}{UPSERT}/L1",
        json={"Name": "L"},
        headers={"X-Correlation-ID": "c-1"},
        timeout=10,
    )
    token, write = sandbox.control.requests("crm")
    text = json.dumps([token, write])
    assert "consumer-secret" not in text
    assert session.headers["Authorization"].removeprefix("Bearer ") not in text
    assert (write["correlation_id"], write["status"], write["body"]) == ("c-1", 201, {"Name": "L"})
    assert sandbox.control.requests("crm", since=write["seq"]) == []


def test_change_events_are_signed_and_name_only_what_changed(sandbox, receiver):
    sandbox.control.webhook("crm", receiver.url, secret=WEBHOOK_SECRET)
    [deal] = sandbox.control.seed(
        {"crm": {"Opportunity": [{"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-01"}]}}
    )["crm"]["Opportunity"]
    sandbox.control.patch("crm", "Opportunity", deal, {"StageName": "Closed Won"})
    until(lambda: receiver.received)
    headers, body = receiver.received[0]
    event = Webhook(WEBHOOK_SECRET).verify(body, {k.lower(): v for k, v in headers.items()})
    header = event["payload"]["ChangeEventHeader"]
    assert (event["channel"], header["changeType"], header["recordIds"]) == (
        "/data/OpportunityChangeEvent", "UPDATE", [deal],
    )  # fmt: skip
    assert {"StageName", "IsWon", "IsClosed"} <= set(header["changedFields"])
    assert event["payload"]["StageName"] == "Closed Won"
    assert "Name" not in event["payload"]
    assert len(receiver.received) == 1, "a seed emits nothing"


def test_our_own_writes_carry_their_origin(sandbox, receiver):
    sandbox.control.webhook("crm", receiver.url, secret=WEBHOOK_SECRET)
    crm_session(sandbox).patch(
        f"{sandbox.url('crm')}{UPSERT}/O1",
        json={"Name": "O"},
        headers={"Sforce-Call-Options": "client=psa-sync"},
    )
    until(lambda: receiver.received)
    assert receiver.bodies()[0]["payload"]["ChangeEventHeader"]["changeOrigin"].endswith("client=psa-sync")


def test_events_can_be_held_reordered_repeated_and_lost(sandbox, receiver):
    sandbox.control.webhook("crm", receiver.url, secret=WEBHOOK_SECRET)
    sandbox.control.hold("crm")
    for name in ("A", "B", "C"):
        sandbox.control.create("crm", "Account", {"Name": name})
    first, second, third = (event["id"] for event in sandbox.control.events("crm"))
    statuses = sandbox.control.deliver("crm", [second, first], times=2)
    assert [d["status"] for d in statuses] == [200] * 4
    assert [b["payload"]["Name"] for b in receiver.bodies()] == ["B", "B", "A", "A"]
    assert sandbox.control.lose("crm", "all") == 1
    sandbox.control.hold("crm", False)
    sandbox.control.create("crm", "Account", {"Name": "D"})
    until(lambda: len(receiver.received) == 5)
    assert receiver.bodies()[4]["payload"]["Name"] == "D"
    assert {e["id"]: e["state"] for e in sandbox.control.events("crm")}[third] == "lost"


def test_a_refused_delivery_is_tried_again(sandbox, receiver):
    receiver.status = 500
    sandbox.control.webhook("billing", receiver.url, secret="whsec_billing")
    stripe.StripeClient(STRIPE_KEY, base_addresses={"api": sandbox.url("billing")}).v1.customers.create(
        {"name": "R"}
    )
    until(lambda: receiver.received)
    receiver.status = 200
    until(lambda: sandbox.control.events("billing")[0]["state"] == "delivered")
    headers, body = receiver.received[-1]
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_billing")
    assert event.type == "customer.created"
    assert [d["status"] for d in sandbox.control.events("billing")[0]["deliveries"]] == [500, 200]


def test_the_sink_takes_what_is_signed_and_keeps_what_is_not(sandbox):
    sandbox.control.credentials("sink", secret=WEBHOOK_SECRET)
    url, body = sandbox.url("sink"), json.dumps({"specversion": "1.0", "id": "e1"})
    now = clock.now()
    signature = Webhook(WEBHOOK_SECRET).sign("e1", now, body)
    headers = {
        "webhook-id": "e1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert requests.post(url, data=body, headers=headers, timeout=10).status_code == 202
    forged = {**headers, "webhook-signature": "v1," + base64.b64encode(b"x" * 32).decode()}
    assert requests.post(url, data=body, headers=forged, timeout=10).status_code == 401
    assert [(e["id"], e["verified"]) for e in sandbox.control.sink_events()] == [("e1", True), ("e1", False)]


def test_nonsense_at_the_door_is_answered_plainly(sandbox):
    with pytest.raises(ControlError) as caught:
        sandbox.control.fault("crm", "explode")
    assert caught.value.status == 400
    with pytest.raises(ControlError) as caught:
        sandbox.control.records("nobody", "Account")
    assert caught.value.status == 404
    with pytest.raises(ControlError) as caught:
        sandbox.control.seed({"crm": {"Account": [{"Name": "x"}]}, "erp": {"customer": [{"nope": 1}]}})
    assert caught.value.status == 400
    assert sandbox.control.records("crm", "Account") == [], "a seed is all or nothing"
    assert [s["name"] for s in sandbox.control.systems()] == [
        "crm",
        "erp",
        "erp-be",
        "psa",
        "billing",
        "sink",
    ]


def test_everything_survives_a_restart_and_fresh_forgets(tmp_path):
    with SandboxProcess(free_block(*PORTS), tmp_path) as first:
        first.control.credentials("crm", client_id="c", client_secret="s")
        [made] = first.control.seed({"crm": {"Account": [{"Name": "Kept"}]}})["crm"]["Account"]
        first.control.fault("crm", "latency", times=None)
    started = time.monotonic()
    second = SandboxProcess(first.base_port, tmp_path).start(fresh=False)
    took = time.monotonic() - started
    assert [a["Id"] for a in second.control.records("crm", "Account")] == [made]
    assert len(second.control.faults("crm")) == 1
    assert second.control.create("crm", "Account", {"Name": "Next"})["Id"] != made
    assert second.stop() == 0
    assert took < 5
    with SandboxProcess(first.base_port, tmp_path) as third:
        assert third.control.records("crm", "Account") == []
