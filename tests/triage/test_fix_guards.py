"""The fix in place: what may not be run, and how cases follow a mapping that waits for a second person."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from apps.approvals import selectors as approvals
from apps.approvals import services as approving
from apps.canonical.money import Money
from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, Stale, WrongState
from apps.governance import selectors as governance
from apps.governance import services as governing
from apps.governance.errors import AlreadyMapped
from apps.sync import engine
from apps.sync import services as sync
from apps.sync.models import Subject, Transaction
from apps.sync.plans import Problem
from apps.triage import services
from apps.triage.errors import NotFixableHere, PreviewExpired
from apps.triage.models import Case
from apps.triage.services.fixes import group_exposure
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import fact, opened, problem
from tests.triage.plans import Plans


@pytest.fixture
def uk(db) -> Any:
    return world.entity(mapping_threshold=Decimal("10000"))


@pytest.fixture(autouse=True)
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(monkeypatch)


def token(by: Any, case: Case, target: str = "77") -> str:
    """Of a preview of the case's whole group as it is now."""
    preview = services.fix_preview(case=case, target=target, target_label="AI review", by=by)
    assert preview["complete"]
    return preview["token"]


def fix(case: Case, by: Any, preview: str, **fields: Any) -> dict[str, Any]:
    values = {"target": "77", "target_label": "AI review", **fields}
    return services.case_fix_mapping(case=case, by=by, preview_token=preview, **values)


def review(mapping_id: int, by: Any, decision: str) -> None:
    asked = approvals.open_request("mapping", str(mapping_id))
    approving.decide(request=asked, by=by, decision=decision, digest=asked.digest, comment="Checked.")


def meaning(uk: Any) -> Any:
    return governance.translate(kind="service_item", legal_entity_id=uk.pk, source="AIR-510")


def test_the_fix_maps_the_value_and_runs_what_the_preview_showed_and_nothing_else(uk):
    ana = hire("ana", uk)
    shown, also = (opened(uk, number=number) for number in (1, 2))
    preview = services.fix_preview(case=shown, target="77", target_label="AI review", by=ana)
    later = opened(uk, number=3)
    result = fix(shown, ana, preview["token"])
    assert (result["mapping_state"], result["came_later"]) == ("effective", 1)
    assert result["replayed"] == [shown.transaction_id, also.transaction_id]
    assert meaning(uk).target == "77"
    assert [Case.objects.get(pk=case.pk).state for case in (shown, also, later)] == [
        "in_progress",
        "in_progress",
        "open",
    ]
    rows = Transaction.objects.in_bulk([shown.transaction_id, later.transaction_id])
    assert rows[shown.transaction_id].state == "pending"
    assert rows[shown.transaction_id].expected_digest == preview["results"][0]["digest"] != ""
    assert rows[later.transaction_id].state == "held"


def test_a_fix_that_helped_is_resolved_by_a_person_and_counted_for_its_mapping(uk):
    from apps.triage import selectors

    ana = hire("ana", uk)
    case = opened(uk)
    result = fix(case, ana, token(ana, case))
    services.cases_reconcile([fact(uk, made=Transaction.objects.get(pk=case.transaction_id))])
    case.refresh_from_db()
    assert (case.state, case.how, case.fixed_by) == ("resolved", "manual", ana)
    assert selectors.cleared_by_mappings([result["mapping_id"], 0]) == {result["mapping_id"]: 1}


def test_a_fix_that_did_not_help_goes_back_to_the_desk_with_the_reason(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    services.case_take(case=case, by=ana)
    fix(case, ana, token(ana, case))
    told = fact(uk, problem(reason="Still unmapped."), made=Transaction.objects.get(pk=case.transaction_id))
    services.cases_reconcile([told])
    case.refresh_from_db()
    assert (case.state, case.assignee, case.fixed_by) == ("assigned", ana, None)
    assert "Still unmapped." in case.events.latest("id").note


def test_the_same_preview_cannot_be_run_twice(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    preview = token(ana, case)
    fix(case, ana, preview)
    services.cases_reconcile([fact(uk, made=Transaction.objects.get(pk=case.transaction_id))])
    with pytest.raises(Stale):
        fix(case, ana, preview)


def test_a_preview_of_another_person_target_or_group_is_refused(uk):
    ana, remy = hire("ana", uk), hire("remy", uk)
    case, other = opened(uk), opened(uk, problem(value="X-1"), number=2)
    for wrong in (
        token(remy, case),
        token(ana, case, target="78"),
        token(ana, other),
        token(ana, case) + "x",
        "",
    ):
        with pytest.raises(PreviewExpired):
            fix(case, ana, wrong)
    assert meaning(uk) is None


def test_an_old_preview_is_refused(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    preview = token(ana, case)
    with (
        time_machine.travel(sync.TOKEN_MAX_AGE + 5 + __import__("time").time()),
        pytest.raises(PreviewExpired),
    ):
        fix(case, ana, preview)


def test_nothing_runs_without_confirmation_target_or_a_fixable_code(uk):
    ana = hire("ana", uk)
    case, other = opened(uk), opened(uk, problem("CUS-DUP"), number=2)
    with pytest.raises(InvalidInput):
        fix(case, ana, token(ana, case), confirm=False)
    with pytest.raises(InvalidInput):
        fix(case, ana, token(ana, case), target="  ")
    with pytest.raises(NotFixableHere):
        fix(other, ana, token(ana, case))
    assert meaning(uk) is None


def test_who_may_replay_but_not_map_cannot_fix_and_is_told_who_can(uk):
    ana, rashid = hire("ana", uk), hire("rashid", uk)
    case = opened(uk)
    with pytest.raises(NotAllowed) as refused:
        fix(case, rashid, token(ana, case))
    assert ana.display_name in refused.value.who


def test_a_value_that_means_something_else_meanwhile_changes_nothing(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    preview = token(ana, case)
    governing.mapping_adopt(
        kind="service_item", legal_entity=uk, source="AIR-510", target="99", target_label="", why="Go-live."
    )
    with pytest.raises(AlreadyMapped):
        fix(case, ana, preview)
    case.refresh_from_db()
    assert (case.state, Transaction.objects.get(pk=case.transaction_id).state) == ("open", "held")


def test_over_the_threshold_the_cases_wait_for_a_second_person_and_then_run(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    case = opened(uk, amount="10000.01")
    result = fix(case, ana, token(ana, case))
    assert (result["mapping_state"], result["replayed"], result["waiting"]) == ("proposed", [], 1)
    case.refresh_from_db()
    assert (case.state, meaning(uk)) == ("awaiting_approval", None)
    assert Transaction.objects.get(pk=case.transaction_id).state == "held"

    review(result["mapping_id"], carla, "approve")
    case.refresh_from_db()
    assert case.state == "in_progress"
    assert meaning(uk).confirmed is True
    assert Transaction.objects.get(pk=case.transaction_id).state == "pending"


def test_what_a_second_person_confirms_days_later_runs_only_as_it_was_shown(uk, plans):
    ana, carla = hire("ana", uk), hire("carla", uk)
    same, other, doubtful = (opened(uk, number=number, amount="9000") for number in (1, 2, 3))
    preview = services.fix_preview(case=same, target="77", target_label="AI review", by=ana)
    result = fix(same, ana, preview["token"])
    assert result["waiting"] == 3
    with time_machine.travel(clock.now() + timedelta(days=3), tick=True):
        token(ana, opened(uk, problem(value="X-1"), number=4))  # drops what has expired
        moved = Transaction.objects.get(pk=other.transaction_id)
        Case.objects.filter(pk=other.pk).update(transaction_id=doubtful.transaction_id)
        Subject.objects.filter(key=doubtful.subject_key).update(in_doubt=["erp.job"])
        review(result["mapping_id"], carla, "approve")
    for case in (same, other, doubtful):
        case.refresh_from_db()
    row = Transaction.objects.get(pk=same.transaction_id)
    digests = {one["transaction_id"]: one["digest"] for one in preview["results"]}
    assert (same.state, row.state, row.expected_digest) == ("in_progress", "pending", digests[row.pk])
    assert (other.state, other.mapping_id, doubtful.state) == ("open", None, "open")
    assert "another transaction since the preview" in other.events.latest("id").note
    assert "erp.job is not known" in doubtful.events.latest("id").note
    assert moved.state == "held"


def test_a_plan_that_changed_while_it_waited_is_not_carried_out(uk, monkeypatch):
    plans = Plans(monkeypatch, carried_out=True)
    plans.entity_id = uk.pk
    ana, carla = hire("ana", uk), hire("carla", uk)
    case = opened(uk, amount="10000.01")
    result = fix(case, ana, token(ana, case))
    plans.problems[case.subject_key] = Problem(
        **problem("CUS-TERMS", value="Net 99", reason="Terms unknown.")
    )
    review(result["mapping_id"], carla, "approve")
    engine.drain()
    row = Transaction.objects.get(pk=case.transaction_id)
    assert (row.state, row.reason) == ("held", "The plan has changed since its preview; nothing was done.")


def test_a_refused_proposal_brings_the_cases_back(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    case = opened(uk, amount=None)
    services.case_take(case=case, by=ana)
    result = fix(case, ana, token(ana, case))
    review(result["mapping_id"], carla, "reject")
    case.refresh_from_db()
    assert (case.state, case.mapping_id, case.assignee) == ("assigned", None, ana)
    assert Transaction.objects.get(pk=case.transaction_id).state == "held"


def test_the_exposure_is_what_the_whole_group_holds_in_the_entitys_currency(uk):
    from datetime import date

    from apps.organization import services as organization

    organization.rate_set(base="GBP", quote="USD", on=date(2020, 1, 1), rate=Decimal("1.25"), source="test")
    first = opened(uk, amount="100.00")
    opened(uk, number=2, amount="250.00", currency="USD")
    opened(uk, problem("CUS-DUP"), number=3, amount="9.00")
    assert group_exposure(first) == Money.of("300", "GBP")
    opened(uk, number=4, amount=None)
    assert group_exposure(first) is None


def test_what_could_not_be_checked_is_shown_and_not_run(uk, plans):
    ana = hire("ana", uk)
    case = opened(uk)
    plans.unreachable.add(case.subject_key)
    preview = services.fix_preview(case=case, target="77", target_label="AI review", by=ana)
    assert preview["counts"] == {"clears": 0, "changes": 0, "stays": 0, "unreachable": 1}
    assert preview["results"][0]["case_ref"] == case.ref
    assert preview["money"] == [
        {"currency": "GBP", "released": Decimal(0), "held": Decimal("1000"), "unknown": 0}
    ]
    assert "1 could not be checked now" in preview["summary"]
    with pytest.raises(Stale):
        fix(case, ana, preview["token"])
    assert meaning(uk) is None


def test_what_is_in_doubt_is_no_part_of_a_fix_before_or_after_its_preview(uk, plans):
    ana = hire("ana", uk)
    before, after, sure = (opened(uk, number=number) for number in (1, 2, 3))
    doubt = Subject.objects.filter(key=before.subject_key)
    doubt.update(in_doubt=["erp.project"])
    shown = services.fix_preview(case=sure, target="77", target_label="AI review", by=ana)
    assert (shown["counts"]["clears"], shown["counts"]["unreachable"]) == (2, 1)
    assert before.subject_key not in plans.asked
    [line] = [one for one in shown["results"] if one["case_ref"] == before.ref]
    assert "erp.project is not known" in line["reason"]
    Subject.objects.filter(key=after.subject_key).update(in_doubt=["erp.job"])
    result = fix(sure, ana, shown["token"])
    assert result["replayed"] == [sure.transaction_id]
    assert [one["reason"] for one in result["skipped_stale"]] == [
        "What became of erp.job is not known; it is looked up before anything runs."
    ]
    for case in (before, after):
        case.refresh_from_db()
        assert (case.state, Transaction.objects.get(pk=case.transaction_id).state) == ("open", "held")


def test_what_is_in_doubt_is_neither_decided_nor_asserted_nor_run_again(uk, plans):
    ana = hire("ana", uk)
    case = opened(uk, problem("CUS-PO-REQUIRED", field="po_number", value=""))
    shown = services.decision_preview(case=case, value="PO-1", by=ana)
    token = sync.preview(transaction_ids=[case.transaction_id])["token"]
    Subject.objects.filter(key=case.subject_key).update(in_doubt=["erp.invoice"])
    for refused in (
        lambda: services.decision_preview(case=case, value="PO-1", by=ana),
        lambda: services.require_certain(case),
    ):
        with pytest.raises(WrongState, match=r"erp\.invoice is not known"):
            refused()
    for stale in (
        lambda: services.case_decide(case=case, token=shown["token"], by=ana, why="By e-mail."),
        lambda: services.case_retry(case=case, token=token, by=ana),
    ):
        with pytest.raises(Stale, match=r"erp\.invoice is not known"):
            stale()
    assert Subject.objects.get(key=case.subject_key).decisions == {}
    assert Transaction.objects.get(pk=case.transaction_id).state == "held"
    assert services.case_look_up(case=case, by=ana) == case.transaction_id
    row = Transaction.objects.get(pk=case.transaction_id)
    assert (row.state, row.params["look_up"]) == ("pending", True)
