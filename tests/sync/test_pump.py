"""The pump at work: whose turn it is, leases kept alive, work put back instead of failed, an orderly stop."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now

from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock, stopping
from apps.organization import services as organization
from apps.sync import apply, engine, leases, locals, queue
from apps.sync.models import Action, State, Subject, Transaction
from apps.sync.plans import Draft, PlannedAction, local
from tests.sync.steps import FLOW_NAME, Steps, counted, now, work


@pytest.fixture(autouse=True)
def nothing_left(steps: Steps):
    """The module's database is shared: whatever a test leaves behind must not be another's turn."""
    yield
    stopping.withdraw()
    Subject.objects.update(ready_at=None, lease_until=None)


def ready(entity: Any, name: str, number: int, *, priority: int = 5, waits_for: int = 0) -> list[int]:
    """So many subjects of an entity that are due, the oldest first."""
    rows = [
        Subject(
            kind="steps",
            key=f"{name}-{at}",
            legal_entity=entity,
            priority=priority,
            waits_for=waits_for,
            troubled=False,
        )
        for at in range(number)
    ]
    ids = [row.pk for row in Subject.objects.bulk_create(rows)]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET ready_at = now() - interval '1 hour' + id * interval '1 microsecond'"
            " WHERE id = ANY(%s)",
            [ids],
        )
    return ids


def other_entity() -> Any:
    return organization.entity_set(
        code="MER-US", name="Merridane Inc.", country="US", currency="USD", timezone="America/New_York"
    )


# ---- whose turn ------------------------------------------------------------------------------------------------------


def test_the_backlog_of_one_entity_does_not_delay_the_first_of_another(steps: Steps):
    ready(steps.entity, "backlog", 500)
    (late,) = ready(other_entity(), "late", 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sync_subject SET ready_at = now() WHERE id = %s", [late])
    claimed = {lease.subject_id for lease in leases.claim(limit=8)}
    assert late in claimed
    assert len(claimed) == 8


def test_entities_share_a_batch_evenly(steps: Steps):
    first = set(ready(steps.entity, "even-a", 50))
    second = set(ready(other_entity(), "even-b", 50))
    claimed = {lease.subject_id for lease in leases.claim(limit=10)}
    assert (len(claimed & first), len(claimed & second)) == (5, 5)


def test_within_an_entity_the_urgent_go_first(steps: Steps):
    ready(steps.entity, "calm", 20, priority=5)
    (urgent,) = ready(steps.entity, "urgent", 1, priority=2)
    (lease,) = leases.claim(limit=1)
    assert lease.subject_id == urgent


def test_what_waits_for_a_full_system_is_left_alone_and_the_rest_goes_on(steps: Steps):
    waiting = set(ready(steps.entity, "waiting", 30, waits_for=77))
    free = set(ready(steps.entity, "free", 3))
    claimed = {lease.subject_id for lease in leases.claim(limit=10, full=[77])}
    assert claimed == free
    assert {lease.subject_id for lease in leases.claim(limit=40)} == waiting


# ---- put back --------------------------------------------------------------------------------------------------------


def test_what_is_held_back_is_no_failed_attempt_and_waits_for_that_system(steps: Steps):
    def busy(context: Any) -> Draft:
        raise AdapterError(
            ErrorKind.HELD_BACK, "NetSuite has no room now.", retry_after=300, details={"system_id": 77}
        )

    found = steps.ask("held-back")
    steps.plans["held-back"] = busy
    work()
    row = now(found)
    assert (row.state, row.attempts, row.reason) == ("running", 0, "NetSuite has no room now.")
    assert row.not_before is not None
    assert row.subject.waits_for == 77
    assert row.subject.lease_until is None
    assert not Action.objects.filter(transaction_id=row.id).exists()
    assert leases.claim(limit=5) == [], "not before its time"

    steps.plans["held-back"] = Draft((counted("held-back"),))
    Transaction.objects.filter(id=row.id).update(not_before=None)
    Subject.objects.filter(id=row.subject_id).update(ready_at=row.created_at)
    work()
    assert (now(found).state, now(found).subject.waits_for, steps.done["held-back"]) == ("succeeded", 0, 1)


@pytest.mark.parametrize("minutes", [-10, 10])
@pytest.mark.parametrize("kind", [ErrorKind.TRANSIENT, ErrorKind.HELD_BACK])
def test_a_wrong_clock_of_a_worker_shifts_no_due_time(steps: Steps, minutes: int, kind: ErrorKind):
    """What is retried or put back is due by the database's clock, and found due by it, whatever the worker's says."""
    key = f"skewed-{minutes}-{kind}"

    def failing(context: Any) -> Draft:
        raise AdapterError(kind, "Not now.", retry_after=300, details={"system_id": 77})

    found = steps.ask(key)
    steps.plans[key] = failing
    with time_machine.travel(clock.now() + timedelta(minutes=minutes), tick=True):
        work()
    row = Transaction.objects.annotate(wait=F("not_before") - Now()).get(id=found.id)
    assert timedelta(seconds=295) < row.wait <= timedelta(seconds=301)

    steps.plans[key] = Draft((counted(key),))
    Transaction.objects.filter(id=row.id).update(not_before=Now())
    Subject.objects.filter(id=row.subject_id).update(ready_at=Now())
    with time_machine.travel(clock.now() + timedelta(minutes=minutes), tick=True):
        work()
    assert (now(found).state, steps.done[key]) == ("succeeded", 1)


# ---- leases ----------------------------------------------------------------------------------------------------------


def test_the_heartbeat_keeps_the_lease_of_a_slow_step(steps: Steps, settings, monkeypatch):
    settings.SYNC_LEASE_SECONDS, settings.SYNC_PUMP_SECONDS, settings.SYNC_PUMP_THREADS = 2, 6, 2

    def slow(transaction: Transaction) -> locals.Result:
        time.sleep(3.5)  # longer than the lease without a heartbeat
        return locals.Result("Took its time.")

    monkeypatch.setitem(locals.VERBS, "slow", slow)
    found = steps.ask("slow", local("slow", "Takes its time.", verb="slow"))
    threading.Timer(4.5, stopping.request).start()
    engine.pump()
    assert now(found).state == "succeeded"
    subject = now(found).subject
    assert (subject.lease_token, subject.takeovers) == (1, 0), "nobody took it over"


def test_a_heartbeat_does_not_bring_back_what_was_taken_over(steps: Steps):
    steps.ask("stolen")
    (first,) = leases.claim(limit=1)
    Subject.objects.filter(id=first.subject_id).update(lease_until=first_moment())
    (second,) = leases.claim(limit=1)
    assert leases.heartbeat([first, second]) == 1
    with pytest.raises(leases.LeaseLost):
        leases.renew(first)


def first_moment() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() - interval '1 second'")
        return cursor.fetchone()[0]


@pytest.mark.parametrize(("guarantee", "outlives"), [("search", True), ("upsert", False), ("key", False)])
def test_only_a_write_that_could_be_made_twice_holds_its_lease_for_the_longest_call(
    steps: Steps, monkeypatch, guarantee, outlives
):
    from apps.connectors import services as connectors

    monkeypatch.setattr(connectors, "guarantee", lambda **_: guarantee)
    found = steps.ask(f"needs-{guarantee}")
    (lease,) = leases.claim(limit=1)
    run = apply._Run(lease, now(found))
    needed = run._needed(PlannedAction("write", "push", "", system_id=1, object_type="x", operation="create"))
    assert (needed > connectors.write_seconds()) is outlives
    leases.make_sure(lease, seconds=needed)
    assert lease.good_until - time.monotonic() >= needed - 0.5


# ---- an orderly stop -------------------------------------------------------------------------------------------------


def test_a_pump_that_is_asked_to_stop_gives_back_what_it_has_not_begun(steps: Steps, settings, monkeypatch):
    settings.SYNC_PUMP_SECONDS, settings.SYNC_PUMP_THREADS = 20, 2
    begun, go_on = threading.Semaphore(0), threading.Event()

    def wait(transaction: Transaction) -> locals.Result:
        begun.release()
        go_on.wait(20)
        return locals.Result("Done.")

    monkeypatch.setitem(locals.VERBS, "wait", wait)
    found = [steps.ask(f"stop-{n}", local("wait", "Waits.", verb="wait"), counted("after")) for n in range(8)]
    pump = threading.Thread(target=_pump)
    pump.start()
    begun.acquire()
    begun.acquire()
    started = time.monotonic()
    stopping.request()
    go_on.set()
    pump.join(10)
    assert not pump.is_alive()
    assert time.monotonic() - started < 5
    ids = [row.subject_id for row in found]
    assert not Subject.objects.filter(id__in=ids, lease_until__isnull=False).exists()
    states = list(
        Transaction.objects.filter(id__in=[row.id for row in found]).values_list("state", flat=True)
    )
    assert states.count("pending") == 6
    assert states.count("running") == 2, "stopped between two steps: the first is journaled"
    stopping.withdraw()
    work()
    assert {now(row).state for row in found} == {"succeeded"}


def _pump() -> None:
    try:
        engine.pump()
    finally:
        connections.close_all()


def test_a_pump_works_for_as_long_as_it_is_told(steps: Steps, settings):
    settings.SYNC_PUMP_SECONDS, settings.SYNC_PUMP_THREADS = 4, 1
    pump = threading.Thread(target=_pump)
    pump.start()
    pump.join(2.5)
    assert pump.is_alive(), "the keeper renews the seat that the pump took"
    late = steps.ask("late-in-a-pump")
    pump.join(20)
    assert now(late).state == "succeeded"


def test_a_pump_that_starts_while_its_worker_stops_goes_home(steps: Steps):
    found = steps.ask("too-late")
    stopping.request()
    assert engine.pump() == 0
    assert now(found).state == "pending"


# ---- many at once ----------------------------------------------------------------------------------------------------


def ask(key: str) -> queue.Ask:
    return queue.Ask(
        kind="steps",
        key=key,
        flow=FLOW_NAME,
        trigger="test",
        params={},
        correlation_id="0190c2f0-0000-7000-8000-000000000001",
    )


def test_fresh_subjects_are_asked_for_together_and_the_others_are_named(steps: Steps):
    from django.db import transaction

    steps.ask("known")
    twice = [ask("batch-1"), ask("batch-1")]
    with transaction.atomic():
        left = queue.enqueue_fresh([*twice, ask("batch-2"), ask("known")])
    assert [one.key for one in left] == ["batch-1", "known"]
    made = Transaction.objects.filter(subject__key__startswith="batch-").order_by("id")
    assert [(row.subject.key, row.state) for row in made] == [("batch-1", "pending"), ("batch-2", "pending")]
    work()
    assert {row.state for row in made.all()} == {"succeeded"}


def test_a_subject_in_somebodys_hands_is_not_waited_for(steps: Steps):
    from django.db import transaction

    steps.ask("in-hand")
    work()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                queue.lock_subject("steps", "in-hand")
                held.set()
                done.wait(20)
        finally:
            connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    try:
        with transaction.atomic():
            left = queue.enqueue_fresh([ask("in-hand"), ask("not-in-hand")])
    finally:
        done.set()
        holder.join()
    assert [one.key for one in left] == ["in-hand"]


def test_a_finished_subject_is_fresh_again_and_a_dead_one_is_not(steps: Steps):
    from django.db import transaction

    done, dead = steps.ask("once-done"), steps.ask("once-dead")
    work()
    Transaction.objects.filter(id=dead.id).update(state=State.DEAD)
    with transaction.atomic():
        left = queue.enqueue_fresh([ask("once-done"), ask("once-dead")])
    assert [one.key for one in left] == ["once-dead"]
    assert Transaction.objects.filter(subject_id=done.subject_id).count() == 2


def test_a_pump_stays_on_its_seat_for_its_whole_time(steps: Steps, settings):
    settings.SYNC_PUMP_SECONDS, settings.SYNC_PUMP_THREADS = 3, 2
    started = time.monotonic()
    engine.pump()
    assert time.monotonic() - started >= 3, "its keeper has kept the seat that its main thread took"


# ---- suspects --------------------------------------------------------------------------------------------------------


def test_the_last_attempt_of_a_suspect_is_made_alone(steps: Steps, settings, monkeypatch):
    settings.SYNC_PUMP_SECONDS, settings.SYNC_PUMP_THREADS = 8, 4
    together: dict[str, set[str]] = {}
    running: set[str] = set()

    def watch(transaction: Transaction) -> locals.Result:
        key = transaction.subject.key
        running.add(key)
        time.sleep(0.3)
        together[key] = set(running)
        running.discard(key)
        return locals.Result("Watched.")

    monkeypatch.setitem(locals.VERBS, "watch", watch)
    found = [steps.ask(f"beside-{n}", local("watch", "Watches.", verb="watch")) for n in range(8)]
    suspects = [found[3].subject_id, found[6].subject_id]
    Subject.objects.filter(id__in=suspects).update(takeovers=leases.last_chance())
    threading.Timer(4.0, stopping.request).start()
    engine.pump()
    assert {now(row).state for row in found} == {"succeeded"}
    assert (together["beside-3"], together["beside-6"]) == ({"beside-3"}, {"beside-6"})
    assert any(len(beside) > 1 for beside in together.values()), "the others are worked on together"


@pytest.mark.parametrize(("takeovers", "alone"), [(0, False), (1, True), (2, True)])
def test_whose_next_death_would_set_it_aside_is_claimed_alone(steps: Steps, takeovers: int, alone: bool):
    """The claim of a lease that has run out counts itself: of three deaths allowed, the attempt after two is alone."""
    found = steps.ask(f"next-{takeovers}")
    Subject.objects.filter(id=found.subject_id).update(
        takeovers=takeovers, lease_until=clock.now() - timedelta(seconds=1), lease_token=7
    )
    claimed = [lease.subject_id for lease in leases.claim(limit=5, suspects=False)]
    assert (found.subject_id in claimed) is not alone
    suspect = leases.claim_suspect()
    assert (suspect is not None and suspect.subject_id == found.subject_id) is alone
    if alone:
        assert suspect.takeovers == takeovers + 1


@pytest.mark.parametrize("allowed", [1, 2])
def test_few_deaths_allowed_leave_nobody_unclaimed(steps: Steps, settings, allowed: int):
    settings.SYNC_POISON_TAKEOVERS = allowed
    found = steps.ask(f"few-{allowed}")
    for takeovers in range(3):
        Subject.objects.filter(id=found.subject_id).update(
            takeovers=takeovers, lease_until=clock.now() - timedelta(seconds=1)
        )
        got = [*leases.claim(limit=5, suspects=False), *filter(None, [leases.claim_suspect()])]
        assert [lease.subject_id for lease in got] == [found.subject_id], takeovers


def test_while_a_system_fails_for_everybody_nobodys_budget_is_spent(steps: Steps, settings, monkeypatch):
    settings.SYNC_MAX_ATTEMPTS = 2
    open_circuits = {77}
    monkeypatch.setattr(apply.connectors, "in_outage", lambda system_id: system_id in open_circuits)

    def failing(context: Any) -> Draft:
        raise AdapterError(ErrorKind.TRANSIENT, "NetSuite is not available.", details={"system_id": 77})

    found = steps.ask("outage")
    steps.plans["outage"] = failing
    for _ in range(4):
        Transaction.objects.filter(id=found.id).update(not_before=None)
        Subject.objects.filter(id=found.subject_id).update(ready_at=found.created_at)
        work()
        assert (now(found).state, now(found).attempts) == ("retrying", 0)
    settings.SYNC_OUTAGE_HOURS = (
        0  # has waited long enough: the budget is spent, at once where the pause happens to be short
    )
    for _ in range(2):
        if now(found).state != "dead":
            Transaction.objects.filter(id=found.id).update(not_before=None)
            Subject.objects.filter(id=found.subject_id).update(ready_at=found.created_at)
            work()
    assert (now(found).state, now(found).attempts) == ("dead", 2)
