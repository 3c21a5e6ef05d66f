"""What is deleted in the PSA is not billed: it leaves the draft, and once it is billed a person is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from apps.billing.models import BillableItem
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.demo import deals, psa
from apps.sync.models import Transaction
from tests.flows import acts
from tests.flows.bench import Bench

TIME = ("psa", "time_entry")
MILESTONES = ("psa", "milestone")
BY_THE_HOUR = deals.DealSpec(
    name="By the hour",
    client="corvane",
    entity="MER-UK",
    billing_model="time_and_materials",
    lines=(deals.Line("ANA-220", Decimal("9000")),),
    rates={"Manager": "180"},
)


class Engagement:
    """One that is billed by the hour, with these hours of a manager approved in the PSA."""

    def __init__(self, bench: Bench, *hours: str) -> None:
        self.bench = bench
        self.control = bench.control
        self.deal_id = bench.win(BY_THE_HOUR)
        self.row = commercial.engagement_by_deal(f"crm:{self.deal_id}")
        self.key = self.row.key
        day = psa.days_before(clock.today(), 1)
        sheets = [
            psa.Sheet(self.row.name, "ANA-220", "Manager", Decimal(one), Decimal(one), person=number)
            for number, one in enumerate(hours)
        ]
        psa.book(self.control, sheets, day)
        bench.poll(TIME)

    @property
    def workspace(self) -> str:
        return psa.workspace_of(self.control, self.row.name)

    def entry(self, hours: int) -> dict[str, Any]:
        [found] = self.control.records(
            "psa", "time_entries", workspace_id=self.workspace, time_in_minutes=hours * 60
        )
        return found

    @property
    def prebill(self) -> Any:
        return [one for one in acts.prebills() if one.engagement_key == self.key][-1]

    def lines(self) -> list[str]:
        return [str(line.quantity.normalize()) for line in self.prebill.lines.all()]

    def approve(self) -> None:
        acts.approve_prebill(self.prebill.ref, "priya", "helen")


def test_a_deleted_time_entry_leaves_the_draft_and_the_erps_draft(bench: Bench):
    engagement = Engagement(bench, "8", "4")
    assert engagement.prebill.net == Decimal("2160")
    bench.control.delete("psa", "time_entries", engagement.entry(8)["id"])
    bench.poll(TIME)
    assert (engagement.prebill.state, engagement.prebill.net) == ("draft", Decimal("720"))
    [draft] = bench.control.records("erp", "invoice", externalId=engagement.prebill.ref)
    assert draft["subtotal"] == 720
    assert bench.cases(engagement.key) == []
    engagement.approve()
    bench.settle()
    assert engagement.prebill.state == "issued"
    [posted] = bench.control.records("erp", "invoice", externalId=engagement.prebill.ref)
    assert posted["subtotal"] == 720


def test_a_signature_of_the_project_manager_does_not_survive_a_deleted_entry(bench: Bench):
    engagement = Engagement(bench, "8", "4")
    acts.approve_prebill(engagement.prebill.ref, "priya")
    bench.control.delete("psa", "time_entries", engagement.entry(8)["id"])
    bench.poll(TIME)
    assert (engagement.prebill.state, engagement.prebill.net) == ("draft", Decimal("720"))


def test_a_draft_of_which_everything_was_deleted_is_void_and_rejected_in_the_erp(bench: Bench):
    engagement = Engagement(bench, "8")
    ref = engagement.prebill.ref
    bench.control.delete("psa", "time_entries", engagement.entry(8)["id"])
    bench.poll(TIME)
    assert engagement.prebill.state == "void"
    [rejected] = bench.control.records("erp", "invoice", externalId=ref)
    assert rejected["approvalStatus"]["id"] == "3"


@pytest.mark.provokes("TIME-EDITED")
def test_an_entry_deleted_after_billing_is_a_case_and_changes_nothing(bench: Bench):
    engagement = Engagement(bench, "8")
    engagement.approve()
    bench.settle()
    entry = engagement.entry(8)
    bench.control.delete("psa", "time_entries", entry["id"])
    bench.poll(TIME)
    assert bench.cases(engagement.key) == [("TIME-EDITED", "open")]
    assert (engagement.prebill.state, engagement.lines()) == ("issued", ["8"])
    bench.control.create("psa", "time_entries", entry)
    bench.poll(TIME)
    assert bench.cases(engagement.key) == [("TIME-EDITED", "resolved")]


def test_a_deletion_that_no_event_told_is_found_by_the_daily_reading(bench: Bench):
    engagement = Engagement(bench, "8", "4")
    bench.control.settings("psa", subscribed_events=False)
    try:
        bench.control.delete("psa", "time_entries", engagement.entry(8)["id"])
        bench.poll(TIME)
        assert engagement.prebill.net == Decimal("2160"), "nobody has told"
        with time_machine.travel(clock.now() + timedelta(hours=25), tick=True):
            bench.poll(TIME)
            assert engagement.prebill.net == Decimal("720")
            asked = Transaction.objects.filter(subject__key=engagement.key).count()
            bench.poll(TIME)
            assert Transaction.objects.filter(subject__key=engagement.key).count() == asked, "once a day"
    finally:
        bench.control.settings("psa", subscribed_events=True)


@pytest.mark.provokes("PRJ-PARTIAL")
def test_a_project_that_is_not_shown_any_more_takes_nothing_off_a_draft(bench: Bench):
    """Rights that were taken away look like a project without time: nobody has deleted anything."""
    engagement = Engagement(bench, "8", "4")
    entry = engagement.entry(8)
    held = {"workspaces": bench.control.records("psa", "workspaces", title=engagement.row.name)}
    held["time_entries"] = bench.control.records("psa", "time_entries", workspace_id=engagement.workspace)
    for kind, records in held.items():
        for record in records:
            bench.control.system("psa").call("DELETE", f"/records/{kind}/{record['id']}")
    bench.poll(TIME)
    assert engagement.prebill.net == Decimal("2160")
    assert bench.cases(engagement.key) == [("PRJ-PARTIAL", "open")]
    bench.control.seed({"psa": held}, emit=True)
    bench.poll(TIME)
    assert bench.cases(engagement.key) == [("PRJ-PARTIAL", "resolved")]
    assert engagement.entry(8) == entry


def test_an_entry_moved_to_another_project_is_billed_there_alone(bench: Bench):
    engagement, other = Engagement(bench, "8", "4"), Engagement(bench, "2")
    entry = engagement.entry(8)
    bench.control.patch("psa", "time_entries", entry["id"], {"workspace_id": other.workspace})
    bench.poll(TIME)
    assert sorted(other.lines()) == ["2", "8"]
    with time_machine.travel(clock.now() + timedelta(hours=25), tick=True):
        bench.poll(TIME)
    assert engagement.lines() == ["4"]
    [item] = BillableItem.objects.filter(source_key=f"psa:{entry['id']}")
    assert (item.engagement_key, item.state) == (other.key, "drafted")


def milestone(bench: Bench) -> tuple[str, str]:
    """``(engagement key, title)`` of a provisioned engagement whose one milestone is accepted and drafted."""
    account = bench.account()
    title = f"Cutover {account[-6:]}"
    spec = replace(acts.SMALL, schedule=(deals.Entry(title, Decimal("9000")),), name="Cutover")
    deal_id = bench.win(spec, account=account)
    acts.accept_milestone(bench.control, title)
    bench.poll(MILESTONES)
    return commercial.engagement_by_deal(f"crm:{deal_id}").key, title


@pytest.mark.provokes("MS-CHANGED")
def test_a_deleted_milestone_leaves_the_draft_and_a_person_is_told_what_the_contract_says(bench: Bench):
    key, title = milestone(bench)
    [prebill] = [one for one in acts.prebills() if one.engagement_key == key]
    assert Money.of(prebill.net, "GBP") == Money.of("9000", "GBP")
    [record] = bench.control.records("psa", "billing_milestones", title=title)
    bench.control.delete("psa", "billing_milestones", record["id"])
    bench.poll(MILESTONES)
    prebill.refresh_from_db()
    assert prebill.state == "void"
    assert bench.cases(key) == [("MS-CHANGED", "open")]
    bench.control.create("psa", "billing_milestones", record)
    bench.poll(MILESTONES)
    assert bench.cases(key) == [("MS-CHANGED", "resolved")]
    assert [one.state for one in acts.prebills() if one.engagement_key == key] == ["void", "draft"]


def test_a_milestone_deleted_after_billing_is_a_case_and_changes_nothing(bench: Bench):
    key, title = milestone(bench)
    [prebill] = [one for one in acts.prebills() if one.engagement_key == key]
    acts.approve_prebill(prebill.ref, "priya", "helen")
    bench.settle()
    [record] = bench.control.records("psa", "billing_milestones", title=title)
    bench.control.delete("psa", "billing_milestones", record["id"])
    bench.poll(MILESTONES)
    prebill.refresh_from_db()
    assert (prebill.state, prebill.net) == ("issued", Decimal("9000"))
    assert bench.cases(key) == [("MS-CHANGED", "open")]


@pytest.mark.parametrize("times", [3])
def test_reading_in_full_again_and_again_changes_nothing(bench: Bench, times: int):
    engagement = Engagement(bench, "8", "4")
    before = (engagement.prebill.digest, engagement.prebill.revision, engagement.prebill.events.count())
    for _ in range(times):
        other = engagement.entry(4)
        bench.control.create("psa", "time_entries", {**other, "id": "", "billable": False, "approved": False})
        newest = max(
            bench.control.records("psa", "time_entries", workspace_id=engagement.workspace),
            key=lambda one: int(one["id"]),
        )
        bench.control.delete("psa", "time_entries", newest["id"])
        bench.poll(TIME)
    assert (
        engagement.prebill.digest,
        engagement.prebill.revision,
        engagement.prebill.events.count(),
    ) == before
