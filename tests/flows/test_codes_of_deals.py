"""Each fault of a deal, entered in the CRM, is told by its code; nothing is created before it is corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from apps.demo import deals
from tests.flows import acts
from tests.flows.bench import Bench

CRM = ("crm", "deal")
BY_THE_HOUR = deals.DealSpec(
    name="By the hour",
    client="corvane",
    entity="MER-UK",
    billing_model="time_and_materials",
    lines=(deals.Line("ANA-220", Decimal("9000")),),
    rates={"Manager": "180"},
)
UNMAPPED = replace(
    acts.SMALL, name="Unmapped", entity="OST-BE", lines=(deals.Line("AIR-510", Decimal("9000")),)
)


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def of_deal(**fields: Any) -> Callable[[Bench, str], None]:
    return lambda bench, deal_id: bench.control.patch("crm", "Opportunity", deal_id, fields)


def of_line(**fields: Any) -> Callable[[Bench, str], None]:
    def patch(bench: Bench, deal_id: str) -> None:
        [line] = bench.control.records("crm", "OpportunityLineItem", OpportunityId=deal_id)
        bench.control.patch("crm", "OpportunityLineItem", line["Id"], fields)

    return patch


def of_schedule(**fields: Any) -> Callable[[Bench, str], None]:
    def patch(bench: Bench, deal_id: str) -> None:
        [entry] = bench.control.records("crm", "Billing_Schedule__c", Opportunity__c=deal_id)
        bench.control.patch("crm", "Billing_Schedule__c", entry["Id"], fields)

    return patch


def untouched(bench: Bench, deal_id: str) -> None:
    """The deal is wrong as it was entered."""


def case(code: str, spec: deals.DealSpec, fault: Callable[[Bench, str], None], account: Any = None) -> Any:
    return pytest.param(code, spec, fault, account or {}, id=code)


@pytest.mark.provokes(
    "CUS-LE-MISSING", "DEAL-TOTAL", "DEAL-LINE-CCY", "BILL-SCHED-SUM", "DEAL-UNSIGNED", "CUS-PO-REQUIRED"
)
@pytest.mark.provokes("CUS-TAXID-INVALID", "CUS-CURRENCY", "DEAL-SVC-UNMAPPED", "RES-ROLE-NO-RATE")
def test_a_fault_of_a_deal_is_told_by_its_code_and_nothing_is_created(bench: Bench):
    faults: dict[str, tuple[deals.DealSpec, Callable[[Bench, str], None], dict[str, Any]]] = {
        "CUS-LE-MISSING": (acts.SMALL, of_deal(Contracting_Entity__c=None), {}),
        "DEAL-TOTAL": (acts.SMALL, of_deal(Amount=8000.0), {}),
        "DEAL-LINE-CCY": (acts.SMALL, of_line(CurrencyIsoCode="EUR"), {}),
        "BILL-SCHED-SUM": (acts.SMALL, of_schedule(Amount__c="8000"), {}),
        "DEAL-UNSIGNED": (replace(acts.SMALL, signed=False), untouched, {}),
        "CUS-PO-REQUIRED": (acts.SMALL, untouched, {"PO_Required__c": True}),
        "CUS-TAXID-INVALID": (acts.SMALL, untouched, {"Tax_Id__c": "GB123456789"}),
        "DEAL-SVC-UNMAPPED": (UNMAPPED, untouched, {}),
        "RES-ROLE-NO-RATE": (replace(BY_THE_HOUR, rates={}), untouched, {}),
    }
    before = bench.objects()
    entered = {
        code: bench.deal(spec, account=bench.account(**account))
        for code, (spec, _, account) in faults.items()
    }
    for code, (_spec, fault, _account) in faults.items():
        fault(bench, entered[code])
        bench.close(entered[code])
    bench.poll(CRM)
    told = {code: bench.cases(f"crm:{deal_id}") for code, deal_id in entered.items()}
    assert told == {code: [(code, "open")] for code in faults}
    assert bench.added(before) == {}
