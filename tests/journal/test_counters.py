"""The figures of the lists are those of the tables, whatever happened at the same time."""

from __future__ import annotations

import random
import threading
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from apps.core import clock
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.journal import transitions
from apps.journal.counters import counters, fold, recount, summed, sums, totals
from apps.journal.models import Count, CountDelta
from apps.organization import services as organization
from apps.sync.models import ENDED, FINISHED, TRANSACTIONS, State, Subject, Transaction
from apps.triage.models import CASES, CaseState, Group
from apps.triage.models import Case as Case_
from tests.journal.together import together

FLOWS = ("deal.provision", "customer.sync", "invoice.sync")
CODES = ("DEAL-SVC-UNMAPPED", "TAX-CODE", "INT-AUTH")


def entities() -> list[int]:
    return [
        organization.entity_set(code=f"E{n}", name=f"E{n}", country="GB", currency="GBP", timezone="UTC").pk
        for n in range(3)
    ]


def make(
    entity: int | None, flow: str = FLOWS[0], state: str = "pending", engagement: str = ""
) -> Transaction:
    subject = Subject.objects.create(kind="deal", key=uuid.uuid4().hex)
    return Transaction.objects.create(
        ref=uuid.uuid4().hex[:20], legal_entity_id=entity, subject=subject, flow=flow, state=state, trigger="test",
        correlation_id=uuid.uuid4(), created_at=clock.now(), engagement_key=engagement,
    )  # fmt: skip


def make_case(entity: int, code: str) -> Case_:
    group, _ = Group.objects.get_or_create(
        fingerprint=f"{entity}{code}",
        defaults={"flow": "f", "step": "s", "code": code, "reason": "r", "created_at": clock.now()},
    )
    return Case_.objects.create(
        ref=uuid.uuid4().hex, legal_entity_id=entity, group=group, transaction_id=1, transaction_ref="TX-1",
        subject_kind="deal", subject_key=uuid.uuid4().hex, flow="f", step="s", code=code, severity="warning", reason="r",
        opened_at=clock.now(),
        seen_at=clock.now(), created_at=clock.now(),
    )  # fmt: skip


def told(scope: Scope = EVERYTHING) -> dict[tuple, int]:
    found = totals(TRANSACTIONS, scope, Transaction.objects.all())
    return {(total.legal_entity_id, *total.keys): total.number for total in found}


def truth(scope: Scope = EVERYTHING) -> dict[tuple, int]:
    answer: dict[tuple, int] = {}
    for row in Transaction.objects.within(scope):
        key = (row.legal_entity_id, str(row.state), row.flow)
        answer[key] = answer.get(key, 0) + 1
    return answer


@pytest.mark.django_db
def test_each_statement_leaves_one_delta_a_kind_however_many_rows_it_moves():
    [one, *_] = entities()
    for _ in range(20):
        make(one)
    CountDelta.objects.all().delete()
    transitions.move_many(Transaction.objects.all(), to=State.CANCELLED)
    assert sorted(CountDelta.objects.values_list("keys", "n")) == [
        (["cancelled", FLOWS[0]], 20),
        (["pending", FLOWS[0]], -20),
    ]


@pytest.mark.django_db
def test_a_change_of_anything_else_leaves_none():
    [one, *_] = entities()
    row = make(one)
    CountDelta.objects.all().delete()
    row.reason = "Something else."
    row.save(update_fields=["reason"])
    assert CountDelta.objects.count() == 0


@pytest.mark.django_db
def test_a_rollback_takes_its_deltas_along():
    [one, *_] = entities()
    with transaction.atomic():
        make(one)
        assert told() == truth() != {}
        transaction.set_rollback(True)
    assert told() == truth() == {}


@pytest.mark.django_db
@pytest.mark.parametrize("folded", [False, True])
def test_totals_respect_the_scope_and_folding_changes_nothing(folded):
    one, two, three = entities()
    for entity in (one, one, two, three, None):
        make(entity)
    make(two, state="succeeded", engagement="ENG-1")
    make(one, state="succeeded", engagement="ENG-1")
    make(None, state="observed", engagement="ENG-1")
    if folded:
        assert fold() > 0
        assert CountDelta.objects.count() == 0
    for scope in (
        EVERYTHING,
        NOTHING,
        Scope(entity_ids=frozenset({one})),
        Scope(entity_ids=frozenset({one, three})),
        Scope(engagement_keys=frozenset({"ENG-1"})),
        Scope(entity_ids=frozenset({one}), engagement_keys=frozenset({"ENG-1"})),
    ):
        assert told(scope) == truth(scope)


@pytest.mark.django_db
def test_totals_add_up_by_one_key_under_the_others():
    one, two, _ = entities()
    make(one, FLOWS[0])
    make(one, FLOWS[1], "succeeded")
    make(two, FLOWS[1])
    found = totals(TRANSACTIONS, EVERYTHING, Transaction.objects.all())
    assert summed(found, 1) == {FLOWS[0]: 1, FLOWS[1]: 2}
    assert summed(found, 1, given={0: frozenset({"pending"})}) == {FLOWS[0]: 1, FLOWS[1]: 1}


@pytest.mark.django_db
def test_a_recount_says_what_differed_and_puts_it_right():
    [one, *_] = entities()
    make(one)
    fold()
    Count.objects.filter(name="transaction").update(n=7)
    out = StringIO()
    call_command("recount", stdout=out)
    assert f"transaction {one} pending/{FLOWS[0]}: 7 told, 1 there" in out.getvalue()
    assert "case: no difference(s)" in out.getvalue()
    assert told() == truth()
    assert recount(TRANSACTIONS) == []


def _storm(seed: int, own: list[int], stop: threading.Event) -> int:
    """One worker's random life: make, move, move many, delete, change the entity, and take half of it back."""
    dice = random.Random(seed)
    ways = 0
    while not stop.is_set() and ways < 120:
        ways += 1
        try:
            with transaction.atomic():
                _one_move(dice, own)
                if dice.random() < 0.2:
                    raise ConnectionAbortedError
        except ConnectionAbortedError:
            continue
    return ways


def _one_move(dice: random.Random, own: list[int]) -> None:
    some = list(Transaction.objects.order_by("?").values_list("pk", flat=True)[: dice.randint(1, 15)])
    rows = Transaction.objects.filter(pk__in=some)
    match dice.randrange(7):
        case 0 | 1:
            for _ in range(dice.randint(1, 5)):
                make(dice.choice([*own, None]), dice.choice(FLOWS))
                make_case(dice.choice(own), dice.choice(CODES))
        case 2:
            state = dice.choice(list(State))
            ended = (
                {"finished_at": clock.now() - timedelta(hours=dice.randrange(5))} if state in FINISHED else {}
            )
            transitions.move_many(rows.order_by("pk").select_for_update(skip_locked=True), to=state, **ended)
        case 3:
            taken = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
            Transaction.objects.filter(pk__in=taken, state__in=FINISHED).delete()
        case 4:
            taken = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
            Transaction.objects.filter(pk__in=taken).update(legal_entity_id=dice.choice(own))
        case 5:
            case = Case_.objects.order_by("?").select_for_update(skip_locked=True).first()
            targets = [state for state in CaseState if case and Case_.ARROWS.allows(case.state, state)]
            if case and targets:
                transitions.move(case, to=dice.choice(targets))
        case _:
            for row in rows.select_for_update(skip_locked=True)[:1]:
                for state in State:
                    if Transaction.ARROWS.allows(row.state, state):
                        transitions.move(row, to=state)
                        break


def _ended_told() -> dict[tuple[str, str], int]:
    return {(hour, state): number for (hour, state), number in sums(ENDED, EVERYTHING).items()}


def _ended_there() -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for at, state in Transaction.objects.filter(finished_at__isnull=False).values_list(
        "finished_at", "state"
    ):
        key = (f"{at:%Y-%m-%dT%H}", state)
        found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.slow(minutes=0.5)
@pytest.mark.parametrize("seed", [11, 4242])
def test_after_a_storm_of_concurrent_moves_every_figure_is_the_truth(process_database, seed):
    """Four workers and two folders in connections of their own; a reader meanwhile never sees a figure below zero."""
    own = entities()
    stop = threading.Event()

    def folder() -> int:
        folds = 0
        while not stop.is_set():
            folds += fold()
        return folds

    def reader() -> int:
        least = 0
        while not stop.is_set():
            least = min([least, *told().values()])
        return least

    done = threading.Barrier(4, action=stop.set)

    def worker(number: int):
        def run() -> int:
            ways = 0
            try:
                ways = _storm(seed * 10 + number, own, stop)
            finally:
                done.wait(timeout=120)
            return ways

        return run

    results = together(*[worker(number) for number in range(4)], folder, folder, reader)
    assert results[:4] == [120] * 4, results
    assert results[4] + results[5] > 0, "deltas were folded while others wrote"
    assert results[6] == 0, "no snapshot shows less than nothing"
    assert Transaction.objects.count() > 50
    assert told() == truth()
    assert _ended_told() == _ended_there() != {}
    assert [recount(counter) for counter in counters()] == [[]] * 4, "the recount finds nothing to put right"
    fold()
    assert told() == truth()
    cases = {
        (total.legal_entity_id, *total.keys): total.number
        for total in totals(CASES, EVERYTHING, Case_.objects.all())
    }
    there: dict[tuple, int] = {}
    for case in Case_.objects.all():
        key = (case.legal_entity_id, str(case.state), str(case.severity), case.code)
        there[key] = there.get(key, 0) + 1
    assert cases == there
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM journal_countdelta")
        assert cursor.fetchone()[0] == 0
