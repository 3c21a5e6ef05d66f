"""Projects, milestones and rate cards in Kantata, which has no idempotency key: nothing is made twice."""

from __future__ import annotations

from typing import Any

import pytest

from apps.canonical.objects import Engagement, Milestone, RateCard
from apps.connectors.adapters.kantata.adapter import CONFIG_SCHEMA, KantataAdapter
from apps.connectors.spi import AdapterError, ErrorKind, Push, Settings, WebhookRefused
from apps.core import clock

KEY = "ENG-2026-000042"
GBP = {"amount": "90000.00", "currency": "GBP"}


def engagement(**changes: Any) -> Engagement:
    values = {
        "key": KEY,
        "name": "ERP roll-out",
        "customer_key": "crm:001A",
        "legal_entity_code": "MER-UK",
        "currency": "GBP",
        "billing_model": "milestone",
        "start_on": "2026-12-01",
        "end_on": "2027-03-31",
        "po_number": "PO-7",
        "budget": GBP,
    }
    return Engagement.model_validate({**values, **changes})


def project_push(**more: Any) -> Push:
    values = {"object_type": "engagement", "operation": "create", "key": KEY, "idempotency_key": "i-1"}
    return Push(**{**values, "body": engagement(), **more})


def milestone_push(workspace: str, **changes: Any) -> Push:
    values = {
        "key": f"{KEY}-M1",
        "engagement_key": KEY,
        "name": "Design accepted",
        "amount": {"amount": "30000.00", "currency": "GBP"},
        "due_on": "2026-12-20",
        "status": "planned",
        "service_code": "IMP-200",
    }
    body = Milestone.model_validate({**values, **changes})
    return Push("milestone", "create", body.key, "i-2", body=body, refs={"engagement": workspace})


def card_push(*lines: dict[str, Any]) -> Push:
    standard = (
        {"role": "Consultant", "bill_rate": {"amount": "150.00", "currency": "GBP"}},
        {"role": "Architect", "unit": "day", "bill_rate": {"amount": "1600.00", "currency": "GBP"}},
        {"blended": True, "service_code": "TRN-100", "bill_rate": {"amount": "120.50", "currency": "GBP"}},
    )
    values = {"key": "RC-42", "name": "ERP roll-out", "currency": "GBP", "effective_from": "2026-12-01"}
    body = RateCard.model_validate({**values, "lines": lines or standard})
    return Push("rate_card", "create", "RC-42", "i-3", body=body)


# -- connection ------------------------------------------------------------------------------------


def test_the_check_tells_a_good_token_from_a_bad_one(kantata, psa, sandbox):
    assert kantata.check().ok
    other = KantataAdapter(
        Settings(system="psa", base_url=sandbox.url("psa"), config={}, secrets={"token": "wrong"})
    )
    health = other.check()
    assert not health.ok
    assert health.details["kind"] == "auth"


def test_too_many_requests_ask_for_a_pause_of_our_choosing(kantata, psa):
    psa.fault("status", path="/workspaces", status=429)
    with pytest.raises(AdapterError) as caught:
        kantata.find(object_type="engagement", by="id", value="1")
    assert (caught.value.kind, caught.value.retry_after) == (ErrorKind.RATE_LIMITED, None)


def test_kantata_sends_no_events(kantata):
    with pytest.raises(WebhookRefused, match="polled"):
        kantata.receive(headers={}, body=b"{}", secrets=[], now=clock.now())


def test_the_description_names_what_the_code_can_do(kantata):
    described = kantata.describe()
    assert set(described.writes.values()) == {"search"}
    assert set(described.polls) <= set(described.reads)
    assert set(CONFIG_SCHEMA["properties"]["milestone_fields"]["default"]) == {
        "state",
        "accepted_at",
        "evidence",
    }


# -- projects --------------------------------------------------------------------------------------


def test_a_project_is_created_with_our_reference_and_read_back(kantata, psa):
    outcome = kantata.push(project_push())
    record = psa.record("workspaces", title="ERP roll-out")
    assert (outcome.external_id, outcome.created) == (record["id"], True)
    assert (record["price_in_cents"], record["currency"], record["description"]) == (
        9000000,
        "GBP",
        f"{KEY} · PO PO-7",
    )
    reference = psa.record("external_references", subject_id=record["id"])
    assert (reference["service_name"], reference["service_model_ref"]) == ("pssync", KEY)
    [found] = kantata.find(object_type="engagement", by="key", value=KEY)
    same = {"key", "name", "currency", "start_on", "end_on", "budget", "status"}
    assert found.body.model_dump(include=same) == engagement().model_dump(include=same)
    assert found.external_id == found.container_id == record["id"]


def test_the_reference_travels_in_the_same_request_as_the_project(kantata, psa):
    kantata.push(project_push())
    [created] = psa.requests(method="POST")
    assert created["path"].endswith("/workspaces")
    assert psa.record("external_references")["status"] == "successful"


def test_a_project_sent_twice_is_one_project(kantata, psa):
    first, second = kantata.push(project_push()), kantata.push(project_push())
    assert (first.external_id, first.created, second.created) == (second.external_id, True, False)
    assert len(psa.records("workspaces")) == 1


def test_an_answer_lost_after_the_write_is_unknown_and_the_probe_finds_the_project(kantata, psa):
    assert kantata.probe(project_push()) is None
    psa.fault("reset_after", method="POST")
    with pytest.raises(AdapterError) as caught:
        kantata.push(project_push())
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert kantata.probe(project_push()).external_id == psa.record("workspaces")["id"]
    assert kantata.push(project_push()).created is False
    assert len(psa.records("workspaces")) == 1


def test_an_archived_project_is_still_found_and_not_made_again(kantata, psa):
    one = kantata.push(project_push()).external_id
    psa.patch("workspaces", one, {"archived": True})
    assert kantata.probe(project_push()).external_id == one
    [found] = kantata.find(object_type="engagement", by="id", value=one)
    assert found.body.status == "closed"


def test_two_projects_under_one_reference_are_a_case_and_no_guess(kantata, psa, sandbox):
    kantata.push(project_push())
    reference = {"service_name": "pssync", "service_model": "engagement", "service_model_ref": KEY}
    twin = {"title": "Twin", "creator_role": "maven", "currency": "GBP", "external_reference": reference}
    sandbox.control.seed({"psa": {"workspaces": [twin]}})
    with pytest.raises(AdapterError) as caught:
        kantata.push(project_push())
    assert (caught.value.kind, caught.value.code) == (ErrorKind.REJECTED, "PRJ-DUP")
    both = kantata.find(object_type="engagement", by="key", value=KEY)
    assert len(both) == 2


def test_of_two_projects_under_one_reference_the_archived_one_is_out_of_the_way(kantata, psa, sandbox):
    ours = kantata.push(project_push()).external_id
    reference = {"service_name": "pssync", "service_model": "engagement", "service_model_ref": KEY}
    twin = {"title": "Twin", "creator_role": "maven", "currency": "GBP", "external_reference": reference}
    [twin_id] = sandbox.control.seed({"psa": {"workspaces": [twin]}})["psa"]["workspaces"]
    psa.patch("workspaces", twin_id, {"archived": True})
    assert kantata.push(project_push()).external_id == ours
    psa.patch("workspaces", ours, {"archived": True})
    with pytest.raises(AdapterError, match="several"):
        kantata.push(project_push())


def test_a_reference_of_another_service_is_not_ours(kantata, psa, sandbox):
    reference = {"service_name": "netsuite", "service_model": "engagement", "service_model_ref": KEY}
    other = {"title": "Other", "creator_role": "maven", "currency": "GBP", "external_reference": reference}
    sandbox.control.seed({"psa": {"workspaces": [other]}})
    assert kantata.probe(project_push()) is None


def test_an_update_touches_the_named_fields_and_can_be_probed(kantata, psa):
    one = kantata.push(project_push()).external_id
    body = engagement(end_on="2027-06-30", name="Renamed by mistake")
    change = project_push(operation="update", external_id=one, body=body, fields=("end_on",))
    assert kantata.probe(change) is None
    outcome = kantata.push(change)
    record = psa.record("workspaces")
    assert (record["due_date"], record["title"], outcome.created) == ("2027-06-30", "ERP roll-out", False)
    assert kantata.probe(change).external_id == one


def test_a_project_that_is_not_there_is_not_found(kantata):
    for by, value in [("id", "999999"), ("id", "abc"), ("key", "ENG-NONE"), ("key", "")]:
        assert list(kantata.find(object_type="engagement", by=by, value=value)) == []


@pytest.mark.provokes("CUS-CURRENCY")
def test_a_currency_the_account_does_not_have_is_named(kantata):
    body = engagement(currency="BRL", budget={"amount": "1.00", "currency": "BRL"})
    with pytest.raises(AdapterError) as caught:
        kantata.push(project_push(body=body))
    assert (caught.value.code, caught.value.field) == ("CUS-CURRENCY", "currency")


def test_a_write_nobody_wrote_is_refused_before_it_is_sent(kantata, psa):
    with pytest.raises(AdapterError, match="cannot delete"):
        kantata.push(project_push(operation="delete"))
    assert psa.requests() == []


# -- milestones ------------------------------------------------------------------------------------


def test_a_milestone_is_created_once_with_its_amount_and_service(kantata, psa):
    project = kantata.push(project_push()).external_id
    first, second = kantata.push(milestone_push(project)), kantata.push(milestone_push(project))
    record = psa.record("billing_milestones")
    assert first.external_id == second.external_id == record["id"]
    assert (record["amount_in_cents"], record["currency"], record["date_to_invoice"]) == (
        3000000,
        "GBP",
        "2026-12-20",
    )
    [found] = kantata.find(object_type="milestone", by="key", value=f"{KEY}-M1")
    same = {"key", "name", "amount", "due_on", "status", "service_code"}
    assert found.body.model_dump(include=same) == milestone_push(project).body.model_dump(include=same)
    assert found.container_id == project


def test_an_accepted_milestone_shows_when_and_by_which_certificate(kantata, psa):
    project = kantata.push(project_push()).external_id
    one = kantata.push(milestone_push(project)).external_id
    accepted = {"state": "accepted", "accepted_at": "2026-11-20T10:00:00Z", "acceptance_reference": "CERT-1"}
    psa.patch("billing_milestones", one, accepted)
    [found] = kantata.find(object_type="milestone", by="container", value=project)
    assert (found.body.status, found.body.evidence) == ("accepted", "CERT-1")
    assert found.body.accepted_at.isoformat() == "2026-11-20T10:00:00+00:00"


def test_acceptance_is_read_from_the_fields_the_account_uses(sandbox, psa, kantata):
    project = kantata.push(project_push()).external_id
    one = kantata.push(milestone_push(project)).external_id
    psa.patch("billing_milestones", one, {"state": "accepted", "title": "CERT-9"})
    config = {"milestone_fields": {"evidence": "title"}}
    other = KantataAdapter(
        Settings(system="psa", base_url=sandbox.url("psa"), config=config, secrets=kantata.settings.secrets)
    )
    [found] = other.find(object_type="milestone", by="id", value=one)
    assert (found.body.status, found.body.evidence) == ("accepted", "CERT-9")


@pytest.mark.provokes("PRJ-CLOSED")
def test_a_milestone_of_an_archived_project_is_refused_by_name(kantata, psa):
    project = kantata.push(project_push()).external_id
    psa.patch("workspaces", project, {"archived": True})
    with pytest.raises(AdapterError) as caught:
        kantata.push(milestone_push(project))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.REJECTED, "PRJ-CLOSED")


@pytest.mark.provokes("RATE-STALE")
def test_a_rate_card_that_is_gone_is_named(kantata):
    with pytest.raises(AdapterError) as caught:
        kantata.push(project_push(refs={"rate_card": "4711"}))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.REJECTED, "RATE-STALE")


@pytest.mark.provokes("TIME-LATE")
def test_a_date_in_a_locked_period_is_named(kantata, psa):
    project = kantata.push(project_push()).external_id
    refusal = {"errors": [{"type": "validation", "message": "Date is locked", "field": "date_to_invoice"}]}
    psa.fault("status", method="POST", path="/billing_milestones", status=422, body=refusal)
    with pytest.raises(AdapterError) as caught:
        kantata.push(milestone_push(project))
    assert (caught.value.code, caught.value.field) == ("TIME-LATE", "due_on")


def test_a_milestone_without_its_project_is_never_sent(kantata, psa):
    push = milestone_push("")
    with pytest.raises(AdapterError, match="needs its project"):
        kantata.push(push)
    assert psa.requests(method="POST") == []


# -- rate cards ------------------------------------------------------------------------------------


def rates(psa) -> dict[str, int]:
    names = {role["id"]: role["name"] for role in psa.records("roles")}
    return {names[rate["role_id"]]: rate["rate"] for rate in psa.records("rate_card_roles")}


def test_a_rate_card_holds_a_rate_an_hour_for_each_role(kantata, psa, sandbox):
    sandbox.control.seed({"psa": {"roles": [{"id": "41", "name": "Consultant"}]}})
    assert kantata.probe(card_push()) is None
    outcome = kantata.push(card_push())
    assert rates(psa) == {"Consultant": 15000, "Architect": 20000, "Blended TRN-100": 12050}
    assert outcome.external_id == psa.record("rate_cards")["id"]
    assert psa.record("rate_card_set_versions")["effective_date"] == "2026-12-01"
    assert kantata.probe(card_push()).external_id == outcome.external_id
    assert len(psa.records("roles", name="Consultant")) == 1


def test_a_rate_card_sent_twice_is_made_once(kantata, psa):
    first, second = kantata.push(card_push()), kantata.push(card_push())
    assert (first.created, second.created, first.external_id) == (True, False, second.external_id)
    for kind, count in {
        "rate_card_sets": 1,
        "rate_cards": 1,
        "rate_card_set_versions": 1,
        "rate_card_roles": 3,
    }.items():
        assert len(psa.records(kind)) == count, kind


@pytest.mark.parametrize(
    "step", ["rate_card_sets", "rate_cards", "rate_card_set_versions", "roles", "rate_card_roles"]
)
@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_a_rate_card_that_broke_off_at_any_step_is_finished_and_nothing_is_doubled(kantata, psa, step, fault):
    assert kantata.check().ok
    psa.fault(fault, method="POST", path=f"/{step}$")
    with pytest.raises(AdapterError) as caught:
        kantata.push(card_push())
    assert caught.value.kind is ErrorKind.UNKNOWN
    assert kantata.probe(card_push()) is None
    kantata.push(card_push())
    assert rates(psa) == {"Consultant": 15000, "Architect": 20000, "Blended TRN-100": 12050}
    for kind, count in {
        "rate_card_sets": 1,
        "rate_cards": 1,
        "rate_card_set_versions": 1,
        "roles": 3,
        "rate_card_roles": 3,
    }.items():
        assert len(psa.records(kind)) == count, kind


def test_a_project_uses_its_rate_card(kantata, psa):
    card = kantata.push(card_push()).external_id
    kantata.push(project_push(refs={"rate_card": card}))
    assert psa.record("workspaces")["rate_card_id"] == card
