"""The embedded PostgreSQL and Valkey: shared by processes, stopped by the last, found again after any death."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from pssync_console.runtime.postgres import EmbeddedPostgres
from pssync_console.runtime.valkey import EmbeddedValkey
from tests.house.scan import ROOT

HOLD = "from pssync_console import runtime; runtime.ensure(); print('up', flush=True); input()"


@pytest.fixture
def user(home) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes that use the servers in one data folder; what is left at the end is ended."""
    users: list[subprocess.Popen[str]] = []
    # Durable, unlike the run's own database: a kill must lose nothing.
    taken = ("DATABASE_URL", "CELERY_BROKER_URL", "PSSYNC_EMBEDDED_DURABLE")
    unset = {name: value for name, value in os.environ.items() if name not in taken}

    def start(at: Path = home) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            cwd=ROOT,
            env=unset | {"PSSYNC_HOME": str(at), "ENV_FILE": os.devnull},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        users.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in users:
        _leave(process)


def _leave(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.communicate("\n", timeout=60)


def _pids(home: Path) -> list[int]:
    return [
        int((home / "postgres" / "postmaster.pid").read_text().split()[0]),
        int((home / "valkey" / "server.pid").read_text()),
    ]


def _runs(pid: int) -> bool:
    try:
        # Whoever adopts a dead server may not care to reap it.
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_the_last_process_stops_the_servers_and_no_earlier_one(user, home):
    first, second = user(), user()
    pids = _pids(home)
    _leave(first)
    assert _pids(home) == pids
    assert EmbeddedPostgres(home).alive()
    assert EmbeddedValkey(home).alive()
    _leave(second)
    assert not EmbeddedPostgres(home).alive()
    assert not EmbeddedValkey(home).alive()
    _wait_until(lambda: not any(_runs(pid) for pid in pids))


def test_what_was_kept_is_there_after_a_kill_of_servers_and_users(user, home):
    killed = user()
    with psycopg.connect(EmbeddedPostgres(home).url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    valkey = redis.Redis(unix_socket_path=str(EmbeddedValkey(home).socket))
    valkey.lpush("bell", "rings")
    for pid in [killed.pid, *_pids(home)]:
        os.kill(pid, signal.SIGKILL)
    killed.wait()
    # The pid of the dead server now belongs to somebody else, as happens in containers.
    lock = home / "postgres" / "postmaster.pid"
    lock.write_text(lock.read_text().replace(lock.read_text().split()[0], str(os.getpid()), 1))
    user()
    with psycopg.connect(EmbeddedPostgres(home).url()) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert valkey.lrange("bell", 0, -1) == [b"rings"]


def test_servers_of_a_killed_process_are_taken_over_and_stopped(user, home):
    killed = user()
    pids = _pids(home)
    killed.kill()
    killed.wait()
    successor = user()
    assert _pids(home) == pids
    _leave(successor)
    _wait_until(lambda: not EmbeddedPostgres(home).alive())


def test_a_long_path_gets_short_sockets(user, home):
    deep = home / ("a-rather-long-name-for-a-folder" * 4)
    deep.mkdir()
    server = EmbeddedPostgres(deep)
    try:
        process = user(deep)
        assert len(os.fsencode(server.sockets / ".s.PGSQL.5432.lock")) < 103
        assert server.alive()
        _leave(process)
    finally:
        shutil.rmtree(server.run, ignore_errors=True)


def test_ten_processes_that_start_at_once_share_one_server(user, home):
    script = "from pssync_console import runtime; runtime.ensure(broker=False); print('up')"
    unset = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment = unset | {
        "PSSYNC_HOME": str(home),
        "ENV_FILE": os.devnull,
        "PSSYNC_EMBEDDED_DURABLE": "false",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(10)
    ]
    assert [process.communicate(timeout=120)[0] for process in started] == ["up\n"] * 10
    assert not EmbeddedPostgres(home).alive()
