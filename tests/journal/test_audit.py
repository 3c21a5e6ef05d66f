"""The audit trail cannot be changed through the database, and a change made around the triggers is named."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, InternalError, connection, connections, transaction

from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.journal import selectors, services
from apps.journal.models import Audit, Seal
from apps.journal.seals import SealsAhead, verify_seals
from tests.journal.quiet import quiet


def _record(ref: str = "PB-1", **values) -> None:
    services.record(**{"verb": "prebill.approved", "object_type": "prebill", "object_ref": ref, **values})


def _sql(statement: str, *parameters) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal_audit SET why = 'never happened'",
        "DELETE FROM journal_audit",
        "TRUNCATE journal_audit",
        "TRUNCATE journal_audit_default",
        "DELETE FROM journal_audit_default",
        "UPDATE journal_seal SET row_count = 0",
        "DELETE FROM journal_seal",
        "TRUNCATE journal_seal",
    ],
)
def test_audit_rows_and_seals_refuse_to_change(statement):
    _record()
    _sql(
        "INSERT INTO journal_audit (at, verb, object_type, object_ref, correlation_id)"
        " VALUES ('2001-01-01', 'v', 't', 'r', gen_random_uuid())"
    )
    _sql(
        "INSERT INTO journal_seal (created_at, xid_from, xid_to, row_count, first_at, leaves, previous, digest)"
        " VALUES (now(), '0', '1', 0, now(), '', '', '')"
    )
    with pytest.raises((IntegrityError, InternalError), match="append-only"), transaction.atomic():
        _sql(statement)


@pytest.mark.django_db
def test_every_month_partition_refuses_truncate():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'journal_audit'::regclass"
        )
        names = [row[0] for row in cursor.fetchall()]
    assert len(names) >= 5
    for name in names:
        with pytest.raises((IntegrityError, InternalError), match="append-only"), transaction.atomic():
            _sql(f"TRUNCATE {name}")


@pytest.mark.django_db
def test_the_queryset_cannot_change_it_either():
    _record()
    with pytest.raises((IntegrityError, InternalError), match="append-only"), transaction.atomic():
        Audit.objects.update(why="x")


@pytest.mark.django_db
def test_history_is_newest_first_and_search_keeps_to_the_scope():
    _record("PB-1", legal_entity_id=1, new={"n": 1})
    _record("PB-1", legal_entity_id=1, new={"n": 2}, engagement_key="ENG-1")
    _record("PB-2", legal_entity_id=2)
    _record("PB-3")
    assert [row.new for row in selectors.history("prebill", "PB-1")] == [{"n": 2}, {"n": 1}]
    assert len(selectors.audit_search(scope=EVERYTHING)) == 4
    assert selectors.audit_search(scope=NOTHING) == []
    assert len(selectors.audit_search(scope=Scope(entity_ids=frozenset({2})))) == 1
    assert len(selectors.audit_search(scope=Scope(engagement_keys=frozenset({"ENG-1"})))) == 1
    assert selectors.audit_search(scope=EVERYTHING, verb="mapping") == []


@pytest.mark.django_db
def test_search_pages_by_key_without_gap_or_repeat():
    for number in range(7):
        _record(f"PB-{number}")
    seen, before = [], None
    while page := selectors.audit_search(scope=EVERYTHING, limit=3, before=before):
        seen += [row.object_ref for row in page]
        before = (page[-1].at, page[-1].id)
    assert seen == [f"PB-{number}" for number in reversed(range(7))]


def test_a_sealed_trail_verifies(process_database):
    for number in range(12):
        _record(f"PB-{number}", new={"amount": "12.50"})
    quiet()
    assert services.seal_batch(limit=5) == 5
    assert services.seal_all() == 7
    assert services.seal_batch() == 0
    assert verify_seals() == []
    assert sum(seal.row_count for seal in Seal.objects.all()) == 12


def _around_the_triggers(statement: str, *parameters) -> None:
    """What somebody with full rights over the database could do."""
    with transaction.atomic():
        _sql("SET LOCAL session_replication_role = replica")
        _sql(statement, *parameters)


def test_an_altered_row_is_named(process_database):
    for number in range(5):
        _record(f"PB-{number}", why="as agreed")
    quiet()
    services.seal_all()
    victim = Audit.objects.get(object_ref="PB-3")
    _around_the_triggers("UPDATE journal_audit SET why = 'as we wished' WHERE id = %s", victim.id)
    problems = verify_seals()
    assert [(problem.kind, problem.audit_id) for problem in problems] == [("altered", victim.id)]
    assert str(victim.id) in problems[0].message


def test_a_removed_row_and_a_row_slipped_in_are_named(process_database):
    _record("PB-1")
    _record("PB-2")
    quiet()
    services.seal_all()
    gone = Audit.objects.get(object_ref="PB-1")
    _around_the_triggers("DELETE FROM journal_audit WHERE id = %s", gone.id)
    _sql(
        "INSERT INTO journal_audit (xid, at, verb, object_type, object_ref, correlation_id)"
        " SELECT xid, at, 'v', 't', 'slipped in', correlation_id FROM journal_audit WHERE object_ref = 'PB-2'"
    )
    added = Audit.objects.get(object_ref="slipped in")
    found = {(problem.kind, problem.audit_id) for problem in verify_seals()}
    assert found == {("missing", gone.id), ("added", added.id)}


def test_a_seal_that_was_altered_or_taken_out_breaks_the_chain(process_database):
    for number in range(3):
        _record(f"PB-{number}")
        quiet()
        services.seal_all()
    second = Seal.objects.order_by("id")[1]
    _around_the_triggers("DELETE FROM journal_seal WHERE id = %s", second.id)
    problems = verify_seals()
    assert [problem.kind for problem in problems] == ["broken"]
    first = Seal.objects.order_by("id")[0]
    _around_the_triggers("UPDATE journal_seal SET leaves = leaves || leaves WHERE id = %s", first.id)
    assert {problem.seal_id for problem in verify_seals() if problem.kind == "broken"} >= {first.id}


def test_a_late_committer_is_in_a_later_seal_and_not_missed(process_database):
    written, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                _record("slow")
                written.set()
                assert may_commit.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        assert written.wait(20)
        _record("quick")  # a higher id and a later transaction, committed first
        assert services.seal_all() == 0
    finally:
        may_commit.set()
        thread.join(20)
    quiet()
    assert services.seal_all() == 2
    assert {row.object_ref for row in Audit.objects.all()} == {"slow", "quick"}
    assert verify_seals() == []


def test_two_sealers_at_once_seal_each_row_once(process_database):
    from tests.journal.together import together

    for number in range(30):
        _record(f"PB-{number}")
    quiet()
    results = together(*[lambda: services.seal_batch(limit=10)] * 4)
    assert sum(results) == 30
    assert verify_seals() == []


def test_a_counter_below_the_last_seal_is_loud_instead_of_missing_rows(process_database):
    _record()
    _sql(
        "INSERT INTO journal_seal (created_at, xid_from, xid_to, row_count, first_at, leaves, previous, digest)"
        " VALUES (now(), '0', '9000000000000', 0, now(), '', '', '')"
    )
    quiet()
    with pytest.raises(SealsAhead, match="restore"):
        services.seal_all()
