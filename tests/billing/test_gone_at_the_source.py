"""What was deleted at its source leaves the draft; what is signed or billed stays and is told; makers stay makers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection

from apps.approvals import selectors as approvals
from apps.approvals.errors import SegregationOfDuties
from apps.billing import selectors, services
from apps.billing.models import BillableItem
from apps.core import clock
from tests.billing import world
from tests.commercial.world import capped, money

november = pytest.mark.usefixtures("november")
pytestmark = [november]


def gone(key, *keys):
    return services.sources_gone(engagement_key=key, keys=keys)


@pytest.mark.django_db
def test_deleted_time_leaves_the_draft_and_both_signatures_are_asked_for_anew():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    services.time_observe(entry=world.hours(key, 2, "4"))
    prebill = services.prebill_draft(engagement_key=key)
    services.prebill_approve(prebill=prebill, by=firm.pm, digest=prebill.digest)
    assert [item.source_key for item in gone(key, "psa:time:1", "psa:time:99")] == ["psa:time:1"]
    prebill.refresh_from_db()
    assert (prebill.state, prebill.net) == ("draft", money("780").amount)
    request = approvals.open_request("prebill", prebill.ref)
    assert (request.digest, request.decisions.count()) == (prebill.digest, 0)
    item = BillableItem.objects.get(source_key="psa:time:1")
    assert (item.state, item.prebill_id) == ("excluded", None)
    assert gone(key, "psa:time:1") == []
    services.time_observe(entry=world.hours(key, 1, "8"))
    assert services.prebill_draft(engagement_key=key).net == money("2340").amount


@pytest.mark.django_db
def test_who_submitted_it_may_not_sign_it_after_all_its_lines_were_exchanged():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    prebill = services.prebill_draft(engagement_key=key)
    services.prebill_send_back(prebill=prebill, by=firm.pm, reason="Wait for Friday")
    prebill.refresh_from_db()
    services.prebill_submit(prebill=prebill, by=firm.pm, comment="Friday is in")
    gone(key, "psa:time:1")
    services.time_observe(entry=world.hours(key, 2, "1"))
    again = services.prebill_draft(engagement_key=key)
    assert (again.pk, again.lines.count()) == (prebill.pk, 1)
    with pytest.raises(SegregationOfDuties):
        services.prebill_approve(prebill=again, by=firm.pm, digest=again.digest)


@pytest.mark.django_db
def test_a_prebill_that_was_sent_back_for_the_deleted_entry_returns_without_it():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    services.time_observe(entry=world.hours(key, 2, "4"))
    prebill = services.prebill_draft(engagement_key=key)
    services.prebill_send_back(prebill=prebill, by=firm.pm, reason="The first one was never worked")
    gone(key, "psa:time:1")
    again = services.prebill_draft(engagement_key=key)
    assert (again.pk, again.state, again.net) == (prebill.pk, "draft", money("780").amount)


@pytest.mark.django_db
def test_what_is_signed_by_both_stays_and_is_told_until_it_is_back():
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1, "8"))
    prebill = services.prebill_draft(engagement_key=key)
    for who in (firm.pm, firm.controller):
        prebill = services.prebill_approve(prebill=prebill, by=who, digest=prebill.digest)
    assert len(gone(key, "psa:time:1")) == 1
    assert gone(key, "psa:time:1") == []
    assert selectors.sources_in_use(key)["time_entry"] == set()
    [problem] = services.problems(services.readiness(key))
    assert problem["code"] == "TIME-EDITED"
    assert f"is on {prebill.ref} with GBP 1,560.00; the project system has deleted it" in problem["reason"]
    prebill.refresh_from_db()
    assert (prebill.state, prebill.net) == ("approved", money("1560").amount)
    services.time_observe(entry=world.hours(key, 1, "8"))
    assert services.problems(services.readiness(key)) == []


@pytest.mark.django_db
def test_a_milestone_of_the_contract_is_open_again_and_told():
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key))
    prebill = services.prebill_draft(engagement_key=key)
    own = services.milestone_key(key, "S1")
    assert selectors.sources_in_use(key) == {"milestone": {own}, "time_entry": set()}
    gone(key, own)
    services.prebill_draft(engagement_key=key)
    prebill.refresh_from_db()
    assert prebill.net == money("70000").amount
    item = BillableItem.objects.get(source_key=own)
    assert (item.state, item.final_at, item.held) == ("pending", None, False)
    [problem] = services.problems(services.readiness(key))
    assert (problem["code"], "was deleted in the project system" in problem["reason"]) == ("MS-CHANGED", True)
    assert [one.status for one in selectors.canonical_milestones(key)] == ["planned"]
    services.milestone_observe(milestone=world.milestone(key))
    assert services.problems(services.readiness(key)) == []
    assert services.prebill_draft(engagement_key=key).net == money("120000").amount


@pytest.mark.django_db
def test_a_milestone_that_the_contract_does_not_know_is_not_asked_for_any_more():
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key, key="psa:77", name="Extra"))
    assert [one["code"] for one in services.problems(services.readiness(key))] == ["BILL-RULE-MISSING"]
    gone(key, "psa:77")
    assert services.problems(services.readiness(key)) == []
    assert BillableItem.objects.get(source_key="psa:77").state == "excluded"


@pytest.mark.django_db
def test_a_deleted_entry_takes_its_part_above_the_cap_with_it():
    firm = world.firm()
    key = world.time_and_materials(firm, billing_model="capped_time_and_materials", contract=capped("1000"))
    services.time_observe(entry=world.hours(key, 1, "8"))
    prebill = services.prebill_draft(engagement_key=key)
    assert (prebill.net, BillableItem.objects.count()) == (money("1000").amount, 2)
    gone(key, "psa:time:1")
    assert set(BillableItem.objects.values_list("state", flat=True)) == {"excluded"}
    assert services.problems(services.readiness(key)) == []
    assert services.prebill_draft(engagement_key=key).state == "void"


@pytest.mark.django_db
def test_an_entry_moved_to_another_engagement_leaves_the_draft_of_the_first():
    firm = world.firm()
    first = world.time_and_materials(firm)
    second = world.time_and_materials(firm, key="crm:006B")
    services.time_observe(entry=world.hours(first, 1, "8"))
    services.time_observe(entry=world.hours(first, 2, "4"))
    prebill = services.prebill_draft(engagement_key=first)
    services.time_observe(entry=world.hours(second, 1, "8"))
    prebill.refresh_from_db()
    assert prebill.net == money("780").amount
    assert services.prebill_draft(engagement_key=second).net == money("1560").amount
    assert gone(first, "psa:time:1") == []


@pytest.mark.django_db
def test_an_entry_moved_after_it_was_signed_is_told_where_it_is_billed_until_it_is_back():
    firm = world.firm()
    first = world.time_and_materials(firm)
    second = world.time_and_materials(firm, key="crm:006B")
    services.time_observe(entry=world.hours(first, 1, "8"))
    prebill = services.prebill_draft(engagement_key=first)
    for who in (firm.pm, firm.controller):
        prebill = services.prebill_approve(prebill=prebill, by=who, digest=prebill.digest)
    services.time_observe(entry=world.hours(second, 1, "8"))
    [told] = services.problems(services.readiness(first))
    assert told["code"] == "TIME-EDITED"
    assert gone(first, "psa:time:1") == [], "both engagements say the same of it"
    services.time_observe(entry=world.hours(second, 1, "8"))
    assert services.problems(services.readiness(first)) == [told]
    assert services.prebill_draft(engagement_key=second) is None
    services.time_observe(entry=world.hours(first, 1, "8"))
    assert services.problems(services.readiness(first)) == []


@pytest.mark.django_db
def test_a_part_on_a_draft_leaves_it_when_the_milestone_it_was_cut_from_is_no_longer_accepted():
    key = world.engagement(world.firm(), contract=capped("120000"))
    services.opening_set(engagement_key=key, billed=money("20000"))
    services.milestone_observe(milestone=world.milestone(key))
    assert services.prebill_draft(engagement_key=key).net == money("100000").amount
    services.opening_set(engagement_key=key, billed=money("0"))
    prebill = services.prebill_draft(engagement_key=key)
    assert prebill.net == money("120000").amount
    [part] = BillableItem.objects.exclude(parent=None)
    assert (part.parent.description, part.state) == ("Design", "drafted")
    services.milestone_observe(milestone=world.milestone(key, status="completed"))
    prebill.refresh_from_db()
    assert prebill.net == money("70000").amount


def test_entries_that_are_moved_crosswise_at_once_do_not_wait_for_each_other(process_database):
    firm = world.firm()
    keys = [world.time_and_materials(firm, key=f"crm:006{letter}") for letter in "AB"]
    for number, key in enumerate(keys):
        services.time_observe(entry=world.hours(key, number, "1"))
    together = Barrier(2)

    def move(number: int) -> None:
        try:
            together.wait(timeout=10)
            for turn in range(1, 7):
                services.time_observe(entry=world.hours(keys[(number + turn) % 2], number, "1"))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(move, range(2)))
    found = dict(BillableItem.objects.values_list("source_key", "engagement_key"))
    assert found == {f"psa:time:{number}": key for number, key in enumerate(keys)}


@pytest.mark.django_db
def test_engagements_are_read_in_full_one_after_the_other():
    key = world.engagement(world.firm())
    now = clock.now()
    assert selectors.unread_engagements(now - timedelta(days=1), limit=10) == [key]
    services.sources_read(engagement_key=key, at=now)
    assert selectors.source_read_at(key) == now
    assert selectors.unread_engagements(now - timedelta(days=1), limit=10) == []
    assert selectors.unread_engagements(now + timedelta(seconds=1), limit=10) == [key]
    services.sources_read(engagement_key=key, at=now - timedelta(days=1))
    assert selectors.source_read_at(key) == now, "an older reading that ends later says nothing"
