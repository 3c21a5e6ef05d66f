"""Who works on what: leases with fencing, and requests that join instead of piling up. Real connections, real threads."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections

from apps.sync import leases, queue
from apps.sync.leases import LeaseLost
from apps.sync.models import State, Subject, Transaction


@pytest.fixture(autouse=True)
def committed(process_database, django_db_blocker):
    with django_db_blocker.unblock():
        yield


def ask(key="crm:1", **more):
    return queue.enqueue(kind="deal", key=key, flow="deal.provision", trigger="test", **more)


def together(number, work):
    """Run ``work`` in so many threads at once; their results in any order."""
    results, barrier = [], threading.Barrier(number)

    def run():
        try:
            barrier.wait()
            results.append(work())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def expire(lease):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET lease_until = now() - interval '1 second' WHERE id = %s",
            [lease.subject_id],
        )


def test_ten_requests_at_once_are_one_transaction():
    refs = together(10, lambda: ask().ref)
    assert len(set(refs)) == 1
    assert Transaction.objects.count() == 1


def test_two_workers_never_hold_the_same_subject():
    for number in range(20):
        ask(f"crm:{number}")
    claimed = together(4, lambda: leases.claim(limit=10))
    ids = [lease.subject_id for batch in claimed for lease in batch]
    assert len(ids) == len(set(ids)) == 20


def test_an_expired_lease_is_taken_over_with_a_higher_fencing_number():
    ask()
    (first,) = leases.claim(limit=5)
    assert leases.claim(limit=5) == []
    expire(first)
    (second,) = leases.claim(limit=5)
    assert second.token > first.token
    assert (first.taken_over, second.taken_over, second.takeovers) == (False, True, 1)


def test_the_former_holder_can_neither_renew_nor_release():
    ask()
    (first,) = leases.claim(limit=5)
    expire(first)
    (second,) = leases.claim(limit=5)
    with pytest.raises(LeaseLost):
        leases.renew(first)
    assert leases.release(first) is False
    leases.renew(second)


def test_progress_starts_the_count_of_takeovers_anew():
    ask()
    (first,) = leases.claim(limit=5)
    expire(first)
    (second,) = leases.claim(limit=5)
    leases.renew(second, progress=True)
    assert Subject.objects.get().takeovers == 0


def test_work_that_arrives_during_a_run_is_found_after_the_release():
    ask()
    (lease,) = leases.claim(limit=5)
    Transaction.objects.update(state=State.RUNNING)
    ask()
    assert Transaction.objects.get().again is True
    leases.release(lease)
    assert leases.claim(limit=5) != []


def test_a_finished_subject_is_not_ready_again():
    ask()
    (lease,) = leases.claim(limit=5)
    Transaction.objects.update(state=State.SUCCEEDED)
    leases.release(lease)
    assert leases.claim(limit=5) == []


def test_a_held_transaction_is_planned_again_when_news_comes():
    held = ask()
    Transaction.objects.update(state=State.HELD)
    again = ask(params={"entities": ["MER-UK"]})
    assert (again.id, again.state) == (held.id, State.PENDING)


def test_parameters_of_joining_requests_are_united():
    ask(params={"entities": ["MER-UK"]})
    joined = ask(params={"entities": ["MER-US"]})
    assert joined.params == {"entities": ["MER-UK", "MER-US"]}


def test_urgent_flows_go_first():
    ask("crm:1")
    queue.enqueue(kind="invoice", key="PB-1", flow="payment.apply", trigger="test")
    first, second = leases.claim(limit=1), leases.claim(limit=1)
    kinds = [Subject.objects.get(id=batch[0].subject_id).kind for batch in (first, second)]
    assert kinds == ["invoice", "deal"]


def test_only_as_many_pumps_run_as_there_are_seats(settings):
    settings.SYNC_PUMP_SLOTS = 2
    slots = together(5, leases.take_slot)
    assert sorted(slot for slot in slots if slot) == [1, 2]


def test_a_seat_given_back_is_free_again_and_only_its_holder_keeps_it(settings):
    settings.SYNC_PUMP_SLOTS = 1
    assert leases.take_slot() == 1
    assert leases.keep_slot(1) is True
    assert together(1, lambda: leases.keep_slot(1)) == [True], "whichever thread of its process keeps it"
    leases.free_slot(1)
    assert together(1, leases.take_slot) == [1]
    with connection.cursor() as cursor:  # we were thought dead, and a pump elsewhere has it now
        cursor.execute("UPDATE sync_pumpslot SET owner = 'elsewhere:1' WHERE number = 1")
    assert leases.keep_slot(1) is False
    leases.free_slot(1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT owner FROM sync_pumpslot WHERE number = 1")
        assert cursor.fetchone() == ("elsewhere:1",)
