"""A root cause lists what waits behind it, in the order of its release, each once and its money once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.scope import EVERYTHING, Scope
from apps.sync.models import Dependency, Transaction
from apps.triage import selectors
from apps.triage.models import Case
from tests.commercial import world
from tests.triage.desk import opened, problem, transaction


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def waits(number: int, *behind: int, entity: Any, amount: Any = "100", currency: str = "GBP") -> Transaction:
    """The ``number``-th deal, waiting for the transactions of these ids."""
    made = transaction(number, state="waiting")
    Transaction.objects.filter(pk=made.pk).update(amount=amount, currency=currency, legal_entity=entity)
    for child in behind:
        Dependency.objects.create(parent=made, child_id=child, action=f"step {child}")
    return made


def of(case: Case, scope: Scope = EVERYTHING) -> selectors.Blocked:
    return selectors.blocked_behind(scope, [case.transaction_id])


def refs(found: selectors.Blocked) -> list[str]:
    return [line.waiting.ref for line in found.lines]


def money(found: selectors.Blocked) -> list[tuple[str, Decimal, int]]:
    return [(line.currency, line.amount, line.unknown) for line in found.held]


def test_what_waits_is_listed_in_the_order_received_and_summed_by_currency(uk):
    root = opened(uk, problem("CUS-DUP"), number=1)
    made = [
        waits(2, root.transaction_id, entity=uk),
        waits(3, root.transaction_id, entity=uk, amount="50.25"),
        waits(4, root.transaction_id, entity=uk, amount="7", currency="EUR"),
        waits(5, root.transaction_id, entity=uk, amount=None),
    ]
    found = of(root)
    assert refs(found) == [one.ref for one in made]
    assert money(found) == [("EUR", Decimal("7"), 0), ("GBP", Decimal("150.25"), 1)]
    assert found.elsewhere == 0


def test_what_waits_behind_what_waits_is_found_once(uk):
    root = opened(uk, problem("CUS-DUP"), number=1)
    other = opened(uk, problem("CUS-DUP", value="b"), number=2)
    project = waits(3, root.transaction_id, other.transaction_id, entity=uk)
    deal = waits(4, project.pk, root.transaction_id, entity=uk)
    assert refs(of(root)) == [project.ref, deal.ref]
    both = selectors.blocked_behind(EVERYTHING, [root.transaction_id, other.transaction_id])
    assert (refs(both), money(both)) == ([project.ref, deal.ref], [("GBP", Decimal(200), 0)])


def test_what_goes_on_by_itself_is_not_blocked(uk):
    root = opened(uk, problem("CUS-DUP"), number=1)
    made = transaction(2)
    Dependency.objects.create(parent=made, child_id=root.transaction_id, action="step")
    assert of(root) == selectors.Blocked([], [], 0)


def test_money_under_a_case_of_its_own_is_not_counted_a_second_time(uk):
    root = opened(uk, problem("CUS-DUP"), number=1)
    own = opened(uk, number=2, made=waits(2, root.transaction_id, entity=uk))
    warned = opened(uk, problem("PAY-SHORT"), number=3, made=waits(3, root.transaction_id, entity=uk))
    found = of(root)
    assert [line.own for line in found.lines] == [own.ref, ""]
    assert (money(found), found.elsewhere) == ([("GBP", Decimal(100), 0)], 1)
    assert warned.ref not in [line.own for line in found.lines]


def test_only_what_the_reader_may_see_is_listed(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    root = opened(uk, problem("CUS-DUP"), number=1)
    here = waits(2, root.transaction_id, entity=uk)
    waits(3, root.transaction_id, entity=us)
    assert refs(of(root, Scope(entity_ids=frozenset({uk.pk})))) == [here.ref]
    assert refs(of(root, Scope())) == []


def test_a_case_of_its_own_outside_the_scope_is_counted_there_and_not_named(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    root = opened(uk, problem("CUS-DUP"), number=1)
    own = opened(uk, number=2, made=waits(2, root.transaction_id, entity=uk))
    Case.objects.filter(pk=own.pk).update(legal_entity=us)
    found = of(root, Scope(entity_ids=frozenset({uk.pk})))
    assert [(line.elsewhere, line.own) for line in found.lines] == [(True, "")]
    assert (money(found), found.elsewhere) == ([], 1)


def test_many_take_as_many_queries_as_few(uk):
    root = opened(uk, problem("CUS-DUP"), number=1)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            of(root)
        return len(seen)

    waits(2, root.transaction_id, entity=uk)
    few = queries()
    for number in range(3, 12):
        waits(number, root.transaction_id, entity=uk)
    assert queries() == few


def test_a_case_of_its_own_says_for_which_cases_it_waits(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    root = opened(uk, problem("CUS-DUP"), number=1)
    project = waits(3, root.transaction_id, entity=uk)
    own = opened(uk, number=2, made=waits(2, project.pk, entity=uk))
    assert selectors.waits_behind(EVERYTHING, own) == [root]
    assert selectors.waits_behind(EVERYTHING, root) == []
    assert selectors.waits_behind(Scope(entity_ids=frozenset({us.pk})), own) == []
    Transaction.objects.filter(pk=own.transaction_id).update(state="held")
    assert selectors.waits_behind(EVERYTHING, own) == [], "it does not wait any more"


def test_a_cause_of_very_many_cases_is_not_asked_what_waits(uk):
    case = opened(uk, number=1)
    opened(uk, number=2)
    assert len(selectors.transactions_of(EVERYTHING, case.group, most=2)) == 2
    assert selectors.transactions_of(EVERYTHING, case.group, most=1) == []
