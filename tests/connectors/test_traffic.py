"""How much a system is asked: calls at once and calls a second over all processes, the circuit, Retry-After.

Real sockets, real processes; the tables of the limits are looked at only to make time pass.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, connections

from apps.connectors import services, traffic
from apps.connectors.spi import AdapterError, ErrorKind
from apps.organization import services as organization
from tests.connectors.rawserver import RawServer, reset, whole

ROOT = Path(__file__).resolve().parents[2]
EMPTY = whole(b'{"data": [], "has_more": false}')


@pytest.fixture
def billing(process_database, django_db_blocker):
    with django_db_blocker.unblock():
        yield organization.system_set(
            code="billing",
            name="Stripe",
            kind="billing",
            vendor="stripe",
            active=True,
            record_url_template="",
        )


class Counting:
    """A vendor that notes how many calls it has at once. ``gate``: answers wait until it is set."""

    def __init__(self, *, seconds: float = 0.0, gate: threading.Event | None = None) -> None:
        self.now = self.most = self.total = 0
        self.seconds, self.gate, self.lock = seconds, gate, threading.Lock()

    def __call__(self, sock, request) -> None:
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)
        if self.gate is not None:
            self.gate.wait(20)
        time.sleep(self.seconds)  # how long this vendor takes to answer
        with self.lock:
            self.now -= 1
        sock.sendall(EMPTY)


def connect(system, server, **config) -> None:
    config = {"calls_per_second": 10_000, **config}
    services.connection_set(
        system=system, base_url=server.url, config=config, secrets={"api_key": "sk_test_x1y2z3"}
    )


def look(system) -> str:
    """One look-up that waits for its turn; "" or the kind of error."""
    try:
        services.find(system_id=system.pk, object_type="customer", by="key", value="x", deadline=20.0)
    except AdapterError as error:
        return error.kind.value
    finally:
        connections.close_all()
    return ""


def look_together(system, number: int) -> list[str]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: look(system), range(number)))


def refused(system) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        services.find(system_id=system.pk, object_type="customer", by="key", value="x")
    return caught.value


# ---- calls at once ---------------------------------------------------------------------------------------------------


def test_no_more_calls_are_under_way_than_the_account_allows(billing):
    vendor = Counting(seconds=0.02)
    with RawServer(vendor) as server:
        connect(billing, server, max_concurrency=3)
        assert look_together(billing, 12) == [""] * 12
    assert (vendor.total, vendor.most) == (24, 3), "a look-up by key is two calls, one after the other"


def test_two_processes_share_what_the_account_allows(billing, process_database):
    vendor = Counting(seconds=0.02)
    with RawServer(vendor) as server:
        connect(billing, server, max_concurrency=4)
        other = _process(process_database, billing, times=20, threads=6)
        mine = look_together(billing, 20)
        assert other.wait(30) == 0, other.stderr.read()
        assert mine == [""] * 20
    assert vendor.total == 80
    assert vendor.most <= 4


def test_what_a_killed_process_held_is_free_again(billing, process_database):
    gate = threading.Event()
    with RawServer(Counting(gate=gate)) as server:
        connect(billing, server, max_concurrency=2)
        other = _process(process_database, billing, times=2, threads=2)
        _until(lambda: len(server.requests) == 2)
        os.kill(other.pid, signal.SIGKILL)
        other.wait(10)
        gate.set()
        assert look(billing) == "", "within the seconds that a permit lives"


def test_a_crash_of_postgresql_that_empties_the_limits_stops_nobody(billing):
    with RawServer(Counting()) as server:
        connect(billing, server, max_concurrency=2)
        assert look(billing) == ""
        with connection.cursor() as cursor:  # what recovery does to unlogged tables
            cursor.execute("TRUNCATE connectors_permit, connectors_demand, connectors_traffic")
        assert look(billing) == ""


def test_a_keeper_passes_permits_between_its_threads_without_asking_the_database(billing):
    vendor = Counting()
    with RawServer(vendor) as server:
        connect(billing, server, max_concurrency=2)
        services.start()
        try:
            look(billing)
            with _counted() as statements:
                for _ in range(5):
                    services.find(
                        system_id=billing.pk, object_type="customer", by="key", value="x", deadline=20.0
                    )
            assert [sql for sql in statements if "connectors_permit" in sql] == []
        finally:
            services.leave()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM connectors_permit WHERE owner <> ''")
            assert cursor.fetchone() == (0,), "given back at the end"


def test_what_a_keeper_has_no_use_for_another_that_waits_has_at_once(billing):
    def held() -> int:
        return _one_value("SELECT count(*) FROM connectors_permit WHERE owner <> ''")

    with RawServer(Counting()) as server:
        connect(billing, server, max_concurrency=2)
        services.start()
        try:
            look(billing)
            assert held() == 1, "kept for the next call"
            with connection.cursor() as cursor:  # as another process says that it waits
                cursor.execute(
                    "INSERT INTO connectors_demand (system_id, owner, until)"
                    " VALUES (%s, 'another', now() + interval '1 hour')",
                    [billing.pk],
                )
            services.keep()
            look(billing)
            assert held() == 0
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM connectors_demand")
            look(billing)
            assert held() == 1, "nobody waits any more"
        finally:
            services.leave()


def test_new_work_is_turned_away_while_many_wait_and_what_is_begun_waits(billing, settings):
    settings.SYNC_PUMP_THREADS = 4
    gate = threading.Event()
    with RawServer(Counting(gate=gate)) as server:
        connect(billing, server, max_concurrency=1)
        with ThreadPoolExecutor(3) as pool:
            begun = [pool.submit(look, billing) for _ in range(3)]
            _until(lambda: services.full() == [billing.pk])
            error = refused(billing)
            gate.set()
            assert [future.result() for future in begun] == ["", "", ""]
    assert error.kind is ErrorKind.HELD_BACK
    assert error.details == {"system_id": billing.pk}
    assert services.full() == []


# ---- calls a second --------------------------------------------------------------------------------------------------


def test_calls_are_spaced_over_all_threads(billing):
    with RawServer(Counting()) as server:
        connect(billing, server, max_concurrency=8, calls_per_second=20)
        started = time.monotonic()
        assert look_together(billing, 8) == [""] * 8
        assert time.monotonic() - started >= 15 / 20


# ---- Retry-After and the circuit -------------------------------------------------------------------------------------


def test_retry_after_holds_everybody_back_and_nothing_is_sent(billing):
    def busy(sock, request):
        sock.sendall(whole(b"{}", status="429 Too Many Requests", headers="Retry-After: 30\r\n"))

    with RawServer(busy) as server:
        connect(billing, server)
        assert refused(billing).kind is ErrorKind.RATE_LIMITED
        error = refused(billing)
        assert (error.kind, len(server.requests)) == (ErrorKind.HELD_BACK, 1)
        assert 25 < error.retry_after <= 31
        _pass_time("hold_until")
        assert refused(billing).kind is ErrorKind.RATE_LIMITED


def test_the_circuit_opens_once_probes_once_and_closes(billing):
    works = threading.Event()
    probing = threading.Event()

    def vendor(sock, request):
        if not works.is_set():
            reset(sock)
            return
        probing.wait(20)
        sock.sendall(EMPTY)

    with RawServer(vendor) as server:
        connect(billing, server, max_concurrency=8)
        for _ in range(traffic.FAILURES):
            assert refused(billing).kind is ErrorKind.TRANSIENT
        sent = len(server.requests)
        error = refused(billing)
        assert (error.kind, error.vendor_code, len(server.requests)) == (
            ErrorKind.HELD_BACK,
            "circuit",
            sent,
        )
        assert services.full() == [billing.pk]
        works.set()
        _pass_time("open_until")
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(look, billing)
            _until(lambda: len(server.requests) == sent + 1)
            assert refused(billing).vendor_code == "circuit", (
                "one call probes, the others wait for what it finds"
            )
            probing.set()
            assert probe.result() == ""
        assert look(billing) == ""
        assert _counts() == (1, 1)


def test_a_probe_that_fails_keeps_the_circuit_open_for_longer(billing):
    with RawServer(lambda sock, request: reset(sock)) as server:
        connect(billing, server)
        for _ in range(traffic.FAILURES):
            refused(billing)
        first = refused(billing).retry_after
        _pass_time("open_until")
        assert refused(billing).kind is ErrorKind.TRANSIENT, "the probe"
        assert refused(billing).retry_after > first
        assert _counts() == (1, 1), "it never closed, so it opened once"


def test_what_a_system_refuses_opens_no_circuit(billing):
    def no(sock, request):
        sock.sendall(whole(b'{"error": {"type": "invalid_request_error"}}', status="400 Bad Request"))

    with RawServer(no) as server:
        connect(billing, server)
        kinds = {refused(billing).kind for _ in range(traffic.FAILURES + 3)}
    assert kinds == {ErrorKind.REJECTED}


def test_who_hangs_up_early_proves_nothing_about_the_system(billing):
    gate = threading.Event()
    with RawServer(Counting(gate=gate)) as server:
        connect(billing, server)
        for _ in range(traffic.FAILURES + 1):
            with pytest.raises(AdapterError) as caught:
                services.find(
                    system_id=billing.pk, object_type="customer", by="key", value="x", deadline=0.05
                )
            assert caught.value.kind is ErrorKind.TRANSIENT
        gate.set()
        assert look(billing) == ""


# ---- helpers ---------------------------------------------------------------------------------------------------------

_SCRIPT = """
import django, sys; django.setup()
from concurrent.futures import ThreadPoolExecutor
from django.db import connections
from apps.connectors import services
services.start()
def one(_):
    try:
        services.find(system_id=int(sys.argv[1]), object_type="customer", by="key", value="x", deadline=20.0)
    finally:
        connections.close_all()
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    list(pool.map(one, range(int(sys.argv[2]))))
"""


def _process(database, system, *, times: int, threads: int) -> subprocess.Popen[str]:
    env = database.env
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(system.pk), str(times), str(threads)],
        cwd=ROOT,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )


def _until(condition) -> None:
    ends_at = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def _one_value(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _pass_time(column: str) -> None:
    """As if the time in ``column`` were over; this process looks again."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE connectors_traffic SET {column} = now() - interval '1 second'")
    for gate in traffic._mine():
        gate.known_at = float("-inf")


def _counts() -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT opened, probes FROM connectors_traffic")
        return cursor.fetchone()


class _counted:
    def __enter__(self) -> list[str]:
        from django.test.utils import CaptureQueriesContext

        self.context = CaptureQueriesContext(connection)
        self.context.__enter__()
        self.statements: list[str] = []
        return self.statements

    def __exit__(self, *problem) -> None:
        self.context.__exit__(*problem)
        self.statements += [query["sql"] for query in self.context.captured_queries]
