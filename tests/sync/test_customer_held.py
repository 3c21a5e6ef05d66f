"""What a customer keeps from being billed: the deals that wait for it, each once and nowhere else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.scope import EVERYTHING
from apps.sync import queue
from apps.sync.flows.customer import _held
from apps.sync.models import Dependency, Plan, Transaction
from apps.triage import selectors as triage
from apps.triage import services
from tests.commercial.world import entity
from tests.triage import desk

KEY = "crm:001A@erp"


@pytest.fixture
def uk(db: None) -> Any:
    return entity()


@pytest.fixture
def customer(uk: Any) -> Transaction:
    made = queue.enqueue(kind="customer", key=KEY, flow="customer.sync", trigger="test")
    Transaction.objects.filter(pk=made.pk).update(state="held")
    return made


def deal(
    number: int, child: Any, *, amount: Any = "1000", state: str = "waiting", kind: str = "child"
) -> Any:
    """A deal that has asked for the customer; ``kind`` is that of another step of its last plan."""
    made = desk.transaction(number, state=state)
    Transaction.objects.filter(pk=made.pk).update(
        amount=amount, currency="GBP", customer_key=KEY.partition("@")[0]
    )
    Dependency.objects.create(parent=made, child=child, action="customer")
    for step in ("blocked", kind):
        actions = [{"name": "customer", "kind": "child"}, {"name": "project", "kind": step}]
        Plan.objects.create(transaction=made, digest="", actions=actions, problems=[], as_of=clock.now())
    return made


def held(first: Any) -> Decimal | None:
    found = _held(KEY, first)
    return found.amount if found else None


def test_a_deal_with_a_case_of_its_own_is_not_counted_under_the_customer_too(uk, customer):
    deal(1, customer)
    desk.opened(uk, number=2, made=deal(2, customer, state="held", kind="blocked"))
    own = desk.opened(uk, desk.problem(value="IMP-200"), number=3, made=deal(3, customer, kind="blocked"))
    assert own.held_amount == 1000
    root = desk.fact(uk, desk.problem("CUS-DUP", object_type="customer", field="", value=""), made=customer)
    services.cases_reconcile([{**root, "amount": str(held(uk))}])
    assert [line.amount for line in triage.billing_held(EVERYTHING)] == [Decimal(3000)]


def test_what_waits_for_another_erps_customer_or_for_another_step_is_not_held_by_this_one(uk, customer):
    other = queue.enqueue(kind="customer", key="crm:001A@other", flow="customer.sync", trigger="test")
    done = queue.enqueue(kind="customer", key=KEY, flow="customer.sync", trigger="test")
    deal(1, other)
    deal(2, customer)
    assert (done.pk, held(uk)) == (customer.pk, 1000)
    Transaction.objects.filter(pk=customer.pk).update(state="succeeded")
    assert held(uk) == 0
    Transaction.objects.filter(pk=customer.pk).update(state="dead")
    assert held(uk) == 1000


def test_a_deal_that_is_planned_again_while_it_waits_still_counts(uk, customer):
    deal(1, customer, state="pending")
    deal(2, customer, state="held")
    assert held(uk) == 1000


def test_without_anybody_who_waits_nothing_is_held_and_without_an_entity_nothing_is_known(uk, customer):
    assert held(uk) == 0
    assert held(None) is None
    deal(1, customer)
    deal(2, customer, amount=None)
    assert held(uk) is None


def test_many_take_as_many_queries_as_few(uk, customer):
    for number in range(1, 9):
        deal(number, customer)
    with CaptureQueriesContext(connection) as seen:
        assert held(uk) == 8000
    assert len(seen) == 1
