"""Time in Kantata becomes canonical hours with role, service and approval."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.canonical.money import Money
from apps.connectors.spi import AdapterError


@pytest.fixture
def project(sandbox, psa) -> dict[str, str]:
    """A project with a person, a role and a task for one service."""
    seeded = sandbox.control.seed(
        {
            "psa": {
                "workspaces": [{"title": "ERP roll-out", "creator_role": "maven", "currency": "GBP"}],
                "roles": [{"name": "Consultant"}],
                "users": [{"full_name": "Ana Vidal", "email_address": "ana@merridane.example"}],
            }
        }
    )["psa"]
    workspace = seeded["workspaces"][0]
    story = {"title": "IMP-200", "workspace_id": workspace, "story_type": "task"}
    return {
        "workspace": workspace,
        "role": seeded["roles"][0],
        "user": seeded["users"][0],
        "story": sandbox.control.seed({"psa": {"stories": [story]}})["psa"]["stories"][0],
    }


def entries(sandbox, project: dict[str, str], *changes: dict[str, Any]) -> list[str]:
    base = {
        "workspace_id": project["workspace"],
        "story_id": project["story"],
        "user_id": project["user"],
        "role_id": project["role"],
        "date_performed": "2026-11-02",
        "time_in_minutes": 450,
        "rate_in_cents": 15000,
        "currency": "GBP",
        "billable": True,
    }
    return sandbox.control.seed({"psa": {"time_entries": [{**base, **change} for change in changes]}})["psa"][
        "time_entries"
    ]


def test_an_approved_entry_is_read_with_person_role_service_and_rate(kantata, sandbox, project):
    [one] = entries(sandbox, project, {"approved": True, "notes": "Workshop"})
    [found] = kantata.find(object_type="time_entry", by="id", value=one)
    body = found.body
    assert (body.person, body.role, body.service_code) == ("Ana Vidal", "Consultant", "IMP-200")
    assert (body.hours, body.rate, body.status) == (Decimal("7.5"), Money.of(150, "GBP"), "approved")
    assert body.approved_at is not None
    assert (body.key, found.container_id) == (f"psa:{one}", project["workspace"])


def test_minutes_that_are_no_round_part_of_an_hour_keep_four_places(kantata, sandbox, project):
    [one] = entries(sandbox, project, {"time_in_minutes": 20})
    [found] = kantata.find(object_type="time_entry", by="id", value=one)
    assert (found.body.hours, found.facts["minutes"]) == (Decimal("0.3333"), 20)


def test_an_entry_is_draft_then_submitted_then_approved_by_its_timesheet(kantata, psa, sandbox, project):
    [one] = entries(sandbox, project, {})

    def status() -> str:
        return kantata.find(object_type="time_entry", by="id", value=one)[0].body.status

    assert status() == "draft"
    sheet = {"workspace_id": project["workspace"], "start_date": "2026-11-01", "end_date": "2026-11-07"}
    submission = psa.create("timesheet_submissions", sheet)["id"]
    assert status() == "submitted"
    psa.patch("timesheet_submissions", submission, {"status": "approved"})
    [found] = kantata.find(object_type="timesheet", by="id", value=submission)
    decided = psa.record("timesheet_submissions", id=submission)["current_resolution_created_at_date"]
    assert (found.object_type, found.external_id, found.body.status) == ("time_entry", one, "approved")
    assert found.body.approved_at.isoformat().replace("+00:00", "Z") == decided


def test_all_time_of_a_project_is_read_over_several_pages(kantata, sandbox, project):
    seeded = entries(sandbox, project, *({"notes": f"Entry {number}"} for number in range(205)))
    found = kantata.find(object_type="time_entry", by="container", value=project["workspace"])
    assert sorted(one.external_id for one in found) == sorted(seeded)


def test_only_time_that_changed_since_is_read_when_asked(kantata, sandbox, project):
    old, new = entries(
        sandbox, project, {"updated_at": "2026-11-02T09:00:00Z"}, {"updated_at": "2026-11-09T09:00:00Z"}
    )
    extra = {"updated_after": "2026-11-05T00:00:00+00:00"}
    found = kantata.find(object_type="time_entry", by="container", value=project["workspace"], extra=extra)
    assert [one.external_id for one in found] == [new]
    assert old != new


def test_time_has_no_key_of_ours_to_be_searched_by(kantata):
    with pytest.raises(AdapterError, match="cannot be searched by key"):
        kantata.find(object_type="time_entry", by="key", value="x")


def test_an_entry_in_an_unknown_currency_is_refused_by_name(kantata, sandbox, project):
    [one] = entries(sandbox, project, {"currency": "XXQ"})
    with pytest.raises(AdapterError) as caught:
        kantata.find(object_type="time_entry", by="id", value=one)
    assert (caught.value.field, caught.value.value) == ("currency", "XXQ")


def test_of_several_entries_those_that_are_still_there_are_read(kantata, psa, sandbox, project):
    seeded = entries(sandbox, project, *({"notes": f"Entry {number}"} for number in range(205)))
    psa.delete("time_entries", seeded[7])
    found = kantata.find(object_type="time_entry", by="ids", value=",".join(seeded))
    assert {one.external_id for one in found} == {*seeded} - {seeded[7]}
    assert kantata.find(object_type="time_entry", by="ids", value="") == []
