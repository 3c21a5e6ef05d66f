"""What screens see of transactions: search, states, scope, waterfall, payloads, health."""

from __future__ import annotations

import pytest

from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.sync import selectors
from apps.sync.filters import TransactionFilter
from apps.sync.models import Transaction
from apps.sync.plans import Draft, Problem, blocked
from tests.sync.steps import Steps, after, counted, now, work


def search(**query: str) -> set[str]:
    found = TransactionFilter(query, queryset=selectors.transactions(EVERYTHING))
    assert found.form.is_valid(), found.form.errors
    return {row.subject.key for row in found.qs}


@pytest.fixture
def done(steps: Steps) -> Transaction:
    found = Transaction.objects.filter(subject__key="crm:006Find").first() or steps.ask("crm:006Find")
    work()
    return now(found)


@pytest.fixture
def stuck(steps: Steps) -> Transaction:
    problem = Problem("DEAL-INCOMPLETE", "deal", "deal", "required", "x", "Incomplete.")
    found = Transaction.objects.filter(subject__key="crm:006Stuck").first() or steps.ask(
        "crm:006Stuck", draft=Draft((blocked("stop", "Incomplete."),), (problem,))
    )
    work()
    return now(found)


@pytest.mark.parametrize(
    "text", ["ref", "lower ref", "crm:006Find", "006Find", "Steps of crm:006F", "correlation", " 006Find "]
)
def test_a_transaction_is_found_by_what_people_have_at_hand(done: Transaction, text: str):
    known = {"ref": done.ref, "lower ref": done.ref.lower(), "correlation": str(done.correlation_id)}
    assert "crm:006Find" in search(q=known.get(text, text))


def test_a_part_of_a_key_is_no_match(done: Transaction):
    assert "crm:006Find" not in search(q="006Fin")


def test_states_come_alone_and_in_groups(done: Transaction, stuck: Transaction):
    assert "crm:006Stuck" in search(state="attention")
    assert "crm:006Stuck" in search(state="open")
    assert "crm:006Stuck" in search(state="held")
    assert "crm:006Find" in search(state="succeeded")
    assert "crm:006Find" not in search(state="open") | search(state="attention")


def test_only_the_own_legal_entities_are_seen(steps: Steps, done: Transaction):
    own = Scope(entity_ids=frozenset({steps.entity.id}))
    other = Scope(entity_ids=frozenset({steps.entity.id + 1000}))
    assert done in selectors.transactions(own)
    assert done not in selectors.transactions(other)
    assert list(selectors.transactions(NOTHING)) == []
    assert selectors.transaction_detail(own, done.ref) == done
    with pytest.raises(NotFound):
        selectors.transaction_detail(other, done.ref)


def test_a_project_manager_sees_what_belongs_to_the_own_engagement(done: Transaction):
    Transaction.objects.filter(id=done.id).update(engagement_key="ENG-2026-000077")
    manager = Scope(engagement_keys=frozenset({"ENG-2026-000077"}))
    assert [row.id for row in selectors.transactions(manager)] == [done.id]
    assert [row.id for row in selectors.for_engagement(manager, "ENG-2026-000077")] == [done.id]


def test_the_waterfall_places_every_attempt_on_one_axis(steps: Steps):
    steps.plans["fall-child"] = Draft((counted("fall-child"),))
    found = steps.ask("fall", counted("fall"), after("fall-child"))
    work()
    bars = selectors.waterfall(now(found))
    # The local step runs in the first attempt and, being free to repeat, again after the wait.
    assert {bar.attempt.name for bar in bars} == {"count.fall", "after.fall-child"}
    assert all(0 <= bar.offset <= 100 and bar.width > 0 for bar in bars)
    assert [bar.offset for bar in bars] == sorted(bar.offset for bar in bars)
    [step] = [bar for bar in bars if bar.attempt.name == "after.fall-child"]
    assert step.child is not None
    assert step.child.subject.key == "fall-child"


def test_a_payload_belongs_to_its_transaction(done: Transaction):
    with pytest.raises(NotFound):
        selectors.payload(done, 1)


def test_health_counts_by_state_and_measures_the_day(done: Transaction, stuck: Transaction):
    health = selectors.health(EVERYTHING)
    assert health.open["held"] >= 1
    assert health.finished["succeeded"] >= 1
    assert health.median_seconds is not None
    assert health.p90_seconds >= health.median_seconds >= 0
    assert selectors.health(NOTHING).open == {}


def test_the_newest_transaction_of_a_subject_is_known(done: Transaction):
    assert selectors.for_subject("steps", "crm:006Find") == done
    assert selectors.for_subject("steps", "crm:006Find", "no.flow") is None
    assert selectors.last_plan(done).digest
