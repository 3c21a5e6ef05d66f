"""Would this deal provision? Asked before closing, answered live or from what was last seen, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from apps.canonical.objects import Deal
from apps.connectors import services as connectors
from apps.core import clock
from apps.core.errors import NotFound, Unavailable
from apps.organization import selectors as organization
from apps.organization.apikeys import api_key_create
from apps.sync import services as sync
from apps.sync.flows import base
from apps.sync.models import Transaction
from tests.flows import acts
from tests.flows.bench import Bench


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def ask(deal_id: str, **more: Any) -> dict[str, Any]:
    return sync.deal_validate(system_code="crm", deal_id=deal_id, **more)


def codes(answer: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in answer["problems"]]


def test_an_open_deal_is_checked_as_if_it_were_won_and_nothing_is_written(bench: Bench):
    before = bench.objects()
    runs = Transaction.objects.count()
    deal_id = bench.deal(acts.PLATFORM)
    answer = ask(deal_id, deadline_seconds=10.0)
    assert (answer["ok"], answer["live"], codes(answer)) == (True, True, [])
    assert [action["name"] for action in answer["actions"]][:5] == [
        "customer", "erp.customer", "billing.customer", "crm.customer_ref", "engagement",
    ]  # fmt: skip
    assert answer["legal_entity_code"] == "MER-UK"
    assert bench.added(before) == {}
    assert Transaction.objects.count() == runs


def test_what_is_missing_is_said_before_closing(bench: Bench):
    deal_id = bench.deal(replace(acts.SMALL, schedule=(), signed=False))
    assert set(codes(ask(deal_id, deadline_seconds=10.0))) == {"DEAL-INCOMPLETE", "DEAL-UNSIGNED"}


def test_a_slow_crm_is_not_waited_for(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    bench.poll(("crm", "deal"))
    seen_until = clock.now()
    bench.control.fault("crm", "latency", method="GET", seconds=0.9, times=None)
    started = time.monotonic()
    answer = ask(deal_id, deadline_seconds=0.4)
    assert time.monotonic() - started < 2
    assert (answer["ok"], answer["live"]) == (True, False)
    assert isinstance(answer["as_of"], datetime)
    assert answer["as_of"] <= seen_until, "the time it was seen, not the time it was asked"


def test_a_crm_that_is_down_is_answered_for_from_the_records(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    bench.poll(("crm", "deal"))
    bench.control.fault("crm", "status", status=503, times=None)
    answer = ask(deal_id, deadline_seconds=10.0)
    assert (answer["ok"], answer["live"]) == (True, False)


def test_a_deal_that_nobody_has_seen_cannot_be_answered_without_the_crm(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    bench.control.fault("crm", "status", status=503, times=None)
    with pytest.raises(Unavailable):
        ask(deal_id, deadline_seconds=10.0)


def test_a_deal_that_does_not_exist_is_said_to_be_unknown(bench: Bench):
    with pytest.raises(NotFound):
        ask("006Mer000000000AAA", deadline_seconds=10.0)
    with pytest.raises(NotFound):
        sync.deal_validate(system_code="erp", deal_id="1")


def test_the_document_that_the_crm_sends_along_is_checked_and_not_what_it_has_stored(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    [seen] = connectors.find(
        system_id=organization.system("crm").id, object_type="deal", by="id", value=deal_id
    )
    assert isinstance(seen.body, Deal)
    unsaved = seen.body.model_copy(update={"start_on": None})
    answer = sync.deal_validate(system_code="crm", deal=unsaved, deadline_seconds=10.0)
    assert codes(answer) == ["DEAL-INCOMPLETE"]
    assert "start date" in answer["problems"][0]["reason"]
    assert ask(deal_id, deadline_seconds=10.0)["ok"] is True


def test_the_same_question_has_the_same_digest(bench: Bench):
    deal_id = bench.deal(acts.PLATFORM)
    first, second = (ask(deal_id, deadline_seconds=10.0) for _ in range(2))
    assert first["digest"] == second["digest"]
    bench.control.patch("crm", "Opportunity", deal_id, {"PO_Number__c": "PO-99"})
    assert ask(deal_id, deadline_seconds=10.0)["digest"] != first["digest"]


def twins(bench: Bench, tax_id: str) -> list[str]:
    """Two records of one tax id in the ERP."""
    return [
        bench.control.create(
            "erp",
            "customer",
            {"companyName": name, "isPerson": False, "subsidiary": {"id": "1"}, "vatRegNumber": tax_id},
        )["id"]
        for name in ("Double Holdings", "Double Trading")
    ]


def test_a_duplicate_in_the_erp_is_said_before_closing_and_still_when_nothing_answers(bench: Bench):
    twins(bench, "GB239529827")
    deal_id = bench.deal(acts.SMALL, account=bench.account(Tax_Id__c="GB239529827"))
    before, runs = bench.objects(), Transaction.objects.count()
    answer = ask(deal_id, deadline_seconds=10.0)
    assert (answer["ok"], answer["live"], codes(answer)) == (False, True, ["CUS-DUP"])
    assert "Double Holdings" in answer["problems"][0]["reason"]
    assert {"erp.customer": "blocked"}.items() <= {a["name"]: a["kind"] for a in answer["actions"]}.items()
    assert bench.added(before) == {}
    assert Transaction.objects.count() == runs

    seen_until = clock.now()
    for system in ("crm", "erp"):
        bench.control.fault(system, "status", status=503, times=None)
    again = ask(deal_id, deadline_seconds=10.0)
    assert (again["live"], codes(again)) == (False, ["CUS-DUP"])
    assert again["as_of"] <= seen_until


def test_a_record_that_is_closed_in_the_erp_is_said_before_closing(bench: Bench):
    number = twins(bench, "GB244155576")
    bench.control.delete("erp", "customer", number[0])
    bench.control.patch("erp", "customer", number[1], {"isInactive": True})
    deal_id = bench.deal(acts.SMALL, account=bench.account(Tax_Id__c="GB244155576"))
    assert codes(ask(deal_id, deadline_seconds=10.0)) == ["CUS-INACTIVE"]


def test_an_erp_that_is_down_leaves_the_answer_to_the_records(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    bench.control.fault("erp", "status", status=503, times=None)
    answer = ask(deal_id, deadline_seconds=10.0)
    assert (answer["ok"], answer["live"]) == (True, False)


def test_an_answer_from_records_is_as_old_as_the_oldest_of_them(bench: Bench):
    account = bench.account()
    deal_id = bench.deal(acts.SMALL, account=account)
    crm = organization.system("crm")
    ask(deal_id, deadline_seconds=10.0)
    account_seen = clock.now()
    [seen] = connectors.find(system_id=crm.id, object_type="deal", by="id", value=deal_id)
    base.observe(system=crm, observed=seen)
    assert account_seen < clock.now()
    bench.control.fault("crm", "status", status=503, times=None)
    from_records = ask(deal_id, deadline_seconds=10.0)
    assert (from_records["live"], from_records["as_of"] <= account_seen) == (False, True)
    assert isinstance(seen.body, Deal)
    sent_along = sync.deal_validate(system_code="crm", deal=seen.body, deadline_seconds=10.0)
    assert (sent_along["live"], sent_along["as_of"] <= account_seen) == (False, True)


def test_an_account_that_nobody_has_seen_is_not_said_to_be_missing(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    crm = organization.system("crm")
    [seen] = connectors.find(system_id=crm.id, object_type="deal", by="id", value=deal_id)
    bench.control.fault("crm", "status", status=503, times=None)
    assert isinstance(seen.body, Deal)
    with pytest.raises(Unavailable, match="account has not been seen"):
        sync.deal_validate(system_code="crm", deal=seen.body, deadline_seconds=10.0)


def test_a_key_of_one_entity_cannot_tell_anothers_deal_from_none(bench: Bench, client: Client):
    theirs, unknown = bench.deal(acts.SMALL), "006Mer000000000AAA"
    bench.poll(("crm", "deal"))
    foreign = organization.entity("MER-US")
    _row, secret = api_key_create(name="crm us", scopes=["deal.validate"], legal_entity=foreign)

    def answered(deal_id: str) -> tuple[int, str]:
        response = client.post(
            "/api/v1/deals/validate",
            {"system": "crm", "deal_id": deal_id},
            content_type="application/json",
            headers={"Authorization": f"Api-Key {secret}"},
        )
        return response.status_code, response.json()["detail"].replace(deal_id, "…")

    assert answered(theirs) == answered(unknown) == (404, "There is no deal … in Salesforce.")
    bench.control.fault("crm", "status", status=503, times=None)
    assert answered(theirs) == answered(unknown)
    assert answered(theirs)[0] == 503
