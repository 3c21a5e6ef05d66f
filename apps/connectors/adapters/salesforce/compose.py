"""Salesforce records into canonical objects.

Public surface: :func:`deal`, :func:`customer`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import (
    Address,
    Contract,
    Customer,
    Deal,
    DealLine,
    RateLine,
    ScheduleEntry,
)
from apps.connectors.protocols.convert import built, day, decimal, instant, money, refused
from apps.connectors.spi import Observed

Row = Mapping[str, Any]
CONTRACT_STATES = {
    "draft": "draft",
    "inapproval": "in_approval",
    "in approval process": "in_approval",
    "activated": "activated",
    "expired": "expired",
}


def deal(
    *,
    system: str,
    url: str,
    opportunity: Row,
    lines: Sequence[Row],
    schedule: Sequence[Row],
    rates: Sequence[Row],
) -> Observed:
    """A deal read whole. Keys of customer and deal carry the system's code; parts keep their record ids."""
    currency = _text(opportunity, "CurrencyIsoCode")
    amount = money(opportunity.get("Amount"), currency, field="amount")
    account_id = _text(opportunity, "AccountId")
    what = f"Opportunity {_text(opportunity, 'Name')}"
    body = built(
        Deal,
        what,
        key=f"{system}:{opportunity['Id']}",
        name=_text(opportunity, "Name"),
        customer_key=f"{system}:{account_id}" if account_id else None,
        legal_entity_code=_text(opportunity, "Contracting_Entity__c"),
        currency=currency,
        amount=amount or built(Money, what, amount=0, currency=currency),
        stage=_text(opportunity, "StageName"),
        is_won=bool(opportunity.get("IsWon")),
        is_closed=bool(opportunity.get("IsClosed")),
        closed_on=day(opportunity.get("CloseDate"), field="closed_on"),
        billing_model=_text(opportunity, "Billing_Type__c") or None,
        start_on=day(opportunity.get("Start_Date__c"), field="start_on"),
        end_on=day(opportunity.get("End_Date__c"), field="end_on"),
        po_number=_text(opportunity, "PO_Number__c"),
        po_amount=money(opportunity.get("PO_Amount__c"), currency, field="po_amount"),
        payment_terms=_text(opportunity.get("Account") or {}, "Payment_Terms__c"),
        project_manager=_text(opportunity, "Project_Manager__c"),
        contract=_contract(system, opportunity, currency),
        lines=tuple(_line(row, currency) for row in lines),
        schedule=tuple(_entry(row, currency) for row in schedule),
        rates=tuple(_rate(row, currency) for row in rates),
    )
    rows = [opportunity, *lines, *schedule, *rates]
    contract = opportunity.get("Contract") or {}
    return Observed(
        object_type="deal",
        external_id=str(opportunity["Id"]),
        body=body,
        version=_digest(rows),
        modified_at=_latest([*rows, contract]),
        url=url,
        container_id=account_id,
        facts={
            "account_id": account_id,
            "account_name": _text(opportunity.get("Account") or {}, "Name"),
            "contract_id": _text(opportunity, "ContractId"),
            "amount_missing": amount is None,
        },
    )


def customer(*, system: str, url: str, account: Row) -> Observed:
    currency = _text(account, "CurrencyIsoCode") or None
    street = [part.strip() for part in _text(account, "BillingStreet").splitlines() if part.strip()]
    parent = _text(account, "ParentId")
    country = _text(account, "BillingCountryCode").upper() or None
    body = built(
        Customer,
        f"Account {_text(account, 'Name')}",
        key=f"{system}:{account['Id']}",
        name=_text(account, "Name"),
        currency=currency,
        currencies=(currency,) if currency else (),
        tax_id=_text(account, "Tax_Id__c"),
        tax_exempt=bool(account.get("Tax_Exempt__c")),
        exemption_certificate=_text(account, "Exemption_Certificate__c"),
        exempt_until=day(account.get("Exempt_Until__c"), field="exempt_until"),
        registration_number=_text(account, "Registration_Number__c"),
        payment_terms=_text(account, "Payment_Terms__c"),
        po_required=bool(account.get("PO_Required__c")),
        email=_text(account, "Billing_Email__c"),
        phone=_text(account, "Phone"),
        website=_text(account, "Website"),
        billing_address=built(
            Address,
            f"Billing address of {_text(account, 'Name')}",
            code="CUS-ADDRESS",
            line1=street[0] if street else "",
            line2=", ".join(street[1:]),
            city=_text(account, "BillingCity"),
            region=_text(account, "BillingState"),
            postal_code=_text(account, "BillingPostalCode"),
            country=country,
        ),
        parent_key=f"{system}:{parent}" if parent else None,
    )
    return Observed(
        object_type="customer",
        external_id=str(account["Id"]),
        body=body,
        version=_text(account, "SystemModstamp"),
        modified_at=_latest([account]),
        url=url,
        facts={
            "account_number": _text(account, "AccountNumber"),
            "erp_customer_id": _text(account, "ERP_Customer_Id__c"),
        },
    )


def _contract(system: str, opportunity: Row, currency: str) -> Contract | None:
    """The contract that the opportunity names. Without a kind it is the statement of work of this deal."""
    contract = opportunity.get("Contract") or {}
    contract_id = _text(opportunity, "ContractId")
    customer_id = _text(contract, "AccountId") or _text(opportunity, "AccountId")
    if not contract or not contract_id or not customer_id:
        return None
    status = CONTRACT_STATES.get(_text(contract, "Status").lower())
    if status is None:
        raise refused(
            f"The contract's status “{_text(contract, 'Status')}” is not known.",
            field="contract.status",
            value=_text(contract, "Status"),
            code="DEAL-UNSIGNED",
        )
    return built(
        Contract,
        f"Contract {_text(contract, 'ContractNumber')}",
        key=f"{system}:{contract_id}",
        kind=_text(contract, "Kind__c") or "SOW",
        number=_text(contract, "ContractNumber"),
        status=status,
        customer_key=f"{system}:{customer_id}",
        start_on=day(contract.get("StartDate"), field="contract.start_on"),
        end_on=day(contract.get("EndDate"), field="contract.end_on"),
        signed_on=day(contract.get("Signed_On__c"), field="contract.signed_on"),
        not_to_exceed=money(contract.get("Not_To_Exceed__c"), currency, field="contract.not_to_exceed"),
    )


def _line(row: Row, currency: str) -> DealLine:
    return built(
        DealLine,
        f"Line {_text(row, 'ProductCode') or row['Id']}",
        key=str(row["Id"]),
        service_code=_text(row, "ProductCode"),
        description=_text(row, "Description"),
        quantity=decimal(row.get("Quantity"), field="lines.quantity") or 0,
        unit_price=money(row.get("UnitPrice") or 0, currency, field="lines.unit_price", rounded=True),
        amount=money(row.get("TotalPrice") or 0, currency, field="lines.amount"),
        billing_model=_text(row, "Billing_Type__c") or None,
    )


def _entry(row: Row, currency: str) -> ScheduleEntry:
    return built(
        ScheduleEntry,
        f"Billing schedule entry {_text(row, 'Label__c') or row['Id']}",
        key=str(row["Id"]),
        label=_text(row, "Label__c"),
        amount=money(row.get("Amount__c") or 0, currency, field="schedule.amount"),
        trigger=_text(row, "Trigger__c").lower() or ("date" if row.get("Due_Date__c") else "acceptance"),
        due_on=day(row.get("Due_Date__c"), field="schedule.due_on"),
        service_code=_text(row, "Service_Code__c"),
    )


def _rate(row: Row, currency: str) -> RateLine:
    return built(
        RateLine,
        f"Rate {_text(row, 'Role__c') or row['Id']}",
        role=_text(row, "Role__c"),
        service_code=_text(row, "Service_Code__c"),
        blended=bool(row.get("Blended__c")),
        unit=_text(row, "Unit__c").lower() or "hour",
        bill_rate=money(row.get("Bill_Rate__c"), currency, field="rates.bill_rate"),
    )


def _text(row: Row, name: str) -> str:
    return str(row.get(name) or "").strip()


def _latest(rows: Sequence[Row]) -> datetime | None:
    stamps = [at for row in rows if (at := instant(row.get("SystemModstamp"), field="SystemModstamp"))]
    return max(stamps, default=None)


def _digest(rows: Sequence[Row]) -> str:
    """Changes whenever any part does; a part that was removed counts too."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()[:32]
