"""``make demo`` comes up, says so, and leaves no process behind, however it is ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.house.scan import ROOT

pytestmark = pytest.mark.slow
#: What the product promises: the first start makes and migrates the database, a later one finds both.
FIRST_UP_SECONDS, LATER_UP_SECONDS = 90, 15
DOWN_SECONDS = 45


@pytest.fixture
def base(free_port_block) -> int:
    """The sandbox's seven ports begin here; the console takes the eighth."""
    return free_port_block(8)


@pytest.fixture
def demo(home, tmp_path, base) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the supervisor on free ports and a data folder of its own; kills what is left at the end."""
    taken = ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE", "PSSYNC_TEST_SLOT", "SANDBOX_URL")
    environment = {name: value for name, value in os.environ.items() if name not in taken} | {
        "PSSYNC_HOME": str(home),
        "ENV_FILE": os.devnull,
        "SANDBOX_PORT": str(base),
        "WEB_PORT": str(base + 7),
    }

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pssync_console.runtime.demo"],
            cwd=ROOT,
            env=environment,
            stdout=(tmp_path / "log").open("a"),
            stderr=subprocess.STDOUT,
            text=True,
        )

    yield start
    for process in _belonging_to(home):
        process.kill()


def _belonging_to(home: Path) -> list[psutil.Process]:
    """The living processes that were started with this data folder, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and (
                process.environ().get("PSSYNC_HOME") == str(home) or str(home) in " ".join(process.cmdline())
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait_until_up(
    process: subprocess.Popen[str], port: int, log: Path, *, within: int = FIRST_UP_SECONDS
) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"not up within {within} s:\n{log.read_text()}")


def test_ctrl_c_stops_everything_and_it_starts_again_on_the_same_data(demo, home, base, tmp_path):
    for ending, seconds in ((signal.SIGINT, FIRST_UP_SECONDS), (signal.SIGTERM, LATER_UP_SECONDS)):
        process = demo()
        _wait_until_up(process, base + 7, tmp_path / "log", within=seconds)
        names = {" ".join(found.cmdline()) for found in _belonging_to(home)}
        for part in ("gunicorn", "celery", "apps.sandbox", "postgres", "valkey"):
            assert any(part in name for name in names), f"{part} does not run"
        process.send_signal(ending)
        assert process.wait(timeout=DOWN_SECONDS) == 0, (tmp_path / "log").read_text()
        assert _belonging_to(home) == []


def test_a_process_that_dies_takes_the_rest_down_with_a_failure(demo, home, base, tmp_path):
    process = demo()
    _wait_until_up(process, base + 7, tmp_path / "log")
    beat = next(found for found in _belonging_to(home) if " beat" in " ".join(found.cmdline()))
    beat.kill()
    assert process.wait(timeout=DOWN_SECONDS) == 1
    assert "beat ended by itself" in (tmp_path / "log").read_text()
    assert _belonging_to(home) == []


def test_a_taken_port_is_said_in_one_sentence(demo, home, base, tmp_path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", base + 7))
        taken.listen()
        process = demo()
        assert process.wait(timeout=DOWN_SECONDS) == 1
    assert f"Port {base + 7} is taken" in (tmp_path / "log").read_text()
    assert _belonging_to(home) == []
