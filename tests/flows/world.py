"""A whole world for a story: real sandbox, real database, real Celery worker and beat over the embedded broker.

Public surface: :class:`World`. Nothing in it is mocked; the test looks into the emulated systems from outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings

from apps.demo.sandbox_client import SandboxControl
from pssync_console.runtime.valkey import EmbeddedValkey
from tests.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class World:
    """Sandbox and engine processes around one database. Use as a context manager."""

    def __init__(
        self, *, database_env: dict[str, str], base_port: int, directory: Path, web: bool = False
    ) -> None:
        self.directory = directory
        self.base_port = base_port
        self.failpoints = directory / "failpoints"
        self.web_port = base_port + 8
        self.broker = EmbeddedValkey(directory)
        self.env = database_env | {
            "CELERY_BROKER_URL": self.broker.url(),
            "SECRET_KEY": settings.SECRET_KEY,
            "SECRETS_KEYS": ",".join(settings.SECRETS_KEYS),
            "FAILPOINTS_FILE": str(self.failpoints),
            "SYNC_LEASE_SECONDS": "3",
            "HTTP_READ_TIMEOUT": "1",
            "HTTP_CONNECT_TIMEOUT": "1",
            "SYNC_PUMP_SECONDS": "5",
            "SYNC_PUMP_SLOTS": "2",
            "SYNC_PUMP_THREADS": "4",
            "SYNC_POLL_SECONDS": "1",
            "SYNC_RETRY_BASE_SECONDS": "1",
            "SYNC_RETRY_CAP_SECONDS": "2",
        }
        self.sandbox = SandboxProcess(base_port, directory / "sandbox")
        self.with_web = web
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def control(self) -> SandboxControl:
        return self.sandbox.control

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def __enter__(self) -> World:
        self.broker.start()
        self.sandbox.start()
        self.start("beat")
        if self.with_web:
            self.start("web")
        return self

    def __exit__(self, *_: Any) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.sandbox.stop()
        self.broker.stop()

    def start(self, name: str, **env: str) -> subprocess.Popen[bytes]:
        """Start ``worker`` (or ``worker2`` …), ``beat`` or ``web`` in a process group of its own."""
        celery = [sys.executable, "-m", "celery", "-A", "pssync_console"]
        command = {
            "worker": [
                *celery,
                "worker",
                "--concurrency=3",
                "--loglevel=WARNING",
                "--without-gossip",
                "--without-mingle",
                "-n",
                f"{name}-{self.base_port}@%h",
            ],
            "beat": [*celery, "beat", "--loglevel=WARNING", "--pidfile=", "--max-interval=1"],
            "web": [
                sys.executable,
                "-m",
                "gunicorn",
                "pssync_console.wsgi:application",
                "-b",
                f"127.0.0.1:{self.web_port}",
                "--threads=4",
            ],
        }[name.rstrip("0123456789")]
        log = (self.directory / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command, cwd=ROOT, env=self.env | env, stdout=log, stderr=log, start_new_session=True
        )
        return self.processes[name]

    def kill(self, name: str) -> None:
        """``kill -9`` of the whole process group."""
        process = self.processes.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def wait(self, condition: Callable[[], T], *, seconds: float = 60, what: str = "") -> T:
        """Poll until ``condition`` is truthy. Fails with the worker's log when it does not happen in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds:g} s: {what}\n--- worker ---\n{self.log('worker')}")
