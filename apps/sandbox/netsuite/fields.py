"""Record types and fields of the emulated account: the part of what NetSuite publishes that is emulated.

Names, types and choices are those of ``published/record-v1-2026.1.json`` (its head names the document);
``tests/sandbox/test_field_lists_are_published.py`` compares every one. What is not published is named below:
:data:`NOT_IN_BROWSER`, :data:`LINES_AS` and custom fields (:data:`CUSTOM`).

Notation of a field: ``name:type`` with type s (text), i (integer), n (number), b (boolean), d (date), dt (date-time),
e (an ``{id, refName}`` choice), o (sub-record), ref>type, refs>type (multi-select); suffix ``!`` required on create,
``~`` read-only. Sublists are named in SUBLISTS and sent as ``{"items": [...]}``.
Public surface: RECORDS, SUBLISTS, ITEM_TYPES, TRANSACTIONS, CHOICES, SUITEQL, CURRENCIES, TERMS, fields_of, sublists_of,
subrecord, PUBLISHED, NOT_IN_BROWSER, LINES_AS, STANDS_FOR, CUSTOM, STATUSES.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PUBLISHED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "published" / "record-v1-2026.1.json").read_text("utf-8")
)

PLAIN = "id:s~ externalId:s refName:s~"
ACTIVE = f"{PLAIN} isInactive:b lastModifiedDate:dt~"
PARTY = (
    f"{ACTIVE} dateCreated:dt~ entityId:s companyName:s comments:s accountNumber:s category:ref>customerCategory"
    " currency:ref>currency subsidiary:ref>subsidiary"
)
DIMENSION = f"{ACTIVE} name:s! subsidiary:refs>subsidiary includeChildren:b"
DIMENSIONS = " class:ref>classification department:ref>department location:ref>location"
POSTED = (
    f"{PLAIN} createdDate:dt~ lastModifiedDate:dt~ tranId:s tranDate:d postingPeriod:ref>accountingPeriod"
    " subsidiary:ref>subsidiary currency:ref>currency exchangeRate:n memo:s status:e~ total:n~"
)
TOTALS = " subtotal:n~ taxTotal:n~ taxItem:ref>salesTaxItem otherRefNum:s job:ref>job entity:ref>customer! email:s message:s"

RECORDS = {
    "customer": PARTY + " firstName:s lastName:s isPerson:b email:s phone:s url:s terms:ref>term vatRegNumber:s"
    " defaultTaxReg:s taxable:b taxItem:ref>salesTaxItem creditLimit:n creditHoldOverride:e balance:n~ overdueBalance:n~"
    " defaultAddress:s language:e parent:ref>customer salesRep:ref>employee emailPreference:e emailTransactions:b"
    " custentity_registration_number:s custentity_merged_into:ref>customer",
    "customerSubsidiaryRelationship": PLAIN + " lastModifiedDate:dt~ name:s~ entity:ref>customer!"
    " subsidiary:ref>subsidiary! isPrimarySub:b primaryCurrency:ref>currency balance:n~",
    "subsidiary": ACTIVE + " name:s! legalName:s country:e currency:ref>currency parent:ref>subsidiary isElimination:b"
    " federalIdNumber:s email:s url:s tranPrefix:s",
    "currency": ACTIVE + " name:s! symbol:s! displaySymbol:s currencyPrecision:i exchangeRate:n isBaseCurrency:b",
    "term": ACTIVE + " name:s! daysUntilNetDue:i discountPercent:n daysUntilExpiry:i",
    "employee": ACTIVE + " dateCreated:dt~ entityId:s firstName:s lastName:s email:s title:s subsidiary:ref>subsidiary"
    " laborCost:n isJobResource:b",
    "serviceSaleItem": ACTIVE + " createdDate:dt~ itemId:s! displayName:s salesDescription:s incomeAccount:ref>account"
    " subsidiary:refs>subsidiary includeChildren:b rate:n upcCode:s" + DIMENSIONS,
    "job": PARTY + " parent:ref>customer startDate:d calculatedEndDate:d projectedEndDate:d entityStatus:e language:e"
    " projectManager:ref>employee jobBillingType:e billingSchedule:ref>billingSchedule jobPrice:n"
    " jobItem:ref>serviceSaleItem billingRateCard:ref>billingRateCard isUtilizedTime:b isProductiveTime:b isExemptTime:b"
    " allowTime:b allowExpenses:b estimatedRevenue:n estimatedCost:n allowAllResourcesForTasks:b"
    " limitTimeToAssignees:b materializeTime:b forecastChargeRunOnDemand:b",
    "projectTask": ACTIVE + " project:ref>job! title:s! startDateTime:dt endDate:dt status:e priority:e plannedWork:s"
    " estimatedWork:n message:s nonBillableTask:b",
    "timeBill": PLAIN + " createdDate:dt~ lastModifiedDate:dt~ employee:ref>employee! customer:ref>job"
    " caseTaskEvent:ref>projectTask item:ref>serviceSaleItem hours:s! tranDate:d isBillable:b rate:n memo:s"
    " approvalStatus:e subsidiary:ref>subsidiary billingClass:ref>billingClass isUtilized:b timeType:e" + DIMENSIONS,
    "billingClass": ACTIVE + " name:s! description:s saleUnit:e",
    "billingRateCard": ACTIVE + " name:s! description:s subsidiary:refs>subsidiary includeChildren:b",
    "chargeRule": ACTIVE + " name:s! description:s project:ref>job! chargeRuleType:e billingItem:ref>serviceSaleItem"
    " billingRateCard:ref>billingRateCard rateSourceType:e rate:n rateMultiplier:n rateRoundingType:e"
    " capType:e capAmount:n capHours:n amount:n ruleOrder:i stage:e fromDate:d toDate:d currency:ref>currency"
    " timeDefined:b filter:s scheduleType:e billingSchedule:ref>billingSchedule chargeDate:d quantity:n",
    "billingSchedule": PLAIN + " isInactive:b name:s! scheduleType:e frequency:e initialAmount:n recurrencePattern:e"
    " numberRemaining:i initialTerms:ref>term job:ref>job isPublic:b inArrears:b applyToSubtotal:b repeatEvery:e"
    " seriesStartDate:d",
    "invoice": POSTED + TOTALS + DIMENSIONS + " approvalStatus:e dueDate:d terms:ref>term startDate:d endDate:d"
    " billAddress:s toBeEmailed:b toBePrinted:b amountRemaining:n~ amountPaid:n~ createdFrom:ref>salesOrder"
    " discountTotal:n salesRep:ref>employee taxPointDate:d",
    "creditMemo": POSTED + TOTALS + DIMENSIONS + " createdFrom:ref>invoice applied:n~ unapplied:n~ autoApply:b",
    "customerPayment": POSTED + DIMENSIONS + " customer:ref>customer! payment:n! account:ref>account arAcct:ref>account"
    " autoApply:b checkNumber:s undepFunds:e applied:n~ unapplied:n~",
    "salesOrder": POSTED.replace(" postingPeriod:ref>accountingPeriod", "") + TOTALS + " department:ref>department"
    " location:ref>location terms:ref>term startDate:d endDate:d orderStatus:e",
    "accountingPeriod": ACTIVE + " periodName:s! startDate:d! endDate:d! closed:b allLocked:b arLocked:b apLocked:b"
    " isQuarter:b isYear:b isAdjust:b closedOnDate:d",
    "account": ACTIVE + " acctNumber:s acctName:s! acctType:e currency:ref>currency",
    "classification": DIMENSION + " parent:ref>classification",
    "department": DIMENSION + " parent:ref>department",
    "location": DIMENSION + " parent:ref>location",
    "customerCategory": ACTIVE + " name:s!",
    "salesTaxItem": PLAIN + " isInactive:b itemId:s! displayName:s rate:n subsidiary:refs>subsidiary includeChildren:b"
    " nexusCountry:e description:s",
}  # fmt: skip

ADDRESS = "addr1:s addr2:s addr3:s addressee:s attention:s addrPhone:s city:s state:s zip:s country:e override:b addrText:s"
BOOK = "id:i internalId:i label:s defaultBilling:b defaultShipping:b isResidential:b addressBookAddress:o"
LINE = (
    "line:i item:ref>serviceSaleItem quantity:n rate:n amount:n taxCode:ref>salesTaxItem tax1Amt:n~ taxRate1:n grossAmt:n"
    " description:s job:ref>job units:s isTaxable:b" + DIMENSIONS
)
APPLY = "line:i doc:ref>invoice amount:n apply:b due:n~ total:n~ type:s~ refNum:s~ applyDate:d~ currency:s~"

SUBLISTS = {
    "customer": {
        "addressBook": BOOK,
        "currencyList": "currency:ref>currency! balance:n~ displaySymbol:s overdueBalance:n~",
    },
    "job": {"addressBook": BOOK},
    "projectTask": {"assignee": "id:i resource:ref>employee! units:n plannedWork:n unitCost:n serviceItem:ref>serviceSaleItem"
                    " billingClass:ref>billingClass unitPrice:n"},
    "invoice": {"item": LINE},
    "creditMemo": {"item": LINE, "apply": APPLY},
    "salesOrder": {"item": LINE},
    "customerPayment": {"apply": APPLY},
    "billingRateCard": {"rateCardPricing": "id:s billingClass:ref>billingClass! currency:ref>currency! price:n!"
                        " item:ref>serviceSaleItem"},
    "billingSchedule": {"milestone": "milestoneId:n milestoneDate:d milestoneAmount:n milestoneTerms:ref>term"
                        " milestoneCompleted:b milestoneActualCompletionDate:d comments:s projectTask:ref>projectTask",
                        "recurrence": "recurrenceId:i recurrenceDate:d amount:n paymentTerms:ref>term"},
    "serviceSaleItem": {"price": "currencyPage:ref>currency priceLevelName:s price:n"},
}  # fmt: skip

SUBRECORDS = {"addressBookAddress": ADDRESS}


#: Records that exist in accounts with project management, but that the REST API Browser does not have: their fields follow
#: what Oracle's help says of the records and the SuiteScript ids, and are not published for REST.
NOT_IN_BROWSER = {"billingClass", "billingRateCard", "chargeRule"}
#: Sublists whose own description was not read, and the record whose sublist of the name they are compared with.
LINES_AS = {
    ("creditMemo", "item"): "invoice",
    ("creditMemo", "apply"): "customerPayment",
    ("salesOrder", "item"): "invoice",
}
#: What the browser calls the record that a link leads to, where it names another one of the same family.
STANDS_FOR = {"serviceSaleItem": ("kitItem",), "employee": ("customer",), "job": ("customer",)}
#: Custom fields are the account's own.
CUSTOM = ("custentity_", "custbody_", "custcol_", "custitem_", "custrecord_")

# Record types that a reference to the first may point at, by the name in the URL.
ITEM_TYPES = ("serviceSaleItem",)
WIDER = {"customer": ("customer", "job"), "job": ("job", "customer"), "invoice": ("invoice", "creditMemo")}

# Transaction record → SuiteQL type code, label, number prefix
TRANSACTIONS = {
    "invoice": ("CustInvc", "Invoice", "INV"), "creditMemo": ("CustCred", "Credit Memo", "CM"),
    "customerPayment": ("CustPymt", "Payment", "PYMT"), "salesOrder": ("SalesOrd", "Sales Order", "SO"),
}  # fmt: skip

# The ids are published, their words are not; the words are those of the vendor's screens.
CHOICES = {
    "approvalStatus": {"1": "Pending Approval", "2": "Approved", "3": "Rejected"},
    "jobBillingType": {"1": "Time and Materials", "2": "Fixed Bid, Interval", "3": "Fixed Bid, Milestone",
                       "4": "Charge-Based"},
    "scheduleType": {"1": "Standard", "2": "Fixed Bid, Interval", "3": "Fixed Bid, Milestone", "4": "Time and Materials",
                     "5": "Charge-Based"},
    "creditHoldOverride": {"AUTO": "Auto", "ON": "On", "OFF": "Off"},
    "emailPreference": {"PDF": "PDF", "HTML": "HTML", "DEFAULT": "Default"},
    "priority": {"HIGH": "High", "MEDIUM": "Medium", "LOW": "Low"},
    "timeType": {"A": "Actual time", "B": "Allocated time", "P": "Planned time"},
    "orderStatus": {"A": "Pending Approval", "B": "Pending Fulfillment"},
    "recurrencePattern": {"FIXED_BILL_DATE": "Fixed bill date", "ANNIVERSARY_BILL_DATE": "Anniversary bill date"},
}  # fmt: skip
#: ``status`` of each record: id → word.
STATUSES = {
    "invoice": {"A": "Open", "B": "Paid In Full", "D": "Pending Approval", "E": "Rejected", "V": "Voided"},
    "creditMemo": {"A": "Open", "B": "Fully Applied", "V": "Voided"},
    "customerPayment": {"B": "Not Deposited"},
    "salesOrder": {"F": "Pending Billing"},
    "projectTask": {"NOTSTART": "Not Started", "PROGRESS": "In Progress", "COMPLETE": "Completed"},
}  # fmt: skip

# SuiteQL tables → record types they show. Column names are the field names in lower case.
SUITEQL = {
    "customer": ("customer",), "job": ("job",), "subsidiary": ("subsidiary",), "currency": ("currency",),
    "term": ("term",), "item": ITEM_TYPES, "employee": ("employee",), "timebill": ("timeBill",),
    "projecttask": ("projectTask",), "accountingperiod": ("accountingPeriod",), "billingclass": ("billingClass",),
    "billingratecard": ("billingRateCard",), "chargerule": ("chargeRule",), "billingschedule": ("billingSchedule",),
    "customersubsidiaryrelationship": ("customerSubsidiaryRelationship",), "classification": ("classification",),
    "department": ("department",), "location": ("location",), "salestaxitem": ("salesTaxItem",),
    "account": ("account",), "transaction": tuple(TRANSACTIONS), "transactionline": tuple(TRANSACTIONS),
}  # fmt: skip

CURRENCIES = (
    ("GBP", "British pound", 2), ("USD", "US Dollar", 2), ("EUR", "Euro", 2), ("JPY", "Japanese Yen", 0),
    ("CHF", "Swiss Franc", 2), ("SEK", "Swedish Krona", 2), ("KWD", "Kuwaiti Dinar", 3), ("CAD", "Canadian Dollar", 2),
)  # fmt: skip
TERMS = (
    ("Net 15", 15),
    ("Net 30", 30),
    ("Net 45", 45),
    ("Net 60", 60),
    ("Due on receipt", 0),
    ("Net 90", 90),
)


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    target: str = ""
    required: bool = False
    read_only: bool = False


def parse(notation: str) -> dict[str, Field]:
    fields = {}
    for part in notation.split():
        name, _, kind = part.partition(":")
        required, read_only = "!" in kind, "~" in kind
        kind, _, target = kind.rstrip("!~").partition(">")
        fields[name] = Field(name, kind, target, required, read_only)
    return fields


_PARSED = {kind: parse(text) for kind, text in RECORDS.items()}
_PARSED_SUBLISTS = {k: {name: parse(text) for name, text in subs.items()} for k, subs in SUBLISTS.items()}
_PARSED_SUBRECORDS = {name: parse(text) for name, text in SUBRECORDS.items()}


def fields_of(kind: str) -> dict[str, Field]:
    return _PARSED[kind]


def sublists_of(kind: str) -> dict[str, dict[str, Field]]:
    return _PARSED_SUBLISTS.get(kind, {})


def subrecord(name: str) -> dict[str, Field]:
    return _PARSED_SUBRECORDS[name]
