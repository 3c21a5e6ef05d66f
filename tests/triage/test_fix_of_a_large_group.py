"""A group of any size is previewed in short steps and run whole; nothing that was not shown is touched."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.approvals import selectors as approvals
from apps.approvals import services as approving
from apps.core import clock
from apps.core.errors import Stale
from apps.core.scope import EVERYTHING
from apps.governance import selectors as governance
from apps.journal import transitions
from apps.sync.models import Transaction
from apps.sync.plans import Problem
from apps.triage import fixing, selectors, services
from apps.triage.errors import PreviewExpired
from apps.triage.models import Case, FixPreview, FixPreviewRow
from apps.triage.services import previews
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import crowd, fact, opened, problem
from tests.triage.plans import Plans

PO_MISSING = Problem(
    "CUS-PO-REQUIRED", "customer", "customer", "po", "", "The customer wants an order number."
)


@pytest.fixture
def uk(db) -> Any:
    return world.entity(mapping_threshold=Decimal("10000000"))


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(monkeypatch)


@pytest.fixture
def in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's time is over after its first row, as if every read took long."""
    monkeypatch.setattr(previews, "STEP_SECONDS", 0.0)


def ask(case: Case, by: Any, token: str = "", target: str = "77") -> dict[str, Any]:
    return services.fix_preview(case=case, target=target, target_label="AI review", by=by, token=token)


def to_the_end(case: Case, by: Any) -> dict[str, Any]:
    answer = ask(case, by)
    while not answer["complete"]:
        answer = ask(case, by, answer["token"])
    return answer


def run(case: Case, by: Any, token: str, target: str = "77") -> dict[str, Any]:
    return services.case_fix_mapping(
        case=case, target=target, target_label="AI review", by=by, preview_token=token
    )


def states(cases: list[Case]) -> set[str]:
    return set(Case.objects.filter(pk__in=[case.pk for case in cases]).values_list("state", flat=True))


def at_work(cases: list[Case]) -> set[str]:
    ids = [case.transaction_id for case in cases]
    return set(Transaction.objects.filter(pk__in=ids).values_list("state", flat=True))


def queries(act: Any) -> int:
    with CaptureQueriesContext(connection) as seen:
        act()
    return len(seen)


def test_six_hundred_cases_clear_with_one_fix(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 600)
    plans.problems[cases[7].subject_key] = PO_MISSING
    answer = to_the_end(cases[0], ana)
    assert (answer["total"], answer["planned"]) == (600, 600)
    assert answer["counts"] == {"clears": 599, "changes": 1, "stays": 0, "unreachable": 0}
    assert answer["money"] == [
        {"currency": "GBP", "released": Decimal(599_000), "held": Decimal(600_000), "unknown": 0}
    ]
    assert len(answer["results"]) == fixing.LISTED
    assert answer["results"][0]["case_ref"] == cases[7].ref, "what does not clear is listed first"

    result = run(cases[0], ana, answer["token"])
    assert result["replayed"] == [case.transaction_id for case in cases]
    assert (result["skipped_stale"], result["came_later"]) == ([], 0)
    assert states(cases) == {"in_progress"}
    assert at_work(cases) == {"pending"}
    assert sorted(plans.asked) == sorted(case.subject_key for case in cases), "each was planned once"
    shown = dict(FixPreviewRow.objects.values_list("transaction_id", "digest"))
    assert dict(Transaction.objects.values_list("id", "expected_digest")) == shown


def test_a_step_plans_what_fits_its_time_and_the_next_goes_on_where_it_stopped(uk, plans, in_steps):
    ana = hire("ana", uk)
    cases = crowd(uk, 3)
    first = ask(cases[0], ana)
    assert (first["planned"], first["total"], first["complete"]) == (1, 3, False)
    assert first["results"] == []
    with pytest.raises(PreviewExpired, match="not complete"):
        run(cases[0], ana, first["token"])
    second = ask(cases[0], ana, first["token"])
    third = ask(cases[0], ana, first["token"])
    assert (second["planned"], third["planned"], third["complete"]) == (2, 3, True)
    assert ask(cases[0], ana, first["token"])["planned"] == 3
    assert plans.asked == [case.subject_key for case in cases]


def test_planning_holds_no_database_transaction(uk, plans, django_db_setup):
    ana, depth = hire("ana", uk), len(connection.savepoint_ids)
    plans.before = lambda key: seen.append(len(connection.savepoint_ids))
    seen: list[int] = []
    ask(crowd(uk, 3)[0], ana)
    assert seen == [depth] * 3


def test_a_crash_while_planning_loses_only_the_step(uk, plans, in_steps):
    ana = hire("ana", uk)
    cases = crowd(uk, 3)
    token = ask(cases[0], ana)["token"]

    def die(key: str) -> None:
        raise SystemExit("killed")

    plans.before = die
    with pytest.raises(SystemExit):
        ask(cases[0], ana, token)
    plans.before = str
    target, left = selectors.fix_under_way(cases[2], ana)
    assert (target, left["token"], left["planned"]) == ("77", token, 1)
    assert ask(cases[0], ana, token)["planned"] == 2


def test_a_preview_that_was_left_is_found_again_by_its_person_only(uk, plans, in_steps):
    ana, remy = hire("ana", uk), hire("remy", uk)
    cases, other = crowd(uk, 2), opened(uk, problem(value="X-1"), number=7)
    token = ask(cases[0], ana)["token"]
    assert selectors.fix_under_way(cases[1], ana)[1]["token"] == token
    assert selectors.fix_under_way(cases[1], remy) is None
    assert selectors.fix_under_way(other, ana) is None
    ask(cases[0], ana, token)
    assert selectors.fix_under_way(cases[1], ana)[1]["complete"] is True
    run(cases[0], ana, token)
    assert selectors.fix_under_way(cases[1], ana) is None


def test_a_preview_that_took_one_step_is_not_kept_in_the_form(uk, plans):
    ana = hire("ana", uk)
    case = opened(uk)
    ask(case, ana)
    assert selectors.fix_under_way(case, ana) is None


def test_a_preview_is_carried_on_and_run_by_its_person_for_its_target_and_group_only(uk, plans, in_steps):
    ana, remy = hire("ana", uk), hire("remy", uk)
    cases, other = crowd(uk, 2), opened(uk, problem(value="X-1"), number=7)
    token = ask(cases[0], ana)["token"]
    for attempt in (
        lambda verb: verb(cases[0], remy, token),
        lambda verb: verb(cases[0], ana, token, target="78"),
        lambda verb: verb(other, ana, token),
        lambda verb: verb(cases[0], ana, token[:-1] + ("0" if token[-1] != "0" else "1")),
        lambda verb: verb(cases[0], ana, "forged"),
    ):
        for verb in (ask, run):
            with pytest.raises(PreviewExpired):
                attempt(verb)
    assert ask(cases[0], ana, token)["complete"] is True
    assert states(cases) == {"open"}


def test_a_preview_expires_an_hour_after_its_last_step_and_is_dropped(uk, plans, in_steps, time_machine):
    ana = hire("ana", uk)
    cases = crowd(uk, 2)
    token = ask(cases[0], ana)["token"]
    began = clock.now()
    time_machine.move_to(began + timedelta(minutes=59))
    assert ask(cases[0], ana, token)["complete"] is True
    time_machine.move_to(began + timedelta(minutes=118))
    assert selectors.fix_under_way(cases[0], ana) is not None
    time_machine.move_to(began + timedelta(minutes=120))
    with pytest.raises(PreviewExpired):
        run(cases[0], ana, token)
    assert selectors.fix_under_way(cases[0], ana) is None
    ask(cases[0], ana)
    assert FixPreview.objects.count() == 1
    assert FixPreviewRow.objects.count() == 2


def test_a_preview_runs_once(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 2)
    token = ask(cases[0], ana)["token"]
    run(cases[0], ana, token)
    with pytest.raises(PreviewExpired, match="already"):
        run(cases[0], ana, token)


def test_a_run_that_fails_leaves_everything_as_it_was_and_its_preview_usable(uk, plans, monkeypatch):
    from apps.sync import queue

    ana = hire("ana", uk)
    cases = crowd(uk, 3)
    token = ask(cases[0], ana)["token"]

    def die(*subject_ids: int) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as broken:
        broken.setattr(queue, "make_ready", die)
        with pytest.raises(SystemExit):
            run(cases[0], ana, token)
    assert (states(cases), at_work(cases)) == ({"open"}, {"held"})
    assert governance.translate(kind="service_item", legal_entity_id=uk.pk, source="AIR-510") is None
    assert len(run(cases[0], ana, token)["replayed"]) == 3


def test_cases_that_joined_after_the_preview_are_left_alone_said_and_cleared_by_the_next_one(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 4)
    token = ask(cases[0], ana)["token"]
    late = [opened(uk, number=number) for number in (1, 2)]
    assert ask(cases[0], ana, token)["came_later"] == 2
    result = run(cases[0], ana, token)
    assert result["came_later"] == 2
    assert (states(late), at_work(late)) == ({"open"}, {"held"})
    assert selectors.fix_progress(EVERYTHING, Case.objects.get(pk=cases[0].pk)).beside == 2

    assert selectors.mapping_in_force(late[0]).target == "77"
    plans.asked.clear()
    again = ask(late[0], ana)
    assert plans.asked == [case.subject_key for case in late], "what is under way is not planned again"
    assert (again["total"], again["came_later"]) == (2, 0)
    second = run(late[0], ana, again["token"])
    assert second["mapping_id"] == result["mapping_id"]
    assert second["replayed"] == [case.transaction_id for case in late]


def test_what_changed_since_the_preview_is_skipped_and_said(uk, plans):
    ana = hire("ana", uk)
    closed, running, elsewhere, unseen, good = crowd(uk, 5)
    plans.unreachable.add(unseen.subject_key)
    token = ask(good, ana)["token"]
    services.cases_reconcile([fact(uk, made=Transaction.objects.get(pk=closed.transaction_id))])
    transitions.move(Transaction.objects.get(pk=running.transaction_id), to="pending")
    Case.objects.filter(pk=elsewhere.pk).update(transaction_id=0)
    result = run(good, ana, token)
    assert result["replayed"] == [good.transaction_id]
    assert {row["transaction_id"]: row["reason"] for row in result["skipped_stale"]} == {
        closed.transaction_id: "It was closed after the preview.",
        elsewhere.transaction_id: "It goes on in another transaction since the preview.",
        running.transaction_id: "It is about to run.",
    }
    assert states([running, elsewhere, unseen]) == {"open"}
    assert Case.objects.get(pk=running.pk).mapping_id is None


def test_two_fixes_of_one_group_do_not_take_each_others_cases(uk, plans):
    ana, remy = hire("ana", uk), hire("remy", uk)
    cases = crowd(uk, 3)
    one, two = ask(cases[0], ana)["token"], ask(cases[0], remy)["token"]
    run(cases[0], ana, one)
    with pytest.raises(Stale, match="being fixed"):
        run(cases[0], remy, two)
    assert set(Case.objects.values_list("fixed_by", flat=True)) == {ana.pk}


def test_over_the_threshold_all_cases_wait_and_all_run_once_it_is_confirmed(db, plans):
    entity = world.entity(mapping_threshold=Decimal("1000"))
    ana, carla = hire("ana", entity), hire("carla", entity)
    cases = crowd(entity, 300)
    result = run(cases[0], ana, to_the_end(cases[0], ana)["token"])
    assert (result["mapping_state"], result["waiting"]) == ("proposed", 300)
    assert (states(cases), at_work(cases)) == ({"awaiting_approval"}, {"held"})
    [late], other = crowd(entity, 1, start=5000), opened(entity, problem(value="X-1"), number=7)
    asked = approvals.open_request("mapping", str(result["mapping_id"]))

    def confirm() -> None:
        approving.decide(request=asked, by=carla, decision="approve", digest=asked.digest, comment="Checked.")

    assert queries(confirm) < 120
    assert (states(cases), at_work(cases)) == ({"in_progress"}, {"pending"})
    assert at_work([late]) == {"pending"}, "what joined while the mapping waited was held for it too"
    assert (states([other]), at_work([other])) == ({"open"}, {"held"})


def test_a_refused_mapping_brings_all_cases_back_to_whoever_had_them(db, plans):
    entity = world.entity(mapping_threshold=Decimal("1000"))
    ana, carla = hire("ana", entity), hire("carla", entity)
    cases = crowd(entity, 40)
    services.case_take(case=cases[3], by=ana)
    result = run(cases[0], ana, to_the_end(cases[0], ana)["token"])
    asked = approvals.open_request("mapping", str(result["mapping_id"]))
    approving.decide(request=asked, by=carla, decision="reject", digest=asked.digest, comment="No.")
    assert (states(cases[:3]), states([cases[3]])) == ({"open"}, {"assigned"})
    assert at_work(cases) == {"held"}
    assert set(Case.objects.values_list("mapping_id", flat=True)) == {None}
    assert Case.objects.get(pk=cases[3].pk).events.latest("id").note == "The proposed mapping was refused."


def test_more_cases_take_no_more_queries(uk, plans):
    ana = hire("ana", uk)

    def cost(count: int, start: int) -> tuple[int, int, int]:
        cases = crowd(uk, count, start=start)
        token = to_the_end(cases[0], ana)["token"]
        telling = queries(lambda: ask(cases[0], ana, token))
        running = queries(lambda: run(cases[0], ana, token))
        progress = queries(lambda: selectors.fix_progress(EVERYTHING, Case.objects.get(pk=cases[0].pk)))
        return telling, running, progress

    few, many = cost(5, 1000), cost(200, 5000)
    assert many[0] <= few[0]
    assert many[1] <= few[1]
    assert many[2] == few[2] == 3, "the case itself, the sums, what turned into something else"


def test_progress_tells_what_cleared_what_turned_and_what_moves(uk, plans):
    ana = hire("ana", uk)
    cases = crowd(uk, 4)
    run(cases[0], ana, ask(cases[0], ana)["token"])
    told = [
        fact(uk, made=Transaction.objects.get(pk=cases[0].transaction_id)),
        fact(uk, problem("CUS-DUP", value="x"), made=Transaction.objects.get(pk=cases[1].transaction_id)),
        fact(uk, problem(), made=Transaction.objects.get(pk=cases[2].transaction_id)),
    ]
    services.cases_reconcile(told)
    now = selectors.fix_progress(EVERYTHING, Case.objects.get(pk=cases[0].pk))
    assert (now.total, now.moving, now.waiting, now.cleared, now.beside) == (4, 1, 0, 1, 0)
    assert now.released == [(Decimal(1000), "GBP")]
    assert [case.code for case in now.turned] == ["CUS-DUP"]
