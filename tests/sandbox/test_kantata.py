"""The PSA over plain HTTP: envelope, filters, approvals, rate cards, references, the events feed."""

import pytest
import requests

from .conftest import PSA_TOKEN


class Psa:
    def __init__(self, sandbox):
        self.base = f"{sandbox.url('psa')}/api/v1"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {PSA_TOKEN}"
        sandbox.control.seed(
            {
                "psa": {
                    "users": [{"id": "1", "full_name": "Ines Duarte"}],
                    "roles": [{"id": "7", "name": "Consultant"}],
                }
            }
        )

    def call(self, method: str, path: str, body=None) -> requests.Response:
        return self.session.request(method, f"{self.base}{path}", json=body, timeout=10)

    def make(self, plural: str, singular: str, *, path: str = "", **values) -> dict:
        answer = self.call("POST", f"/{plural}{path}", {singular: values})
        assert answer.status_code == 200, answer.text
        data = answer.json()
        return data[plural][data["results"][0]["id"]]

    def workspace(self, title: str = "Migration", **more) -> str:
        return self.make(
            "workspaces", "workspace", title=title, creator_role="consultant", currency="EUR", **more
        )["id"]

    def ids(self, path: str) -> list[str]:
        return [result["id"] for result in self.call("GET", path).json()["results"]]


@pytest.fixture
def psa(sandbox) -> Psa:
    return Psa(sandbox)


def test_a_wrong_token_is_an_oauth_error(psa, sandbox):
    answer = requests.get(f"{psa.base}/workspaces", headers={"Authorization": "Bearer nope"}, timeout=10)
    assert (answer.status_code, answer.json()["errors"][0]["type"]) == (401, "oauth")
    sandbox.control.expire_tokens("psa")
    assert psa.call("GET", "/workspaces").status_code == 401


def test_lists_come_in_pages_with_results_in_order(psa):
    made = [psa.workspace(f"W{n}") for n in range(5)]
    page = psa.call("GET", "/workspaces.json?per_page=2&page=2&order=created_at:asc").json()
    assert page["count"] == 5
    assert page["meta"] == {"count": 5, "page_count": 3, "page_number": 2, "page_size": 2}
    assert [r["id"] for r in page["results"]] == made[2:4]
    assert page["workspaces"][made[2]]["title"] == "W2"
    assert psa.call("GET", "/workspaces?per_page=201").status_code == 400
    assert psa.ids(f"/workspaces?only={made[0]},99999") == [made[0]]


def test_unknown_fields_filters_and_missing_values_are_refused(psa):
    unknown = psa.call(
        "POST", "/workspaces", {"workspace": {"title": "x", "creator_role": "consultant", "nope": 1}}
    )
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "nope")
    missing = psa.call("POST", "/workspaces", {"workspace": {"creator_role": "consultant"}})
    assert missing.json()["errors"][0] == {
        "type": "validation",
        "message": "Title can't be blank",
        "field": "title",
    }
    assert psa.call("POST", "/workspaces", {"title": "no root"}).status_code == 400
    assert psa.call("GET", "/workspaces?nope=1").status_code == 400


def test_what_is_answered_only_is_refused_when_sent_and_a_published_body_differs_by_operation(psa):
    sent = {"title": "x", "price_in_cents": 100}
    assert (
        psa.call("POST", "/workspaces", {"workspace": sent}).json()["errors"][0]["field"] == "price_in_cents"
    )
    sent = {"title": "x", "archived": True}
    assert psa.call("POST", "/workspaces", {"workspace": sent}).json()["errors"][0]["field"] == "archived"
    workspace = psa.workspace(budgeted=True, price=900)
    assert psa.call("PUT", f"/workspaces/{workspace}", {"workspace": {"archived": True}}).status_code == 200
    assert psa.ids(f"/workspaces?only={workspace}") == []
    asked = psa.call("GET", f"/workspaces?only={workspace}&include_archived=true").json()["workspaces"]
    assert (asked[workspace]["price_in_cents"], "price" in asked[workspace]) == (90_000, False)
    assert psa.call("GET", "/workspaces?archived=true").status_code == 400
    milestones = "/billing_milestones?updated_after=2026-01-01T00:00:00Z"
    assert psa.call("GET", milestones).json()["errors"][0]["field"] == "updated_after"
    assert psa.call("GET", "/billing_milestones?order=updated_at:asc").status_code == 400


def test_an_operation_whose_description_was_not_read_is_not_there(psa):
    assert psa.call("POST", "/stories", {"story": {"title": "x"}}).status_code == 404
    assert psa.call("POST", "/rate_card_versions", {"rate_card_version": {}}).status_code == 405


def test_a_project_is_found_by_its_external_reference_and_nothing_stops_a_twin(psa):
    reference = {"service_name": "crm", "service_model": "Opportunity", "service_model_ref": "006A"}
    first = psa.workspace(external_reference=reference)
    assert psa.ids("/workspaces?external_reference_service_model_refs=006A") == [first]
    second = psa.workspace(external_reference=reference)
    assert set(psa.ids("/workspaces?external_reference_service_model_refs=006A,006B")) == {first, second}
    assert set(psa.ids("/workspaces?without_external_reference_service_name=erp")) == {first, second}
    told = {"subject_type": "Workspace", "subject_id": first, "service_name": "erp", "service_model": "job",
            "service_model_ref": "5", "status": "failed", "external_message": "period closed"}  # fmt: skip
    psa.call("POST", "/external_references/create_or_update", {"external_reference": told})
    again = {"external_reference": {**told, "status": "successful"}}
    psa.call("POST", "/external_references/create_or_update", again)
    assert psa.ids("/workspaces?without_external_reference_service_name=erp") == [second]
    shown = psa.call("GET", f"/workspaces/{first}?include=external_references").json()
    statuses = {r["service_name"]: r["status"] for r in shown["external_references"].values()}
    assert statuses == {"crm": "pending", "erp": "successful"}


def test_approving_a_timesheet_approves_its_entries_and_tells_it_in_the_feed(psa):
    workspace = psa.workspace()
    entry = psa.make("time_entries", "time_entry", workspace_id=workspace, date_performed="2026-11-02",
                     time_in_minutes=90, rate_in_cents=15000, user_id="1")  # fmt: skip
    sheet = psa.make("timesheet_submissions", "timesheet_submission", workspace_id=workspace,
                     title="Week 45", line_item_ids=[entry["id"]], user_id="1")  # fmt: skip
    assert sheet["status"] == "pending"
    assert psa.ids("/time_entries?in_active_submission=true") == [entry["id"]]
    assert psa.ids("/time_entries?approved=true") == []
    assert psa.call("PUT", f"/timesheet_submissions/{sheet['id']}/approve").status_code == 200
    assert psa.ids(f"/time_entries?approved=true&uninvoiced=true&workspace_id={workspace}") == [entry["id"]]
    assert psa.call("PUT", f"/timesheet_submissions/{sheet['id']}/reject").status_code == 422
    feed = psa.call(
        "GET",
        "/subscribed_events.json?event_types=time_entry:updated,timesheet:updated&per_page=200"
        "&optional_fields=payload_changes,current_payload",
    ).json()
    told = {e["event_type"]: e for e in feed["subscribed_events"].values()}
    assert told["time_entry:updated"]["payload_changes"]["approved"] == [False, True]
    assert told["timesheet:updated"]["current_payload"]["status"] == "approved"


def test_the_feed_is_unordered_repeats_and_forgets_after_nine_days(psa, sandbox):
    for number in range(25):
        psa.workspace(f"E{number}")
    feed = psa.call("GET", "/subscribed_events?per_page=200").json()
    events = [feed["subscribed_events"][r["id"]] for r in feed["results"]]
    assert "current_payload" not in events[0]
    subjects = [event["subject_id"] for event in events]
    assert subjects != sorted(subjects, key=int)
    assert len(subjects) > len(set(subjects)) == 25
    assert psa.ids("/subscribed_events?created_after=2999-01-01T00:00:00Z") == []


def test_a_set_version_makes_card_versions_and_can_be_cloned(psa):
    card_set = psa.make("rate_card_sets", "rate_card_set", title="Standard")["id"]
    psa.make("rate_cards", "rate_card", currency="EUR", rate_card_set_id=card_set)
    first = psa.make("rate_card_set_versions", "rate_card_set_version", rate_card_set_id=card_set,
                     effective_date="2026-01-01")  # fmt: skip
    [version] = psa.ids(f"/rate_card_versions?rate_card_set_version_id={first['id']}")
    psa.make("rate_card_roles", "rate_card_role", rate_card_version_id=version, role_id="7", rate=15000)
    twice = {"rate_card_role": {"rate_card_version_id": version, "role_id": "7", "rate": 1}}
    assert psa.call("POST", "/rate_card_roles", twice).status_code == 422
    body = {"rate_card_set_version": {"rate_card_set_id": card_set, "effective_date": "2026-12-01"}}
    cloned = psa.call(
        "POST", f"/rate_card_set_versions?clone_id={first['id']}&include=rate_card_versions", body
    ).json()
    new = cloned["rate_card_set_versions"][cloned["results"][0]["id"]]["rate_card_version_ids"][0]
    roles = psa.call("GET", f"/rate_card_roles?rate_card_version_id={new}").json()["rate_card_roles"]
    assert [role["rate"] for role in roles.values()] == [15000]
    assert psa.ids("/rate_card_versions?effective_on_date=2026-06-01") == [version]


def test_billing_milestones_come_one_or_many_and_may_be_negative(psa):
    workspace = psa.workspace()
    many = [{"title": "Kick-off", "workspace_id": workspace, "amount_in_cents": 4_230_000},
            {"title": "Discount", "workspace_id": workspace, "amount_in_cents": -10_000}]  # fmt: skip
    assert psa.call("POST", "/billing_milestones", {"billing_milestones": many}).json()["count"] == 2
    bad = {"billing_milestone": {**many[0], "billing_type": "upon_completion"}}
    assert psa.call("POST", "/billing_milestones", bad).json()["errors"][0]["field"] == "story_id"


def test_invoiced_lines_are_locked_until_the_invoice_is_cancelled(psa, sandbox):
    workspace = psa.workspace()
    entry = psa.make("time_entries", "time_entry", workspace_id=workspace, date_performed="2026-11-02",
                     time_in_minutes=60, rate_in_cents=15000)["id"]  # fmt: skip
    control = sandbox.control.system("psa")
    invoice = control.create("invoices", {"workspace_ids": [workspace], "time_entry_ids": [entry]})
    assert invoice["balance_in_cents"] == 15000
    change = {"time_entry": {"time_in_minutes": 30}}
    assert psa.call("PUT", f"/time_entries/{entry}", change).status_code == 422
    assert control.patch("invoices", invoice["id"], {"status": "cancelled"})["status"] == "cancelled"
    assert psa.call("PUT", f"/time_entries/{entry}", change).status_code == 200
