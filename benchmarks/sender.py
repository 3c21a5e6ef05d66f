"""A sender as vendors are: it brings each signed event to one of several doors, and again until a door has taken it.

Public surface: :class:`Event`, :class:`Sender`.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import load

TIMEOUT = 10.0
AGAIN_SECONDS = 0.1


@dataclass
class Event:
    """``twice``: it is brought to a second door as well, as senders do that did not hear the first answer."""

    event_id: str
    deal: str
    entity: str
    twice: bool = False
    statuses: list[int] = field(default_factory=list)
    #: Monotonic seconds; None until a door has taken it.
    taken_at: float | None = None


class _Door:
    """One kept-alive connection to one door."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None

    def bring(self, request: bytes) -> int:
        """The status of the answer; 0 where no whole answer came."""
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
            self.socket.sendall(request)
            answer = http.client.HTTPResponse(self.socket, method="POST")
            answer.begin()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        if answer.will_close:
            self.close()
        return answer.status

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Sender:
    """Brings ``events`` in order, ``threads`` at once, to the ``ports`` in turn; at most ``rate`` a second (0: no limit)."""

    def __init__(
        self, events: Sequence[Event], *, ports: Sequence[int], path: str, rate: float = 0, threads: int = 8
    ) -> None:
        self.events, self.ports, self.path, self.rate = events, list(ports), path, rate
        self._left = iter(enumerate(events))
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        self.started = time.monotonic()
        for thread in self._threads:
            thread.start()

    @property
    def taken(self) -> int:
        return sum(event.taken_at is not None for event in self.events)

    def join(self, *, seconds: float) -> None:
        """Until all are taken. Raises ``TimeoutError``."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._over.set()
        if self.taken < len(self.events):
            raise TimeoutError(
                f"{len(self.events) - self.taken} events found no open door within {seconds:g} s"
            )

    def _work(self) -> None:
        doors = [_Door(port) for port in self.ports]
        while not self._over.is_set():
            with self._lock:
                number, event = next(self._left, (0, None))
            if event is None:
                break
            if self.rate:
                self._over.wait(max(0.0, self.started + number / self.rate - time.monotonic()))
            self._bring(event, doors, number)
        for door in doors:
            door.close()

    def _bring(self, event: Event, doors: Sequence[_Door], turn: int) -> None:
        request = load.signed(self.path, event.event_id, deal=event.deal, entity=event.entity)
        while not self._over.is_set():
            status = doors[turn % len(doors)].bring(request)
            event.statuses.append(status)
            turn += 1
            if 200 <= status < 300:
                event.taken_at = time.monotonic()
                break
            self._over.wait(AGAIN_SECONDS)
        if event.twice:
            event.statuses.append(doors[turn % len(doors)].bring(request))
