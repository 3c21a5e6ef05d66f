"""How much we ask of a system: allowed concurrency, rate, and the circuit, shared by all processes through PostgreSQL.

Public surface: :func:`passage`, :func:`full`, :func:`is_open`, :func:`start`, :func:`keep`, :func:`leave`, :func:`forget`,
:class:`Limits`.

* **Concurrency.** A system allows so many calls at once (``max_concurrency``). Each is a *permit*: a row that a process holds
  for seconds and renews, so a killed process gives its permits back by itself. A process keeps the permits that it uses and
  passes them between its threads without asking the database; while several want more than there are, each gets its share, and
  what one has no use for another has at once.
* **Rate.** ``calls_per_second`` is spaced by one instant a system (the generic cell rate algorithm, ITU-T I.371): one
  conditional UPDATE grants a call or says how long to wait. ``Retry-After`` moves that instant for everybody.
* **Circuit.** After so many failures in a row, whoever saw them, the circuit opens: nothing is sent until its time is over,
  then one call probes. It closes on success and stays open for twice as long on failure.

What is held back raises ``AdapterError`` of the kind ``HELD_BACK``: nothing was sent, and it is no failed attempt. All clocks
are the database's. The tables are unlogged: what they hold is worthless after a crash, and they cost no flush.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.utils.translation import gettext as _

from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import statements

log = structlog.get_logger(__name__)
#: A permit of a process that renews its permits every second is free again after so long without.
PERMIT_SECONDS = 5.0
#: How old a process's knowledge of a circuit may be.
KNOWN_SECONDS = 0.5
#: Who finds no permit free looks so seldom whether they are there at all.
MADE_SECONDS = 1.0
#: A process whose threads wait for a permit says so once in so long.
WANT_SECONDS = 0.3
#: Consecutive failures that open the circuit, and how long it stays open at first and at most.
FAILURES = 5
OPEN_SECONDS, OPEN_LONGEST = 5.0, 60.0
#: A system that asks us to slow down without saying for how long is left alone for so long.
HOLD_SECONDS = 0.5
#: A call that may wait (a write in the middle of a transaction) waits so long for its turn before it is put back.
PATIENCE = 15.0
#: Who asks the database for a permit asks again after so long; the others that wait for one look up so often.
_POLL, _LOOK = 0.02, 0.2


@dataclass(frozen=True)
class Limits:
    """What a system allows. ``concurrency``: calls at once; ``per_second``: None = not limited by rate."""

    system_id: int
    name: str
    concurrency: int
    per_second: float | None = None


def _owner() -> str:
    return f"{_BOOT}:{os.getpid()}"


_BOOT = f"{random.SystemRandom().getrandbits(48):x}"


# ---- the database's side ---------------------------------------------------------------------------------------------

_TAKE = """
UPDATE connectors_permit SET owner = %(owner)s, until = now() + make_interval(secs => %(seconds)s)
WHERE system_id = %(system)s AND number = (
    SELECT number FROM connectors_permit
    WHERE system_id = %(system)s AND number <= %(most)s AND (until IS NULL OR until < now())
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
    AND (%(fair)s OR NOT EXISTS (
        SELECT 1 FROM connectors_demand WHERE system_id = %(system)s AND owner <> %(owner)s AND until >= now()))
RETURNING number
"""
_RENEW = """
UPDATE connectors_permit SET until = now() + make_interval(secs => %s)
WHERE system_id = %s AND owner = %s AND number = ANY(%s) RETURNING number
"""
_GIVE_BACK = "UPDATE connectors_permit SET owner = '', until = NULL WHERE system_id = %s AND owner = %s AND number = ANY(%s)"
#: Threads of this process wait for a permit.
_WANT = """
INSERT INTO connectors_demand (system_id, owner, until) VALUES (%(system)s, %(owner)s, now() + make_interval(secs => 1))
ON CONFLICT (system_id, owner) DO UPDATE SET until = excluded.until
"""
_NO_LONGER = "DELETE FROM connectors_demand WHERE system_id = %(system)s AND owner = %(owner)s"
_OTHERS_WAIT = """
SELECT EXISTS (SELECT 1 FROM connectors_demand WHERE system_id = %(system)s AND owner <> %(owner)s AND until >= now())
"""
_AROUND = """
SELECT count(DISTINCT owner) FROM (
    SELECT owner FROM connectors_permit WHERE system_id = %(system)s AND until >= now()
    UNION ALL SELECT owner FROM connectors_demand WHERE system_id = %(system)s AND until >= now()) one
"""
_PRUNE = "DELETE FROM connectors_demand WHERE until < now() - interval '1 minute'"
_MAKE_PERMITS = """
INSERT INTO connectors_permit (system_id, number) SELECT %s, n FROM generate_series(1, %s) n ON CONFLICT DO NOTHING
"""
_MAKE_TRAFFIC = "INSERT INTO connectors_traffic (system_id) VALUES (%s) ON CONFLICT DO NOTHING"
_KNOW = """
SELECT failures, open_until IS NOT NULL, extract(epoch FROM open_until - now())::float,
       extract(epoch FROM hold_until - now())::float
FROM connectors_traffic WHERE system_id = %s
"""
_PROBE = """
UPDATE connectors_traffic SET probing_until = now() + make_interval(secs => %s), probes = probes + 1
WHERE system_id = %s AND open_until <= now() AND (probing_until IS NULL OR probing_until < now())
"""
_FAILED = """
UPDATE connectors_traffic SET
    failures = failures + 1, probing_until = NULL,
    opened = opened + CASE WHEN open_until IS NULL AND failures + 1 >= %(limit)s THEN 1 ELSE 0 END,
    open_seconds = CASE WHEN open_until IS NULL THEN %(first)s
                        WHEN open_until <= now() THEN least(open_seconds * 2, %(longest)s) ELSE open_seconds END,
    open_until = CASE
        WHEN open_until IS NULL AND failures + 1 >= %(limit)s THEN now() + make_interval(secs => %(first)s)
        WHEN open_until <= now() THEN now() + make_interval(secs => least(open_seconds * 2, %(longest)s))
        ELSE open_until END
WHERE system_id = %(system)s RETURNING open_until IS NOT NULL, opened
"""
_RECOVERED = """
UPDATE connectors_traffic SET failures = 0, open_until = NULL, probing_until = NULL
WHERE system_id = %s AND (failures > 0 OR open_until IS NOT NULL) AND (open_until IS NULL OR open_until <= now())
"""
_HOLD = """
UPDATE connectors_traffic SET hold_until = greatest(coalesce(hold_until, now()), now() + make_interval(secs => %s))
WHERE system_id = %s
"""
_SPACE = """
UPDATE connectors_traffic SET next_at = greatest(coalesce(next_at, now()), now()) + make_interval(secs => %(gap)s)
WHERE system_id = %(system)s AND coalesce(next_at, now()) <= now() + make_interval(secs => %(ahead)s)
RETURNING extract(epoch FROM next_at - now())::float
"""


def _run(sql: str, parameters: Any) -> list[tuple[Any, ...]]:
    return statements.rows(sql, parameters)


# ---- one process's side ----------------------------------------------------------------------------------------------


class _Gate:
    """The permits of one system that this process holds, and what it knows of the circuit."""

    def __init__(self, system_id: int) -> None:
        self.system_id = system_id
        self.turn = threading.Condition()
        self.idle: list[int] = []
        self.busy: set[int] = set()
        self.good_until = 0.0  # monotonic: permits held since before then must be looked at again
        self.waiting = 0
        self.share = 1
        self.most = 0
        self.kept = _keepers > 0  # a keeper renews what is held, so idle permits may stay here
        self.failures = 0
        self.open = False
        self.open_for = self.hold_for = 0.0
        self.known_at = float("-inf")
        self.made_at = float("-inf")
        self.asking, self.ask_at = False, 0.0
        #: When this process last said that it waits (0: it does not); whether another was last seen to.
        self.said_at, self.others = 0.0, False

    # -- permits

    def take(self, limits: Limits, *, seconds: float, patience: float, turn_away: bool) -> int:
        """A permit for ``seconds`` (where nobody renews it). Raises ``HELD_BACK`` when none is free in time, or at once when
        too many threads wait already."""
        self._make(limits)
        ends_at = time.monotonic() + patience
        with self.turn:
            if turn_away and self.waiting >= _most_waiting():
                raise _held_back(limits, 0.2 + random.random() * 0.6)  # noqa: S311
            self.waiting += 1
        try:
            while True:
                with self.turn:
                    if (number := self._idle()) is not None:
                        return number
                    asks = self._may_ask(limits)
                    fair = len(self.busy) + len(self.idle) < self.share
                if asks and (number := self._ask(limits, seconds, fair=fair)) is not None:
                    return number
                left = ends_at - time.monotonic()
                if left <= 0:
                    raise _held_back(limits, 0.2 + random.random() * 0.6)  # noqa: S311
                with self.turn:
                    if not self.idle:
                        self.turn.wait(min(left, _POLL if asks or not self.kept else _LOOK))
        finally:
            with self.turn:
                self.waiting -= 1

    def _may_ask(self, limits: Limits) -> bool:
        """One thread asks the database for all that wait; while there is nothing to be had, only now and then."""
        held, now = len(self.busy) + len(self.idle), time.monotonic()
        if self.asking or held >= limits.concurrency or now < self.ask_at:
            return False
        self.asking = True
        return True

    def _ask(self, limits: Limits, seconds: float, *, fair: bool) -> int | None:
        """``fair``: this process has less than its share; more than that only while no other waits."""
        found: int | None = None
        try:
            found = self._from_database(limits, seconds, fair=fair)
            if found is None and time.monotonic() >= self.said_at + WANT_SECONDS:
                self.said_at = time.monotonic()
                _run(_WANT, self._us)
        finally:
            with self.turn:
                self.asking = False
                self.ask_at = 0.0 if found is not None else time.monotonic() + _POLL * 0.9
                if found is not None:
                    self.turn.notify()  # perhaps there is one more
        return found

    def _idle(self) -> int | None:
        if self.idle and time.monotonic() < self.good_until:
            number = self.idle.pop()
            self.busy.add(number)
            return number
        return None

    @property
    def _us(self) -> dict[str, Any]:
        return {"system": self.system_id, "owner": _owner()}

    def _from_database(self, limits: Limits, seconds: float, *, fair: bool) -> int | None:
        asked_at, seconds = time.monotonic(), PERMIT_SECONDS if self.kept else seconds + 1.0
        found = _run(
            _TAKE,
            {**self._us, "seconds": seconds, "most": limits.concurrency, "fair": fair},
        )
        if not found:
            self._make_again(limits, asked_at)
            return None
        with self.turn:
            number = int(found[0][0])
            if not self.busy and not self.idle:
                self.good_until = asked_at + PERMIT_SECONDS
            self.busy.add(number)
            if number in self.idle:
                self.idle.remove(number)
            return number

    def put_back(self, number: int) -> None:
        """The next thread here gets it. It goes back to the database when nobody keeps it, and when another process waits
        while this one has its share besides, or no use for it."""
        with self.turn:
            self.busy.discard(number)
            stays = self.kept and time.monotonic() < self.good_until
            doubtful = len(self.busy) + len(self.idle) >= self.share or (self.others and not self.waiting)
            satisfied = self.said_at > 0 and not self.waiting
            if stays and not doubtful:
                self._pass_on(number)
        if satisfied:
            self.said_at = 0.0
            _run(_NO_LONGER, self._us)
        if stays and doubtful:
            self.others = bool(_run(_OTHERS_WAIT, self._us)[0][0])
            stays = not self.others
            if stays:
                with self.turn:
                    self._pass_on(number)
        if not stays:
            _run(_GIVE_BACK, [self.system_id, _owner(), [number]])

    def _pass_on(self, number: int) -> None:
        self.idle.append(number)
        self.turn.notify()

    def keep(self) -> None:
        """Once a second, by a pump: renew what is in use, give back what is not, learn how many want some."""
        with self.turn:
            held, waits = [*self.busy, *self.idle], self.waiting > 0
            surplus = [] if waits else list(self.idle)
            self.idle = [number for number in self.idle if number not in surplus]
        if not held and not waits:
            self.share, self.others = max(1, self.most), False
            return
        asked_at = time.monotonic()
        if surplus:
            _run(_GIVE_BACK, [self.system_id, _owner(), surplus])
        still = [number for number in held if number not in surplus]
        renewed = (
            {row[0] for row in _run(_RENEW, [PERMIT_SECONDS, self.system_id, _owner(), still])}
            if still
            else set()
        )
        around = max(1, int(_run(_AROUND, self._us)[0][0]))
        others = bool(_run(_OTHERS_WAIT, self._us)[0][0])
        with self.turn:
            self.share, self.others = max(1, -(-self.most // around)), others
            self.kept = True
            self.good_until = asked_at + PERMIT_SECONDS
            self.idle = [number for number in self.idle if number in renewed]

    def _make(self, limits: Limits) -> None:
        if self.most != limits.concurrency:
            self._make_rows(limits)
            # At first all there are; the keeper learns within a second who else wants some.
            self.share = limits.concurrency if not self.most or not self.kept else self.share
            self.most = limits.concurrency
            self.share = max(1, min(self.share, self.most))

    def _make_rows(self, limits: Limits) -> None:
        self.made_at = time.monotonic()
        _run(_MAKE_TRAFFIC, [self.system_id])
        _run(_MAKE_PERMITS, [self.system_id, limits.concurrency])

    def _make_again(self, limits: Limits, now: float) -> None:
        """No permit is free; perhaps there are none any more, since a crash of the server has emptied the unlogged tables."""
        if now - self.made_at >= MADE_SECONDS:
            self._make_rows(limits)

    # -- circuit and rate

    def look(self) -> None:
        """Learn of the circuit what others have seen, before a permit is taken: nobody shall wait for us to read."""
        now = time.monotonic()
        if now - self.known_at > KNOWN_SECONDS:
            self._learn(now)

    def pass_circuit(self, limits: Limits, *, seconds: float) -> None:
        """Raises ``HELD_BACK`` while the circuit is open (unless this call is the one that probes) or everybody waits."""
        now = time.monotonic()
        if now - self.known_at > 2 * KNOWN_SECONDS:  # the wait for a permit was long
            self._learn(now)
        passed = now - self.known_at
        if (left := self.hold_for - passed) > 0:
            raise _held_back(limits, left + random.random() * 0.5)  # noqa: S311
        if not self.open:
            return
        if (left := self.open_for - passed) > 0:
            raise _circuit_open(limits, left)
        if not statements.count(_PROBE, [seconds, self.system_id]):
            raise _circuit_open(limits, 1.0)
        log.info("circuit_probed", system=limits.name)

    def _learn(self, now: float) -> None:
        rows = _run(_KNOW, [self.system_id])
        if not rows:  # the unlogged tables were emptied by a crash of the server
            self.most = 0
            rows = [(0, False, None, None)]
        self.failures, self.open, open_for, hold_for = rows[0]
        self.open_for, self.hold_for = open_for or 0.0, hold_for or 0.0
        self.known_at = now

    def space(self, limits: Limits, *, patience: float) -> None:
        """Wait for this call's turn by rate. Raises ``HELD_BACK`` when that would take longer than ``patience``."""
        assert limits.per_second
        gap = 1.0 / limits.per_second
        parameters = {"gap": gap, "ahead": min(patience, 1.0), "system": self.system_id}
        granted = _run(_SPACE, parameters)
        if not granted:
            raise _held_back(limits, 0.5 + random.random() * 0.5)  # noqa: S311
        time.sleep(max(0.0, granted[0][0] - gap))

    def full(self) -> bool:
        """Whether a new piece of work for this system would only wait, as far as this process knows."""
        passed = time.monotonic() - self.known_at
        if (self.open and self.open_for > passed) or self.hold_for > passed:
            return True
        return self.waiting >= _most_waiting()

    def note(self, error: AdapterError | None, limits: Limits) -> None:
        """What became of a call that was let through."""
        if error is not None and error.kind is ErrorKind.HELD_BACK:
            return
        if error is not None and _is_silence(error):
            parameters = {
                "limit": FAILURES,
                "first": OPEN_SECONDS,
                "longest": OPEN_LONGEST,
                "system": self.system_id,
            }
            rows = _run(_FAILED, parameters)
            self.failures += 1
            self.known_at = float("-inf")
            if rows and rows[0][0]:
                log.warning("circuit_open", system=limits.name, opened=rows[0][1])
            return
        if error is not None and error.kind is ErrorKind.RATE_LIMITED:
            _run(_HOLD, [error.retry_after or HOLD_SECONDS, self.system_id])
            self.known_at = float("-inf")
        if self.failures or self.open:
            _run(_RECOVERED, [self.system_id])
            self.known_at = float("-inf")


_gates: dict[int, _Gate] = {}
_keepers = 0
_lock = threading.Lock()
_pid = os.getpid()


def _gate(system_id: int) -> _Gate:
    global _pid, _keepers
    with _lock:
        if _pid != os.getpid():  # permits of the parent are the parent's
            _gates.clear()
            _keepers, _pid = 0, os.getpid()
        return _gates.setdefault(system_id, _Gate(system_id))


def _mine() -> list[_Gate]:
    with _lock:
        return list(_gates.values()) if _pid == os.getpid() else []


def _most_waiting() -> int:
    """Threads that may wait for one system, so that the others are there for other systems."""
    return max(2, settings.SYNC_PUMP_THREADS // 2)


def _is_silence(error: AdapterError) -> bool:
    """Whether the system itself is in trouble: no whole answer, or a 5xx that is no lock on a record."""
    if error.kind not in (ErrorKind.TRANSIENT, ErrorKind.UNKNOWN) or error.code == "INT-LOCK":
        return False
    status = error.exchange.status if error.exchange is not None else None
    return status is None or status >= 500


@contextmanager
def passage(limits: Limits, *, seconds: float, wait: bool) -> Iterator[Callable[[], None] | None]:
    """A place at a system, for one call after the other, when the circuit and the allowed concurrency let it in.

    Yields what to do before each of the calls (it waits for their turn by rate), None where the rate is not limited.
    ``seconds``: the longest that it takes. ``wait``: true in the middle of a piece of work, which waits for its turn;
    false at its start, which is put back at once when many wait already. Raises ``AdapterError`` of kind ``HELD_BACK``.
    """
    gate = _gate(limits.system_id)
    patience = min(PATIENCE, seconds)
    gate.look()
    number = gate.take(limits, seconds=seconds, patience=patience, turn_away=not wait)
    try:
        gate.pass_circuit(limits, seconds=seconds)
        try:
            yield (lambda: gate.space(limits, patience=patience)) if limits.per_second else None
        except AdapterError as error:
            if seconds >= PATIENCE or not _is_silence(error):  # who hangs up early has proved nothing
                gate.note(error, limits)
            raise
        gate.note(None, limits)
    finally:
        gate.put_back(number)


def full() -> list[int]:
    """Systems for which new work would only wait: as many threads of this process wait already as may, or they are closed."""
    return [gate.system_id for gate in _mine() if gate.full()]


def is_open(system_id: int) -> bool:
    """Whether the circuit is open or waits for its probe, as the database knows it now."""
    rows = _run(_KNOW, [system_id])
    return bool(rows and rows[0][1])


def start() -> None:
    """This process has a keeper from now on, which calls :func:`keep` once a second and :func:`leave` at its end."""
    global _keepers
    with _lock:
        _keepers += 1
    for gate in _mine():
        gate.kept = True


def keep() -> None:
    """Say once a second that this process lives: renews its permits and learns its share. For pumps."""
    for gate in _mine():
        gate.keep()


def leave() -> None:
    """Give back all permits that nobody uses now (a pump has come to its end)."""
    global _keepers
    with _lock:
        _keepers -= 1
    for gate in _mine():
        with gate.turn:
            numbers, gate.idle, gate.kept = gate.idle, [], False
        if numbers:
            _run(_GIVE_BACK, [gate.system_id, _owner(), numbers])
        _run("DELETE FROM connectors_demand WHERE system_id = %s AND owner = %s", [gate.system_id, _owner()])
    _run(_PRUNE, None)


def forget() -> None:
    """Forget what this process knows (tests; a connection that was set anew)."""
    with _lock:
        _gates.clear()


def _held_back(limits: Limits, seconds: float) -> AdapterError:
    return AdapterError(
        ErrorKind.HELD_BACK,
        _("%(system)s is asked as much as it allows; this waits for its turn.") % {"system": limits.name},
        vendor_code="busy",
        retry_after=seconds,
        details={"system_id": limits.system_id},
    )


def _circuit_open(limits: Limits, seconds: float) -> AdapterError:
    return AdapterError(
        ErrorKind.HELD_BACK,
        _("%(system)s does not answer; it is asked again in a moment.") % {"system": limits.name},
        code="",
        vendor_code="circuit",
        retry_after=seconds + random.random() * 0.5,  # noqa: S311
        details={"system_id": limits.system_id},
    )
