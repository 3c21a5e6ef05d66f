"""Each fault of a deal, entered in the CRM, is told by its code; nothing is created before it is corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from apps.canonical.money import Money
from apps.canonical.objects import Deal
from apps.commercial import selectors as commercial
from apps.connectors import services as connectors
from apps.demo import deals
from apps.organization import selectors as organization
from apps.organization.models import LegalEntity
from apps.records import selectors as records
from apps.sync import services as sync
from tests.flows import acts
from tests.flows.bench import Bench

CRM = ("crm", "deal")
Fault = Callable[[Bench, str], None]
UNMAPPED = replace(
    acts.SMALL, name="Unmapped", entity="OST-BE", lines=(deals.Line("AIR-510", Decimal("9000")),)
)


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def of_deal(**fields: Any) -> Fault:
    return lambda bench, deal_id: bench.control.patch("crm", "Opportunity", deal_id, fields)


def of_schedule(**fields: Any) -> Fault:
    def patch(bench: Bench, deal_id: str) -> None:
        [entry] = bench.control.records("crm", "Billing_Schedule__c", Opportunity__c=deal_id)
        bench.control.patch("crm", "Billing_Schedule__c", entry["Id"], fields)

    return patch


def as_entered(bench: Bench, deal_id: str) -> None:
    """The deal is wrong as it was entered."""


@pytest.mark.parametrize(
    ("code", "spec", "fault", "account"),
    [
        pytest.param(
            "CUS-LE-MISSING",
            acts.SMALL,
            of_deal(Contracting_Entity__c=None),
            {},
            marks=pytest.mark.provokes("CUS-LE-MISSING"),
        ),
        pytest.param(
            "DEAL-TOTAL",
            acts.SMALL,
            of_deal(Amount=8000.0),
            {},
            marks=pytest.mark.provokes("DEAL-TOTAL"),
        ),
        pytest.param(
            "BILL-SCHED-SUM",
            acts.SMALL,
            of_schedule(Amount__c="8000"),
            {},
            marks=pytest.mark.provokes("BILL-SCHED-SUM"),
        ),
        pytest.param(
            "DEAL-UNSIGNED",
            replace(acts.SMALL, signed=False),
            as_entered,
            {},
            marks=pytest.mark.provokes("DEAL-UNSIGNED"),
        ),
        pytest.param(
            "CUS-PO-REQUIRED",
            acts.SMALL,
            as_entered,
            {"PO_Required__c": True},
            marks=pytest.mark.provokes("CUS-PO-REQUIRED"),
        ),
        pytest.param(
            "CUS-TAXID-INVALID",
            acts.SMALL,
            as_entered,
            {"Tax_Id__c": "GB123456789"},
            marks=pytest.mark.provokes("CUS-TAXID-INVALID"),
        ),
        pytest.param(
            "DEAL-SVC-UNMAPPED",
            UNMAPPED,
            as_entered,
            {},
            marks=pytest.mark.provokes("DEAL-SVC-UNMAPPED"),
        ),
    ],
)
def test_a_fault_of_a_deal_is_told_by_its_code_and_nothing_of_the_deal_is_set_up(
    bench: Bench, code: str, spec: deals.DealSpec, fault: Fault, account: dict[str, Any]
):
    deal_id = bench.deal(spec, account=bench.account(**account))
    fault(bench, deal_id)
    before = bench.objects()
    bench.close(deal_id)
    bench.poll(CRM)
    assert bench.cases(f"crm:{deal_id}") == [(code, "open")]
    assert {"erp job", "psa workspaces", "crm Eng_Status__c"} & set(bench.added(before)) == set()
    assert commercial.engagement_by_deal(f"crm:{deal_id}") is None


@pytest.mark.provokes("CUS-LE-INACTIVE")
def test_a_deal_of_a_closed_legal_entity_waits_for_its_successor(bench: Bench):
    entity = LegalEntity.objects.filter(code="MER-US")
    entity.update(active=False)
    try:
        deal_id = bench.win(replace(acts.SMALL, entity="MER-US"))
        assert bench.cases(f"crm:{deal_id}") == [("CUS-LE-INACTIVE", "open")]
    finally:
        entity.update(active=True)


@pytest.mark.provokes("DEAL-LINE-CCY")
def test_a_rate_in_another_currency_is_told_before_closing(bench: Bench):
    deal_id = bench.deal(acts.PLATFORM)
    [seen] = connectors.find(
        system_id=organization.system("crm").id, object_type="deal", by="id", value=deal_id
    )
    assert isinstance(seen.body, Deal)
    euro = [
        rate.model_copy(update={"bill_rate": Money.of(rate.bill_rate.amount, "EUR")})
        for rate in seen.body.rates
    ]
    unsaved = seen.body.model_copy(update={"rates": tuple(euro)})
    answer = sync.deal_validate(system_code="crm", deal=unsaved, deadline_seconds=10.0)
    assert [problem["code"] for problem in answer["problems"]] == ["DEAL-LINE-CCY"]


@pytest.mark.provokes("DEAL-REOPENED")
def test_a_deal_that_is_opened_again_after_set_up_is_a_persons_decision(bench: Bench):
    deal_id = bench.win(acts.SMALL)
    key = f"crm:{deal_id}"
    bench.control.patch("crm", "Opportunity", deal_id, {"StageName": "Negotiation"})
    bench.poll(CRM)
    assert bench.cases(key) == [("DEAL-REOPENED", "open")]
    assert commercial.engagement_by_deal(key).state == "active"
    bench.close(deal_id)
    bench.poll(CRM)
    assert bench.cases(key) == [("DEAL-REOPENED", "resolved")]


@pytest.mark.provokes("DEAL-BACKDATED")
def test_work_before_the_signature_is_set_up_and_told(bench: Bench):
    deal_id = bench.deal(acts.SMALL)
    [deal] = bench.control.records("crm", "Opportunity", Id=deal_id)
    bench.control.patch("crm", "Contract", deal["ContractId"], {"Signed_On__c": deal["CloseDate"]})
    bench.close(deal_id)
    bench.poll(CRM)
    key = f"crm:{deal_id}"
    assert bench.provisioning(deal_id).state == "succeeded"
    assert bench.cases(key) == [("DEAL-BACKDATED", "open")]
    bench.control.patch("crm", "Contract", deal["ContractId"], {"Signed_On__c": deal["Start_Date__c"]})
    bench.poll(CRM)
    assert bench.cases(key) == [("DEAL-BACKDATED", "resolved")]


@pytest.mark.provokes("CUS-BU-CONFLICT")
def test_two_erps_that_disagree_about_a_customer_are_told_and_none_is_overwritten(bench: Bench):
    account = bench.account()
    bench.win(acts.SMALL, account=account)
    bench.win(replace(acts.SMALL, entity="OST-BE"), account=account)
    key = f"crm:{account}"
    bench.control.patch("crm", "Account", account, {"Phone": "+44 1904 555 001"})
    bench.poll(("crm", "customer"))
    assert bench.cases(f"{key}@erp-be") == [], "both have been seen, and agree"
    ids = {
        code: records.find_link("customer", key, organization.system(code).id).external_id
        for code in ("erp", "erp-be")
    }
    [theirs] = bench.control.records("erp-be", "customer", id=ids["erp-be"])
    [sixty] = [
        one for one in bench.control.records("erp-be", "term") if one["name"] != theirs["terms"]["refName"]
    ][:1]
    bench.control.patch("erp-be", "customer", ids["erp-be"], {"terms": {"id": sixty["id"]}})
    bench.control.patch("crm", "Account", account, {"Phone": "+44 1904 555 010"})
    bench.poll(("crm", "customer"))
    assert bench.cases(f"{key}@erp-be") == [("CUS-BU-CONFLICT", "open")]
    [kept] = bench.control.records("erp-be", "customer", id=ids["erp-be"])
    assert kept["terms"]["id"] == sixty["id"]


@pytest.mark.provokes("INT-POISON")
def test_a_transaction_whose_attempts_are_used_up_is_set_aside(bench: Bench):
    bench.control.fault("psa", "status", method="POST", path="/workspaces", status=503, times=None)
    bench.control.fault("psa", "status", method="GET", path="/workspaces", status=503, times=None)
    with override_settings(SYNC_MAX_ATTEMPTS=2):
        deal_id = bench.win(acts.SMALL)
    assert bench.transaction("project", f"crm:{deal_id}", "project.provision").state == "dead"
    assert ("INT-POISON", "open") in bench.cases(f"crm:{deal_id}")


@pytest.mark.provokes("INT-REJECTED")
def test_a_validation_rule_of_the_crm_is_shown_in_its_own_words(bench: Bench):
    refusal = [
        {
            "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "message": "Ask the deal desk before the status changes.",
            "fields": [],
        }
    ]
    bench.control.fault(
        "crm", "status", method="PATCH", path="Eng_Status__c", status=400, body=refusal, times=None
    )
    deal_id = bench.win(acts.SMALL)
    assert bench.cases(f"crm:{deal_id}") == [("INT-REJECTED", "open")]
    assert "Ask the deal desk" in bench.provisioning(deal_id).reason
