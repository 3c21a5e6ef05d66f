"""Outcomes that threads bring at the same time: one statement for many, each with its own lease, link and fate."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, connections, transaction

from apps.core import statements
from apps.organization import services as organization
from apps.records import selectors as records
from apps.sync import ledger, outcomes, queue
from apps.sync.leases import Lease, LeaseLost, claim
from apps.sync.models import Action, Body, Subject, Transaction
from apps.sync.plans import PlannedAction
from tests.sync.steps import Steps


@pytest.fixture
def erp() -> Any:
    return organization.system_set(code="erp", name="NetSuite", kind="erp", vendor="netsuite")


@pytest.fixture(autouse=True)
def nothing_left(steps: Steps):
    yield
    Subject.objects.update(ready_at=None, lease_until=None)


class Held:
    """Claimed transactions of subjects of their own, and what their workers journal."""

    def __init__(self, steps: Steps, erp: Any, name: str, number: int) -> None:
        self.erp = erp
        self.rows = [steps.ask(f"{name}-{at}") for at in range(number)]
        leases = {lease.subject_id: lease for lease in claim(limit=200)}
        self.leases = [leases[row.subject_id] for row in self.rows]

    def append(self, at: int, **entry: Any) -> bool:
        row, lease = self.rows[at], self.leases[at]
        action = PlannedAction("write", "push", "why", self.erp.pk, "erp", "milestone", "create", row.ref)
        given = {"outcome": "succeeded", "external_id": f"X-{row.ref}", **entry}
        told = ledger.Entry(started_at=datetime.now(tz=UTC), exchange={"url": f"/{row.ref}"}, **given)
        link = {
            "object_type": "milestone",
            "key": row.ref,
            "system_id": self.erp.pk,
            "external_id": told.external_id,
            "linked_by": "push",
            "evidence": {"action": "write"},
        }
        return ledger.append(lease, row, None, 1, action, told, link=link)

    def together(self, **wrong: Any) -> list[Any]:
        """All at the same time, while a first one keeps the writer busy: whatever each thread got, errors too."""
        gate = _Gate()
        gate.close()

        def one(at: int) -> Any:
            try:
                return self.append(at, **wrong.get(f"at_{at}", {}))
            except (DataError, OperationalError, LeaseLost) as error:
                return error
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(self.rows)) as pool:
            answers = [pool.submit(one, at) for at in range(len(self.rows))]
            gate.wait_for(len(self.rows))
            gate.open()
            return [answer.result() for answer in answers]

    def journaled(self) -> int:
        return Action.objects.filter(transaction_id__in=[row.pk for row in self.rows]).count()


class _Gate:
    """Somebody who writes: who comes meanwhile gathers."""

    def close(self) -> None:
        self.writer = outcomes._writer()
        with self.writer.lock:
            assert not self.writer.busy
            self.writer.busy = True

    def wait_for(self, number: int) -> None:
        ends_at = time.monotonic() + 30
        while len(self.writer.waiting) < number:
            assert time.monotonic() < ends_at
            time.sleep(0.005)

    def open(self) -> None:
        self.writer._pass_on()


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """How many rows each statement has carried."""
    sizes: list[int] = []
    real = outcomes._append

    def append(rows: list[Any], *, together: bool) -> Any:
        sizes.append(len(rows))
        return real(rows, together=together)

    monkeypatch.setattr(outcomes, "_append", append)
    return sizes


def test_what_comes_together_is_one_statement_and_each_row_has_all_that_belongs_to_it(
    steps: Steps, erp, batches
):
    held = Held(steps, erp, "batch", 6)
    bodies = Body.objects.count()
    assert held.together() == [True] * 6
    assert batches == [6]
    assert Body.objects.count() == bodies + 6
    for row in held.rows:
        (action,) = Action.objects.filter(transaction_id=row.pk)
        assert (action.outcome, action.external_id) == ("succeeded", f"X-{row.ref}")
        assert action.payload_digest is not None
        assert str(action.correlation_id) == str(row.correlation_id)
        link = records.find_link("milestone", row.ref, erp.pk)
        assert link is not None
        assert (link.external_id, link.linked_by, link.evidence) == (
            f"X-{row.ref}",
            "push",
            {"action": "write"},
        )
        (audit,) = [one for one in audit_of(row.ref) if one[0] == "record.linked"]
        assert audit[1] == str(row.correlation_id)


def audit_of(ref: str) -> list[tuple[str, str]]:
    found = statements.rows("SELECT verb, correlation_id FROM journal_audit WHERE object_ref = %s", [ref])
    return [(verb, str(correlation)) for verb, correlation in found]


def test_who_has_lost_its_lease_writes_nothing_and_the_others_do(steps: Steps, erp):
    held = Held(steps, erp, "fenced", 4)
    Subject.objects.filter(id=held.rows[2].subject_id).update(lease_token=99)
    answers = held.together()
    assert isinstance(answers.pop(2), LeaseLost)
    assert answers == [True] * 3
    assert held.journaled() == 3
    assert records.find_link("milestone", held.rows[2].ref, erp.pk) is None


def test_a_row_that_the_database_refuses_is_no_trouble_of_the_others(steps: Steps, erp, batches):
    held = Held(steps, erp, "refused", 4)
    answers = held.together(at_1={"external_id": "x" * 900})
    assert isinstance(answers.pop(1), DataError)
    assert answers == [True] * 3
    assert sorted(batches) == [1, 1, 1, 1, 4], "each alone after all together"
    assert held.journaled() == 3


def test_a_subject_that_somebody_has_locked_keeps_only_its_own_thread_waiting(steps: Steps, erp):
    held = Held(steps, erp, "locked", 3)
    locked, done, answers = threading.Event(), threading.Event(), []

    def hold() -> None:
        try:
            with transaction.atomic():
                queue.lock_subject("steps", "locked-1")
                locked.set()
                done.wait(30)
        finally:
            connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(30)
    worker = threading.Thread(target=lambda: answers.extend(held.together()))
    worker.start()
    ends_at = time.monotonic() + 20
    while held.journaled() < 2 and time.monotonic() < ends_at:
        time.sleep(0.01)
    assert held.journaled() == 2, "the others have not waited"
    done.set()
    holder.join(30)
    worker.join(30)
    assert answers == [True] * 3


def test_an_error_that_leaves_it_open_is_everybodys(steps: Steps, erp, monkeypatch):
    """The connection broke: whether it was committed is not known, so nobody writes again."""
    held, tried = Held(steps, erp, "broken", 3), []

    def breaks(rows: list[Any], *, together: bool) -> Any:
        tried.append(len(rows))
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(outcomes, "_append", breaks)
    answers = held.together()
    assert tried == [3]
    assert [type(answer) for answer in answers] == [OperationalError] * 3
    assert len({id(answer) for answer in answers}) == 3


def test_the_same_link_from_two_is_one_link(steps: Steps, erp):
    held = Held(steps, erp, "same", 2)
    first, second = held.rows
    second.ref = first.ref  # both prove that first's object is X-…
    assert held.together() == [True, True]
    assert held.journaled() == 2
    assert records.find_link("milestone", first.ref, erp.pk) is not None


def test_inside_a_database_transaction_it_is_written_in_that_transaction(steps: Steps, erp):
    held = Held(steps, erp, "inside", 1)
    with transaction.atomic():
        assert held.append(0) is True
        transaction.set_rollback(True)
    assert held.journaled() == 0


def test_an_outcome_in_doubt_is_remembered_until_it_is_settled(steps: Steps, erp):
    held = Held(steps, erp, "doubt", 2)
    held.together(at_0={"outcome": "unknown"}, at_1={"outcome": "unknown"})
    assert Subject.objects.get(id=held.rows[0].subject_id).in_doubt == ["write"]
    held.append(0, outcome="found")
    assert Subject.objects.get(id=held.rows[0].subject_id).in_doubt == []
    assert Subject.objects.get(id=held.rows[1].subject_id).in_doubt == ["write"]


# ---- a run begins and ends -------------------------------------------------------------------------------------------


def test_a_run_that_is_cancelled_while_it_begins_does_not_begin(steps: Steps):
    """The worker has read the row as pending and waits for it; then it is cancelled."""
    from apps.journal import transitions
    from apps.sync import runs

    row = steps.ask("cancelled-just-now")
    (lease,) = [one for one in claim(limit=50) if one.subject_id == row.subject_id]
    began: list[Any] = []

    def begin() -> None:
        try:
            began.append(runs.begin(lease))
        finally:
            connections.close_all()

    worker = threading.Thread(target=begin)
    with transaction.atomic():
        transitions.move(row, to="cancelled", why="Entered twice.")
        worker.start()
        _until_somebody_waits()
    worker.join(30)
    assert began == [None]
    assert Transaction.objects.get(id=row.pk).state == "cancelled"


def test_work_asked_for_while_a_run_ends_is_not_missed(steps: Steps):
    """The worker ends its run while somebody, who has the subject's row, asks for it again."""
    from apps.sync import runs

    row = steps.ask("asked-just-now")
    (lease,) = [one for one in claim(limit=50) if one.subject_id == row.subject_id]
    begun = runs.begin(lease)
    assert begun is not None
    assert begun.fresh
    ended: list[bool] = []

    def end() -> None:
        try:
            ended.append(runs.succeed(lease, begun.transaction, reason="Done."))
        finally:
            connections.close_all()

    worker = threading.Thread(target=end)
    with transaction.atomic():
        queue.enqueue(kind="steps", key="asked-just-now", flow=row.flow, trigger="news")
        worker.start()
        _until_somebody_waits()
    worker.join(30)
    assert ended == [False], "it has to look again"
    kept = Transaction.objects.get(id=row.pk)
    assert (kept.state, kept.again) == ("running", True)


def _until_somebody_waits() -> None:
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def test_a_lease_that_is_lost_ends_nothing(steps: Steps):
    from apps.sync import runs

    row = steps.ask("lost-at-the-end")
    (lease,) = [one for one in claim(limit=50) if one.subject_id == row.subject_id]
    begun = runs.begin(lease)
    assert begun is not None
    stale = Lease(lease.subject_id, lease.token - 1, taken_over=False, takeovers=0, asked=lease.asked)
    assert runs.begin(stale) is None
    assert runs.succeed(stale, begun.transaction, reason="Done.") is False
    assert Transaction.objects.get(id=row.pk).state == "running"
