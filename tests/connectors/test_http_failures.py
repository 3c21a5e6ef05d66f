"""What the shared HTTP client makes of servers that fail, over real sockets."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import uuid

import pytest

from apps.connectors.protocols.http import Http, Timeouts, budget, retry_after, send_by
from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import correlation
from tests.connectors.rawserver import RawServer, reset, whole


def client(server: RawServer, **options) -> Http:
    options.setdefault("timeouts", Timeouts(connect=1.0, read=0.4, total=1.0))
    return Http(system=f"raw-{server.port}", base_url=server.url, **options)


def failure(call) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_listening_is_transient_because_nothing_was_sent(method):
    http = Http(system="nobody", base_url=f"http://127.0.0.1:{free_port()}")
    error = failure(lambda: http.request(method, "/x"))
    assert error.kind is ErrorKind.TRANSIENT
    assert error.exchange is not None
    assert error.exchange.status is None


def test_a_name_that_does_not_resolve_is_transient(settings):
    http = Http(system="nowhere", base_url="https://no-such-host.invalid")
    assert failure(lambda: http.post("/x", json={})).kind is ErrorKind.TRANSIENT


def test_head_and_body_of_a_write_that_must_leave_in_time_leave_together():
    """Between the two a process may be stopped; woken too late, it would finish a request that another has made meanwhile."""
    parts: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                parts.append(connection.recv(65536))
                connection.sendall(whole(b"{}"))

        server = threading.Thread(target=serve)
        server.start()
        http = Http(system="parts", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with send_by(time.monotonic() + 5):
            assert http.post("/x", json={"name": "a project"}).status == 200
        server.join(5)
    assert parts[0].startswith(b"POST /x")
    assert parts[0].endswith(b'{"name":"a project"}') or parts[0].endswith(b'{"name": "a project"}')


def test_a_write_whose_time_is_over_when_the_connection_stands_is_not_sent():
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        with send_by(time.monotonic() - 0.001):
            error = failure(lambda: client(server).post("/x", json={"name": "a project"}))
        assert server.requests == [b""] or server.requests == []
    assert error.kind is ErrorKind.TRANSIENT


@pytest.mark.parametrize(("method", "kind"), [("GET", ErrorKind.TRANSIENT), ("POST", ErrorKind.UNKNOWN)])
def test_a_reset_after_the_request_is_unknown_for_writes_only(method, kind):
    with RawServer(lambda connection, request: reset(connection)) as server:
        assert failure(lambda: client(server).request(method, "/x")).kind is kind


@pytest.mark.parametrize(("method", "kind"), [("GET", ErrorKind.TRANSIENT), ("POST", ErrorKind.UNKNOWN)])
def test_a_connection_closed_without_an_answer_is_unknown_for_writes_only(method, kind):
    with RawServer(lambda connection, request: None) as server:
        assert failure(lambda: client(server).request(method, "/x")).kind is kind


@pytest.mark.parametrize(("method", "kind"), [("GET", ErrorKind.TRANSIENT), ("POST", ErrorKind.UNKNOWN)])
def test_silence_ends_at_the_read_time_out(method, kind):
    def hang(connection, request):
        server.released.wait(5)

    with RawServer(hang) as server:
        started = time.monotonic()
        error = failure(lambda: client(server).request(method, "/x"))
        assert error.kind is kind
        assert 0.3 < time.monotonic() - started < 2.0
        assert "in time" in error.message


def test_a_query_sent_by_post_counts_as_a_read():
    with RawServer(lambda connection, request: reset(connection)) as server:
        error = failure(lambda: client(server).post("/suiteql", json={"q": "SELECT 1"}, write=False))
        assert error.kind is ErrorKind.TRANSIENT


@pytest.mark.parametrize(("method", "kind"), [("GET", ErrorKind.TRANSIENT), ("POST", ErrorKind.UNKNOWN)])
@pytest.mark.parametrize(
    "broken",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id": ',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense that is not HTTP\r\n\r\n",
    ],
    ids=["length", "chunks", "headers", "no-http"],
)
def test_a_truncated_answer_is_not_an_answer(method, kind, broken):
    with RawServer(lambda connection, request: connection.sendall(broken)) as server:
        assert failure(lambda: client(server).request(method, "/x")).kind is kind


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_peer_that_sends_one_byte_at_a_time_does_not_outlast_the_total_deadline(where):
    answer = whole(b'{"a": "' + b"x" * 400 + b'"}')

    def drip(connection, request):
        start = 0 if where == "headers" else answer.index(b"\r\n\r\n") + 4
        connection.sendall(answer[:start])
        for index in range(start, len(answer)):
            if server.released.wait(0.05):
                return
            connection.sendall(answer[index : index + 1])

    with RawServer(drip) as server:
        started = time.monotonic()
        error = failure(lambda: client(server).post("/x", json={}))
        assert error.kind is ErrorKind.UNKNOWN
        assert time.monotonic() - started < 2.0


def test_a_budget_around_several_calls_ends_them_together():
    def slow(connection, request):
        server.released.wait(0.3)
        connection.sendall(whole(b"{}"))

    with RawServer(slow) as server:
        http = client(server)
        started = time.monotonic()
        with budget(0.5):
            error = failure(lambda: [http.get("/x") for _ in range(20)])
        assert error.kind is ErrorKind.TRANSIENT
        assert time.monotonic() - started < 1.0
        assert http.get("/x").status == 200


def test_a_budget_that_is_used_up_sends_nothing():
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        with budget(0.0):
            error = failure(lambda: client(server).post("/x", json={}))
        assert error.kind is ErrorKind.TRANSIENT
        assert server.requests == []


def test_an_answer_over_the_size_limit_is_refused():
    with RawServer(
        lambda connection, request: connection.sendall(whole(b'"' + b"x" * 5000 + b'"'))
    ) as server:
        http = client(server, max_bytes=1000)
        assert failure(lambda: http.get("/x")).kind is ErrorKind.TRANSIENT
        assert failure(lambda: http.post("/x", json={})).kind is ErrorKind.UNKNOWN


def test_the_size_limit_counts_what_comes_out_of_compression():
    packed = gzip.compress(b"x" * 2_000_000)
    answer = whole(packed, headers="Connection: close\r\nContent-Encoding: gzip\r\n")
    with RawServer(lambda connection, request: connection.sendall(answer)) as server:
        error = failure(lambda: client(server, max_bytes=100_000).get("/x"))
        assert "larger" in error.message


def test_a_long_page_of_data_leaves_only_its_size_in_the_exchange_and_a_long_failure_its_start():
    body = b'{"error": "' + b"x" * 200_000 + b'"}'

    def answer(connection, request):
        status = "400 Bad Request" if b"POST" in request else "200 OK"
        connection.sendall(whole(body, status=status))

    with RawServer(answer) as server:
        read = client(server).get("/x")
        assert len(read.body()["error"]) == 200_000
        assert read.exchange.response == {"shortened": True, "bytes": len(body), "start": ""}
        error = failure(lambda: client(server).post("/x", json={}))
        assert error.exchange.response["start"].startswith('{"error": "xxx')
        assert len(error.exchange.response["start"]) == 4000


def test_an_http_page_instead_of_json_is_contract_drift():
    with RawServer(lambda connection, request: connection.sendall(whole(b"<html>"))) as server:
        answer = client(server).get("/x")
        error = failure(answer.body)
        assert error.kind is ErrorKind.CONTRACT_DRIFT
        assert error.code == "INT-SCHEMA"


def test_numbers_with_a_point_come_as_text_and_never_as_binary_floats():
    with RawServer(lambda connection, request: connection.sendall(whole(b'{"a": 0.10, "b": 3}'))) as server:
        assert client(server).get("/x").body() == {"a": "0.10", "b": 3}


@pytest.mark.parametrize(
    ("status", "write", "kind"),
    [
        ("401 Unauthorized", True, ErrorKind.AUTH),
        ("403 Forbidden", True, ErrorKind.PERMISSION),
        ("404 Not Found", False, ErrorKind.NOT_FOUND),
        ("409 Conflict", True, ErrorKind.CONFLICT),
        ("412 Precondition Failed", True, ErrorKind.CONFLICT),
        ("422 Unprocessable", True, ErrorKind.REJECTED),
        ("429 Too Many Requests", True, ErrorKind.RATE_LIMITED),
        ("500 Internal", True, ErrorKind.UNKNOWN),
        ("500 Internal", False, ErrorKind.TRANSIENT),
        ("502 Bad Gateway", True, ErrorKind.UNKNOWN),
        ("503 Unavailable", True, ErrorKind.TRANSIENT),
        ("504 Gateway Timeout", True, ErrorKind.UNKNOWN),
    ],
)
def test_statuses_are_sorted(status, write, kind):
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}", status=status))) as server:
        assert failure(lambda: client(server).request("POST", "/x", write=write)).kind is kind


def test_a_read_follows_a_redirect_on_the_same_host():
    def answer(connection, request):
        if b"GET /old" in request:
            connection.sendall(
                whole(b"", status="302 Found", headers="Connection: close\r\nLocation: /new\r\n")
            )
        else:
            connection.sendall(whole(b'{"here": true}'))

    with RawServer(answer) as server:
        assert client(server).get("/old").body() == {"here": True}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_to_another_host_is_not_followed(method):
    with RawServer(lambda connection, request: connection.sendall(whole(b'{"stolen": 1}'))) as other:
        target = f"Connection: close\r\nLocation: {other.url}/x\r\n"
        with RawServer(
            lambda connection, request: connection.sendall(whole(b"", status="307 Temporary", headers=target))
        ) as server:
            error = failure(lambda: client(server).request(method, "/x"))
            assert error.kind is ErrorKind.CONTRACT_DRIFT
        assert other.requests == []


def test_a_write_follows_no_redirect_at_all():
    with RawServer(
        lambda connection, request: connection.sendall(
            whole(b"", status="307 T", headers="Connection: close\r\nLocation: /new\r\n")
        )
    ) as server:
        assert failure(lambda: client(server).post("/x", json={})).kind is ErrorKind.CONTRACT_DRIFT
        assert len(server.requests) == 1


def test_every_call_carries_the_correlation_id_and_our_name():
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        with correlation.bind(uuid.uuid4()) as bound:
            client(server).get("/x")
        text = server.requests[0].decode()
        assert f"X-Correlation-Id: {bound}" in text
        assert "User-Agent: pssync-console/" in text


def test_cookies_of_an_answer_are_not_kept():
    answer = whole(b"{}", headers="Connection: close\r\nSet-Cookie: session=1; Path=/\r\n")
    with RawServer(lambda connection, request: connection.sendall(answer)) as server:
        http = client(server)
        http.get("/x")
        http.get("/x")
        assert b"Cookie:" not in server.requests[1]


def test_connections_are_kept_and_used_again():
    with RawServer(
        lambda connection, request: connection.sendall(whole(b"{}", headers="")), keep_alive=True
    ) as server:
        http = client(server)
        for _ in range(5):
            http.get("/x")
        assert server.connections == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_closes_as_it_is_used_again_repeats_reads_only(method):
    """The server answers once, and drops the second request of a connection unread."""

    def once(connection, request):
        if len(server.requests) == 2:
            reset(connection)
        else:
            connection.sendall(whole(b"{}", headers=""))

    with RawServer(once, keep_alive=True) as server:
        http = client(server)
        http.get("/first")
        if method == "GET":
            assert http.get("/second").status == 200
            assert len(server.requests) == 3
        else:
            assert failure(lambda: http.post("/second", json={})).kind is ErrorKind.UNKNOWN
            assert len(server.requests) == 2


def test_proxy_variables_of_the_environment_are_not_obeyed(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        assert client(server).get("/x").status == 200


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("nan", None), ("", None)]
)
def test_retry_after_in_seconds(text, seconds):
    assert retry_after({"Retry-After": text}) == seconds


def test_retry_after_as_a_date(time_machine):
    time_machine.move_to("2026-11-23T10:00:00Z", tick=False)
    assert retry_after({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT"}) == 30.0
