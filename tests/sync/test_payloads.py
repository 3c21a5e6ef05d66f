"""What was sent and answered: stored once a month, small, readable again, and told apart from what was altered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection

from apps.core.errors import NotFound
from apps.journal import services as journal
from apps.journal.partitions import ensure_partitions
from apps.sync import ledger, payloads, selectors
from apps.sync.leases import claim
from apps.sync.models import Action, Body, Transaction
from apps.sync.plans import PlannedAction
from tests.journal.together import together
from tests.sync.steps import Steps

AT = datetime(2032, 1, 10, 12, 0, tzinfo=UTC)
EXCHANGE = {
    "method": "POST",
    "url": "https://erp.example/services/rest/record/v1/invoice",
    "request": {
        "entity": {"id": "647"},
        "memo": "Beratung für Müller & Söhne",
        "lines": [{"amount": "1200.00"}],
    },
    "status": 200,
    "response": {"id": "9001"},
    "elapsed_ms": 31,
}


def store(exchange: dict | None, at: datetime = AT) -> payloads.Packed:
    packed = payloads.packed(exchange, at)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH given AS (SELECT * FROM json_to_record(%s::json) AS given ({payloads.COLUMNS})),"
            f" {payloads.STORE.format(given='given')} SELECT 1",
            [json.dumps(packed.row())],
        )
    return packed


@pytest.mark.django_db
def test_the_same_exchange_is_stored_once_a_month_however_long_it_took():
    first = store(EXCHANGE)
    assert store(EXCHANGE | {"elapsed_ms": 8000}).digest == first.digest
    assert Body.objects.count() == 1
    store(EXCHANGE, AT + timedelta(days=31))
    assert Body.objects.count() == 2, "each month stands alone, since months are dropped"
    store(EXCHANGE | {"status": 503})
    assert Body.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    "exchange",
    [
        EXCHANGE,
        {"method": "GET", "url": "", "request": None, "status": None, "response": None},
        {"method": "POST", "request": [["a", "•••"]], "response": "x" * 300_000},
        {"response": "broken \ud800 answer \x00"},
    ],
)
def test_what_was_stored_is_read_again(exchange):
    packed = store(exchange)
    expected = json.loads(json.dumps({key: value for key, value in exchange.items() if key != "elapsed_ms"}))
    assert payloads.body_of(packed.digest, AT) == expected


@pytest.mark.django_db
def test_nothing_is_stored_without_an_exchange():
    assert store(None).digest is None
    assert Body.objects.count() == 0


@pytest.mark.django_db
def test_a_typical_exchange_takes_less_than_half_of_its_text():
    packed = store(EXCHANGE)
    assert len(packed.body) < len(json.dumps(EXCHANGE)) / 2


@pytest.mark.django_db
@pytest.mark.parametrize("damage", [b"", b"\x63garbage", None])
def test_an_altered_body_is_not_shown(damage):
    packed = store(EXCHANGE)
    other = payloads.packed(EXCHANGE | {"status": 500}, AT).body if damage is None else damage
    Body.objects.filter(digest=packed.digest).update(body=other)
    with pytest.raises(payloads.Damaged):
        payloads.body_of(packed.digest, AT)


def test_workers_that_store_the_same_exchange_at_once_store_it_once(process_database):
    works = [lambda: [store(EXCHANGE | {"status": number}).digest for number in range(40)]] * 4
    answers = together(*works)
    assert all(answer == answers[0] for answer in answers)
    assert Body.objects.count() == 40


@pytest.fixture
def attempt(steps: Steps, request):
    """Journal one attempt of a transaction, as a worker would."""
    found = steps.ask(request.node.name[:60])
    [lease] = [one for one in claim(limit=100) if one.subject_id == found.subject_id]
    action = PlannedAction("erp.invoice", "push", "why", system="erp", object_type="invoice", key="k")

    def write(exchange, outcome="succeeded", name="erp.invoice") -> Action:
        entry = ledger.Entry(outcome, datetime.now(tz=UTC), exchange=exchange)
        named = PlannedAction(**{**action.__dict__, "name": name})
        ledger.append(lease, found, None, 1, named, entry)
        return Action.objects.order_by("-id")[0]

    write.transaction = found
    return write


def test_an_attempt_and_its_payload_are_written_by_one_statement_and_shown(
    attempt, django_assert_num_queries
):
    with django_assert_num_queries(2):  # the row with lease and payload, and the test's own look
        row = attempt(EXCHANGE)
    shown = selectors.payload(attempt.transaction, row.id)
    assert shown["request"]["memo"] == "Beratung für Müller & Söhne"
    assert "elapsed_ms" not in shown
    with pytest.raises(NotFound):
        selectors.payload(attempt.transaction, attempt(None).id)


def test_an_attempt_of_before_the_change_shows_its_payload_too(attempt):
    row = attempt(None)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sync_payload (created_at, exchange) VALUES (%s, %s::jsonb) RETURNING id",
            [row.created_at, json.dumps(EXCHANGE)],
        )
        number = cursor.fetchone()[0]
    Action.objects.filter(id=row.id).update(payload_id=number)
    assert selectors.payload(attempt.transaction, row.id) == EXCHANGE


def test_payloads_go_with_their_month_and_steps_that_are_needed_stay(attempt, settings):
    """Of a month of steps: what open work did, what nobody knows, and that an invoice was sent are remembered."""
    settings.RETENTION_MONTHS_PAYLOADS, settings.RETENTION_MONTHS_ACTIONS = 3, 24
    settings.RETENTION_MONTHS_INBOX = 0
    transaction = attempt.transaction
    with time_machine.travel(AT, tick=False):
        ensure_partitions(months_ahead=0)
        rows = {
            "sent": attempt(EXCHANGE, name="billing.invoice.send"),
            "unknown": attempt(EXCHANGE | {"status": None}, outcome="unknown", name="psa.project"),
            "project": attempt(EXCHANGE, name="psa.project"),
        }
    with time_machine.travel("2032-06-01T00:00:00Z", tick=False):
        done = journal.retire()
        assert "sync_body_y2032m01" in done.dropped
        with pytest.raises(NotFound, match="not kept any longer"):
            selectors.payload(transaction, rows["sent"].id)
    with time_machine.travel("2034-03-01T00:00:00Z", tick=False):
        assert "sync_action_y2032m01" in journal.retire().dropped
        assert _kept(rows) == {"sent", "unknown", "project"}, "the transaction may still run"
        Transaction.objects.filter(pk=transaction.pk).update(state="succeeded")
        journal.retire()
        assert _kept(rows) == {"sent", "unknown"}
        subject = transaction.subject
        assert ledger.was_settled(kind=subject.kind, key=subject.key, name="billing.invoice.send")
        subject.refresh_from_db()
        assert subject.in_doubt == [], "what was found later on is not in doubt again once its row is gone"


def _kept(rows: dict[str, Action]) -> set[str]:
    left = set(Action.objects.filter(id__in=[row.id for row in rows.values()]).values_list("id", flat=True))
    return {name for name, row in rows.items() if row.id in left}


def test_only_what_retention_remembers_may_be_asked_for():
    with pytest.raises(LookupError):
        ledger.was_settled(kind="deal", key="x", name="psa.project")
