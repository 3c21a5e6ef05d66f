"""A sender of signed webhooks that is not the bottleneck: raw sockets with keep-alive, requests signed beforehand.

Public surface: :func:`send` (in a process of its own), :func:`signed`, :data:`SECRET`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a-secret-of-the-bench-only-32-b!").decode()
BYTES = 2048


def signed(path: str, event_id: str, *, deal: str = "", entity: str = "") -> bytes:
    """One request of a Standard Webhooks sender, ready for the wire. ``deal`` is the event's id unless given."""
    shell = {"type": "deal.won", "deal": deal or event_id, "entity": entity, "data": ""}
    room = BYTES - len(json.dumps(shell))
    body = json.dumps(shell | {"data": (f"{event_id} " * room)[:room]})
    at = str(int(time.time()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event_id}.{at}.{body}".encode(), hashlib.sha256).digest()
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"webhook-id: {event_id}\r\nwebhook-timestamp: {at}\r\n"
        f"webhook-signature: v1,{base64.b64encode(digest).decode()}\r\n\r\n{body}"
    ).encode()


class _Sender(asyncio.Protocol):
    """One connection that always has one request under way; it connects anew when the server has closed it."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.buffer = b""
        self.request: bytes | None = None
        self.started = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.next()

    def next(self) -> None:
        assert self.transport is not None
        self.request = next(self.run.requests, None)
        if self.request is None:
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + size:
            return
        self.run.answered(int(head[9:12]), time.perf_counter() - self.started)
        self.buffer, self.request = self.buffer[end + 4 + size :], None
        if b"connection: close" in head:
            assert self.transport is not None
            self.transport.close()
        else:
            self.next()

    def connection_lost(self, error: Exception | None) -> None:
        self.run.lost(self.request)


class _Run:
    def __init__(self, port: int, requests: list[bytes], connections: int) -> None:
        self.port, self.connections = port, connections
        self.requests = iter(requests)
        self.wanted = len(requests)
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.broken = 0
        self.over = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    def answered(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.append(seconds)
        if len(self.seconds) + self.broken >= self.wanted:
            self.over.set()

    def lost(self, request: bytes | None) -> None:
        """A request without an answer is counted, never sent twice: the receiver may have it."""
        if request is not None:
            self.broken += 1
            if len(self.seconds) + self.broken >= self.wanted:
                self.over.set()
        if not self.over.is_set():
            self.connect()

    def connect(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(loop.create_connection(lambda: _Sender(self), "127.0.0.1", self.port))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def go(self) -> dict[str, Any]:
        started = time.perf_counter()
        for _ in range(min(self.connections, self.wanted)):
            self.connect()
        await self.over.wait()
        elapsed = time.perf_counter() - started
        cut = statistics.quantiles(self.seconds, n=20)
        return {
            "per_second": self.wanted / elapsed, "statuses": {str(k): v for k, v in self.statuses.items()},
            "broken": self.broken, "p50_ms": cut[9] * 1000, "p95_ms": cut[18] * 1000,
        }  # fmt: skip


def send(*, port: int, path: str, n: int, prefix: str, connections: int = 32) -> dict[str, Any]:
    """Send ``n`` events with ids that start with ``prefix``; rate, statuses and answer times."""
    given = {"port": port, "path": path, "n": n, "prefix": prefix, "connections": connections}
    command = [sys.executable, "-m", "benchmarks.load"]
    command += [f"--{name}={value}" for name, value in given.items()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _main(given: argparse.Namespace) -> dict[str, Any]:
    requests = [signed(given.path, f"{given.prefix}{number:06d}") for number in range(given.n)]
    return await _Run(given.port, requests, given.connections).go()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--prefix", default="E")
    parser.add_argument("--connections", type=int, default=32)
    print(json.dumps(asyncio.run(_main(parser.parse_args()))))


if __name__ == "__main__":
    main()
