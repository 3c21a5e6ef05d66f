"""A vendor that answers in about a millisecond, in a process of its own: what every contender of ``bench-sync`` writes to.

Public surface: :class:`Stub` (start one, ask it), ``python -m benchmarks.stub`` (be one).

A write is ``POST /w/<workflow>/<step>`` with an ``Idempotency-Key``. The stub remembers every effect, so it can say from
outside what was lost or doubled: a key it has seen gets the first answer again (a *repeat*), another key for a step that
has been done is a *double*. A step that comes before the one before it, and two calls of one workflow at once, are *disorder*:
one worker holds a subject at a time. With ``allowed`` set it refuses more calls at once than that with 429, as a base NetSuite
account does. Nothing but the standard library; it also runs under the interpreters of the peers.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

STEPS = 6
_PAD = "x" * 120


@dataclass
class Log:
    """What has happened since the last reset. Times are of the monotonic clock, which all processes of a machine share."""

    delay: float = 0.001
    allowed: int = 0
    expected: int = 0
    effects: dict[str, dict[str, str]] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    repeats: int = 0
    doubles: int = 0
    disorder: int = 0
    under_way: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    at_once: int = 0
    most_at_once: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    #: Integral of the calls at once over time, and the time, while more workflows are open than calls are allowed.
    busy: float = 0.0
    waited: float = 0.0
    _since: float = 0.0

    def tick(self, now: float) -> None:
        """Account for the time since the last change."""
        if self._since and self.expected - len(self.finished) > max(1, self.allowed):
            self.busy += self.at_once * (now - self._since)
            self.waited += now - self._since
        self._since = now

    def start(self, now: float) -> None:
        """The work has been released: from now on an unused call counts as unused."""
        self._since = now

    def begin(self, workflow: str) -> None:
        self.under_way[workflow] += 1
        self.disorder += self.under_way[workflow] > 1

    def write(self, workflow: str, step: str, key: str, now: float) -> None:
        self.under_way[workflow] -= 1
        done = self.effects.setdefault(workflow, {})
        if step not in done:
            self.disorder += step != str(len(done) + 1)
            done[step] = key
            if len(done) == STEPS:
                self.finished[workflow] = now
        elif done[step] == key:
            self.repeats += 1
        else:
            self.doubles += 1

    def summary(self) -> dict[str, Any]:
        distinct = sum(len(done) for done in self.effects.values())
        return {
            "calls": self.calls, "effects": distinct, "workflows": len(self.effects), "finished": len(self.finished),
            "repeats": self.repeats, "doubles": self.doubles, "disorder": self.disorder,
            "refused": self.refused, "most_at_once": self.most_at_once,
            "first_at": self.first_at, "last_at": self.last_at,
            "share_in_use": self.busy / (self.waited * self.allowed) if self.allowed and self.waited else None,
        }  # fmt: skip


class _Server:
    def __init__(self) -> None:
        self.log = Log()
        self.waiters: list[tuple[int, asyncio.Future[None]]] = []

    def wake(self) -> None:
        for wanted, future in self.waiters:
            if len(self.log.finished) >= wanted and not future.done():
                future.set_result(None)

    async def control(self, path: str) -> Any:
        parts = urlsplit(path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/_reset":
            self.log = Log(
                delay=float(given["delay"]), allowed=int(given["allowed"]), expected=int(given["expected"])
            )
        elif parts.path == "/_start":
            self.log.start(time.monotonic())
        elif parts.path == "/_wait":
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiters.append((int(given["finished"]), future))
            self.wake()
            await asyncio.wait([future], timeout=float(given["seconds"]))
            self.waiters = [waiter for waiter in self.waiters if waiter[1] is not future]
        elif parts.path == "/_finished":
            return self.log.finished
        return self.log.summary()


class _Protocol(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, read by hand: a framework would cost more than the contenders' own clients."""

    def __init__(self, server: _Server) -> None:
        self.server = server
        self.buffer = b""
        self.transport: asyncio.Transport | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
            }
            size = int(headers.get("content-length", "0"))
            if len(self.buffer) < end + 4 + size:
                return
            self.buffer = self.buffer[end + 4 + size :]
            _method, path, _version = lines[0].split(" ", 2)
            self._handle(path, headers)

    def _handle(self, path: str, headers: dict[str, str]) -> None:
        if path.startswith("/_"):
            task = asyncio.ensure_future(self._control(path))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        log, now = self.server.log, time.monotonic()
        log.calls += 1
        log.first_at = log.first_at or now
        if log.allowed and log.at_once >= log.allowed:
            log.refused += 1
            self._answer(429, b'{"title":"Too many requests at once"}')
            return
        log.tick(now)
        log.at_once += 1
        log.most_at_once = max(log.most_at_once, log.at_once)
        _, _, workflow, step = path.split("/", 3)
        log.begin(workflow)
        key = headers.get("idempotency-key", "")
        asyncio.get_running_loop().call_later(log.delay, self._done, log, workflow, step, key)

    def _done(self, log: Log, workflow: str, step: str, key: str) -> None:
        now = time.monotonic()
        log.tick(now)
        log.at_once -= 1
        log.last_at = now
        log.write(workflow, step, key, now)
        body = json.dumps({"id": f"{workflow}-{step}", "status": "created", "note": _PAD}).encode()
        self._answer(201, body)
        self.server.wake()

    async def _control(self, path: str) -> None:
        self._answer(200, json.dumps(await self.server.control(path)).encode())

    def _answer(self, status: int, body: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def _serve(port: int) -> None:
    server = _Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Protocol(server), "127.0.0.1", port, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


class Stub:
    """A stub process, and the questions one asks it. Use as a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Stub:
        command = [sys.executable, "-m", "benchmarks.stub"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def reset(self, *, expected: int, delay: float = 0.001, allowed: int = 0) -> None:
        self._ask(f"/_reset?delay={delay}&allowed={allowed}&expected={expected}")

    def start(self) -> None:
        self._ask("/_start")

    def wait(self, *, finished: int, seconds: float) -> dict[str, Any]:
        """Until so many workflows are finished (or the time is over); what has happened by then."""
        return self._ask(f"/_wait?finished={finished}&seconds={seconds}", timeout=seconds + 10)

    def summary(self) -> dict[str, Any]:
        return self._ask("/_summary")

    def finished(self) -> dict[str, float]:
        """Workflow → when its last step was done (monotonic seconds)."""
        return self._ask("/_finished")

    def _ask(self, path: str, *, timeout: float = 10) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def main(run: Callable[[Any], None] = asyncio.run) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stub")
    parser.add_argument("--port", type=int, default=0)
    run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
