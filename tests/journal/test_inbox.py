"""Every event exactly once, durable, and out of the way when it cannot be worked on."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import time_machine
from django.contrib.postgres.functions import TransactionNow
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.errors import InvalidInput
from apps.journal import selectors, services
from apps.journal.models import Inbox, InboxKey, InboxReject
from tests.journal.together import outcomes, together


def _receive(event_id: str = "evt-1", source: str = "crm", **values) -> bool:
    return services.receive(
        **{
            "source": source,
            "event_id": event_id,
            "headers": {
                "Content-Type": "application/json",
                "Authorization": "Bearer secret",
                "Cookie": "a=b",
            },
            "body": b'{"id": 1}',
            "changes": [{"object_type": "deal", "external_id": "006A"}],
            "correlation_id": str(uuid.uuid4()),
            **values,
        }
    )


@pytest.mark.django_db
def test_a_new_event_is_stored_whole_and_a_second_one_is_not():
    assert _receive() is True
    assert _receive(body=b"other") is False
    row = Inbox.objects.get()
    assert bytes(row.body) == b'{"id": 1}'
    assert row.changes == [{"object_type": "deal", "external_id": "006A"}]
    assert (row.done_at, row.dead_at, row.attempts) == (None, None, 0)


@pytest.mark.django_db
def test_the_same_id_from_another_source_is_another_event():
    assert _receive(source="crm")
    assert _receive(source="billing")
    assert InboxKey.objects.count() == Inbox.objects.count() == 2


@pytest.mark.django_db
def test_receiving_is_one_statement():
    with CaptureQueriesContext(
        connection,
    ) as queries:
        _receive()
    assert len(queries) == 1


@pytest.mark.django_db
def test_credentials_in_headers_are_not_stored():
    _receive()
    assert Inbox.objects.get().headers == {"content-type": "application/json"}


@pytest.mark.django_db
@pytest.mark.parametrize("event_id", ["", "x" * 256, "a\x00b", "a\nb"])
def test_an_event_id_that_cannot_be_stored_is_refused(event_id):
    with pytest.raises(InvalidInput):
        _receive(event_id)
    assert not InboxKey.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["a\x00b", "\ud800", float("nan")])
def test_changes_that_the_database_cannot_hold_are_refused(text):
    with pytest.raises(InvalidInput):
        _receive(changes=[{"external_id": text}])


def test_of_eight_senders_of_one_event_one_is_new(process_database):
    results = together(*[_receive] * 8)
    assert outcomes(results) == {"True": 1, "False": 7}
    assert Inbox.objects.count() == InboxKey.objects.count() == 1


def test_two_workers_never_claim_the_same_event(process_database):
    for number in range(20):
        _receive(f"evt-{number}")

    def work() -> list[int]:
        with transaction.atomic():
            ids = [row.id for row in services.inbox_claim(limit=5)]
            services.inbox_done(ids=ids)
        return ids

    claimed = [row_id for ids in together(*[work] * 4) for row_id in ids]
    assert len(claimed) == len(set(claimed)) == 20 - Inbox.objects.filter(done_at=None).count()
    assert len(claimed) >= 5


@pytest.mark.django_db
def test_claiming_needs_a_transaction_and_gives_the_oldest_first():
    for number in range(3):
        _receive(f"evt-{number}")
    rows = services.inbox_claim(limit=2)
    assert [row.event_id for row in rows] == ["evt-0", "evt-1"]
    assert rows[0].changes == [{"object_type": "deal", "external_id": "006A"}]


def test_claiming_outside_a_transaction_is_a_programming_error(process_database):
    with pytest.raises(RuntimeError, match="transaction"):
        services.inbox_claim(limit=1)


@pytest.mark.django_db
def test_a_failed_event_waits_longer_each_time_and_dies_after_ten_attempts():
    _receive()
    row_id = Inbox.objects.get().id
    waits = []
    for _attempt in range(9):
        assert services.inbox_failed(id=row_id, message="boom\x00") is True
        waits.append(_until_due())
        assert services.inbox_claim(limit=9) == []
        _let_pass(waits[-1] - timedelta(milliseconds=1))
        assert services.inbox_claim(limit=9) == []
        _let_pass(timedelta(milliseconds=1))
        assert len(services.inbox_claim(limit=9)) == 1
    assert [wait.total_seconds() for wait in waits] == [2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert services.inbox_failed(id=row_id, message="boom") is False
    assert [row.last_error for row in selectors.inbox_dead()] == ["boom"]
    assert services.inbox_revive(ids=[row_id]) == 1
    assert Inbox.objects.get().attempts == 0


def _until_due() -> timedelta:
    """How long the one event has to wait, by the database's clock."""
    return Inbox.objects.annotate(wait=F("not_before") - TransactionNow()).get().wait


def _let_pass(time: timedelta) -> None:
    """The clock that counts is the database's, which nobody sets: the event comes so much nearer instead."""
    Inbox.objects.update(not_before=F("not_before") - time)


@pytest.mark.django_db
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_of_a_web_server_or_worker_makes_no_event_wait(hours):
    with time_machine.travel(clock.now() + timedelta(hours=hours), tick=False):
        _receive()
    assert _until_due() == timedelta(0)
    assert len(services.inbox_claim(limit=9)) == 1
    with time_machine.travel(clock.now() + timedelta(hours=hours), tick=False):
        services.inbox_failed(id=Inbox.objects.get().id, message="boom")
    assert _until_due() == timedelta(seconds=2)


@pytest.mark.django_db
def test_a_done_event_is_not_claimed_again_and_cannot_fail():
    _receive()
    row_id = Inbox.objects.get().id
    assert services.inbox_done(ids=[row_id]) == 1
    assert services.inbox_done(ids=[row_id]) == 0
    assert services.inbox_failed(id=row_id, message="late") is False
    assert services.inbox_claim(limit=9) == []


@pytest.mark.django_db
def test_a_reject_is_cut_to_a_bounded_size():
    services.reject(
        source="x" * 500,
        reason="malformed",
        message="m\x00" * 900,
        headers={"Cookie": "s", "User-Agent": "u" * 900},
        body=b"b" * 300_000,
    )
    row = InboxReject.objects.get()
    assert (len(row.source), len(row.message), len(bytes(row.body)), row.size) == (80, 500, 2048, 300_000)
    assert row.headers == {"user-agent": "u" * 500}


@pytest.mark.django_db
def test_a_flood_of_rejects_is_kept_to_600_a_minute_and_30_days():
    with time_machine.travel("2026-11-23T08:00:00Z", tick=False) as traveller:
        InboxReject.objects.bulk_create(
            InboxReject(source="s", reason="r", body=b"", size=0, correlation_id=uuid.uuid4())
            for _ in range(601)
        )
        assert services.reject(source="s", reason="r", message="", headers={}, body=b"") is False
        assert InboxReject.objects.count() == 601
        traveller.shift(timedelta(minutes=2))
        assert services.reject(source="s", reason="r", message="", headers={}, body=b"") is True
        traveller.shift(timedelta(days=30))
        assert services.rejects_prune() == 601
