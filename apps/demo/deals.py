"""Deals as a salesperson enters them in the CRM, through the sandbox's control door.

Public surface: :class:`DealSpec`, :class:`Line`, :class:`Entry`, :func:`enter`, :func:`enter_all`, :func:`close`,
:func:`stage_of`, :func:`account_of`, :func:`line_record`, :func:`schedule_record`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from apps.demo import firm
from apps.demo.install import account_id
from apps.demo.sandbox_client import SandboxControl

KINDS = ("Contract", "Opportunity", "OpportunityLineItem", "Billing_Schedule__c", "Deal_Rate__c")


@dataclass(frozen=True)
class Line:
    service: str
    amount: Decimal
    quantity: Decimal = Decimal(1)


@dataclass(frozen=True)
class Entry:
    """An instalment (``days`` from today) or, without days, a milestone billed on acceptance."""

    label: str
    amount: Decimal
    service: str = ""
    days: int | None = None


@dataclass(frozen=True)
class DealSpec:
    """One deal. ``name`` is its identity: entering it twice changes nothing."""

    name: str
    client: str
    entity: str
    billing_model: str
    lines: tuple[Line, ...]
    schedule: tuple[Entry, ...] = ()
    #: role → hourly rate; "" is a blended rate for any role.
    rates: dict[str, str] = field(default_factory=dict)
    project_manager: str = "priya"
    po_number: str = ""
    po_amount: Decimal | None = None
    not_to_exceed: Decimal | None = None
    signed: bool = True
    start_days: int = -30
    header_amount: Decimal | None = None

    @property
    def currency(self) -> str:
        return firm.entity(self.entity).currency

    @property
    def amount(self) -> Decimal:
        return (
            self.header_amount
            if self.header_amount is not None
            else sum((line.amount for line in self.lines), Decimal(0))
        )


def account_of(client_key: str) -> str:
    """The CRM id of a client's account."""
    keys = [client.key for client in firm.CLIENTS]
    return account_id(keys.index(client_key) + 1)


def enter(control: SandboxControl, spec: DealSpec, *, today: date) -> str:
    """Enter one deal at the stage before closing. Returns its CRM id."""
    return enter_all(control, [spec], today=today)[spec.name]


def enter_all(control: SandboxControl, specs: Sequence[DealSpec], *, today: date) -> dict[str, str]:
    """Enter deals at the stage before closing, with contract, lines, schedule and rates; what is there stays as it is.

    All of them or none: an interrupted call leaves no half deal. Returns the CRM id of each name."""
    known = {str(row["Name"]): str(row["Id"]) for row in control.records("crm", "Opportunity")}
    records: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for spec in specs:
        if spec.name not in known:
            known[spec.name] = record_id("006", spec.name)
            _collect(records, spec, known[spec.name], today)
    if records["Opportunity"]:
        control.seed({"crm": records})
    return {spec.name: known[spec.name] for spec in specs}


def record_id(prefix: str, name: str) -> str:
    """An id in Salesforce's 18-character form that is always the same for a name."""
    return f"{prefix}Mer{zlib.crc32(name.encode()) % 10**9:09d}AAA"


def _collect(records: dict[str, list[dict[str, Any]]], spec: DealSpec, deal_id: str, today: date) -> None:
    start = today + timedelta(days=spec.start_days)
    contract_id = record_id("800", spec.name)
    records["Contract"].append(
        {
            "Id": contract_id,
            "AccountId": account_of(spec.client),
            "ContractNumber": f"MSA-{zlib.crc32(spec.name.encode()) % 10**6:06d}",
            "Status": "Activated" if spec.signed else "Draft",
            "StartDate": start.isoformat(),
            "EndDate": (start + timedelta(days=730)).isoformat(),
            "Kind__c": "MSA",
            "Signed_On__c": start.isoformat() if spec.signed else None,
            "Not_To_Exceed__c": str(spec.not_to_exceed) if spec.not_to_exceed is not None else None,
        }
    )
    records["Opportunity"].append(
        {
            "Id": deal_id,
            "Name": spec.name,
            "AccountId": account_of(spec.client),
            "StageName": "Negotiation",
            "Amount": float(spec.amount),
            "CloseDate": today.isoformat(),
            "CurrencyIsoCode": spec.currency,
            "ContractId": contract_id,
            "Contracting_Entity__c": spec.entity,
            "Billing_Type__c": spec.billing_model,
            "Start_Date__c": start.isoformat(),
            "End_Date__c": (start + timedelta(days=365)).isoformat(),
            "PO_Number__c": spec.po_number or None,
            "PO_Amount__c": str(spec.po_amount) if spec.po_amount is not None else None,
            "Project_Manager__c": f"{spec.project_manager}@merridane.example",
        }
    )
    several = len(spec.lines) > 1
    for number, line in enumerate(spec.lines, start=1):
        model = firm.service(line.service).billing_model if several else spec.billing_model
        records["OpportunityLineItem"].append(
            line_record(line, deal_id, currency=spec.currency, number=number, model=model)
        )
    for number, entry in enumerate(spec.schedule, start=1):
        service = entry.service or spec.lines[0].service
        records["Billing_Schedule__c"].append(
            schedule_record(entry, deal_id, service=service, number=number, today=today)
        )
    for role, rate in spec.rates.items():
        records["Deal_Rate__c"].append(
            {
                "Opportunity__c": deal_id,
                "Role__c": role or None,
                "Blended__c": not role,
                "Unit__c": "hour",
                "Bill_Rate__c": rate,
            }
        )


def line_record(line: Line, deal_id: str, *, currency: str, number: int, model: str) -> dict[str, Any]:
    """A sold service line as the CRM holds it."""
    return {
        "OpportunityId": deal_id,
        "ProductCode": line.service,
        "Description": firm.service(line.service).name,
        "Quantity": float(line.quantity),
        "UnitPrice": float(line.amount / line.quantity),
        "TotalPrice": float(line.amount),
        "SortOrder": number,
        "CurrencyIsoCode": currency,
        "Billing_Type__c": model,
    }


def schedule_record(entry: Entry, deal_id: str, *, service: str, number: int, today: date) -> dict[str, Any]:
    """An entry of the billing schedule as the CRM holds it."""
    due = (today + timedelta(days=entry.days)).isoformat() if entry.days is not None else None
    return {
        "Opportunity__c": deal_id,
        "Label__c": entry.label,
        "Amount__c": str(entry.amount),
        "Trigger__c": "acceptance" if entry.days is None else "date",
        "Due_Date__c": due,
        "Service_Code__c": service,
        "Sort__c": number,
    }


def stage_of(control: SandboxControl) -> dict[str, str]:
    """The stage of every deal, by CRM id."""
    return {str(row["Id"]): str(row["StageName"]) for row in control.records("crm", "Opportunity")}


def close(control: SandboxControl, deal_id: str) -> None:
    """The salesperson wins the deal: the CRM emits its change event."""
    control.patch("crm", "Opportunity", deal_id, {"StageName": "Closed Won"})
