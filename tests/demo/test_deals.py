"""Deals are entered as a salesperson enters them: whole, open, and only once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from apps.demo import deals, firm, situations
from apps.demo.deals import DealSpec, Entry, Line
from tests.sandbox_process import SandboxProcess

TODAY = date(2026, 11, 2)
SPEC = DealSpec(
    "Ledger renewal",
    "thornmere",
    "MER-UK",
    "milestone",
    (Line("IMP-200", Decimal(90_000)), Line("ANA-220", Decimal(45_000))),
    (Entry("Design", Decimal(30_000)), Entry("Advance", Decimal(60_000), days=10)),
    {"Manager": "195", "": "180"},
)


@pytest.fixture
def sandbox(free_port_block, tmp_path):
    with SandboxProcess(free_port_block(7), tmp_path / "sandbox") as process:
        accounts = [firm.account_record(client, deals.account_of(client.key)) for client in firm.CLIENTS]
        process.control.seed({"crm": {"Account": accounts}})
        yield process


def test_a_deal_is_entered_with_contract_lines_schedule_and_rates(sandbox):
    crm = sandbox.control.system("crm")
    deal_id = deals.enter(sandbox.control, SPEC, today=TODAY)
    deal = crm.record("Opportunity", Id=deal_id)
    assert (deal["StageName"], deal["IsWon"], deal["Amount"]) == ("Negotiation", False, 135_000)
    assert crm.record("Contract", Id=deal["ContractId"])["Status"] == "Activated"
    lines = crm.records("OpportunityLineItem", OpportunityId=deal_id)
    assert {row["ProductCode"]: row["TotalPrice"] for row in lines} == {"IMP-200": 90_000, "ANA-220": 45_000}
    entries = {row["Label__c"]: row for row in crm.records("Billing_Schedule__c", Opportunity__c=deal_id)}
    assert (entries["Design"]["Trigger__c"], entries["Design"]["Due_Date__c"]) == ("acceptance", None)
    assert (entries["Advance"]["Trigger__c"], entries["Advance"]["Due_Date__c"]) == ("date", "2026-11-12")
    rates = crm.records("Deal_Rate__c", Opportunity__c=deal_id)
    assert sorted((row["Role__c"] or "", row["Blended__c"]) for row in rates) == [
        ("", True),
        ("Manager", False),
    ]


def test_entering_again_adds_nothing(sandbox):
    first = deals.enter_all(sandbox.control, [SPEC], today=TODAY)
    counts = {kind: len(sandbox.control.records("crm", kind)) for kind in deals.KINDS}
    again = deals.enter_all(sandbox.control, [SPEC, *situations.TWINS], today=TODAY)
    assert again[SPEC.name] == first[SPEC.name]
    now = {kind: len(sandbox.control.records("crm", kind)) for kind in deals.KINDS}
    assert now["Opportunity"] == counts["Opportunity"] + 2
    assert now["Deal_Rate__c"] == counts["Deal_Rate__c"]


def test_closing_wins_the_deal_and_tells_it(sandbox):
    deal_id = deals.enter(sandbox.control, SPEC, today=TODAY)
    assert sandbox.control.events("crm") == []
    deals.close(sandbox.control, deal_id)
    assert deals.stage_of(sandbox.control) == {deal_id: "Closed Won"}
    assert sandbox.control.system("crm").record("Opportunity", Id=deal_id)["IsWon"] is True
    [event] = sandbox.control.events("crm")
    assert event["body"]["payload"]["ChangeEventHeader"]["recordIds"] == [deal_id]
