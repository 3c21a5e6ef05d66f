"""The pump: one bounded task that takes the inbox in and works on ready subjects, many at once.

Public surface: :func:`pump`, :func:`sweep`, :func:`drain`. Celery only rings; a pump that finds no free seat goes home, a
pump that dies loses nothing: its leases run out and others take over.

The main thread claims subjects in batches, one thread takes the inbox in, one keeps the leases alive, the others carry the
work out. A batch is what they get done in about half a second, so that little is held by a process that dies.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue as queues
import random
import threading
import time
from collections.abc import Callable, Iterator

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, connections

from apps.connectors import services as connectors
from apps.core import stopping
from apps.organization import selectors as organization
from apps.sync import apply, intake, leases
from apps.sync.leases import Lease, LeaseLost

log = structlog.get_logger(__name__)
#: Between two looks for work that found none, in seconds: at first, when something has come lately, and at most.
SHORTEST_PAUSE, LATELY_PAUSE, LONGEST_PAUSE = 0.02, 0.06, 0.25
#: How long "lately" lasts.
LATELY_SECONDS = 10.0
#: Who has work looks at least so often whether it needs more.
BUSY_PAUSE = 0.05
#: So many of a flood are taken in first, so that the workers begin before the rest is.
FIRST_TAKEN = 20
#: Most subjects that a process holds without working on them yet.
MOST_AHEAD = 100


def pump() -> int:
    """Work for ``SYNC_PUMP_SECONDS`` and up to a tenth more. Returns how many transactions were worked on."""
    slot = None if stopping.requested() else leases.take_slot()
    return 0 if slot is None else _Pump(slot).run()


class _Pump:
    """One process at work. ``held``: every lease of this process; ``ahead``: claimed, not yet begun."""

    def __init__(self, slot: leases.Seat) -> None:
        self.slot = slot
        # Not all to the same second: those that began together would end together, and nobody be there until the next bell.
        self.until = time.monotonic() + settings.SYNC_PUMP_SECONDS * random.uniform(1.0, 1.1)  # noqa: S311
        self.ahead: queues.Queue[Lease | None] = queues.Queue()
        self.held: dict[int, Lease] = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.finished = threading.Event()
        #: Set when there may be something to claim, or ``ahead`` is at ``low``.
        self.hungry = threading.Event()
        self.low = settings.SYNC_PUMP_THREADS // 2
        self.done = 0

    def run(self) -> int:
        threads = [
            _thread(self._worker, name=f"pump-{number}") for number in range(settings.SYNC_PUMP_THREADS)
        ]
        threads.append(_thread(self._take_in, name="pump-intake"))
        keeper = _thread(self._keeper, name="pump-keeper")
        connectors.start()
        keeper.start()
        try:
            self._work_on_suspects()
            for thread in threads:
                thread.start()
            self._feed()
        finally:
            self.ended.set()
            for _ in threads:
                self.ahead.put(None)  # who waits for work need not wait for the time-out
            for thread in threads:  # the keeper goes on keeping their leases until the last of them is done
                if thread.ident is not None:
                    thread.join()
            self.finished.set()
            keeper.join()
            self._give_back()
            connectors.leave()
            leases.free_slot(self.slot)
        return self.done

    # -- the main thread: first what nothing else may be worked on beside, then work for the others

    def _work_on_suspects(self) -> None:
        """One at a time and alone: if this process dies of it, nobody else is blamed. For a quarter of its time at most."""
        until = time.monotonic() + settings.SYNC_PUMP_SECONDS / 4
        while self._goes_on() and time.monotonic() < until:
            lease = leases.claim_suspect(full=connectors.full())
            if lease is None:
                return
            with self.lock:
                self.held[lease.subject_id] = lease
            with self._holding(lease):
                self.done += work_on(lease)

    def _feed(self) -> None:
        pace, done, counted_at = _Pace(), 0, time.monotonic()
        wanted = settings.SYNC_PUMP_THREADS
        while self._goes_on():
            if time.monotonic() - counted_at >= 0.5:
                # What half a second has brought is about what the next one takes.
                wanted = min(MOST_AHEAD, max(settings.SYNC_PUMP_THREADS, self.done - done))
                done, counted_at = self.done, time.monotonic()
                self.low = wanted // 2
            self.hungry.clear()
            if (waiting := self.ahead.qsize()) > self.low:
                self.hungry.wait(BUSY_PAUSE)
            elif not (found := self._claim(wanted - waiting)) and waiting == 0:
                self.hungry.wait(self._at_most(pace.idle()))
            elif found:
                pace.busy()
            else:
                self.hungry.wait(BUSY_PAUSE)

    def _take_in(self) -> None:
        """The inbox has a thread of its own: a flood of events must not keep the workers waiting for their next subject."""
        organization.remember_registry(1.0)
        pace, size = _Pace(), FIRST_TAKEN
        try:
            while self._goes_on():
                if intake.take(limit=size):
                    pace.busy()
                    size = intake.BATCH
                    self.hungry.set()  # what it has brought is claimed at once
                else:
                    size = FIRST_TAKEN
                    self.ended.wait(self._at_most(pace.idle()))
        except Exception:
            log.exception("pump_intake_failed")
        finally:
            connections.close_all()

    def _at_most(self, pause: float) -> float:
        return min(pause, max(0.0, self.until - time.monotonic()))

    def _goes_on(self) -> bool:
        return not self.ended.is_set() and not stopping.requested() and time.monotonic() < self.until

    def _claim(self, number: int) -> bool:
        found = leases.claim(limit=number, full=connectors.full(), suspects=False)
        with self.lock:
            self.held |= {lease.subject_id: lease for lease in found}
        for lease in found:
            self.ahead.put(lease)
        return bool(found)

    def _give_back(self) -> None:
        """What was claimed and not begun is there for others at once."""
        with contextlib.suppress(queues.Empty):
            while True:
                if (lease := self.ahead.get_nowait()) is not None:
                    leases.release(lease)

    # -- the keeper: leases, seat, permits

    def _keeper(self) -> None:
        try:
            while not self.finished.wait(1.0):
                try:
                    self._keep()
                except DatabaseError as error:
                    # Leases and seat run out by themselves if it stays away; who holds them notices at the next write.
                    log.warning("pump_keeper_failed", error=str(error))
                    connection.close()
        finally:
            connections.close_all()

    def _keep(self) -> None:
        if not leases.keep_slot(self.slot):
            self.ended.set()  # we were thought dead; the pump that has our seat goes on
        with self.lock:
            held = list(self.held.values())
        leases.heartbeat(held)
        connectors.keep()

    # -- the workers

    def _worker(self) -> None:
        organization.remember_registry(1.0)
        try:
            while True:
                lease = self._next()
                if lease is None:
                    return
                with self._holding(lease):
                    worked = work_on(lease)
                with self.lock:
                    self.done += worked
        except Exception:
            log.exception("pump_worker_failed")
        finally:
            connections.close_all()

    def _next(self) -> Lease | None:
        while self._goes_on():
            with contextlib.suppress(queues.Empty):
                if (lease := self.ahead.get(timeout=0.5)) is not None:
                    return lease
        return None

    @contextlib.contextmanager
    def _holding(self, lease: Lease) -> Iterator[None]:
        if self.ahead.qsize() <= self.low:
            self.hungry.set()
        try:
            yield
        finally:
            with self.lock:
                if self.held.get(lease.subject_id) is lease:
                    del self.held[lease.subject_id]


class _Pace:
    """How long to wait between two looks: short while something comes, so that news is found at once; longer in the night."""

    def __init__(self) -> None:
        self.pause, self.last = SHORTEST_PAUSE, time.monotonic()

    def busy(self) -> None:
        self.pause, self.last = SHORTEST_PAUSE, time.monotonic()

    def idle(self) -> float:
        lately = time.monotonic() - self.last < LATELY_SECONDS
        pause, longest = self.pause, LATELY_PAUSE if lately else LONGEST_PAUSE
        self.pause = min(longest, pause * 1.2)
        return pause


def _thread(target: Callable[[], None], *, name: str) -> threading.Thread:
    """A thread whose log lines carry the pump's correlation id, where no transaction has bound its own."""
    return threading.Thread(target=contextvars.copy_context().run, args=(target,), name=name)


def work_on(lease: Lease) -> int:
    """Work on a claimed subject and give it back. Returns the number of transactions worked on (0 or 1)."""
    try:
        worked = apply.run_next(lease)
    except LeaseLost:
        return 0
    except apply.PutBack as back:
        leases.release(lease, waits_for=back.waits_for, delay=back.delay)
        return 0
    except Exception as error:  # noqa: BLE001 - logged in run_next, where the correlation id is bound
        # Logged where its correlation id is known. What this run last sent may be unjournaled: let the lease lapse, so
        # that the next holder probes first. Not released, so the failure is not swallowed: takeovers are counted.
        _lapse(lease, counted=not _is_the_servers(error))
        return 0
    leases.release(lease)
    return int(worked)


#: SQLSTATE classes (appendix A of PostgreSQL's manual) that say something of the server or of others, nothing of the subject:
#: connection, transaction rollback (deadlock, serialization), resources, operator intervention.
_SERVERS_CLASSES = ("08", "40", "53", "57")
_QUERY_CANCELED = "57014"


def _is_the_servers(error: BaseException) -> bool:
    """Whether PostgreSQL was in trouble, rather than the subject: that makes no poison of it."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or (state[:2] in _SERVERS_CLASSES and state != _QUERY_CANCELED)


def _lapse(lease: Lease, *, counted: bool) -> None:
    try:
        leases.lapse(lease, counted=counted)
    except DatabaseError:
        log.warning("lease_left_to_run_out", subject_id=lease.subject_id)
        connection.close()


def work_once() -> int:
    """Claim one ready subject and work on it. Returns the number of transactions worked on (0 or 1)."""
    return sum(work_on(lease) for lease in leases.claim(limit=1, full=connectors.full()))


def drain(*, seconds: float = 30.0) -> int:
    """Take and work in this thread until nothing is due; for commands and tests. Returns transactions worked on."""
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        taken, found = intake.take(), leases.claim(limit=1, full=connectors.full())
        done += sum(work_on(lease) for lease in found)
        if not taken and not found:
            break
    return done


_WAKE_FORGOTTEN = """
UPDATE sync_subject s SET ready_at = now() WHERE s.ready_at IS NULL AND s.lease_until IS NULL AND s.id = ANY(ARRAY(
    SELECT t.subject_id FROM sync_transaction t WHERE t.state IN ('pending', 'running', 'retrying')))
"""
_WAKE_PARENTS = """
WITH due AS (
    SELECT p.id, p.subject_id FROM sync_transaction p WHERE p.state = 'waiting' AND NOT EXISTS (
        SELECT 1 FROM sync_dependency d JOIN sync_transaction c ON c.id = d.child_id
        WHERE d.parent_id = p.id AND c.state NOT IN ('succeeded', 'observed', 'cancelled'))
)
SELECT id FROM due
"""


def sweep() -> int:
    """Find work that nobody would wake: a safety net that should find nothing. Returns how much it found."""
    from apps.sync.services import wake_transaction

    with connection.cursor() as cursor:
        cursor.execute(_WAKE_FORGOTTEN)
        found = cursor.rowcount
        cursor.execute(_WAKE_PARENTS)
        forgotten = [row[0] for row in cursor.fetchall()]
    for transaction_id in forgotten:
        wake_transaction(transaction_id=transaction_id, why="Its steps have finished.")
    return found + len(forgotten)
