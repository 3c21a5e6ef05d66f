"""Outcomes on their way into the journal: those that threads bring at the same time share one statement and one commit.

Public surface: :func:`write`.

Who comes while nobody writes, writes at once. Who comes meanwhile waits; when the writer is done, one of those who wait takes
along all that has gathered. A thread goes on only after the commit that holds its outcome. Each row proves its own lease by
its fencing number. A batch waits for nobody's lock: a row whose subject is locked, and every row of a batch that the database
refused, is written by its own thread alone, so that the trouble of one is not another's.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError, OperationalError, connection

from apps.core import statements
from apps.records import services as records
from apps.sync import payloads
from apps.sync.leases import LeaseLost

#: What a row says of an action's attempt: columns of the journal and their types.
_ACTION = {
    "legal_entity_id": "bigint", "transaction_id": "bigint", "plan_id": "bigint", "seq": "smallint", "name": "text",
    "system": "text", "object_type": "text", "operation": "text", "target_key": "text", "external_id": "text",
    "idempotency_key": "text", "outcome": "text", "error_kind": "text", "code": "text", "message": "text", "url": "text",
    "started_at": "timestamptz", "elapsed_ms": "integer", "fence": "bigint", "correlation_id": "uuid",
}  # fmt: skip
#: The row of the subject proves the lease and is written in the same statement: no row without a lease, no lease without it.
_APPEND = """
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS given (n integer, subject bigint, settled boolean, unknown boolean,
        at timestamptz, {columns})
), {locked}held AS (
    UPDATE sync_subject s SET lease_until = greatest(s.lease_until, now() + make_interval(secs => %(seconds)s)),
        takeovers = CASE WHEN g.settled THEN 0 ELSE s.takeovers END,
        in_doubt = CASE WHEN g.unknown AND NOT g.name = ANY(s.in_doubt) THEN s.in_doubt || g.name::varchar
                        WHEN g.settled AND g.name = ANY(s.in_doubt) THEN array_remove(s.in_doubt, g.name::varchar)
                        ELSE s.in_doubt END
    FROM given g WHERE s.id = g.subject AND s.lease_token = g.fence{only}
    RETURNING g.*
), {stored}, {linked}, appended AS (
    INSERT INTO sync_action (created_at, payload_digest, {names})
    SELECT at, decode(payload_digest, 'hex'), {names} FROM held
)
SELECT g.n, l.key IS NOT NULL FROM held g LEFT JOIN {is_new}
"""
#: Locked in one order, and none waited for: a batch cannot meet others crosswise.
_LOCKED = """locked AS MATERIALIZED (
    SELECT s.id FROM sync_subject s JOIN given g ON s.id = g.subject AND s.lease_token = g.fence
    ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
), """
_ONLY_LOCKED = " AND s.id IN (SELECT id FROM locked)"


@cache
def _append_text(*, together: bool) -> str:
    kinds = ", ".join(f"{name} {kind}" for name, kind in _ACTION.items())
    return _APPEND.format(
        columns=f"{kinds}, {payloads.COLUMNS}, {records.LINK_COLUMNS}",
        names=", ".join(_ACTION),
        locked=_LOCKED if together else "",
        only=_ONLY_LOCKED if together else "",
        stored=payloads.STORE.format(given="held"),
        linked=records.links_from("held"),
        is_new=records.LINK_IS_NEW,
    )


def _append(rows: list[dict[str, Any]], *, together: bool) -> dict[int, bool]:
    """Positions of the rows that were written, and whether the link of each is new."""
    numbered = [{"n": n, **row} for n, row in enumerate(rows)]
    given = {"rows": json.dumps(numbered, default=str), "seconds": settings.SYNC_LEASE_SECONDS}
    return dict(statements.rows(_append_text(together=together), given))


def write(row: Mapping[str, Any]) -> bool:
    """Append one outcome (columns of the journal, of payload and link, ``subject``, ``settled``, ``unknown``, ``at``). True if
    its link is new. Raises ``LeaseLost``.

    Inside a database transaction it is written in that transaction."""
    if connection.in_atomic_block:
        return _alone(dict(row))
    return _writer().write(dict(row))


def _alone(row: dict[str, Any]) -> bool:
    written = _append([row], together=False)
    if not written:
        raise LeaseLost
    return written[0]


class _Ticket:
    """One row on its way. Its thread waits on ``turn``; then it has an answer, or it is to do something itself."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        self.turn = threading.Lock()
        self.turn.acquire()
        self.leads = False
        self.new: bool | None = None
        self.error: BaseException | None = None


class _Writer:
    """The threads of one process."""

    #: Most rows in one statement.
    MOST = 64

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.busy = False
        self.waiting: list[_Ticket] = []

    def write(self, row: dict[str, Any]) -> bool:
        ticket = _Ticket(row)
        with self.lock:
            ticket.leads, self.busy = not self.busy, True
            if not ticket.leads:
                self.waiting.append(ticket)
        if not ticket.leads:
            ticket.turn.acquire()
        if ticket.leads:
            self._lead(ticket)
        if ticket.error is not None:
            raise _same(ticket.error) from ticket.error.__cause__
        return _alone(ticket.row) if ticket.new is None else ticket.new

    def _lead(self, ticket: _Ticket) -> None:
        """Write what has gathered, one's own row among it."""
        with self.lock:
            batch, self.waiting = [ticket, *self.waiting[: self.MOST - 1]], self.waiting[self.MOST - 1 :]
        try:
            self._write_together(batch)
        except BaseException as error:  # noqa: BLE001 - handed to every thread whose row it was
            for one in batch:
                one.error = error
        finally:
            self._pass_on()
            for one in batch[1:]:
                one.turn.release()

    def _write_together(self, batch: list[_Ticket]) -> None:
        try:
            written = _append([one.row for one in batch], together=True)
        except (DataError, IntegrityError):
            return  # nothing was written: each alone
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in _UNDONE:
                raise
            return
        for n, new in written.items():
            batch[n].new = new

    def _pass_on(self) -> None:
        with self.lock:
            if not self.waiting:
                self.busy = False
                return
            following = self.waiting.pop(0)
            following.leads = True
        following.turn.release()


#: Deadlock, serialization failure: PostgreSQL has certainly undone the statement.
_UNDONE = ("40P01", "40001")


def _same(error: BaseException) -> BaseException:
    """The error for another thread: one exception raised in several would mix their tracebacks."""
    return type(error)(*error.args)


_the_writer = _Writer()


def _writer() -> _Writer:
    """This process's; a forked one begins with its own."""
    global _the_writer
    if _the_writer.pid != os.getpid():
        _the_writer = _Writer()
    return _the_writer
