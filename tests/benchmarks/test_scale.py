"""The parts of ``make bench-scale``: a sender that does not give up, a stub that sees disorder, the plan's arithmetic."""

from __future__ import annotations

import http.client
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import capacity
from benchmarks.brokers import free_port
from benchmarks.capacity import Load
from benchmarks.costs import KEPT, kept
from benchmarks.scale import FLOOD, _events
from benchmarks.sender import Event, Sender
from benchmarks.stub import Stub
from benchmarks.world import ENTITIES, entity_of


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        event_id = self.headers["webhook-id"]
        self.seen.append(event_id)
        if self.seen.count(event_id) == 1 and event_id.startswith("broken"):
            self.close_connection = True
            return
        self.send_response(202)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"2\r\n{}\r\n0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def door() -> Iterator[tuple[int, list[str]]]:
    seen: list[str] = []
    server: socketserver.BaseServer = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Door", (_Door,), {"seen": seen})
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], seen  # type: ignore[misc]
    server.shutdown()
    thread.join()
    server.server_close()


def sent(events: list[Event], ports: list[int]) -> None:
    sender = Sender(events, ports=ports, path="/hooks/crm", threads=2)
    sender.start()
    sender.join(seconds=20)


def test_an_event_is_brought_until_a_door_has_taken_it(door):
    port, seen = door
    events = [Event("broken-1", "d1", "E"), Event("e2", "d2", "E", twice=True), Event("e3", "d3", "E")]
    sent(events, [port])
    assert sorted(seen) == ["broken-1", "broken-1", "e2", "e2", "e3"]
    assert events[0].statuses == [0, 202]
    assert all(event.taken_at for event in events)


def test_a_door_that_is_gone_is_left_for_another(door):
    port, seen = door
    events = [Event(f"e{number}", f"d{number}", "E") for number in range(6)]
    sent(events, [free_port(), port])
    assert sorted(seen) == sorted(event.event_id for event in events)


def _write(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body=b"{}", headers={"Idempotency-Key": path})
    connection.getresponse().read()
    connection.close()


def test_steps_out_of_order_and_calls_at_once_are_disorder():
    with Stub() as stub:
        stub.reset(expected=1)
        for step in (1, 2, 3):
            _write(stub.port, f"/w/a/{step}")
        assert stub.summary()["disorder"] == 0
        _write(stub.port, "/w/a/5")
        assert stub.summary()["disorder"] == 1
        stub.reset(expected=1, delay=0.3)
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda step: _write(stub.port, f"/w/b/{step}"), (1, 2)))
        assert stub.summary()["disorder"] >= 1


def test_a_flood_of_one_entity_comes_before_the_others_and_proof_brings_events_again():
    events = _events("X", 50)
    assert [event.entity for event in events[:40]] == [FLOOD] * 40
    assert {event.entity for event in events[40:]} == set(ENTITIES) - {FLOOD}
    assert all(entity_of(event.deal) == event.entity and not event.twice for event in events)
    proof = _events("X", 50, proof=True)
    assert {event.deal for event in proof} == {event.deal for event in events}
    assert len(proof) == 60
    assert sum(event.twice for event in proof) == 10


COST = {
    "cpu_worker_ms": 30.0, "cpu_web_ms": 2.0, "cpu_postgres_ms": 10.0, "cpu_pooler_ms": 2.0, "cpu_broker_ms": 0.1,
    "statements": 30.0, "commits": 20.0, "wal_bytes": 30_000.0, "tup_inserted": 40.0,
    "table sync_action": 1000.0, "table sync_subject": 500.0, "table journal_countdelta": 9000.0,
}  # fmt: skip


def test_a_plan_is_the_cost_times_the_load():
    load = Load(1e9)
    assert 31 < load.average < 32
    found = capacity.needs(COST, load)
    assert found["worker_cores"] == 8  # 158 a second × 30 ms ÷ 0.6
    assert found["postgres_cores"] == 3
    assert found["pumps"] >= load.peak * capacity.CALLS * capacity.CALL_SECONDS / capacity.THREADS
    assert found["bytes_month"] == pytest.approx(1e9 / 12 * 1500), "what passes is not stored"
    assert found["dropped"] == pytest.approx(1e9 / 12 * 1000 * 25), "24 months and the present one"
    assert found["standing_year"] == pytest.approx(1e9 * 500)


def test_the_plan_is_rendered_from_the_runs_of_one_contender():
    result = {"contenders": {"4": {"runs": [COST, COST]}}}
    shown = capacity.render(result, name="4")
    assert "10⁹ a year" in shown
    assert "| `sync_action` | 1000 | `RETENTION_MONTHS_ACTIONS` |" in shown
    assert capacity.render(result, name="5") == ""


def test_every_retention_setting_of_the_product_is_in_the_plan(settings):
    for setting, months in KEPT.values():
        if setting.startswith("RETENTION"):
            assert getattr(settings, setting) == months
    assert (kept("journal_inbox"), kept("sync_body"), kept("records_crossreference")) == (
        "inbox",
        "payload",
        "standing",
    )
