"""Old months go, what is still needed stays: pending events, unsealed audit rows, steps of open work; under a hold all."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import psycopg
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core import clock
from apps.core.errors import InvalidInput, WrongState
from apps.journal import retention, services
from apps.journal.models import Audit, Inbox, InboxKey, InboxReject
from apps.journal.partitions import ensure_partitions, partitions
from apps.journal.seals import verify_seals
from apps.journal.tasks import retention as task
from tests.journal.quiet import quiet

NOW = "2032-08-15T12:00:00Z"


@pytest.fixture(autouse=True)
def _months(settings):
    settings.RETENTION_MONTHS_INBOX = 6
    settings.RETENTION_MONTHS_AUDIT = settings.RETENTION_MONTHS_ACTIONS = (
        settings.RETENTION_MONTHS_PAYLOADS
    ) = 0


def at(instant: str):
    return time_machine.travel(instant, tick=False)


def receive(event_id: str) -> int:
    assert services.receive(
        source="crm", event_id=event_id, headers={}, body=b"{}", changes=[], correlation_id=_UUID
    )
    return Inbox.objects.get(event_id=event_id).pk


_UUID = "0199aaaa-0000-7000-8000-000000000001"


def month_with_events() -> dict[str, int]:
    """January 2032: one event settled, one pending, one dead."""
    with at("2032-01-10T00:00:00Z"):
        ensure_partitions(months_ahead=0)
        ids = {name: receive(name) for name in ("settled", "pending", "dead")}
        services.inbox_done(ids=[ids["settled"]])
        Inbox.objects.filter(pk=ids["dead"]).update(dead_at=clock.now())
    return ids


def names(table: str) -> list[str]:
    return [partition.name for partition in partitions(table)]


@pytest.mark.django_db
def test_a_month_goes_and_its_open_events_stay():
    ids = month_with_events()
    with at(NOW):
        done = services.retire()
    assert "journal_inbox_y2032m01" in done.dropped
    assert done.carried == 2
    assert set(Inbox.objects.values_list("event_id", flat=True)) == {"pending", "dead"}
    assert services.inbox_revive(ids=[ids["dead"]]) == 1


@pytest.mark.django_db
def test_what_was_carried_over_is_deleted_once_it_is_settled():
    ids = month_with_events()
    with at(NOW):
        services.retire()
        services.inbox_done(ids=[ids["pending"]])
        done = services.retire()
    assert (done.dropped, done.deleted) == ((), 1)
    assert list(Inbox.objects.values_list("event_id", flat=True)) == ["dead"]


@pytest.mark.django_db
def test_the_months_that_are_kept_are_whole_ones():
    for month in ("2032-01-31", "2032-02-01", "2032-08-01"):
        with at(f"{month}T00:00:00Z"):
            ensure_partitions(months_ahead=0)
    with at(NOW):
        done = services.retire()
    assert "journal_inbox_y2032m01" in done.dropped
    assert {"journal_inbox_y2032m02", "journal_inbox_y2032m08"} <= set(names("journal_inbox"))


@pytest.mark.django_db
def test_zero_months_keep_for_ever(settings):
    settings.RETENTION_MONTHS_INBOX = 0
    month_with_events()
    with at(NOW):
        assert services.retire().dropped == ()
    assert Inbox.objects.count() == 3


@pytest.mark.django_db
def test_each_dropped_month_leaves_an_audit_row():
    month_with_events()
    with at(NOW):
        services.retire()
    row = Audit.objects.get(verb="retention.dropped", object_ref="journal_inbox_y2032m01")
    assert row.new["carried_over"] == 2
    assert row.new["to"] == "2032-02-01"


@pytest.mark.django_db
def test_a_legal_hold_stops_everything_until_it_is_lifted():
    month_with_events()
    with at("2032-01-10T00:00:00Z"):
        services.reject(source="crm", reason="stale", message="", headers={}, body=b"")
    hold = services.legal_hold_place(reason="Litigation 77/2032", by="General counsel")
    with at(NOW):
        assert services.retire() == retention.Retired(held=True)
        assert InboxReject.objects.count() == 1
        assert InboxKey.objects.count() == 3
        services.legal_hold_lift(id=hold.pk, by="General counsel", why="Settled")
        assert services.retire().dropped
    assert InboxReject.objects.count() == 0
    verbs = Audit.objects.filter(object_type="legal_hold").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["legal_hold.placed", "legal_hold.lifted"]
    with pytest.raises(WrongState):
        services.legal_hold_lift(id=hold.pk, by="x", why="again")


@pytest.mark.django_db
@pytest.mark.parametrize(("reason", "by"), [("", "x"), ("x", " ")])
def test_a_hold_has_a_reason_and_a_name(reason, by):
    with pytest.raises(InvalidInput):
        services.legal_hold_place(reason=reason, by=by)


@pytest.mark.django_db
def test_a_hold_is_placed_and_lifted_from_the_command_line():
    out = StringIO()
    call_command("legal_hold", place="Audit", by="Ana", stdout=out)
    number = int(out.getvalue().split()[0])
    assert "Ana: Audit" in out.getvalue()
    out = StringIO()
    call_command("retention", stdout=out)
    assert "A legal hold is in force" in out.getvalue()
    with pytest.raises(CommandError):
        call_command("legal_hold", lift=number, by="Ana")
    out = StringIO()
    call_command("legal_hold", lift=number, by="Ana", why="Over", stdout=out)
    assert "No legal hold is in force" in out.getvalue()


@pytest.mark.django_db
def test_the_command_says_what_it_dropped():
    month_with_events()
    out = StringIO()
    with at(NOW):
        call_command("retention", stdout=out)
    assert "dropped journal_inbox_y2032m01" in out.getvalue()


def test_audit_months_go_only_once_sealed_and_in_order(process_database, settings):
    settings.RETENTION_MONTHS_AUDIT, settings.RETENTION_MONTHS_INBOX = 1, 0
    for month in ("2032-03-05", "2032-04-05"):
        with at(f"{month}T00:00:00Z"):
            ensure_partitions(months_ahead=0)
            services.record(verb="v", object_type="t", object_ref=month)
    with at(NOW):
        ensure_partitions()
        kept = dict(services.retire().kept)
        assert kept["journal_audit_y2032m03"] == "it holds rows that are not sealed yet"
        assert "journal_audit_y2032m04" not in kept, "nothing later is looked at while an earlier month stays"
        quiet()
        services.seal_all()
        dropped = services.retire().dropped
    assert {"journal_audit_y2032m03", "journal_audit_y2032m04"} <= set(dropped)
    quiet()
    services.seal_all()
    assert verify_seals() == []
    assert {row.verb for row in Audit.objects.all()} == {"retention.dropped"}


def test_a_busy_table_is_left_for_the_next_run_and_nobody_queues_for_long(process_database, monkeypatch):
    """A long reader holds the table; the drop gives up, and what came behind it goes on within its time-out."""
    monkeypatch.setattr(retention, "LOCK_MILLISECONDS", 300)
    month_with_events()
    with psycopg.connect(process_database.url) as reader:
        reader.execute("SELECT count(*) FROM journal_inbox").fetchone()
        results = []
        with at(NOW):
            dropper = threading.Thread(target=lambda: results.append(_alone(services.retire)))
            dropper.start()
            dropper.join(timeout=30)
    assert dict(results[0].kept)["journal_inbox_y2032m01"].startswith("its table was busy")
    assert Inbox.objects.count() == 3
    with at(NOW):
        assert "journal_inbox_y2032m01" in task()["dropped"], "the nightly bell tries again"


def _alone(work):
    try:
        return work()
    finally:
        connection.close()


def test_a_run_that_breaks_off_is_taken_up_by_the_next(process_database, monkeypatch):
    for month in ("2032-01-10", "2032-02-10"):
        with at(f"{month}T00:00:00Z"):
            ensure_partitions(months_ahead=0)
            receive(month)
            services.inbox_done(ids=list(Inbox.objects.values_list("id", flat=True)))
    real = retention.record

    def broken(**row):
        real(**row)
        if row["object_ref"] == "journal_inbox_y2032m02":
            raise ConnectionError("the worker was killed")

    monkeypatch.setattr(retention, "record", broken)
    with at("2032-10-15T12:00:00Z"):
        with pytest.raises(ConnectionError):
            services.retire()
        assert "journal_inbox_y2032m01" not in names("journal_inbox")
        assert [row.event_id for row in Inbox.objects.all()] == ["2032-02-10"]
        monkeypatch.setattr(retention, "record", real)
        assert services.retire().dropped == ("journal_inbox_y2032m02",)
    told = Audit.objects.filter(
        verb="retention.dropped", object_ref__in=["journal_inbox_y2032m01", "journal_inbox_y2032m02"]
    )
    assert sorted(row.object_ref for row in told) == ["journal_inbox_y2032m01", "journal_inbox_y2032m02"]


@pytest.mark.django_db
def test_too_many_open_rows_keep_the_month_whole(monkeypatch):
    monkeypatch.setattr(retention, "MOST_CARRIED", 1)
    month_with_events()
    with at(NOW):
        kept = dict(services.retire().kept)
    assert kept["journal_inbox_y2032m01"] == "too many of its rows are still needed"
    assert Inbox.objects.count() == 3


# ---- Keys of received events -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_keys_go_in_batches_once_no_sender_redelivers_and_their_event_is_settled(settings, monkeypatch):
    settings.RETENTION_MONTHS_INBOX = 0
    monkeypatch.setattr("apps.journal.inbox._KEYS_A_BATCH", 2)
    month_with_events()
    with at("2032-08-01T00:00:00Z"):
        receive("young")
    with at(NOW):
        assert services.inbox_keys_prune() == 1
        assert services.inbox_keys_prune() == 0
    assert set(InboxKey.objects.values_list("event_id", flat=True)) == {"pending", "dead", "young"}


@pytest.mark.django_db
def test_a_redelivery_is_no_new_event_although_its_key_has_gone(settings):
    """Within the window the key knows it, afterwards its own time."""
    happened = datetime(2032, 1, 10, tzinfo=UTC)

    def push() -> bool:
        return services.receive(
            source="crm",
            event_id="settled",
            headers={},
            body=b"{}",
            changes=[],
            correlation_id=_UUID,
            pushed_at=happened,
        )

    month_with_events()
    with time_machine.travel(happened + timedelta(days=settings.INBOX_KEY_DAYS - 1), tick=False):
        services.inbox_keys_prune()
        assert push() is False, "its key is known"
    with at(NOW):
        services.inbox_keys_prune()
        assert not InboxKey.objects.filter(event_id="settled").exists()
        assert push() is False, "its own time says that it is old"
    assert Inbox.objects.filter(event_id="settled").count() == 1
