"""Deals as a salesperson enters them in the CRM, through the sandbox's control door.

Public surface: :class:`DealSpec`, :class:`Line`, :class:`Entry`, :func:`enter`, :func:`close`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from apps.demo import firm
from apps.demo.install import account_id
from apps.demo.sandbox_client import SandboxControl


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


def find(control: SandboxControl, name: str) -> dict[str, Any] | None:
    """The opportunity of this name, if it has been entered."""
    found = control.records("crm", "Opportunity", Name=name)
    return found[0] if found else None


def enter(control: SandboxControl, spec: DealSpec, *, today: date) -> str:
    """Enter the deal at the stage before closing, with contract, lines, schedule and rates. Returns its CRM id."""
    known = find(control, spec.name)
    if known is not None:
        return str(known["Id"])
    account = account_of(spec.client)
    start = today + timedelta(days=spec.start_days)
    contract = control.create(
        "crm",
        "Contract",
        {
            "AccountId": account,
            "Status": "Activated" if spec.signed else "Draft",
            "StartDate": start.isoformat(),
            "EndDate": (start + timedelta(days=730)).isoformat(),
            "Kind__c": "MSA",
            "Signed_On__c": start.isoformat() if spec.signed else None,
            "Not_To_Exceed__c": str(spec.not_to_exceed) if spec.not_to_exceed is not None else None,
        },
    )
    opportunity = control.create(
        "crm",
        "Opportunity",
        {
            "Name": spec.name,
            "AccountId": account,
            "StageName": "Negotiation",
            "Amount": float(spec.amount),
            "CloseDate": today.isoformat(),
            "CurrencyIsoCode": spec.currency,
            "ContractId": contract["Id"],
            "Contracting_Entity__c": spec.entity,
            "Billing_Type__c": spec.billing_model,
            "Start_Date__c": start.isoformat(),
            "End_Date__c": (start + timedelta(days=365)).isoformat(),
            "PO_Number__c": spec.po_number or None,
            "Project_Manager__c": f"{spec.project_manager}@merridane.example",
        },
    )
    _children(control, spec, opportunity["Id"], today)
    return str(opportunity["Id"])


def _children(control: SandboxControl, spec: DealSpec, deal_id: str, today: date) -> None:
    for number, line in enumerate(spec.lines, start=1):
        service = firm.service(line.service)
        control.create(
            "crm",
            "OpportunityLineItem",
            {
                "OpportunityId": deal_id,
                "ProductCode": line.service,
                "Description": service.name,
                "Quantity": float(line.quantity),
                "UnitPrice": float(line.amount / line.quantity),
                "TotalPrice": float(line.amount),
                "SortOrder": number,
                "CurrencyIsoCode": spec.currency,
                "Billing_Type__c": service.billing_model if len(spec.lines) > 1 else spec.billing_model,
            },
        )
    for number, entry in enumerate(spec.schedule, start=1):
        due = (today + timedelta(days=entry.days)).isoformat() if entry.days is not None else None
        control.create(
            "crm",
            "Billing_Schedule__c",
            {
                "Opportunity__c": deal_id,
                "Label__c": entry.label,
                "Amount__c": str(entry.amount),
                "Trigger__c": "acceptance" if entry.days is None else "date",
                "Due_Date__c": due,
                "Service_Code__c": entry.service or spec.lines[0].service,
                "Sort__c": number,
            },
        )
    for role, rate in spec.rates.items():
        control.create(
            "crm",
            "Deal_Rate__c",
            {
                "Opportunity__c": deal_id,
                "Role__c": role or None,
                "Blended__c": not role,
                "Unit__c": "hour",
                "Bill_Rate__c": rate,
            },
        )


def close(control: SandboxControl, deal_id: str) -> None:
    """The salesperson wins the deal: the CRM emits its change event."""
    control.patch("crm", "Opportunity", deal_id, {"StageName": "Closed Won"})
