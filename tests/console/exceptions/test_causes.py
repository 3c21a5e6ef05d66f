"""Deciding about a cause on its page; what is put aside; taking a decision back from the notice."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from apps.core import clock
from apps.triage import services
from apps.triage.models import Case, Group
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of


def decide(client: Any, case: Any, verb: str, *, seen: int = 0, **data: Any) -> Any:
    address = f"/exceptions/groups/{case.group_id}/{verb}"
    return client.post(address, {"seen": seen, **data}, follow=True)


def soon() -> str:
    return (clock.now() + timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M")


def state_of(case: Any) -> str:
    return str(Group.objects.get(pk=case.group_id).state)


def test_a_cause_is_acknowledged_from_its_page_and_says_who_and_when(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    page = text_of(client.get(f"/exceptions/?group={case.group_id}"))
    assert "Acknowledge" in page
    assert "It resolves by itself once its cases have cleared." in page
    page = text_of(decide(client, case, "acknowledge"))
    assert "The cause is Acknowledged now." in page
    assert "Open → Acknowledged" in page
    assert "Acknowledged" in text_of(client.get("/exceptions/"))
    activity = text_of(client.get(f"/exceptions/{case.ref}/?tab=activity"))
    assert "Open → Acknowledged" in activity


def test_the_notice_takes_the_decision_back_as_a_plain_form(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    page = decide(client, case, "snooze", until=soon(), why="The item comes today.").content.decode()
    assert state_of(case) == "snoozed"
    (address,) = re.findall(r'action="(/exceptions/undo/[^"]+)"', page)
    assert "Taken back: it is Open again." in text_of(client.post(address, follow=True))
    assert state_of(case) == "open"
    assert "taken back already" in text_of(client.post(address, follow=True))
    assert signed_in("carla").post(address).status_code == 404


def test_the_cases_of_what_is_put_aside_leave_the_list_of_cases_and_its_file_too(world, signed_in):
    case, other = world.broken_deal(1), world.broken_deal(2, value="ANA-220")
    Group.objects.filter(pk=case.group_id).update(state="ignored")
    client = signed_in("ana")

    def refs(address: str) -> set[str]:
        page = client.get(address).content.decode()
        return {one.ref for one in (case, other) if one.ref in page}

    for query in ("view=cases", "view=cases&q=review", "view=cases&entity=OST-BE"):
        assert refs(f"/exceptions/?{query}") == {other.ref}, query
        assert refs(f"/exceptions/?{query}&status=ignored") == {case.ref}, query
        assert refs(f"/exceptions/?{query}&status=any") == {case.ref, other.ref}, query
        assert refs(f"/exceptions/export.csv?{query}") == {other.ref}, query
        assert refs(f"/exceptions/export.csv?{query}&status=ignored") == {case.ref}, query
    assert refs("/exceptions/export.csv?status=ignored") == {case.ref}, "of the list of causes as well"
    assert refs(f"/exceptions/?group={case.group_id}") == {case.ref}, "the cases of one cause are shown whole"
    page = text_of(client.get("/exceptions/?view=cases"))
    assert "Billing analyst (1)" in page, "the choices count what the list shows"
    assert "Billing analyst (2)" in text_of(client.get("/exceptions/?view=cases&status=any"))


def test_what_is_snoozed_leaves_the_list_and_is_found_by_its_filter(world, signed_in):
    case, other = world.broken_deal(1), world.broken_deal(2, value="ANA-220")
    client = signed_in("ana")
    decide(client, case, "snooze", until=soon())
    row, beside = f'data-row="group-{case.group_id}"', f'data-row="group-{other.group_id}"'
    page = client.get("/exceptions/").content.decode()
    assert (row in page, beside in page) == (False, True)
    assert "1 snoozed cause" in page
    for query in ("status=snoozed", "status=snoozed&q=broken", "status=snoozed&severity=" + case.severity):
        found = client.get(f"/exceptions/?{query}").content.decode()
        assert beside not in found, query
    assert row in client.get("/exceptions/?status=snoozed").content.decode()
    assert row in client.get("/exceptions/?status=any").content.decode()


def test_billing_past_its_run_is_refused_with_the_deadline(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    page = text_of(decide(client, case, "ignore", why="Not ours."))
    assert "keeps billing from the invoice run that closes on" in page
    assert state_of(case) == "open"


def test_the_second_person_is_told_what_changed_and_nothing_is_overwritten(world, signed_in):
    case = world.broken_deal(1)
    decide(signed_in("ana"), case, "acknowledge")
    page = text_of(decide(signed_in("carla"), case, "snooze", until=soon()))
    assert "The group has changed since you looked: Ana Lindqvist" in page
    assert state_of(case) == "acknowledged"


@pytest.mark.parametrize(
    ("verb", "data", "status"),
    [
        ("explode", {}, 404),
        ("acknowledge", {"seen": "x"}, 400),
        ("snooze", {}, 400),
        ("snooze", {"until": "yesterday"}, 400),
        ("ignore", {"why": ""}, 400),
        ("snooze", {"until": "2001-01-01T10:00"}, 400),
        ("snooze", {"until": "2999-01-01T10:00"}, 400),
    ],
)
def test_nonsense_is_refused(world, signed_in, verb, data, status):
    case = world.broken_deal(1)
    assert decide(signed_in("ana"), case, verb, **data).status_code == status
    assert state_of(case) == "open"


def test_who_may_not_decide_is_told_why_and_who_could(world, signed_in):
    case = world.broken_deal(1)
    signed_in("ana")
    client = signed_in("otto")
    page = text_of(client.get(f"/exceptions/?group={case.group_id}"))
    assert "You may not fix exceptions here. Ask Ana Lindqvist." in page
    assert decide(client, case, "acknowledge").status_code == 403
    elsewhere = signed_in("rashid", world.uk)
    assert decide(elsewhere, case, "acknowledge").status_code == 404
    assert elsewhere.get(f"/exceptions/groups/{case.group_id}/acknowledge").status_code == 405


def test_a_longer_history_takes_no_more_queries(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    decide(client, case, "acknowledge")

    def more() -> None:
        for seen in (1, 3, 5):
            decide(client, case, "reopen", seen=seen)
            decide(client, case, "acknowledge", seen=seen + 1)

    client.get("/exceptions/")
    assert_rows_cost_nothing(client, f"/exceptions/?group={case.group_id}", more)


def test_age_in_business_days_is_a_column_and_a_filter(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    page = text_of(client.get("/exceptions/"))
    assert "up to 1 business day (1)" in page
    assert "over 14 business days (0)" in page
    row = f'data-row="group-{case.group_id}"'
    assert row in client.get("/exceptions/?age=0-1").content.decode()
    assert row not in client.get("/exceptions/?age=14").content.decode()
    assert case.ref in client.get("/exceptions/?view=cases&age=0-1").content.decode()
    assert "open for up to 1 business day" in text_of(client.get(f"/exceptions/{case.ref}/"))


def test_an_escalated_case_has_a_badge_until_somebody_takes_it(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    Case.objects.filter(pk=case.pk).update(due_at=clock.now() + timedelta(minutes=1))
    services.cases_escalate()
    assert "Escalated: Controller" in text_of(client.get(f"/exceptions/{case.ref}/"))
    assert case.ref in client.get("/exceptions/?view=cases&assignee=escalated").content.decode()
    client.post(f"/exceptions/{case.ref}/take")
    assert "Escalated: Controller" not in text_of(client.get(f"/exceptions/{case.ref}/"))


def test_a_case_is_put_into_the_queue_of_a_role_with_a_note(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    data = {"to": "role:billing_analyst", "note": "Who knows the item?", "seen": case.seen}
    page = text_of(client.post(f"/exceptions/{case.ref}/assign", data, follow=True))
    assert "Queue: Billing analyst" in page
    assert case.ref in client.get("/exceptions/?view=cases&assignee=role:billing_analyst").content.decode()
    assert "Who knows the item?" in text_of(client.get(f"/exceptions/{case.ref}/?tab=activity"))
    page = text_of(client.post(f"/exceptions/{case.ref}/assign", data, follow=True))
    assert "has changed since you looked: Ana Lindqvist" in page
    for nonsense in ("role:auditor", "role:x", "x", "-1", "999999"):
        answer = client.post(f"/exceptions/{case.ref}/assign", {"to": nonsense})
        assert answer.status_code == 400, nonsense


def test_causes_are_merged_and_taken_apart_on_the_page(world, signed_in):
    case, other = world.broken_deal(1), world.broken_deal(2, value="ANA-220")
    client = signed_in("ana")
    address = f"/exceptions/groups/{case.group_id}"
    page = client.get(f"/exceptions/?group={case.group_id}").content.decode()
    assert f'<option value="{other.group_id}.0">' in page
    data = {"seen": 0, "other": f"{other.group_id}.0", "why": "The same item."}
    page = text_of(client.post(f"{address}/merge", data, follow=True))
    assert "The two causes are one row now." in page
    assert "EUR 24,600.00" in page
    assert other.reason in page
    assert (case.ref in page, other.ref in page) == (True, True)
    listed = client.get("/exceptions/").content.decode()
    assert f'data-row="group-{case.group_id}"' in listed
    assert f'data-row="group-{other.group_id}"' not in listed
    assert f"group={case.group_id}" in client.get(f"/exceptions/{other.ref}/").content.decode()
    assert client.post(f"{address}/merge", data).status_code == 400, "it is one with it already"
    version = Group.objects.get(pk=other.group_id).version
    stale = client.post(f"/exceptions/groups/{other.group_id}/unmerge", {"seen": version - 1}, follow=True)
    assert "has changed since you looked: Ana Lindqvist" in text_of(stale)
    client.post(f"/exceptions/groups/{other.group_id}/unmerge", {"seen": version})
    assert f'data-row="group-{other.group_id}"' in client.get("/exceptions/").content.decode()


@pytest.mark.parametrize("other", ["", "x", "1", "1.x", "999999.0"])
def test_nonsense_is_not_merged(world, signed_in, other):
    case, client = world.broken_deal(1), signed_in("ana")
    answer = client.post(f"/exceptions/groups/{case.group_id}/merge", {"seen": 0, "other": other})
    assert answer.status_code == (404 if other == "999999.0" else 400)
    assert client.post(f"/exceptions/groups/{case.group_id}/unmerge", {"seen": 0}).status_code == 400


def test_more_merged_causes_take_no_more_queries(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")

    def merge_one(number: int) -> None:
        other = world.broken_deal(number, value=f"V-{number}")
        seen = Group.objects.get(pk=case.group_id).version
        client.post(
            f"/exceptions/groups/{case.group_id}/merge", {"seen": seen, "other": f"{other.group_id}.0"}
        )

    merge_one(2)
    for start, address in ((10, f"/exceptions/?group={case.group_id}"), (20, "/exceptions/"), (30, "/")):
        assert_rows_cost_nothing(
            client, address, lambda first=start: [merge_one(first), merge_one(first + 1)]
        )
    assert Group.objects.filter(family_id=case.group_id).count() == 8
