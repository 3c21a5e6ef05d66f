"""Record types and fields of the emulated account; what is not listed is refused as the vendor refuses it.

Names follow the SuiteTalk REST API Browser (system.netsuite.com/help/helpcenter/en_US/APIs/REST_API_Browser) and the
SuiteScript Records Browser for the billing rate card, billing class and charge rule; ``docs/sandbox.md`` (Fidelity) says
which lists were written from documentation read and which from general knowledge.

Notation of a field: ``name:type`` with type s (text), i (integer), n (number), b (boolean), d (date), dt (date-time),
e (an ``{id, refName}`` choice), o (sub-record), ref>type, refs>type (multi-select); suffix ``!`` required on create,
``~`` read-only. Sublists are named in SUBLISTS and sent as ``{"items": [...]}``.
Public surface: RECORDS, SUBLISTS, ITEM_TYPES, TRANSACTIONS, CHOICES, SUITEQL, CURRENCIES, TERMS, fields_of.
"""

from dataclasses import dataclass

COMMON = "id:s~ externalId:s refName:s~ isInactive:b createdDate:dt~ lastModifiedDate:dt~"
ENTITY = (
    " entityId:s companyName:s firstName:s lastName:s isPerson:b email:s phone:s url:s comments:s subsidiary:ref>subsidiary"
    " currency:ref>currency terms:ref>term category:ref>customerCategory customForm:e entityStatus:e"
)
TRANSACTION = (
    " tranId:s tranDate:d postingPeriod:ref>accountingPeriod subsidiary:ref>subsidiary currency:ref>currency"
    " exchangeRate:n memo:s status:e~ class:ref>classification department:ref>department location:ref>location"
    " customForm:e total:n~ subTotal:n~ taxTotal:n~"
)

RECORDS = {
    "customer": COMMON + ENTITY + " accountNumber:s vatRegNumber:s defaultTaxReg:s taxable:b taxItem:ref>salesTaxItem"
    " creditLimit:n creditHoldOverride:e balance:n~ overdueBalance:n~ defaultAddress:s billAddress:s language:e"
    " parent:ref>customer salesRep:ref>employee dateEntered:d custentity_registration_number:s"
    " custentity_merged_into:ref>customer emailPreference:e emailTransactions:b",
    "customerSubsidiaryRelationship": COMMON + " entity:ref>customer! subsidiary:ref>subsidiary! isPrimarySub:b"
    " primaryCurrency:ref>currency balance:n~ creditLimit:n taxItem:ref>salesTaxItem name:s",
    "subsidiary": COMMON + " name:s! legalName:s country:e currency:ref>currency parent:ref>subsidiary isElimination:b"
    " federalIdNumber:s email:s url:s tranPrefix:s",
    "currency": COMMON + " name:s! symbol:s! displaySymbol:s currencyPrecision:i exchangeRate:n isBaseCurrency:b",
    "term": COMMON + " name:s! daysUntilNetDue:i discountPercent:n daysUntilExpiry:i",
    "employee": COMMON + " entityId:s firstName:s lastName:s email:s subsidiary:ref>subsidiary title:s"
    " billingClass:ref>billingClass laborCost:n isJobResource:b",
    "serviceSaleItem": COMMON + " itemId:s! displayName:s salesDescription:s incomeAccount:ref>account"
    " subsidiary:refs>subsidiary includeChildren:b taxSchedule:e rate:n class:ref>classification"
    " department:ref>department location:ref>location upcCode:s",
    "job": COMMON + ENTITY + " parent:ref>customer startDate:d calculatedEndDate:d projectedEndDate:d"
    " projectManager:ref>employee jobBillingType:e billingSchedule:ref>billingSchedule jobPrice:n jobItem:ref>serviceSaleItem"
    " billingRateCard:ref>billingRateCard chargeType:e isUtilizedTime:b isProductiveTime:b isExemptTime:b"
    " allowTime:b allowExpenses:b estimatedRevenue:n estimatedCost:n jobType:e allowAllResourcesForTasks:b"
    " limitTimeToAssignees:b materializeTime:b class:ref>classification department:ref>department"
    " location:ref>location forecastChargeRunOnDemand:b useCalculatedBillingBudget:b",
    "projectTask": COMMON + " company:ref>job! title:s! startDate:d endDate:d status:e plannedWork:n isMilestone:b"
    " finishByDate:d parent:ref>projectTask nonBillableTask:b message:s priority:e constraintType:e estimatedWork:n",
    "timeBill": COMMON + " employee:ref>employee! customer:ref>job caseTaskEvent:ref>projectTask"
    " item:ref>serviceSaleItem hours:n! tranDate:d isBillable:b rate:n price:e memo:s approvalStatus:e"
    " subsidiary:ref>subsidiary class:ref>classification department:ref>department location:ref>location"
    " billingClass:ref>billingClass isUtilized:b timeType:e status:e~",
    "billingClass": COMMON + " name:s! description:s saleUnit:e",
    "billingRateCard": COMMON + " name:s! description:s subsidiary:refs>subsidiary includeChildren:b",
    "chargeRule": COMMON + " name:s! description:s project:ref>job! chargeRuleType:e billingItem:ref>serviceSaleItem"
    " billingRateCard:ref>billingRateCard rateSourceType:e rate:n rateMultiplier:n rateRoundingType:e"
    " capType:e capAmount:n capHours:n amount:n ruleOrder:i stage:e fromDate:d toDate:d currency:ref>currency"
    " timeDefined:b filter:s scheduleType:e billingSchedule:ref>billingSchedule chargeDate:d quantity:n",
    "billingSchedule": COMMON + " name:s! scheduleType:e frequency:e initialAmount:s recurrencePattern:e numberRemaining:i"
    " initialTerms:ref>term project:ref>job isPublic:b inArrears:b applyToSubtotal:b repeatEvery:i seriesStartDate:d"
    " numberOfRecurrences:i",
    "invoice": COMMON + TRANSACTION + " entity:ref>customer! approvalStatus:e dueDate:d terms:ref>term otherRefNum:s"
    " job:ref>job startDate:d endDate:d billAddress:s email:s toBeEmailed:b toBePrinted:b amountRemaining:n~"
    " amountPaid:n~ billingSchedule:ref>billingSchedule createdFrom:ref>salesOrder discountTotal:n taxItem:ref>salesTaxItem"
    " salesRep:ref>employee message:s taxPointDate:d",
    "creditMemo": COMMON + TRANSACTION + " entity:ref>customer! otherRefNum:s createdFrom:ref>invoice job:ref>job"
    " applied:n~ unapplied:n~ autoApply:b taxItem:ref>salesTaxItem",
    "customerPayment": COMMON + TRANSACTION + " customer:ref>customer! payment:n! paymentMethod:e account:ref>account"
    " arAcct:ref>account autoApply:b checkNum:s undepFunds:b applied:n~ unapplied:n~",
    "salesOrder": COMMON + TRANSACTION + " entity:ref>customer! otherRefNum:s terms:ref>term job:ref>job startDate:d"
    " endDate:d orderStatus:e billingSchedule:ref>billingSchedule",
    "accountingPeriod": COMMON + " periodName:s! startDate:d! endDate:d! closed:b allLocked:b arLocked:b apLocked:b"
    " isQuarter:b isYear:b isAdjust:b closedOnDate:dt",
    "account": COMMON + " acctNumber:s acctName:s! acctType:e currency:ref>currency",
    "classification": COMMON + " name:s! subsidiary:refs>subsidiary parent:ref>classification",
    "department": COMMON + " name:s! subsidiary:refs>subsidiary parent:ref>department",
    "location": COMMON + " name:s! subsidiary:refs>subsidiary parent:ref>location",
    "customerCategory": COMMON + " name:s!",
    "salesTaxItem": COMMON + " itemId:s! displayName:s rate:n subsidiary:refs>subsidiary taxType:e country:e description:s",
}  # fmt: skip

ADDRESS = "addr1:s addr2:s addr3:s addressee:s attention:s addrPhone:s city:s state:s zip:s country:e override:b addrText:s"
LINE = (
    "line:i item:ref>serviceSaleItem quantity:n rate:n amount:n taxCode:ref>salesTaxItem tax1Amt:n~ taxRate1:n"
    " grossAmt:n description:s department:ref>department class:ref>classification location:ref>location job:ref>job"
    " customer:ref>job price:e units:s projectTask:ref>projectTask isTaxable:b"
)
APPLY = "line:i doc:ref>invoice amount:n apply:b due:n~ total:n~ type:s~ refNum:s~ applyDate:d~ currency:s~"

SUBLISTS = {
    "customer": {
        "addressBook": "id:s internalId:s label:s defaultBilling:b defaultShipping:b isResidential:b addressBookAddress:o",
        "currencyList": "currency:ref>currency! balance:n~ displaySymbol:s overdueBalance:n~",
    },
    "job": {"jobResources": "id:s jobResource:ref>employee role:e billingClass:ref>billingClass cost:n",
            "addressBook": "id:s label:s defaultBilling:b defaultShipping:b addressBookAddress:o"},
    "projectTask": {"assignee": "id:s resource:ref>employee! units:n plannedWork:n unitCost:n serviceItem:ref>serviceSaleItem"
                    " billingClass:ref>billingClass unitPrice:n"},
    "invoice": {"item": LINE},
    "creditMemo": {"item": LINE, "apply": APPLY},
    "salesOrder": {"item": LINE},
    "customerPayment": {"apply": APPLY},
    "billingRateCard": {"rateCardPricing": "id:s billingClass:ref>billingClass! currency:ref>currency! price:n!"
                        " item:ref>serviceSaleItem"},
    "billingSchedule": {"milestone": "id:s milestoneId:s milestoneDate:d milestoneAmount:n milestoneTerms:ref>term"
                        " milestoneCompleted:b milestoneActualCompletionDate:d comments:s projectTask:ref>projectTask",
                        "recurrence": "id:s recurrenceDate:d amount:n paymentTerms:ref>term"},
    "serviceSaleItem": {"price": "currencyPage:ref>currency priceLevel:e priceLevelName:s quantity:n price:n"},
}  # fmt: skip

SUBRECORDS = {"addressBookAddress": ADDRESS}
ALIASES = {"addressbookAddress": "addressBookAddress", "addressbookaddress": "addressBookAddress"}

# Record types that a reference to the first may point at, by the name in the URL.
ITEM_TYPES = ("serviceSaleItem", "serviceResaleItem", "nonInventorySaleItem", "nonInventoryResaleItem")
for _extra in ITEM_TYPES[1:]:
    RECORDS[_extra] = RECORDS["serviceSaleItem"]
    SUBLISTS[_extra] = SUBLISTS["serviceSaleItem"]
WIDER = {"serviceSaleItem": ITEM_TYPES, "customer": ("customer", "job"), "job": ("job", "customer"),
         "invoice": ("invoice", "creditMemo")}  # fmt: skip

# Transaction record → SuiteQL type code, label, number prefix
TRANSACTIONS = {
    "invoice": ("CustInvc", "Invoice", "INV"), "creditMemo": ("CustCred", "Credit Memo", "CM"),
    "customerPayment": ("CustPymt", "Payment", "PYMT"), "salesOrder": ("SalesOrd", "Sales Order", "SO"),
}  # fmt: skip

CHOICES = {
    "approvalStatus": {"1": "Pending Approval", "2": "Approved", "3": "Rejected"},
    "jobBillingType": {"TM": "Time and Materials", "FBI": "Fixed Bid, Interval", "FBM": "Fixed Bid, Milestone",
                       "CB": "Charge-Based"},
    "creditHoldOverride": {"AUTO": "Auto", "ON": "On", "OFF": "Off"},
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
