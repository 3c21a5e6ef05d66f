"""Queries and the fields we read.

Public surface: :func:`literal`, :func:`record_id`, :func:`moment`, :func:`select`, and the field lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from apps.connectors.spi import AdapterError, ErrorKind

ACCOUNT = (
    "Id", "Name", "ParentId", "AccountNumber", "Website", "Phone", "BillingStreet", "BillingCity", "BillingState",
    "BillingPostalCode", "BillingCountryCode", "CurrencyIsoCode", "Tax_Id__c", "Tax_Exempt__c",
    "Exemption_Certificate__c", "Exempt_Until__c",
    "Registration_Number__c", "Payment_Terms__c", "PO_Required__c", "Billing_Email__c", "ERP_Customer_Id__c",
    "SystemModstamp",
)  # fmt: skip
OPPORTUNITY = (
    "Id", "Name", "AccountId", "StageName", "IsClosed", "IsWon", "Amount", "CloseDate", "CurrencyIsoCode",
    "ContractId", "Contracting_Entity__c", "Billing_Type__c", "Start_Date__c", "End_Date__c", "PO_Number__c", "PO_Amount__c",
    "Project_Manager__c", "SystemModstamp", "Account.Name", "Account.Payment_Terms__c", "Contract.AccountId",
    "Contract.Status", "Contract.StartDate", "Contract.EndDate", "Contract.ContractNumber", "Contract.Kind__c",
    "Contract.Signed_On__c", "Contract.Not_To_Exceed__c", "Contract.SystemModstamp",
)  # fmt: skip
LINE = (
    "Id", "ProductCode", "Description", "Quantity", "UnitPrice", "TotalPrice", "SortOrder", "Billing_Type__c",
    "SystemModstamp",
)  # fmt: skip
SCHEDULE = (
    "Id", "Label__c", "Amount__c", "Trigger__c", "Due_Date__c", "Service_Code__c", "Sort__c", "SystemModstamp",
)  # fmt: skip
RATE = (
    "Id", "Role__c", "Service_Code__c", "Blended__c", "Unit__c", "Bill_Rate__c", "SystemModstamp",
)  # fmt: skip

_ID = re.compile(r"^[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?$")


def literal(text: str) -> str:
    """A quoted SOQL string (SOQL and SOSL Reference, "Quoted String Escape Sequences")."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def record_id(value: str) -> str:
    """An id of 15 or 18 characters, or ``NOT_FOUND``: nothing else can name a record."""
    if not _ID.match(value):
        raise AdapterError(
            ErrorKind.NOT_FOUND, f"“{value}” is not the id of a Salesforce record.", value=value
        )
    return value


def moment(value: datetime) -> str:
    """An unquoted SOQL date-time, UTC, milliseconds."""
    at = value.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def select(fields: Sequence[str], source: str, where: str, *, order: str = "", limit: int = 0) -> str:
    text = f"SELECT {', '.join(fields)} FROM {source} WHERE {where}"  # noqa: S608 - SOQL; values go through literal()
    if order:
        text += f" ORDER BY {order}"
    return f"{text} LIMIT {limit}" if limit else text
