"""From the inbox to work: a change is a hint that names a subject, once, and a bad row stops no other."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from apps.core import clock
from apps.journal import services as journal
from apps.journal.models import Inbox
from apps.organization import services as organization
from apps.records import services as records
from apps.sync import intake, queue
from apps.sync.models import Plan, Subject, Transaction
from tests.billing.world import hours
from tests.sync.samples import customer, deal

pytestmark = pytest.mark.django_db
WHEN = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def systems() -> dict[str, Any]:
    kinds = {"crm": "salesforce", "psa": "kantata", "billing": "stripe"}
    return {
        code: organization.system_set(code=code, name=code, kind=code, vendor=vendor)
        for code, vendor in kinds.items()
    }


def arrive(object_type: str, external_id: str, *, source: str = "crm", **change: Any) -> None:
    journal.receive(
        source=source,
        event_id=uuid.uuid4().hex,
        headers={},
        body=b"{}",
        changes=[
            {"object_type": object_type, "external_id": external_id, "occurred_at": WHEN.isoformat()} | change
        ],
        correlation_id=str(uuid.uuid4()),
    )


def work() -> list[str]:
    intake.take()
    return [
        f"{row.flow} {row.subject}" for row in Transaction.objects.select_related("subject").order_by("id")
    ]


def test_a_changed_deal_is_work_for_its_subject():
    arrive("deal", "006A")
    assert work() == ["deal.provision deal:crm:006A"]


def test_many_changes_of_one_deal_are_one_piece_of_work():
    for _ in range(5):
        arrive("deal", "006A")
    assert work() == ["deal.provision deal:crm:006A"]


@pytest.mark.parametrize("change", [{"own_write": True}, {"external_id": "*"}])
def test_our_own_echo_and_a_hint_without_a_record_are_no_work(change):
    arrive("deal", change.get("external_id", "006A"), own_write=change.get("own_write", False))
    assert work() == []
    assert Inbox.objects.filter(done_at=None).count() == 0


@pytest.mark.parametrize(("seen_at", "expected"), [(WHEN, 0), (WHEN.replace(hour=8), 1)])
def test_what_we_have_read_since_is_not_read_again(systems, seen_at, expected):
    read(systems, modified_at=seen_at)
    planned("crm:006A")
    arrive("deal", "006A")
    intake.take()
    assert Transaction.objects.filter(state="pending").count() == expected


@pytest.mark.parametrize(
    ("seconds", "stamp", "expected"),
    [
        (0.4, WHEN, 1),  # read while its second ran: a second change of that second would bear the same stamp
        (2.5, WHEN, 0),
        (0.4, WHEN.replace(microsecond=1000), 0),  # an exact stamp is one change
    ],
)
def test_a_stamp_in_whole_seconds_may_stand_for_more_than_we_have_read(systems, seconds, stamp, expected):
    with time_machine.travel(stamp + timedelta(seconds=seconds), tick=False):
        read(systems, modified_at=stamp)
        planned("crm:006A")
    arrive("deal", "006A", occurred_at=stamp.isoformat())
    intake.take()
    assert Transaction.objects.filter(state="pending").count() == expected


def read(systems, *, modified_at=WHEN) -> None:
    records.observe(
        system_id=systems["crm"].id,
        object_type="deal",
        external_id="006A",
        body=deal(),
        modified_at=modified_at,
        key="crm:006A",
    )


def planned(key: str, *, state: str = "succeeded") -> Transaction:
    """The deal's own run, which has come to rest."""
    made = queue.enqueue(kind="deal", key=key, flow="deal.provision", trigger="test")
    Plan.objects.create(transaction=made, digest="", actions=[], problems=[], as_of=clock.now())
    Transaction.objects.filter(id=made.id).update(state=state)
    return made


@pytest.mark.parametrize("state", ["held", "succeeded"])
def test_a_deal_that_somebody_else_has_read_since_its_plan_is_planned_again(systems, state):
    """A preview, or the check before closing, shows the corrected deal before its event arrives."""
    planned("crm:006A", state=state)
    read(systems)
    arrive("deal", "006A")
    intake.take()
    assert Transaction.objects.filter(state="pending").count() == 1


def test_a_deal_that_was_only_checked_before_closing_is_still_work(systems):
    read(systems)
    arrive("deal", "006A")
    assert work() == ["deal.provision deal:crm:006A"]


def test_an_account_that_another_deal_has_read_still_wakes_the_deals_that_are_held_for_it(systems):
    records.observe(
        system_id=systems["crm"].id,
        object_type="customer",
        external_id="001A",
        body=customer(),
        modified_at=WHEN,
        key="crm:001A",
    )
    held = planned("crm:006B", state="held")
    Transaction.objects.filter(id=held.id).update(customer_key="crm:001A")
    arrive("customer", "001A")
    intake.take()
    assert Transaction.objects.get(id=held.id).state == "pending"


def test_a_changed_account_wakes_its_customers_and_the_deals_that_are_held_for_it():
    queue.enqueue(
        kind="customer",
        key="crm:001A@erp",
        flow="customer.sync",
        trigger="test",
        params={"entities": ["MER-UK"]},
    )
    held = queue.enqueue(kind="deal", key="crm:006A", flow="deal.provision", trigger="test")
    queue.enqueue(kind="customer", key="crm:001AB@erp", flow="customer.sync", trigger="test")
    Transaction.objects.update(state="succeeded")
    Transaction.objects.filter(id=held.id).update(state="held", customer_key="crm:001A")
    arrive("customer", "001A")
    intake.take()
    again = Transaction.objects.filter(state="pending").select_related("subject")
    assert {str(row.subject) for row in again} == {"customer:crm:001A@erp", "deal:crm:006A"}
    assert again.get(flow="customer.sync").params == {"entities": ["MER-UK"]}


def test_work_delivered_for_a_project_we_do_not_know_is_nobodys():
    arrive("milestone", "55", source="poll:psa", container_id="999")
    assert work() == []


def test_work_delivered_for_a_project_of_ours_is_its_engagements(systems):
    records.link(
        object_type="engagement",
        key="ENG-2026-000001",
        system_id=systems["psa"].id,
        external_id="77",
        linked_by="push",
    )
    arrive("time_entry", "55", source="poll:psa", container_id="77")
    assert work() == ["delivery.sync delivery:ENG-2026-000001"]
    assert Transaction.objects.get().params == {}


@pytest.mark.parametrize("container_id", ["77", ""])
def test_news_of_a_deletion_asks_for_everything_even_where_it_names_no_project(systems, container_id):
    records.link(
        object_type="engagement",
        key="ENG-2026-000001",
        system_id=systems["psa"].id,
        external_id="77",
        linked_by="push",
    )
    records.observe(
        system_id=systems["psa"].id,
        object_type="time_entry",
        external_id="55",
        body=hours("ENG-2026-000001"),
        engagement_key="ENG-2026-000001",
    )
    told = {"source": "poll:psa", "container_id": container_id, "event_type": "time_entry:deleted"}
    arrive("time_entry", "55", **told)
    assert work() == ["delivery.sync delivery:ENG-2026-000001"]
    assert Transaction.objects.get().params == {"full": True}


def test_an_invoice_that_is_not_ours_is_left_alone():
    arrive("invoice", "in_unknown", source="billing")
    assert work() == []


def test_a_row_that_cannot_be_taken_is_kept_and_stops_no_other():
    arrive("deal", "006A", source="vanished")
    arrive("deal", "006B")
    assert work() == ["deal.provision deal:crm:006B"]
    kept = Inbox.objects.get(done_at=None)
    assert kept.source == "vanished"
    assert kept.attempts == 1


def test_lists_of_parameters_are_united_and_other_values_replaced():
    merged = queue.merge({"entities": ["A"], "started_by": "1"}, {"entities": ["B"], "started_by": "2"})
    assert merged == {"entities": ["A", "B"], "started_by": "2"}
    assert Subject.objects.count() == 0


def test_what_comes_in_behind_a_backlog_is_seen_by_the_next_batch_but_one():
    for number in range(3 * intake.BATCH):
        arrive("deal", f"006B{number}")
    arrive("deal", "006LAST")
    intake.take(limit=2 * intake.BATCH)
    assert Subject.objects.filter(key="crm:006LAST").exists()
    assert Inbox.objects.filter(done_at=None).count() == intake.BATCH + 1


def test_one_bad_row_of_a_batch_stops_no_other():
    arrive("deal", "006A")
    arrive("deal", "006X", source="a system that nobody knows")
    arrive("deal", "006B")
    assert sorted(work()) == ["deal.provision deal:crm:006A", "deal.provision deal:crm:006B"]
    assert Inbox.objects.get(done_at=None).last_error


def test_whose_it_is_says_in_whose_turn_it_is_worked_on():
    entity = organization.entity_set(
        code="MER-UK",
        name="Merridane Consulting Ltd",
        country="GB",
        currency="GBP",
        timezone="Europe/London",
    )
    arrive("deal", "006A", legal_entity_code="MER-UK")
    arrive("deal", "006B", legal_entity_code="NOBODY")
    work()
    assert Subject.objects.get(key="crm:006A").legal_entity_id == entity.id
    assert Subject.objects.get(key="crm:006B").legal_entity_id is None
    assert not Transaction.objects.exclude(legal_entity=None).exists(), (
        "who may see it is for the plan to say"
    )
