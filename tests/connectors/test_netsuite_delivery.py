"""Projects, rate cards, charge rules and billing schedules in NetSuite."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from apps.canonical.objects import BillingSchedule, Engagement, RateCard
from apps.connectors.spi import AdapterError, ErrorKind, Push

GBP = {"amount": "90000.00", "currency": "GBP"}


@pytest.fixture
def buyer(sandbox, erp) -> str:
    record = {"companyName": "Aldergate plc", "subsidiary": {"id": "1"}, "currency": {"id": "1"}}
    return sandbox.control.seed({"erp": {"customer": [record]}})["erp"]["customer"][0]


def engagement(**changes: Any) -> Engagement:
    values = {
        "key": "ENG-2026-000042",
        "name": "ERP roll-out",
        "customer_key": "crm:001A",
        "legal_entity_code": "MER-UK",
        "currency": "GBP",
        "billing_model": "milestone",
        "start_on": "2026-12-01",
        "end_on": "2027-03-31",
        "budget": GBP,
    }
    return Engagement.model_validate({**values, **changes})


def rate_card(*lines: dict[str, Any]) -> RateCard:
    standard = (
        {"role": "Consultant", "bill_rate": {"amount": "150.00", "currency": "GBP"}},
        {"role": "Architect", "unit": "day", "bill_rate": {"amount": "1600.00", "currency": "GBP"}},
        {"blended": True, "service_code": "TRN-100", "bill_rate": {"amount": "120.50", "currency": "GBP"}},
    )
    return RateCard.model_validate(
        {
            "key": "RC-42",
            "name": "ERP roll-out",
            "currency": "GBP",
            "effective_from": date(2026, 12, 1),
            "lines": lines or standard,
        }
    )


def push(object_type: str, operation: str = "create", **more: Any) -> Push:
    values = {"key": f"key-{object_type}", "idempotency_key": "i-1", **more}
    return Push(object_type=object_type, operation=operation, **values)


def project_push(buyer: str, **more: Any) -> Push:
    values = {
        "key": "ENG-2026-000042",
        "body": engagement(),
        "refs": {"customer": buyer},
        "settings": {"subsidiary": "1"},
        **more,
    }
    return push("engagement", **values)


def test_a_project_is_created_under_its_engagement_key_and_read_back(netsuite, erp, buyer):
    card = netsuite.push(push("rate_card", body=rate_card(), key="RC-42"))
    outcome = netsuite.push(project_push(buyer, refs={"customer": buyer, "rate_card": card.external_id}))
    record = erp.record("job", externalId="ENG-2026-000042")
    assert outcome.external_id == record["id"]
    assert record["jobBillingType"]["id"] == "3"
    assert record["billingRateCard"]["id"] == card.external_id
    [found] = netsuite.find(object_type="engagement", by="key", value="ENG-2026-000042")
    assert found.external_id == record["id"]
    assert found.body.model_dump(
        include={"key", "name", "currency", "billing_model", "start_on", "end_on", "budget"}
    ) == (
        engagement().model_dump(
            include={"key", "name", "currency", "billing_model", "start_on", "end_on", "budget"}
        )
    )
    assert found.container_id == found.facts["customer_id"] == buyer
    assert found.body.legal_entity_code == "MER-UK"


def test_a_project_sent_twice_is_one_project_and_probing_finds_it(netsuite, erp, buyer):
    assert netsuite.probe(project_push(buyer)) is None
    assert netsuite.push(project_push(buyer)).external_id == netsuite.push(project_push(buyer)).external_id
    assert len(erp.records("job")) == 1
    assert netsuite.probe(project_push(buyer)).external_id == erp.record("job")["id"]


def test_an_update_touches_the_named_fields_of_a_project(netsuite, erp, buyer):
    one = netsuite.push(project_push(buyer)).external_id
    changed = engagement(end_on="2027-06-30", name="Renamed by mistake")
    netsuite.push(project_push(buyer, operation="update", external_id=one, body=changed, fields=("end_on",)))
    record = erp.record("job")
    assert (record["projectedEndDate"], record["companyName"]) == ("2027-06-30", "ERP roll-out")


@pytest.mark.provokes("CUS-LE-NOT-ENABLED")
def test_a_project_in_a_subsidiary_the_customer_is_not_enabled_for_is_refused(netsuite, buyer):
    with pytest.raises(AdapterError) as caught:
        netsuite.push(project_push(buyer, settings={"subsidiary": "2"}))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.REJECTED, "CUS-LE-NOT-ENABLED")


@pytest.mark.provokes("PRJ-DUP")
def test_a_second_project_of_one_name_is_a_duplicate_project(netsuite, buyer):
    netsuite.push(project_push(buyer))
    with pytest.raises(AdapterError) as caught:
        netsuite.push(project_push(buyer, key="ENG-2026-000043"))
    assert caught.value.code == "PRJ-DUP"


# -- rate cards ------------------------------------------------------------------------------------


def prices(erp) -> dict[str, float]:
    card = erp.record("billingRateCard")
    return {line["billingClass"]["refName"]: line["price"] for line in card["rateCardPricing"]["items"]}


def test_a_rate_card_prices_a_billing_class_for_each_role_by_the_hour(netsuite, erp):
    write = push("rate_card", body=rate_card())
    assert netsuite.probe(write) is None
    outcome = netsuite.push(write)
    assert prices(erp) == {"Consultant": 150, "Architect": 200, "Blended TRN-100": 120.5}
    assert netsuite.probe(write).external_id == outcome.external_id


def test_a_rate_card_sent_again_replaces_its_prices_and_shares_billing_classes(netsuite, erp):
    netsuite.push(push("rate_card", body=rate_card()))
    dearer = rate_card({"role": "Consultant", "bill_rate": {"amount": "175.00", "currency": "GBP"}})
    netsuite.push(push("rate_card", body=dearer))
    assert prices(erp) == {"Consultant": 175}
    assert sorted(one["name"] for one in erp.records("billingClass")) == [
        "Architect",
        "Blended TRN-100",
        "Consultant",
    ]


def test_a_billing_class_that_exists_is_used_and_not_made_again(netsuite, erp, sandbox):
    sandbox.control.seed({"erp": {"billingClass": [{"id": "9", "name": "Consultant"}]}})
    netsuite.push(
        push(
            "rate_card",
            body=rate_card({"role": "Consultant", "bill_rate": {"amount": "1", "currency": "GBP"}}),
        )
    )
    assert [one["id"] for one in erp.records("billingClass")] == ["9"]


# -- charge rules ----------------------------------------------------------------------------------


def rule_push(project: str, **values: Any) -> Push:
    given = {
        "name": "Implementation",
        "billing_model": "milestone",
        "billing_code": "SVC-IMPL",
        "amount": "60000.00",
    }
    return push(
        "billing_rule", key="ENG-2026-000042-L1", refs={"project": project}, values={**given, **values}
    )


def test_a_billing_rule_bills_an_item_found_by_its_name(netsuite, erp, buyer):
    project = netsuite.push(project_push(buyer)).external_id
    assert netsuite.probe(rule_push(project)) is None
    outcome = netsuite.push(rule_push(project))
    record = erp.record("chargeRule", externalId="ENG-2026-000042-L1")
    assert (record["project"]["id"], record["billingItem"]["id"], record["amount"]) == (project, "41", 60000)
    assert netsuite.probe(rule_push(project)).external_id == outcome.external_id
    netsuite.push(rule_push(project))
    assert len(erp.records("chargeRule")) == 1


@pytest.mark.provokes("DEAL-SVC-UNMAPPED")
@pytest.mark.parametrize("code", ["SVC-NONE", ""])
def test_a_billing_rule_without_an_item_is_an_unmapped_service(netsuite, erp, buyer, code):
    project = netsuite.push(project_push(buyer)).external_id
    with pytest.raises(AdapterError) as caught:
        netsuite.push(rule_push(project, billing_code=code))
    assert (caught.value.code, caught.value.value) == ("DEAL-SVC-UNMAPPED", code)
    assert erp.records("chargeRule") == []


# -- billing schedules -----------------------------------------------------------------------------

DESIGN = {
    "key": "m1",
    "label": "Design",
    "amount": {"amount": "30000.00", "currency": "GBP"},
    "trigger": "acceptance",
}
DEPOSIT = {
    "key": "m2",
    "label": "Deposit",
    "amount": {"amount": "60000.00", "currency": "GBP"},
    "trigger": "date",
    "due_on": "2026-12-01",
}  # fmt: skip


def schedule_push(*entries: dict[str, Any]) -> Push:
    body = BillingSchedule.model_validate(
        {
            "key": "ENG-2026-000042-BS",
            "engagement_key": "ENG-2026-000042",
            "currency": "GBP",
            "entries": entries,
        }
    )
    return push("billing_schedule", key=body.key, body=body)


def test_a_schedule_with_milestones_holds_every_entry_and_its_project_refers_to_it(netsuite, erp, buyer):
    write = schedule_push(DESIGN, DEPOSIT)
    assert netsuite.probe(write) is None
    schedule = netsuite.push(write).external_id
    record = erp.record("billingSchedule", externalId="ENG-2026-000042-BS")
    assert (record["id"], record["scheduleType"]["id"]) == (schedule, "3")
    lines = record["milestone"]["items"]
    assert [(one["milestoneId"], one["comments"], one["milestoneAmount"]) for one in lines] == [
        (1, "Design", 30000),
        (2, "Deposit", 60000),
    ]
    assert [one.get("milestoneDate") for one in lines] == [None, "2026-12-01"]
    netsuite.push(project_push(buyer, refs={"customer": buyer, "billing_schedule": schedule}))
    assert erp.record("job")["billingSchedule"]["id"] == schedule


def test_a_schedule_of_dated_instalments_is_a_recurrence(netsuite, erp):
    netsuite.push(schedule_push(DEPOSIT, DEPOSIT | {"key": "m3", "due_on": "2027-02-15"}))
    record = erp.record("billingSchedule")
    assert (record["scheduleType"]["id"], record["frequency"]["id"]) == ("1", "CUSTOM")
    lines = [(one["recurrenceDate"], one["amount"]) for one in record["recurrence"]["items"]]
    assert lines == [("2026-12-01", 60000), ("2027-02-15", 60000)]


def test_a_schedule_sent_again_stands_once_with_its_present_entries(netsuite, erp):
    first = netsuite.push(schedule_push(DESIGN, DEPOSIT))
    assert netsuite.probe(schedule_push(DESIGN, DEPOSIT)).external_id == first.external_id
    smaller = schedule_push(DESIGN | {"amount": {"amount": "25000.00", "currency": "GBP"}})
    assert netsuite.probe(smaller) is None, "an older version does not pass for the new one"
    assert netsuite.push(smaller).external_id == first.external_id
    [record] = erp.records("billingSchedule")
    assert [one["milestoneAmount"] for one in record["milestone"]["items"]] == [25000]


def test_a_write_nobody_wrote_is_refused_before_it_is_sent(netsuite, erp):
    with pytest.raises(AdapterError, match="cannot delete a customer"):
        netsuite.push(push("customer", "delete"))
    assert erp.requests() == []
