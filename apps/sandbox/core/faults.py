"""Faults that a test asks for: what goes wrong, at which request, how often.

Public surface: KINDS, Fault, FaultBook (add, entries, remove, take), perform helpers rst, hang.
"""

import contextlib
import json
import re
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from .store import Store

KINDS = (
    "latency",
    "status",
    "status_after",
    "reset_before",
    "reset_after",
    "slow_body",
    "truncate",
    "hang_before",
    "hang_after",
    "callback_before",
    "callback_after",
)
# These let the request go on, so a second fault may hit the same request.
PASSING = ("latency", "callback_before", "callback_after", "slow_body")


@dataclass
class Fault:
    """One fault. ``times`` None means forever; ``skip`` matching requests pass first; ``seconds`` in seconds."""

    id: int
    system: str
    kind: str
    method: str = "*"
    path: str = ".*"
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    has_body: bool = False
    seconds: float = 1.0
    times: int | None = 1
    skip: int = 0
    url: str = ""
    seen: int = 0
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and re.search(self.path, path) is not None

    def describe(self) -> dict:
        return {
            "id": self.id,
            "system": self.system,
            "kind": self.kind,
            "match": {"method": self.method, "path": self.path},
            "status": self.status,
            "headers": self.headers,
            "body": self.body,
            "seconds": self.seconds,
            "times": self.times,
            "skip": self.skip,
            "url": self.url,
            "seen": self.seen,
            "hits": self.hits,
            "spent": self.times is not None and self.hits >= self.times,
        }


class FaultBook:
    """All faults of all systems, in order of arrival; durable."""

    def __init__(self, store: Store):
        self._store = store
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}
        for id_, system, text in store.query("SELECT id, system, json FROM faults ORDER BY id"):
            self._faults[id_] = Fault(id=id_, system=system, **json.loads(text))

    def add(self, system: str, spec: dict) -> Fault:
        """Take a fault as the control door gets it. Raises ValueError when it makes no sense."""
        kind = spec.get("kind")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        match = spec.get("match") or {}
        method = (match.get("method") or "*").upper()
        path = match.get("path") or ".*"
        try:
            re.compile(path)
        except re.error as error:
            raise ValueError(f"match.path is no regular expression: {error}") from error
        if kind.startswith("callback") and not spec.get("url"):
            raise ValueError("a callback fault needs url")
        defaults = {"hang_before": 30.0, "hang_after": 30.0}
        seconds = spec.get("seconds")
        fault = Fault(
            id=self._store.counter("fault"),
            system=system,
            kind=kind,
            method=method,
            path=path,
            status=int(spec.get("status") or 500),
            headers=dict(spec.get("headers") or {}),
            body=spec.get("body"),
            has_body="body" in spec,
            seconds=float(defaults.get(kind, 1.0) if seconds is None else seconds),
            times=spec.get("times", 1),
            skip=int(spec.get("skip") or 0),
            url=spec.get("url") or "",
        )
        with self._lock:
            self._faults[fault.id] = fault
        self._save(fault)
        return fault

    def _save(self, fault: Fault) -> None:
        values = {k: v for k, v in fault.__dict__.items() if k not in ("id", "system")}
        self._store.execute(
            "INSERT OR REPLACE INTO faults VALUES (?,?,?)", (fault.id, fault.system, json.dumps(values))
        )

    def entries(self, system: str) -> list[Fault]:
        return [f for f in list(self._faults.values()) if f.system == system]

    def active(self, fault: Fault) -> bool:
        return fault.id in self._faults

    def remove(self, system: str, id_: int | None = None) -> int:
        with self._lock:
            gone = [f for f in self._faults.values() if f.system == system and id_ in (None, f.id)]
            for fault in gone:
                del self._faults[fault.id]
        for fault in gone:
            self._store.execute("DELETE FROM faults WHERE id = ?", (fault.id,))
        return len(gone)

    def take(self, system: str, method: str, path: str) -> list[Fault]:
        """The faults that hit this request, passing ones first; each is counted."""
        if not self._faults:
            return []
        hit: list[Fault] = []
        with self._lock:
            for fault in self._faults.values():
                if fault.system != system or not fault.matches(method, path):
                    continue
                if fault.times is not None and fault.hits >= fault.times:
                    continue
                fault.seen += 1
                if fault.seen <= fault.skip:
                    hit_now = False
                else:
                    fault.hits += 1
                    hit.append(fault)
                    hit_now = True
                if hit_now and fault.kind not in PASSING:
                    break
        for fault in hit:
            self._save(fault)
        return hit


def rst(connection: socket.socket | None) -> None:
    """Close the connection so that the client sees a reset (SO_LINGER 0), not an orderly end."""
    if connection is None:
        return
    with contextlib.suppress(OSError):  # the client may be gone already, which is what we want
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang(connection: socket.socket | None, seconds: float, still_wanted) -> None:
    """Hold the connection without an answer until the time is over, the fault is removed or the client leaves."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and still_wanted():
        if connection is None:
            time.sleep(0.05)
            continue
        readable, _, _ = select.select([connection], [], [], 0.05)
        if readable:
            try:
                if connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                    return
            except BlockingIOError:
                continue
            except OSError:
                return
            time.sleep(0.05)  # pipelined bytes stay readable; do not spin over them
