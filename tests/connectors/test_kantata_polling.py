"""Changes in Kantata come from a feed without order, with repeats, that forgets after nine days."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine

from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock


@pytest.fixture
def workspace(sandbox, psa) -> str:
    record = {"title": "ERP roll-out", "creator_role": "maven", "currency": "GBP"}
    return sandbox.control.seed({"psa": {"workspaces": [record]}})["psa"]["workspaces"][0]


def add(psa, workspace: str, count: int) -> list[str]:
    """Milestones made as a person in Kantata makes them: events follow."""
    base = {"workspace_id": workspace, "amount_in_cents": 100, "currency": "GBP"}
    return [
        psa.create("billing_milestones", {**base, "title": f"M{number}"})["id"] for number in range(count)
    ]


def drained(
    adapter, *, cursor: str = "", limit: int = 200, object_type: str = "milestone"
) -> tuple[list, str]:
    found = []
    for _ in range(50):
        page = adapter.fetch(object_type=object_type, cursor=cursor, limit=limit)
        found += page.changes
        cursor = page.cursor
        if not page.more:
            return found, cursor
    raise AssertionError("the window never ended")


def old_cursor(days: float, mode: str = "events") -> str:
    since = (clock.now() - timedelta(days=days)).isoformat()
    return json.dumps({"mode": mode, "since": since, "until": None, "page": 1})


def test_every_new_milestone_is_told_with_its_project(kantata, psa, workspace):
    added = add(psa, workspace, 3)
    found, _ = drained(kantata)
    assert {change.external_id for change in found} == set(added)
    assert {change.container_id for change in found} == {workspace}
    assert {change.event_type for change in found} == {"billing_milestone:created"}


@pytest.mark.parametrize("mode", ["events", "lists"])
def test_a_project_is_told_with_our_reference_on_it(kantata, psa, mode):
    """An event does not carry it, so the projects are looked at; archived ones too."""
    reference = {"service_name": "pssync", "service_model": "engagement", "service_model_ref": "ENG-1"}
    plain = {"title": "ERP roll-out", "creator_role": "maven", "currency": "GBP"}
    ours = psa.create("workspaces", plain | {"external_reference": reference})["id"]
    theirs = psa.create("workspaces", plain | {"archived": True})["id"]
    with time_machine.travel(clock.now() + timedelta(seconds=5), tick=True):
        found, _ = drained(kantata, object_type="engagement", cursor=old_cursor(1, mode))
    assert {change.external_id: change.key for change in found} == {ours: "ENG-1", theirs: ""}


def test_a_page_is_told_oldest_first_though_the_feed_has_no_order(kantata, psa, workspace):
    add(psa, workspace, 12)
    found, _ = drained(kantata)
    times = [change.occurred_at for change in found]
    assert times == sorted(times)


def test_all_pages_of_the_feed_are_read(kantata, psa, workspace):
    added = add(psa, workspace, 11)
    found, _ = drained(kantata, limit=4)
    assert {change.external_id for change in found} == set(added)


def test_two_changes_in_one_second_are_two_events(kantata, psa, workspace):
    [one] = add(psa, workspace, 1)
    psa.patch("billing_milestones", one, {"state": "completed"})
    psa.patch("billing_milestones", one, {"state": "accepted"})
    psa.settings(duplicate_every=0)
    found, _ = drained(kantata)
    assert len({change.event_id for change in found}) == 3


def test_an_event_told_again_in_the_overlap_has_the_same_id(kantata, psa, workspace):
    psa.settings(duplicate_every=0)
    add(psa, workspace, 2)
    first, cursor = drained(kantata)
    psa.create(
        "billing_milestones",
        {"workspace_id": workspace, "amount_in_cents": 1, "currency": "GBP", "title": "Late"},
    )
    second, _ = drained(kantata, cursor=cursor)
    assert {change.event_id for change in first} < {change.event_id for change in second}


def test_events_of_other_objects_are_not_asked_for(kantata, psa, workspace):
    psa.patch("workspaces", workspace, {"title": "Renamed"})
    assert drained(kantata)[0] == []


def test_after_more_than_nine_days_the_lists_are_asked_and_then_the_feed_again(
    kantata, psa, sandbox, workspace
):
    long_ago = (clock.now() - timedelta(days=12)).replace(microsecond=0).isoformat()
    before = (clock.now() - timedelta(days=30)).replace(microsecond=0).isoformat()
    base = {"workspace_id": workspace, "amount_in_cents": 1, "currency": "GBP"}
    missed, _older = sandbox.control.seed(
        {
            "psa": {
                "billing_milestones": [
                    {**base, "title": "Missed", "updated_at": long_ago},
                    {**base, "title": "Older", "updated_at": before},
                ]
            }
        }
    )["psa"]["billing_milestones"]
    found, cursor = drained(kantata, cursor=old_cursor(14))
    assert [(change.external_id, change.container_id) for change in found] == [(missed, workspace)]
    assert psa.requests(path="subscribed_events") == []
    assert json.loads(cursor)["mode"] == "events"
    drained(kantata, cursor=cursor)
    assert len(psa.requests(path="subscribed_events")) == 1


def test_the_lists_are_read_page_by_page_too(kantata, sandbox, workspace):
    stamp = (clock.now() - timedelta(days=10)).replace(microsecond=0).isoformat()
    records = [
        {
            "workspace_id": workspace,
            "amount_in_cents": 1,
            "currency": "GBP",
            "title": f"M{number}",
            "updated_at": stamp,
        }
        for number in range(7)
    ]
    seeded = sandbox.control.seed({"psa": {"billing_milestones": records}})["psa"]["billing_milestones"]
    found, _ = drained(kantata, cursor=old_cursor(12), limit=3)
    assert sorted(change.external_id for change in found) == sorted(seeded)


def test_an_account_without_the_feed_is_polled_by_its_lists(kantata, psa, workspace):
    psa.settings(subscribed_events=False)
    [one] = add(psa, workspace, 1)
    with time_machine.travel(clock.now() + timedelta(seconds=5), tick=True):
        found, _ = drained(kantata)
    assert [change.external_id for change in found] == [one]


def test_a_refused_token_is_no_reason_to_fall_back(kantata, psa):
    psa.expire_tokens()
    with pytest.raises(AdapterError) as caught:
        kantata.fetch(object_type="milestone", cursor="")
    assert caught.value.kind is ErrorKind.AUTH


def test_time_is_polled_as_well(kantata, psa, workspace):
    entry = {"workspace_id": workspace, "date_performed": "2026-11-02", "time_in_minutes": 60}
    one = psa.create("time_entries", entry)["id"]
    psa.patch("time_entries", one, {"approved": True})
    page = kantata.fetch(object_type="time_entry", cursor="")
    assert {change.external_id for change in page.changes} == {one}
    assert "time_entry:updated" in {change.event_type for change in page.changes}


@pytest.mark.parametrize(
    "cursor", ["{not json", '{"mode": "other", "since": "2026-01-01T00:00:00+00:00"}', "[]"]
)
def test_an_unreadable_cursor_is_an_error_and_no_fresh_start(kantata, cursor):
    with pytest.raises(AdapterError) as caught:
        kantata.fetch(object_type="milestone", cursor=cursor)
    assert caught.value.kind is ErrorKind.CONTRACT_DRIFT


def test_an_object_that_is_not_polled_is_refused(kantata):
    with pytest.raises(AdapterError, match="not polled for invoice"):
        kantata.fetch(object_type="invoice", cursor="")
