"""The firm that benches run on: the same for the same seed, skewed as a real one, whole in the database."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from django.db import connection

from apps.core.scope import EVERYTHING, Scope
from apps.journal.counters import counters, recount, totals
from apps.sync import selectors as sync
from apps.sync.models import TRANSACTIONS, Action, Transaction
from apps.triage import selectors as triage
from benchmarks import data, firm

UNTIL = datetime(2026, 11, 25, tzinfo=UTC)
ROWS = 3_000


def _schema() -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " AND tablename !~ '_y[0-9]{4}m[0-9]{2}$|_default$' UNION ALL"
            " SELECT contype::text, conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conparentid = 0 AND connamespace = 'public'::regnamespace"
            " AND conrelid::regclass::text !~ '_y[0-9]{4}m[0-9]{2}|_default' UNION ALL"
            " SELECT 'trigger', tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgrelid::regclass::text !~ '_y[0-9]{4}m[0-9]{2}' ORDER BY 1, 2, 3"
        )
        rows = cursor.fetchall()
    # PostgreSQL writes the same list of texts in several ways.
    return [(*row[:3], re.sub(r"::(character varying|text)|[()\[\] ]", "", row[3])) for row in rows]


@pytest.fixture
def filled(module_database, django_db_blocker, request):
    """Loaded once for the module; the schema as it was before is kept beside it."""
    with django_db_blocker.unblock():
        known = getattr(request.module, "_filled", None)
        if known is None:
            before = _schema()
            known = (before, data.fill(rows=ROWS, seed=7))
            request.module._filled = known
        yield known


def test_one_seed_makes_one_firm():
    first, again, other = (firm.make(500, seed, UNTIL, codes=55) for seed in (1, 1, 2))
    assert (first.runs, first.subjects) == (again.runs, again.subjects)
    assert first.runs != other.runs


def test_a_tenth_is_held_and_the_largest_entity_has_a_third():
    made = firm.make(50_000, 3, UNTIL, codes=55)
    assert len(made.runs) == 50_000
    assert firm.open_cases(made.runs) / 50_000 == pytest.approx(0.1, abs=0.01)
    entities = Counter(made.subjects[run.subject].entity for run in made.runs)
    assert entities[0] / 50_000 == pytest.approx(0.32, abs=0.04)
    assert entities[0] > 5 * entities[11] > 0


def test_at_most_one_run_of_a_flow_is_open():
    made = firm.make(20_000, 3, UNTIL, codes=55)
    open_ = Counter((run.subject, run.flow) for run in made.runs if run.state in firm.OPEN)
    assert max(open_.values()) == 1


def test_every_table_is_filled_and_indexes_keys_and_triggers_stand_again(filled):
    before, counts = filled
    assert min(counts.values()) > 0
    assert counts["sync_transaction"] == ROWS
    assert _schema() == before


def test_the_product_reads_the_firm(filled):
    newest = sync.transactions(EVERYTHING)[0]
    assert sync.transaction_detail(EVERYTHING, newest.ref).subject.key
    own = Scope(entity_ids=frozenset({newest.legal_entity_id}))
    assert 0 < sync.transactions(own).count() < ROWS
    assert triage.open_count(EVERYTHING) == pytest.approx(ROWS / 10, rel=0.3)
    rows = triage.open_cases(EVERYTHING)
    assert triage.group_rows(triage.groups(rows)[:5], rows)


def test_the_figures_of_the_lists_are_right_afterwards(filled):
    assert [recount(counter) for counter in counters()] == [[]] * 4
    found = totals(TRANSACTIONS, EVERYTHING, Transaction.objects.all())
    assert sum(total.number for total in found) == Transaction.objects.count()


def test_payloads_are_real_ones(filled):
    action = Action.objects.exclude(payload_digest=None).order_by("-id")[0]
    transaction = Transaction.objects.get(pk=action.transaction_id)
    assert sync.payload(transaction, action.id)["method"] == "PUT"


def test_new_rows_get_numbers_of_their_own(filled):
    from apps.sync.queue import enqueue

    made = enqueue(kind="deal", key="crm:new", flow="deal.provision", trigger="test")
    assert made.pk > ROWS
    assert Transaction.objects.filter(ref=made.ref).count() == 1


def test_only_a_bench_database_is_dropped():
    with pytest.raises(SystemExit):
        data.create("pssync")
