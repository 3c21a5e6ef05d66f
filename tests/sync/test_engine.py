"""How transactions come to rest: gates, news during a run, children and parents, poison, the sweeper."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock, correlation
from apps.core.errors import InvalidInput, WrongState
from apps.core.scope import EVERYTHING
from apps.journal import services as journal
from apps.sync import apply, engine, leases, locals, queue
from apps.sync import services as sync
from apps.sync.flows import FLOWS
from apps.sync.flows.base import Flow
from apps.sync.flows.names import PRIORITIES
from apps.sync.models import Action, Gate, Plan, State, Subject, Transaction
from apps.sync.plans import Draft, Problem, blocked, child, unchanged
from apps.triage import selectors as triage
from tests.people import hire
from tests.sync.steps import FLOW_NAME, Steps, after, counted, moving, now, work


def cases(key: str) -> list[tuple[str, str]]:
    rows = triage.cases(EVERYTHING).filter(subject_key=key).order_by("id")
    return list(rows.values_list("code", "state"))


# ---- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "state", "times"),
    [
        ("off", "observed", 0),
        ("observe", "observed", 0),
        ("suggest", "suggested", 0),
        ("automatic", "succeeded", 1),
    ],
)
def test_the_gate_says_how_far_a_flow_may_go(steps: Steps, mode, state, times):
    sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode=mode, by=None)
    key = f"gate-{mode}"
    found = steps.ask(key)
    work()
    assert (now(found).state, steps.done.get(key, 0)) == (state, times)
    assert Plan.objects.filter(transaction=found).count() == 1, "planned in any case"


def test_an_entity_that_nobody_has_opened_is_only_observed(steps: Steps):
    Gate.objects.filter(flow=FLOW_NAME).delete()
    found = steps.ask("gate-none")
    work()
    assert now(found).state == "observed"


def test_a_plan_without_a_write_passes_a_closed_gate(steps: Steps):
    sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="off", by=None)
    found = steps.ask("gate-nothing", draft=Draft((), summary="Nothing to do."))
    work()
    assert (now(found).state, now(found).reason) == ("succeeded", "Nothing to do.")


def test_a_suggested_plan_runs_once_a_person_says_so(steps: Steps):
    sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="suggest", by=None)
    found = steps.ask("gate-go")
    work()
    preview = sync.preview(transaction_ids=[found.id])
    sync.replay(
        transaction_ids=[found.id],
        by=hire("ada"),
        tokens=sync.read_token(preview["token"]),
        why="Looks right.",
    )
    work()
    assert (now(found).state, steps.done["gate-go"]) == ("succeeded", 1)


def started(steps: Steps, key: str, *actions) -> Transaction:
    """A suggested plan that a person has looked at and started; it waits for the suggested steps of another subject."""
    sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="suggest", by=None)
    steps.plans[f"{key}-before"] = Draft((counted(f"{key}-before"),))
    found = steps.ask(key, after(f"{key}-before"), *actions)
    work()
    assert now(found).state == "suggested"
    go(found)
    assert now(found).state == "waiting"
    return found


def go(transaction: Transaction) -> None:
    tokens = sync.read_token(sync.preview(transaction_ids=[transaction.id])["token"])
    sync.replay(transaction_ids=[transaction.id], by=hire("ada"), tokens=tokens)
    work()


def of(key: str) -> Transaction:
    return Transaction.objects.filter(subject__key=key).order_by("-id")[0]


def test_a_plan_that_changed_while_it_waited_is_suggested_anew(steps: Steps):
    found = started(steps, "unseen", counted("unseen-one"))
    steps.plans["unseen"] = Draft((after("unseen-before"), counted("unseen-other")))
    go(of("unseen-before"))
    assert now(found).state == "suggested"
    assert steps.done.get("unseen-other", 0) == 0, "nobody has seen this one"
    go(found)
    assert (now(found).state, steps.done) == ("succeeded", {"unseen-before": 1, "unseen-other": 1})


def test_news_that_change_the_plan_are_suggested_anew(steps: Steps):
    found = started(steps, "unseen-news", counted("news-one"))
    steps.ask("unseen-news", counted("news-one"), counted("news-two"))
    work()
    assert (now(found).state, steps.done) == ("suggested", {})


def test_news_during_a_started_run_are_suggested_when_they_bring_another_step(steps: Steps):
    sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="suggest", by=None)
    found = steps.ask("unseen-again", counted("again-one"))
    work()

    def while_it_runs(context):
        steps.plans["unseen-again"] = Draft((counted("again-two"),))
        queue.enqueue(kind="steps", key="unseen-again", flow=FLOW_NAME, trigger="news")
        return Draft((counted("again-one"),))

    tokens = sync.read_token(sync.preview(transaction_ids=[found.id])["token"])
    steps.plans["unseen-again"] = while_it_runs
    sync.replay(transaction_ids=[found.id], by=hire("ada"), tokens=tokens)
    work()
    assert (now(found).state, steps.done) == ("suggested", {"again-one": 1})


def test_the_plan_that_a_person_saw_goes_on_without_being_asked_for_again(steps: Steps):
    """What was done meanwhile is no longer among its steps; the others are still those that were seen."""
    found = started(steps, "seen", counted("seen-one"), counted("seen-two"))
    steps.plans["seen"] = Draft(
        (after("seen-before"), unchanged("count.seen-one", "Done."), counted("seen-two"))
    )
    go(of("seen-before"))
    assert (now(found).state, steps.done) == ("succeeded", {"seen-before": 1, "seen-two": 1})


def test_an_unknown_flow_or_mode_is_refused(steps: Steps):
    for flow, mode in ((FLOW_NAME, "sometimes"), ("no.flow", "off")):
        with pytest.raises(InvalidInput):
            sync.gate_set(legal_entity=steps.entity, flow=flow, mode=mode, by=None)


# ---- news while it runs ----------------------------------------------------------------------------------------------


def test_news_during_a_run_make_it_plan_again(steps: Steps):
    seen = []

    def plan(context):
        seen.append(context.key)
        if len(seen) == 1:
            queue.enqueue(kind="steps", key="again", flow=FLOW_NAME, trigger="news")
        return Draft((counted("again"),))

    found = steps.ask("again", draft=plan)
    work()
    assert len(seen) == 2
    assert (now(found).state, now(found).again) == ("succeeded", False)
    assert Transaction.objects.filter(subject__key="again").count() == 1


def test_news_for_a_run_that_ends_held_are_looked_at_too(steps: Steps):
    problem = Problem("DEAL-INCOMPLETE", "deal", "deal", "required", "start date", "No start date.")
    seen = []

    def plan(context):
        seen.append(context.key)
        if len(seen) == 1:
            queue.enqueue(kind="steps", key="again-held", flow=FLOW_NAME, trigger="news")
            return Draft((blocked("stop", "Incomplete."),), (problem,))
        return Draft((counted("again-held"),))

    found = steps.ask("again-held", draft=plan)
    work()
    assert now(found).state == "succeeded"
    assert cases("again-held") == [("DEAL-INCOMPLETE", "resolved")]


# ---- our own refusals ------------------------------------------------------------------------------------------------


def test_a_refused_step_is_held_with_its_sentence_and_what_it_wrote_is_undone(steps: Steps, monkeypatch):
    def refuse(transaction, *, what):
        Transaction.objects.filter(id=transaction.id).update(trigger="half done")
        raise WrongState("The period is closed.", code="INV-PERIOD")

    monkeypatch.setitem(locals.VERBS, "count", refuse)
    found = steps.ask("refused")
    work()
    assert (now(found).state, now(found).reason, now(found).trigger) == (
        "held",
        "The period is closed.",
        "test",
    )
    assert cases("refused") == [("INV-PERIOD", "open")]


def test_a_refusal_without_a_code_goes_to_who_keeps_the_data_and_nobody_has_given_up(
    steps: Steps, monkeypatch
):
    def refuse(transaction, *, what):
        raise WrongState("The name is too long for the ledger.")

    monkeypatch.setitem(locals.VERBS, "count", refuse)
    found = steps.ask("refused-plainly")
    work()
    assert now(found).state == "held"
    assert cases("refused-plainly") == [("INT-REJECTED", "open")]


def test_a_step_that_stumbles_is_tried_again_under_a_lapsed_lease(steps: Steps, monkeypatch):
    calls = []

    def stumble(transaction, *, what):
        calls.append(what)
        if len(calls) == 1:
            raise ZeroDivisionError("a bug")
        return steps.count(transaction, what=what)

    monkeypatch.setitem(locals.VERBS, "count", stumble)
    found = steps.ask("stumble")
    until = time.monotonic() + 10
    while now(found).state != "succeeded" and time.monotonic() < until:
        work()
    assert (now(found).state, steps.done["stumble"]) == ("succeeded", 1)
    assert Subject.objects.get(key="stumble").takeovers == 0, "progress forgives"


@pytest.mark.parametrize(
    ("sqlstate", "end"), [("40P01", "succeeded"), ("40001", "succeeded"), ("57014", "dead")]
)
def test_trouble_of_the_database_makes_no_poison_of_a_subject(steps: Steps, monkeypatch, sqlstate, end):
    calls = []

    def victim(transaction, *, what):
        calls.append(what)
        if len(calls) <= django_settings.SYNC_POISON_TAKEOVERS + 1:
            with connection.cursor() as cursor:
                cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'victim' USING ERRCODE = '{sqlstate}'; END $$")
        return steps.count(transaction, what=what)

    monkeypatch.setitem(locals.VERBS, "count", victim)
    found = steps.ask(f"victim-{sqlstate}")
    until = time.monotonic() + 20
    while now(found).state not in ("succeeded", "dead") and time.monotonic() < until:
        work()
    assert now(found).state == end


# ---- parents and children --------------------------------------------------------------------------------------------


def test_a_parent_waits_for_its_child_and_goes_on(steps: Steps):
    steps.plans["child-1"] = Draft((counted("child-1"),))
    parent = steps.ask("parent-1", after("child-1"), counted("parent-1"))
    work()
    assert now(parent).state == "succeeded"
    assert (steps.done["child-1"], steps.done["parent-1"]) == (1, 1)


@pytest.mark.parametrize("end", ["observed", "cancelled"])
def test_a_child_that_was_not_carried_out_holds_its_parent(steps: Steps, end):
    key = f"child-{end}"
    problem = Problem("DEAL-INCOMPLETE", "deal", "deal", "required", "x", "Incomplete.")
    steps.plans[key] = Draft((blocked("stop", "Incomplete."),), (problem,))
    parent = steps.ask(f"parent-{end}", after(key))
    work()
    child = Transaction.objects.get(subject__key=key)
    assert (now(parent).state, child.state) == ("waiting", "held")
    if end == "cancelled":
        sync.cancel(transaction_id=child.id, by=hire("ada"), why="Not wanted.")
    else:
        sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="observe", by=None)
        steps.plans[key] = Draft((counted(key),))
        queue.enqueue(kind="steps", key=key, flow=FLOW_NAME, trigger="test")
        engine.work_once()
        sync.gate_set(legal_entity=steps.entity, flow=FLOW_NAME, mode="automatic", by=None)
    work()
    assert Transaction.objects.get(id=child.id).state == end
    assert now(parent).state == "held"
    assert child.ref in now(parent).reason
    assert cases(key) == [("DEAL-INCOMPLETE", "resolved")], "nobody is asked about it any more"


def test_a_dead_child_keeps_its_parent_waiting_and_its_replay_wakes_it(steps: Steps):
    steps.plans["child-dead"] = Draft((counted("child-dead"),))
    parent = steps.ask("parent-dead", after("child-dead"), counted("parent-dead"))
    engine.work_once()
    child = Transaction.objects.get(subject__key="child-dead")
    Subject.objects.filter(key="child-dead").update(takeovers=django_settings.SYNC_POISON_TAKEOVERS)
    work()
    assert (now(child).state, now(parent).state) == ("dead", "waiting")
    Subject.objects.filter(key="child-dead").update(takeovers=0)
    sync.replay(transaction_ids=[child.id], by=hire("ada"), why="The cause is gone.")
    work()
    assert (now(child).state, now(parent).state) == ("succeeded", "succeeded")


def test_no_wake_up_is_lost_when_many_parents_and_children_end_at_once(steps: Steps):
    """Thirty parents share ten children; four threads work on all of them."""
    for number in range(10):
        steps.plans[f"crowd-c{number}"] = Draft((counted(f"crowd-c{number}"),))
    parents = [
        steps.ask(f"crowd-p{number}", after(f"crowd-c{number % 10}"), after(f"crowd-c{(number + 3) % 10}"))
        for number in range(30)
    ]
    until = time.monotonic() + 30

    def run() -> None:
        try:
            idle = 0
            while time.monotonic() < until and idle < 20:
                idle = 0 if engine.work_once() else idle + 1
                if idle:
                    time.sleep(0.02)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {now(parent).state for parent in parents} == {"succeeded"}
    assert (moving(), engine.sweep()) == (0, 0), "the safety net has nothing to catch"
    # Each child ran at least once and never twice for the same request.
    assert set(steps.done) == {f"crowd-c{number}" for number in range(10)}


# ---- what a pump says --------------------------------------------------------------------------------------------------


def test_every_line_of_a_pump_names_its_work_in_all_its_threads(steps: Steps, settings):
    """Those of a transaction carry its own id, all others the id of the bell."""
    settings.SYNC_PUMP_SECONDS, settings.SYNC_PUMP_THREADS = 1, 2
    found = steps.ask("spoken-of")
    journal.receive(
        source="nobody",  # a system that was taken away while its events lay here
        event_id="e-1",
        headers={},
        body=b"{}",
        changes=[{"object_type": "deal", "external_id": "006A"}],
        correlation_id=str(uuid.uuid4()),
    )
    with correlation.bind() as bell, capture_logs(processors=[merge_contextvars]) as lines:
        engine.pump()
    said = {line["event"]: line.get("correlation_id") for line in lines}
    assert said["inbox_batch_failed"] == bell
    assert said["transaction_rested"] == str(found.correlation_id) != bell
    assert {"inbox_row_failed"} < set(said)
    assert None not in said.values()


# ---- poison, sweeper -------------------------------------------------------------------------------------------------


def test_a_subject_that_kills_its_workers_is_set_aside_and_others_go_on(steps: Steps):
    poison = steps.ask("poison")
    for _ in range(django_settings.SYNC_POISON_TAKEOVERS):
        (lease,) = leases.claim(limit=1)
        assert lease.subject_id == poison.subject_id
        _expire(lease)  # its worker has died
    other = steps.ask("healthy")
    work()
    assert (now(poison).state, now(other).state) == ("dead", "succeeded")
    assert "poison" not in steps.done
    assert cases("poison") == [("INT-POISON", "open")]


def test_one_takeover_fewer_is_still_worked_on(steps: Steps):
    found = steps.ask("nearly-poison")
    for _ in range(django_settings.SYNC_POISON_TAKEOVERS - 1):
        (lease,) = leases.claim(limit=1)
        _expire(lease)
    work()
    assert now(found).state == "succeeded"
    assert Subject.objects.get(key="nearly-poison").takeovers == 0


def _expire(lease: leases.Lease) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET lease_until = now() - interval '1 second' WHERE id = %s",
            [lease.subject_id],
        )


def test_the_sweeper_finds_work_that_nobody_would_wake(steps: Steps):
    forgotten = steps.ask("forgotten")
    Subject.objects.filter(key="forgotten").update(ready_at=None)
    work()
    assert now(forgotten).state == "pending"
    assert engine.sweep() == 1
    work()
    assert now(forgotten).state == "succeeded"


def test_the_sweeper_wakes_a_parent_whose_children_have_finished(steps: Steps):
    steps.plans["child-swept"] = Draft((counted("child-swept"),))
    parent = steps.ask("parent-swept", after("child-swept"), counted("parent-swept"))
    engine.work_once()
    child = Transaction.objects.get(subject__key="child-swept")
    # As if the wake-up had been lost: the child is done, nobody told the parent.
    Transaction.objects.filter(id=child.id).update(state=State.SUCCEEDED)
    Subject.objects.filter(key="child-swept").update(ready_at=None)
    assert now(parent).state == "waiting"
    assert engine.sweep() >= 1
    work()
    assert now(parent).state == "succeeded"


def test_what_was_done_before_a_takeover_is_not_done_again_as_a_journaled_step(steps: Steps):
    found = steps.ask("journal", counted("journal"))
    work()
    rows = Action.objects.filter(transaction_id=found.id).values_list("name", "outcome")
    assert list(rows) == [("count.journal", "done")]


# ---- what must not get stuck -----------------------------------------------------------------------------------------


def test_a_later_request_does_not_spin_behind_one_that_will_be_retried(steps: Steps, monkeypatch):
    """Two flows of one subject: the older waits for its retry, the newer waits its turn without keeping workers busy."""
    monkeypatch.setitem(FLOWS, "test.other", Flow("test.other", "steps", "Other", steps.gather, steps.plan))
    monkeypatch.setitem(PRIORITIES, "test.other", 5)
    older = steps.ask("spin")
    due = clock.now() + timedelta(minutes=5)
    Transaction.objects.filter(id=older.id).update(state="retrying", not_before=due)
    queue.enqueue(kind="steps", key="spin", flow="test.other", trigger="test")
    assert engine.work_once() == 0
    assert Subject.objects.get(key="spin").ready_at == due
    Transaction.objects.filter(id=older.id).update(not_before=None)
    queue.make_ready(older.subject_id)
    work()
    assert set(Transaction.objects.filter(subject__key="spin").values_list("state", flat=True)) <= {
        "succeeded",
        "observed",
    }


def test_what_was_set_aside_as_poison_runs_when_it_is_replayed(steps: Steps):
    found = steps.ask("cured")
    Subject.objects.filter(key="cured").update(takeovers=django_settings.SYNC_POISON_TAKEOVERS)
    work()
    assert now(found).state == "dead"
    sync.replay(transaction_ids=[found.id], by=hire("ada"), why="The new version is deployed.")
    work()
    assert (now(found).state, steps.done["cured"]) == ("succeeded", 1)


def test_news_for_a_dead_letter_bring_it_back_so_that_its_parent_goes_on(steps: Steps):
    steps.plans["child-revived"] = Draft((counted("child-revived"),))
    parent = steps.ask("parent-revived", after("child-revived"), counted("parent-revived"))
    engine.work_once()
    child = Transaction.objects.get(subject__key="child-revived")
    Subject.objects.filter(key="child-revived").update(takeovers=django_settings.SYNC_POISON_TAKEOVERS)
    work()
    assert (now(child).state, now(parent).state) == ("dead", "waiting")
    assert queue.enqueue(kind="steps", key="child-revived", flow=FLOW_NAME, trigger="news").id == child.id
    work()
    assert (now(child).state, now(parent).state) == ("succeeded", "succeeded")


def test_news_for_a_waiting_parent_let_it_ask_for_something_else(steps: Steps):
    """The deal names another account now: nobody will ever clear the first one's duplicate."""
    problem = Problem("CUS-DUP", "customer", "customer", "name", "x", "Two of them.")
    steps.plans["account-a"] = Draft((blocked("stop", "Two."),), (problem,))
    steps.plans["account-b"] = Draft((counted("account-b"),))

    def step(key):
        return child("customer", f"Waits for {key}.", kind="steps", key=key, flow=FLOW_NAME)

    parent = steps.ask("moved-deal", step("account-a"), counted("moved-deal"))
    work()
    assert now(parent).state == "waiting"
    steps.ask("moved-deal", step("account-b"), counted("moved-deal"))
    work()
    assert (now(parent).state, steps.done["account-b"], steps.done["moved-deal"]) == ("succeeded", 1, 1)


def test_news_during_the_run_that_begins_to_wait_are_looked_at_before_it_waits(steps: Steps):
    problem = Problem("CUS-DUP", "customer", "customer", "name", "y", "Two of them.")
    steps.plans["early-child"] = Draft((blocked("stop", "Two."),), (problem,))
    seen = []

    def plan(context):
        seen.append(context.key)
        if len(seen) == 1:
            queue.enqueue(kind="steps", key="early", flow=FLOW_NAME, trigger="news")
            return Draft((after("early-child"),))
        return Draft((counted("early"),))

    parent = steps.ask("early", draft=plan)
    work()
    assert (now(parent).state, steps.done["early"]) == ("succeeded", 1)


def test_a_running_transaction_cannot_be_cancelled_under_its_worker(steps: Steps):
    found = steps.ask("busy")
    Transaction.objects.filter(id=found.id).update(state="running")
    with pytest.raises(WrongState):
        sync.cancel(transaction_id=found.id, by=hire("ada"), why="Too late.")
    work()
    assert now(found).state == "succeeded"


def test_a_transaction_that_was_cancelled_as_its_worker_began_does_nothing(steps: Steps):
    found = steps.ask("just-cancelled")
    (lease,) = leases.claim(limit=1)
    sync.cancel(transaction_id=found.id, by=hire("ada"), why="Entered twice.")
    assert apply.run_next(lease) is False
    leases.release(lease)
    assert now(found).state == "cancelled"
    assert "just-cancelled" not in steps.done


def test_a_lost_worker_is_remembered_over_a_run_that_comes_to_rest_before_its_first_write(
    steps: Steps,
):
    """Taken over, then the very reading fails: the run after it must still look before it sends."""
    probed = []

    def reading_fails(context):
        if not probed:
            probed.append("failed")
            raise AdapterError(ErrorKind.TRANSIENT, "The system is not available right now.")
        return Draft((counted("lost"),))

    found = steps.ask("lost", draft=reading_fails)
    (lease,) = leases.claim(limit=1)
    _expire(lease)
    engine.work_once()
    assert now(found).state == "retrying"
    fresh = leases.Lease(lease.subject_id, lease.token, taken_over=False, takeovers=0)
    assert apply._Run(fresh, now(found)).probe_first is True
    until = time.monotonic() + 10
    while now(found).state != "succeeded" and time.monotonic() < until:
        work()
    assert now(found).state == "succeeded"
