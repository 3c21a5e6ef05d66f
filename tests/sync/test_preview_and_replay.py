"""A preview plans now and stores nothing; a replay runs what was previewed, or says why it did not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, NotFound, Stale, WrongState
from apps.organization import services as organization
from apps.sync import engine, leases
from apps.sync import services as sync
from apps.sync.models import Plan, Transaction
from apps.sync.plans import Draft, Problem, blocked
from tests.people import hire
from tests.sync.steps import FLOW_NAME, Steps, after, counted, now, work

PROBLEM = Problem("DEAL-INCOMPLETE", "deal", "deal", "required", "start date", "No start date.")
OTHER = Problem("DEAL-UNSIGNED", "deal", "contract", "status", "draft", "Not signed.")


def held(*problems: Problem) -> Draft:
    return Draft((blocked("stop", "A problem."),), problems or (PROBLEM,))


def stuck(steps: Steps, key: str) -> Transaction:
    found = steps.ask(key, draft=held())
    work()
    assert now(found).state == "held"
    return found


@pytest.mark.parametrize(
    ("draft", "outcome", "codes"),
    [
        (Draft((counted("x"),)), "clears", []),
        (held(), "stays", ["DEAL-INCOMPLETE"]),
        (held(OTHER), "changes", ["DEAL-UNSIGNED"]),
    ],
)
def test_a_preview_says_what_a_replay_would_do_and_stores_nothing(steps: Steps, draft, outcome, codes):
    found = stuck(steps, f"preview-{outcome}")
    plans = Plan.objects.count()
    steps.plans[f"preview-{outcome}"] = draft
    [result] = sync.preview(transaction_ids=[found.id])["results"]
    assert (result["outcome"], result["codes"]) == (outcome, codes)
    assert Plan.objects.count() == plans
    assert now(found).state == "held"


def test_a_previewed_plan_is_carried_out(steps: Steps):
    found = stuck(steps, "token-fresh")
    steps.plans["token-fresh"] = Draft((counted("token-fresh"),))
    tokens = sync.read_token(sync.preview(transaction_ids=[found.id])["token"])
    answer = sync.replay(transaction_ids=[found.id], by=hire("ada"), tokens=tokens)
    assert answer == {"replayed": [found.id], "skipped": [], "runs": {found.id: found.id}}
    work()
    assert (now(found).state, steps.done["token-fresh"]) == ("succeeded", 1)


def test_a_plan_that_changed_since_its_preview_is_not_carried_out(steps: Steps):
    found = stuck(steps, "token-stale")
    steps.plans["token-stale"] = Draft((counted("one"),))
    tokens = sync.read_token(sync.preview(transaction_ids=[found.id])["token"])
    steps.plans["token-stale"] = Draft((counted("another"),))
    sync.replay(transaction_ids=[found.id], by=hire("ada"), tokens=tokens)
    work()
    assert now(found).state == "held"
    assert now(found).reason == "The plan has changed since its preview; nothing was done."
    assert steps.done == {}


def test_what_was_not_part_of_the_preview_is_skipped_and_said(steps: Steps):
    one, two = stuck(steps, "part-1"), stuck(steps, "part-2")
    tokens = sync.read_token(sync.preview(transaction_ids=[one.id])["token"])
    answer = sync.replay(transaction_ids=[one.id, two.id], by=hire("ada"), tokens=tokens)
    assert answer["replayed"] == [one.id]
    assert [(row["ref"], row["reason"]) for row in answer["skipped"]] == [
        (two.ref, "It was not part of the preview.")
    ]


def test_an_altered_token_is_stale(steps: Steps):
    token = sync.preview(transaction_ids=[stuck(steps, "altered").id])["token"]
    with pytest.raises(Stale):
        sync.read_token(token[:-2] + "xx")


def test_an_old_token_is_stale(steps: Steps, time_machine):
    token = sync.preview(transaction_ids=[stuck(steps, "old").id])["token"]
    time_machine.move_to(clock.now() + timedelta(seconds=sync.TOKEN_MAX_AGE + 5))
    with pytest.raises(Stale):
        sync.read_token(token)


def test_what_runs_or_waits_is_skipped_and_said(steps: Steps):
    steps.plans["skip-child"] = held()
    waiting = steps.ask("skip-parent", after("skip-child"))
    work()
    running = steps.ask("skip-running")
    (lease,) = leases.claim(limit=1)
    Transaction.objects.filter(id=running.id).update(state="running")
    answer = sync.replay(transaction_ids=[waiting.id, running.id], by=hire("ada"))
    assert answer["replayed"] == []
    reasons = {row["ref"]: row["reason"] for row in answer["skipped"]}
    assert "waits for another" in reasons[waiting.ref]
    assert "running" in reasons[running.ref]
    leases.release(lease)
    work()


def test_a_finished_transaction_gets_a_successor(steps: Steps):
    found = steps.ask("successor")
    work()
    [again] = sync.replay(transaction_ids=[found.id], by=hire("ada"))["replayed"]
    assert again != found.id
    work()
    assert Transaction.objects.get(id=again).state == "succeeded"
    assert steps.done["successor"] == 2


def test_only_who_may_replay_does(steps: Steps):
    found = stuck(steps, "forbidden")
    with pytest.raises(NotAllowed):
        sync.replay(transaction_ids=[found.id], by=hire("otto"))
    assert now(found).state == "held"


def test_a_controller_of_another_entity_may_not_replay(steps: Steps):
    found = stuck(steps, "foreign")
    other = organization.entity_set(
        code="OST-BE", name="Ostrel", country="BE", currency="EUR", timezone="Europe/Brussels"
    )
    with pytest.raises(NotAllowed):
        sync.replay(transaction_ids=[found.id], by=hire("carla", other))


def test_what_is_suggested_for_two_entities_is_started_by_who_may_in_both(steps: Steps):
    sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="suggest", by=None)
    other = organization.entity_set(
        code="OST-BE", name="Ostrel", country="BE", currency="EUR", timezone="Europe/Brussels"
    )
    found = steps.ask("shared", params={"entities": [steps.entity.code, other.code]})
    work()
    assert now(found).state == "suggested"
    with pytest.raises(NotAllowed):
        sync.replay(transaction_ids=[found.id], by=hire("ana", steps.entity))
    assert now(found).state == "suggested"
    tokens = sync.read_token(sync.preview(transaction_ids=[found.id])["token"])
    sync.replay(transaction_ids=[found.id], by=hire("ada"), tokens=tokens)
    work()
    assert (now(found).state, steps.done["shared"]) == ("succeeded", 1)


def test_a_cancelled_transaction_stays_cancelled_and_a_finished_one_cannot_be(steps: Steps):
    found = stuck(steps, "cancel")
    assert sync.cancel(transaction_id=found.id, by=hire("ada"), why="Entered twice.").state == "cancelled"
    engine.drain()
    assert (now(found).state, now(found).reason) == ("cancelled", "Entered twice.")
    done = steps.ask("cancel-done")
    work()
    with pytest.raises(WrongState):
        sync.cancel(transaction_id=done.id, by=hire("ada"), why="Too late.")
    with pytest.raises(NotFound):
        sync.cancel(transaction_id=0, by=hire("ada"), why="Nothing there.")


def test_a_preview_has_a_bound(steps: Steps):
    with pytest.raises(InvalidInput):
        sync.preview(transaction_ids=range(sync.PREVIEW_LIMIT + 1))


def test_a_preview_in_parts_goes_as_far_as_its_time_and_says_what_is_gone(steps: Steps):
    ids = [stuck(steps, f"some-{number}").id for number in range(3)]
    assert [row["transaction_id"] for row in sync.preview_some(transaction_ids=ids, seconds=0)] == ids[:1]
    results = sync.preview_some(transaction_ids=[0, *ids], seconds=30)
    assert [row["transaction_id"] for row in results] == [0, *ids]
    assert [row["outcome"] for row in results] == ["unreachable", "stays", "stays", "stays"]
    assert results[0]["digest"] == ""


def test_of_two_dead_letters_of_one_subject_one_comes_back_to_life(steps: Steps):
    older = stuck(steps, "two-dead")
    Transaction.objects.filter(id=older.id).update(state="dead")
    newer = Transaction.objects.get(id=older.id)
    newer.pk, newer.ref = None, "TX-second-dead"
    newer.save()
    answer = sync.replay(transaction_ids=[older.id, newer.id], by=hire("ada"))
    assert answer["replayed"] == [older.id]
    assert [row["reason"] for row in answer["skipped"]] == [f"It is about to run. ({older.ref})"]
    work()


def test_planning_again_joins_what_is_open_and_asks_anew_for_what_has_ended(steps: Steps):
    resting, ended = stuck(steps, "again-held"), steps.ask("again-ended")
    work()
    running = steps.ask("again-running")
    (lease,) = leases.claim(limit=1)
    Transaction.objects.filter(id=running.id).update(state="running")
    ids = [resting.id, ended.id, running.id]
    assert sync.plan_again(transaction_ids=ids, trigger="mapping", why="It came into force.") == 3
    assert (now(resting).state, now(running).state, now(running).again) == ("pending", "running", True)
    successor = Transaction.objects.filter(subject=ended.subject).latest("id")
    assert (successor.id != ended.id, successor.state, successor.trigger) == (True, "pending", "mapping")
    leases.release(lease)
    work()


def test_many_transactions_run_again_in_as_many_statements_as_few(steps: Steps):
    ada = hire("ada")
    costs = []
    for name, count in (("few", 2), ("many", 12)):
        ids = [stuck(steps, f"{name}-{number}").id for number in range(count)]
        with CaptureQueriesContext(connection) as seen:
            sync.replay(transaction_ids=ids, by=ada)
        costs.append(len(seen))
        work()
    assert costs[0] == costs[1]
