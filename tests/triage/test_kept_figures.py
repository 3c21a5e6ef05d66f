"""What is kept of the open cases is what the cases say: billing held, groups, whatever is folded and whoever looks."""

from __future__ import annotations

import random
import threading
import uuid
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from apps.core import clock
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.journal import transitions
from apps.organization import services as organization
from apps.triage import rollups, selectors
from apps.triage.models import OPEN_STATES, Case, CaseState, Group, GroupTotal, HeldTotal, Touched
from tests.commercial import world
from tests.journal.together import together
from tests.triage.desk import opened, problem

CODES = {"DEAL-SVC-UNMAPPED": "blocking-billing", "TAX-CODE": "blocking-billing", "PAY-SHORT": "warning"}


def entities() -> list[int]:
    made = []
    for number, currency in enumerate(("GBP", "USD", "EUR")):
        made.append(
            organization.entity_set(
                code=f"E{number}", name=f"E{number}", country="GB", currency=currency, timezone="UTC"
            ).pk
        )
    organization.rate_set(base="USD", quote="GBP", on=clock.today(), rate=Decimal("0.80"))
    return made


def make(
    entity: int | None,
    *,
    subject: str = "",
    code: str = "DEAL-SVC-UNMAPPED",
    amount: Any = "10",
    value: str = "A",
) -> Case:
    group, _ = Group.objects.get_or_create(
        fingerprint=f"{entity}{code}{value}",
        defaults={
            "flow": "f",
            "step": "s",
            "code": code,
            "reason": "r",
            "created_at": clock.now(),
            "legal_entity_id": entity,
        },
    )
    now = clock.now()
    return Case.objects.create(
        ref=uuid.uuid4().hex, legal_entity_id=entity, group=group, transaction_id=1, transaction_ref="TX-1",
        subject_kind="deal", subject_key=subject or uuid.uuid4().hex, flow="f", step="s", code=code, severity=CODES[code],
        reason="r", opened_at=now, seen_at=now, created_at=now, due_at=now, held_amount=amount,
        currency=random.choice(("GBP", "USD", "JPY")) if amount is not None else "",
    )  # fmt: skip


def held_by_causes(scope: Scope) -> dict[str, Decimal]:
    """What the rows of all causes say together, by currency."""
    kept, found = selectors.group_list(scope), {}
    assert kept is not None
    for line in (line for row in kept[:1000] for line in row.held):
        found[line.currency] = found.get(line.currency, Decimal(0)) + line.amount
    return found


def agree(scope: Scope) -> None:
    """The kept figures of a scope are those counted from its cases, in every order."""
    rows = selectors.open_cases(scope)
    assert selectors.billing_held(scope) == selectors.held_of(rows)
    for order in ("money", "due", "age", "count"):
        kept = selectors.group_list(scope, order=order)
        assert kept is not None
        true = selectors.group_rows(selectors.groups(rows, order=order), rows)
        assert kept.count() == len(true)
        assert kept[:1000] == true
        assert kept[1:3] == true[1:3]
    assert held_by_causes(scope) == {line.currency: line.amount for line in selectors.billing_held(scope)}


@pytest.mark.django_db
@pytest.mark.parametrize("folded", [False, True])
def test_every_scope_sees_what_its_cases_say(folded):
    one, two, three = entities()
    for amount in ("10", "20.5", None):
        make(one, amount=amount)
        make(two, amount=amount, code="TAX-CODE")
        make(three, amount=amount, code="PAY-SHORT")
    make(None, amount="7")
    make(one, subject="twice", amount="100")
    make(one, subject="twice", amount="100", code="TAX-CODE")
    make(one, subject="shared", amount="30")
    make(two, subject="shared", amount="40", code="TAX-CODE")
    if folded:
        assert rollups.fold() > 0
        assert Touched.objects.count() == 0
    for scope in (
        EVERYTHING,
        NOTHING,
        *(Scope(entity_ids=frozenset(ids)) for ids in ([one], [two], [one, two], [three])),
    ):
        agree(scope)
    assert rollups.drifts() == []


@pytest.mark.django_db
def test_a_subject_of_two_entities_counts_once_for_all_and_in_each_for_those_who_see_one():
    one, two, _ = entities()
    make(one, subject="shared", amount="30")
    make(two, subject="shared", amount="40", code="TAX-CODE")
    rollups.fold()

    def held(scope: Scope) -> list[Decimal]:
        return [line.amount for line in selectors.billing_held(scope)]

    assert held(EVERYTHING) == [Decimal(30)]
    assert held(Scope(entity_ids=frozenset({one}))) == [Decimal(30)]
    assert held(Scope(entity_ids=frozenset({two}))) == [Decimal(40)]


def told(scope: Scope = EVERYTHING, **wanted: Any) -> dict[str, list[Decimal]]:
    """Code → what its causes hold."""
    found: dict[str, list[Decimal]] = {}
    for row in selectors.group_list(scope, **wanted)[:50]:
        found.setdefault(row.code, []).extend(line.amount for line in row.held)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("folded", [False, True])
def test_an_amount_counts_once_under_its_root_cause_and_moves_when_that_clears(folded):
    one, two, _ = entities()
    fold = rollups.fold if folded else lambda: 0
    root = make(one, subject="D", amount="1000")
    make(one, subject="D", amount="1000", code="TAX-CODE")
    fold()
    assert told() == {"DEAL-SVC-UNMAPPED": [1000], "TAX-CODE": []}
    assert told(code="TAX-CODE") == {"TAX-CODE": []}
    abroad = make(two, subject="D", amount="40", code="TAX-CODE")
    fold()
    assert told(legal_entity_id=two) == {"TAX-CODE": []}
    assert told(Scope(entity_ids=frozenset({two}))) == {"TAX-CODE": [40]}
    assert told() == {"DEAL-SVC-UNMAPPED": [1000], "TAX-CODE": []}
    transitions.move(abroad, to=CaseState.RESOLVED)
    transitions.move(root, to=CaseState.RESOLVED)
    fold()
    assert told() == {"TAX-CODE": [1000]}
    transitions.move(root, to=CaseState.OPEN)
    fold()
    assert told() == {"DEAL-SVC-UNMAPPED": [1000], "TAX-CODE": []}
    agree(EVERYTHING)
    assert rollups.drifts() == []


@pytest.mark.django_db
def test_a_search_leaves_the_amount_under_its_root_cause():
    [one, *_] = entities()
    make(one, subject="D", amount="1000")
    make(one, subject="D", amount="1000", code="TAX-CODE")
    rows = selectors.open_cases(EVERYTHING).filter(code="TAX-CODE")
    (row,) = selectors.group_rows(selectors.groups(rows, scope=EVERYTHING), rows, scope=EVERYTHING)
    assert (row.count, row.held) == (1, [])


@pytest.mark.django_db
def test_groups_of_one_code_one_role_or_one_entity():
    one, two, _ = entities()
    make(one)
    make(one, code="TAX-CODE")
    make(two, code="TAX-CODE", value="B")
    rollups.fold()
    make(two, code="PAY-SHORT")

    def codes(**wanted: Any) -> list[tuple[str, int | None]]:
        found = selectors.group_list(EVERYTHING, **wanted)
        return sorted((row.code, row.legal_entity_id) for row in found[:50])

    assert codes(code="tax-code") == [("TAX-CODE", one), ("TAX-CODE", two)]
    assert codes(code="tax-code", legal_entity_id=two) == [("TAX-CODE", two)]
    assert codes(roles=["tax"]) == [("TAX-CODE", one), ("TAX-CODE", two)]
    assert codes(roles=["tax"], code="PAY-SHORT") == []
    assert codes(roles=[]) == []
    assert codes(legal_entity_id=0) == []


@pytest.mark.django_db
def test_a_project_managers_figures_are_counted_from_the_cases():
    assert selectors.group_list(Scope(engagement_keys=frozenset({"ENG-1"}))) is None
    [one, *_] = entities()
    case = make(one, amount="12")
    Case.objects.filter(pk=case.pk).update(engagement_key="ENG-1")
    [held] = selectors.billing_held(Scope(engagement_keys=frozenset({"ENG-1"})))
    assert held.amount == 12


@pytest.mark.django_db
def test_only_what_figures_are_made_of_touches_and_a_rollback_takes_it_along():
    [one, *_] = entities()
    case = make(one)
    Touched.objects.all().delete()
    Case.objects.update(reason="Something else.")
    assert Touched.objects.count() == 0
    with transaction.atomic():
        Case.objects.update(held_amount=5)
        assert Touched.objects.count() == 1
        transaction.set_rollback(True)
    assert Touched.objects.count() == 0
    assert case.held_amount is not None


@pytest.mark.django_db
def test_the_engines_cases_are_in_the_figures():
    uk = world.entity()
    opened(uk, number=1, amount="100.00")
    opened(uk, problem("CUS-PO-REQUIRED"), number=2, amount="20.00")
    agree(EVERYTHING)
    rollups.fold()
    agree(EVERYTHING)
    assert [line.amount for line in selectors.billing_held(EVERYTHING)] == [Decimal("120.0000")]


@pytest.mark.django_db
def test_a_recount_says_what_differed_and_makes_it_right():
    [one, *_] = entities()
    make(one, amount="10")
    rollups.fold()
    HeldTotal.objects.update(total=7)
    GroupTotal.objects.update(cases=9)
    out = StringIO()
    call_command("recount_cases", stdout=out)
    assert "2 difference(s)" in out.getvalue()
    assert rollups.drifts() == []
    agree(EVERYTHING)


# ---- A storm ---------------------------------------------------------------------------------------------------------


def _one_move(dice: random.Random, own: list[int]) -> None:
    match dice.randrange(6):
        case 0 | 1:
            for _ in range(dice.randint(1, 4)):
                make(
                    dice.choice([*own, None]), subject=f"S{dice.randrange(300)}",
                    code=dice.choice(list(CODES)), amount=dice.choice((None, 3, 40)), value=uuid.uuid4().hex[:1],
                )  # fmt: skip
        case 2 | 3:
            row = Case.objects.order_by("?").select_for_update(skip_locked=True).first()
            targets = [state for state in CaseState if row and Case.ARROWS.allows(row.state, state)]
            if row and targets:
                transitions.move(row, to=dice.choice(targets))
        case 4:
            taken = list(
                Case.objects.order_by("?")
                .select_for_update(skip_locked=True)
                .values_list("pk", flat=True)[:5]
            )
            Case.objects.filter(pk__in=taken, state__in=OPEN_STATES).update(
                held_amount=dice.randrange(90), currency="USD"
            )
        case _:
            taken = list(
                Case.objects.order_by("?")
                .select_for_update(skip_locked=True)
                .values_list("pk", flat=True)[:3]
            )
            Case.objects.filter(pk__in=taken).exclude(state__in=OPEN_STATES).delete()


@pytest.mark.slow(minutes=0.5)
@pytest.mark.parametrize("seed", [3, 77])
def test_in_a_storm_of_concurrent_changes_every_snapshot_is_the_truth(process_database, seed):
    """Four writers, two folders, and a reader who compares totals and cases in one snapshot all the time."""
    own = entities()
    stop = threading.Event()
    done = threading.Barrier(4, action=stop.set)

    def writer(number: int):
        def run() -> int:
            dice, ways = random.Random(seed * 10 + number), 0
            try:
                while ways < 100:
                    ways += 1
                    try:
                        with transaction.atomic():
                            _one_move(dice, own)
                            if dice.random() < 0.2:
                                raise ConnectionAbortedError
                    except (ConnectionAbortedError, IntegrityError):
                        continue  # taken back on purpose, or two opened the same case
            finally:
                done.wait(timeout=120)
            return ways

        return run

    def folder() -> int:
        folds = 0
        while not stop.is_set():
            folds += rollups.fold()
        return folds

    def reader() -> list[Any]:
        looks = 0
        while not stop.is_set():
            found = rollups.drifts()
            looks += 1
            if found:
                return found
        return ["looked"] if looks > 3 else []

    results = together(*[writer(number) for number in range(4)], folder, folder, reader)
    assert results[:4] == [100] * 4, results
    assert results[4] + results[5] > 0, "changes were folded while others wrote"
    assert results[6] == ["looked"], "every snapshot told the truth"
    assert Case.objects.count() > 50
    agree(EVERYTHING)
    rollups.fold()
    assert rollups.drifts() == []
    agree(EVERYTHING)
    agree(Scope(entity_ids=frozenset(own[:1])))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM triage_touched")
        assert cursor.fetchone()[0] == 0
