"""The stub tells lost from doubled from repeated, and what of an allowance was used; the sender's events are genuine."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.connectors.protocols.webhooks import verify_standard
from apps.core import clock
from benchmarks import load
from benchmarks.stub import STEPS, Stub


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub() as made:
        yield made


def write(stub: Stub, workflow: str, step: int, key: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=10)
    try:
        headers = {"Idempotency-Key": key or f"{workflow}-{step}"}
        connection.request("POST", f"/w/{workflow}/{step}", body=b"{}", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_workflow_is_finished_with_its_last_step_and_not_before(stub):
    stub.reset(expected=1)
    for step in range(1, STEPS):
        assert write(stub, "a", step) == 201
    assert stub.wait(finished=1, seconds=0.05)["finished"] == 0
    write(stub, "a", STEPS)
    found = stub.wait(finished=1, seconds=5)
    assert (found["finished"], found["effects"]) == (1, STEPS)
    assert list(stub.finished()) == ["a"]


def test_the_same_key_is_a_repeat_and_another_key_is_a_double(stub):
    stub.reset(expected=1)
    write(stub, "a", 1)
    write(stub, "a", 1)
    write(stub, "a", 1, key="another")
    found = stub.summary()
    assert (found["effects"], found["repeats"], found["doubles"]) == (1, 1, 1)


def test_more_calls_at_once_than_allowed_are_refused_and_have_no_effect(stub):
    stub.reset(expected=100, delay=0.2, allowed=5)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda number: write(stub, f"w{number}", 1), range(8)))
    found = stub.summary()
    assert sorted(statuses) == [201] * 5 + [429] * 3
    assert (found["effects"], found["refused"], found["most_at_once"]) == (5, 3, 5)


def test_the_share_in_use_is_what_was_used_of_what_was_allowed(stub):
    stub.reset(expected=100, delay=0.1, allowed=2)
    stub.start()
    for number in range(5):  # one after the other: half of two
        write(stub, f"w{number}", 1)
    assert 0.35 < stub.summary()["share_in_use"] <= 0.5


def test_what_is_sent_is_signed_and_fresh():
    head, body = load.signed("/hooks/crm", "E000001").split(b"\r\n\r\n", 1)
    lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    found = verify_standard(headers=dict(lines), body=body, secrets=[load.SECRET], now=clock.now())
    assert (found, len(body)) == ("E000001", load.BYTES)


def test_the_sender_counts_every_answer(stub):
    stub.reset(expected=0)
    found = load.send(port=stub.port, path="/w/x/1", n=100, prefix="E", connections=4)
    assert (found["statuses"], found["broken"]) == ({"201": 100}, 0)


def test_a_connection_that_breaks_off_is_counted_and_its_event_not_sent_again():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[bytes] = []

        def serve() -> None:
            for number in range(4):
                connection, _ = server.accept()
                with connection:
                    request = b""
                    while len(request) < load.BYTES:
                        request += connection.recv(65536)
                    taken.append(request)
                    if number:
                        connection.sendall(
                            b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                        )

        thread = threading.Thread(target=serve)
        thread.start()
        found = load.send(port=server.getsockname()[1], path="/", n=4, prefix="E", connections=1)
        thread.join(timeout=10)
    assert (found["statuses"], found["broken"], len(set(taken))) == ({"202": 3}, 1, 4)


def test_the_stub_ends_with_its_owner():
    with Stub() as made:
        port = made.port
        assert made.summary()["calls"] == 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
    pytest.fail("the stub still listens")
