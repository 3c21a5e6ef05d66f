"""Where a run begins and where it ends well: one statement each.

Public surface: :func:`begin`, :class:`Begun`, :func:`succeed`.

Both prove the lease by the subject's row. Whoever asks for work locks that row and counts (``asked``); a run that ends under
the count of its claim has missed nothing, so that nothing needs to be read again before it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.core import clock, statements
from apps.journal import transitions
from apps.sync.leases import Lease
from apps.sync.models import State, Subject, Transaction

#: The oldest that may run is the subject's turn; while it is not due, none is. One that is running (its worker was lost, or
#: put it back) is gone on with as it is.
_BEGIN = """
WITH held AS (SELECT s.* FROM sync_subject s WHERE s.id = %(subject)s AND s.lease_token = %(fence)s),
first AS (
    SELECT t.* FROM sync_transaction t WHERE t.subject_id = %(subject)s AND EXISTS (SELECT 1 FROM held)
        AND t.state IN ('pending', 'running', 'retrying') ORDER BY t.id LIMIT 1
), given AS (SELECT id, state FROM first WHERE not_before IS NULL OR not_before <= %(due)s), {moved}
SELECT {subject}, {transaction} FROM held, (
    SELECT * FROM moved
    UNION ALL SELECT first.*, first.state FROM first JOIN given USING (id) WHERE first.state = 'running') t
"""


@dataclass(frozen=True)
class Begun:
    """``transaction`` is running and knows its subject. ``fresh``: this is its first run."""

    transaction: Transaction
    fresh: bool


def begin(lease: Lease) -> Begun | None:
    """The subject's oldest transaction that may run, running from now on; None when none is due, or the lease is lost."""
    now = clock.now()
    moved, values = transitions.moved_with(
        "given",
        Transaction,
        to=State.RUNNING,
        fill={"started_at": now},
        correlated="correlation_id",
        not_before=None,
    )
    given = {"subject": lease.subject_id, "fence": lease.token, "due": lease.due()}
    rows = statements.rows(_begin_text(moved), values | given)
    if not rows:
        return None
    transaction = statements.instance(Transaction, rows[0][_SIZE:])
    transaction.subject = statements.instance(Subject, rows[0][:_SIZE])
    return Begun(transaction, fresh=transaction.started_at == now)


_SIZE = len(Subject._meta.concrete_fields)
_texts: dict[str, str] = {}


def _begin_text(moved: str) -> str:
    if moved not in _texts:
        _texts[moved] = _BEGIN.format(
            moved=moved,
            subject=statements.columns(Subject, "held"),
            transaction=statements.columns(Transaction, "t"),
        )
    return _texts[moved]


#: Given back in the same statement: ready when what else is open there is due. No parent waits for it, or it would have to be
#: woken; one that has begun to since the claim has asked, and is counted.
_SUCCEED = """
WITH held AS (
    UPDATE sync_subject s SET lease_until = NULL, lease_owner = '', takeovers = 0, waits_for = 0, ready_at = (
        SELECT greatest(coalesce(t.not_before, now()), now()) FROM sync_transaction t
        WHERE t.subject_id = s.id AND t.id <> %(transaction)s AND t.state IN ('pending', 'running', 'retrying')
        ORDER BY t.id LIMIT 1)
    WHERE s.id = %(subject)s AND s.lease_token = %(fence)s AND s.asked = %(asked)s
        AND NOT EXISTS (SELECT 1 FROM sync_dependency d WHERE d.child_id = %(transaction)s)
    RETURNING s.id
), given AS (SELECT %(transaction)s::bigint AS id, 'running'::text AS state FROM held), {moved}
SELECT EXISTS (SELECT 1 FROM moved) FROM held
"""


def succeed(lease: Lease, transaction: Transaction, *, reason: str) -> bool:
    """End a run whose plan has been carried out, and give the subject back. False, and nothing done, when more has to be
    looked at first: work was asked for since the claim, a parent waits for it, or the lease is lost."""
    fields: dict[str, Any] = {"reason": reason, "attempts": 0, "finished_at": clock.now()}
    moved, values = transitions.moved_with("given", Transaction, to=State.SUCCEEDED, why=reason, **fields)
    given = {
        "transaction": transaction.pk,
        "subject": lease.subject_id,
        "fence": lease.token,
        "asked": lease.asked,
    }
    if moved not in _texts:
        _texts[moved] = _SUCCEED.format(moved=moved)
    done = statements.rows(_texts[moved], values | given)
    if not done:
        return False
    lease.released = True
    if done[0][0]:
        transitions.carry(transaction, to=State.SUCCEEDED, **fields)
    return True
