"""The demo firm as data: Merridane Group, its people, systems, services, rates and clients. Fictitious.

Public surface: the constants below. Nothing here reads the clock or a database; dates are made by the seeding code,
relative to today.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

PASSWORD = "merridane-demo-26"  # noqa: S105 - printed by the demo, for made-up people


@dataclass(frozen=True)
class Entity:
    code: str
    name: str
    country: str
    currency: str
    timezone: str
    tax_id: str
    hours_per_day: Decimal
    erp: str
    subsidiary: str
    #: Tax treatments as routing settings: treatment → ERP tax code id and rate in percent.
    tax: dict[str, dict[str, str]]
    mapping_threshold: Decimal


def _tax(*, standard: tuple[str, str], exempt: str, reverse_charge: str) -> dict[str, dict[str, str]]:
    code, rate = standard
    return {
        "standard": {"code": code, "rate": rate},
        "exempt": {"code": exempt, "rate": "0"},
        "reverse_charge": {"code": reverse_charge, "rate": "0"},
        "out_of_scope": {"code": exempt, "rate": "0"},
    }


ENTITIES = (
    Entity(
        "MER-UK", "Merridane Consulting Ltd", "GB", "GBP", "Europe/London", "GB980780684", Decimal("7.5"), "erp", "1",
        _tax(standard=("201", "20"), exempt="202", reverse_charge="203"),
        Decimal("100000"),
    ),
    Entity(
        "MER-US", "Merridane Inc.", "US", "USD", "America/New_York", "91-1144442", Decimal("8"), "erp", "2",
        _tax(standard=("211", "0"), exempt="212", reverse_charge="212"),
        Decimal("100000"),
    ),
    Entity(
        "OST-BE", "Ostrel Analytics BV", "BE", "EUR", "Europe/Brussels", "BE0697449992", Decimal("8"), "erp-be", "1",
        _tax(standard=("201", "21"), exempt="202", reverse_charge="203"),
        Decimal("100000"),
    ),
)  # fmt: skip

#: code → (name, kind, vendor)
SYSTEMS: dict[str, tuple[str, str, str]] = {
    "crm": ("Salesforce", "crm", "salesforce"),
    "psa": ("Kantata OX", "psa", "kantata"),
    "erp": ("NetSuite Merridane", "erp", "netsuite"),
    "erp-be": ("NetSuite Ostrel", "erp", "netsuite"),
    "billing": ("Stripe", "billing", "stripe"),
}


@dataclass(frozen=True)
class Service:
    code: str
    name: str
    billing_model: str
    unit: str = "hour"
    #: ERP item id by ERP system; a missing one has no billing code there.
    items: dict[str, str] = field(default_factory=dict)


def _both(number: int) -> dict[str, str]:
    return {"erp": str(500 + number), "erp-be": str(700 + number)}


SERVICES = (
    Service("ADV-100", "Strategy", "time_and_materials", "day", _both(1)),
    Service("PMO-110", "Programme office", "capped_time_and_materials", "hour", _both(2)),
    Service("IMP-200", "ERP implementation", "milestone", "fixed", _both(3)),
    Service("DAT-210", "Data migration", "milestone", "fixed", _both(4)),
    Service("ANA-220", "Analytics engineering", "time_and_materials", "hour", _both(5)),
    Service("INT-230", "Integration", "time_and_materials", "hour", _both(6)),
    Service("CHG-300", "Change and training", "instalment", "fixed", _both(7)),
    Service("SUP-400", "Managed support", "retainer", "month", _both(8)),
    Service("AIR-510", "Responsible-AI review", "instalment", "fixed", {"erp": "509"}),
    Service("EXP-900", "Recharged expenses", "time_and_materials", "fixed", _both(10)),
)
#: Items that exist in Ostrel's ERP and could become the partner of AIR-510.
UNMAPPED_ITEMS = {
    "erp-be": (("709", "AIR-510", "Responsible AI review and assurance"), ("711", "AUD-520", "Model audit"))
}

#: role → hourly rate per currency
RATES: dict[str, dict[str, str]] = {
    "Partner": {"GBP": "340", "USD": "460", "EUR": "390"},
    "Director": {"GBP": "285", "USD": "390", "EUR": "330"},
    "Principal": {"GBP": "235", "USD": "320", "EUR": "275"},
    "Manager": {"GBP": "195", "USD": "265", "EUR": "225"},
    "Consultant": {"GBP": "150", "USD": "205", "EUR": "175"},
    "Analyst": {"GBP": "105", "USD": "145", "EUR": "125"},
}


@dataclass(frozen=True)
class Client:
    key: str
    name: str
    country: str
    currency: str
    tax_id: str
    street: str
    city: str
    postal_code: str
    region: str = ""
    terms: str = "Net 30"
    po_required: bool = False
    tax_exempt: bool = False
    exemption_certificate: str = ""
    website: str = ""


CLIENTS = (
    Client(
        "brackwater",
        "Brackwater Utilities",
        "GB",
        "GBP",
        "GB123456782",
        "4 Reservoir Row",
        "Leeds",
        "LS1 4AB",
        po_required=True,
        website="brackwater.example",
    ),
    Client(
        "corvane",
        "Corvane Insurance",
        "GB",
        "GBP",
        "GB232128892",
        "70 Lime Court",
        "London",
        "EC3M 7HA",
        website="corvane.example",
    ),
    Client(
        "thornmere",
        "Thornmere Bank",
        "GB",
        "GBP",
        "GB239529827",
        "1 Exchange Walk",
        "Edinburgh",
        "EH1 2AA",
        website="thornmere.example",
    ),
    Client(
        "wexmoor",
        "Wexmoor Retail",
        "GB",
        "GBP",
        "GB244155576",
        "22 Market Lane",
        "Bristol",
        "BS1 5TR",
        website="wexmoor.example",
    ),
    Client(
        "wexmoor-be",
        "Wexmoor Retail Belgium",
        "BE",
        "EUR",
        "BE0403019261",
        "Marktstraat 8",
        "Antwerpen",
        "2000",
        terms="Net 60",
        website="wexmoor.example",
    ),
    Client(
        "pellmont",
        "Pellmont Health",
        "US",
        "USD",
        "12-3456789",
        "900 Harbor Street",
        "Boston",
        "02110",
        region="MA",
        tax_exempt=True,
        exemption_certificate="MA-ST-5 0142",
        website="pellmont.example",
    ),
    Client(
        "sablefield",
        "Sablefield Foods",
        "US",
        "USD",
        "04-2103594",
        "15 Granary Road",
        "Chicago",
        "60601",
        region="IL",
        website="sablefield.example",
    ),
    Client(
        "tolvane",
        "Tolvane Rail",
        "BE",
        "EUR",
        "BE0428759497",
        "Stationsplein 3",
        "Brussel",
        "1000",
        po_required=True,
        website="tolvane.example",
    ),
    Client(
        "nordeval",
        "Nordeval Pharma",
        "DE",
        "EUR",
        "DE136695976",
        "Hafenallee 12",
        "Hamburg",
        "20457",
        website="nordeval.example",
    ),
)


@dataclass(frozen=True)
class Person:
    username: str
    name: str
    job_title: str
    role: str
    #: Legal entities; empty = all. Project managers get their engagements as these are opened.
    entities: tuple[str, ...] = ()

    @property
    def email(self) -> str:
        return f"{self.username}@merridane.example"


PEOPLE = (
    Person("nadia", "Nadia Okafor", "Billing analyst", "billing_analyst"),
    Person("marta", "Marta Lindqvist", "Receivables", "receivables"),
    Person("ines", "Ines Moreau", "Tax", "tax"),
    Person("helen", "Helen Marsh", "Controller, UK and US", "controller", ("MER-UK", "MER-US")),
    Person("ruben", "Ruben Claes", "Controller, Belgium", "controller", ("OST-BE",)),
    Person("grace", "Grace Whitfield", "Chief financial officer", "cfo"),
    Person("owen", "Owen Hale", "Revenue operations", "revops_analyst"),
    Person("sofia", "Sofia Duarte", "Head of revenue operations", "revops_approver"),
    Person("priya", "Priya Raman", "Project manager", "project_manager"),
    Person("jonas", "Jonas Weber", "Project manager", "project_manager"),
    Person("tom", "Tom Becker", "Practice lead", "practice_lead"),
    Person("leo", "Leo Tanaka", "Administrator", "admin"),
    Person("anneke", "Anneke Vos", "Auditor", "auditor"),
)

#: Payment terms that the ERPs know, by the name the CRM uses.
TERMS = ("Net 15", "Net 30", "Net 45", "Net 60", "Due on receipt")
FLOWS = (
    "deal.provision", "customer.sync", "ratecard.push", "project.provision", "delivery.sync", "invoice.sync", "payment.apply",
    "dispute.take", "receipt.match", "taxid.check",
)  # fmt: skip


def entity(code: str) -> Entity:
    return next(one for one in ENTITIES if one.code == code)


def client(key: str) -> Client:
    return next(one for one in CLIENTS if one.key == key)


def service(code: str) -> Service:
    return next(one for one in SERVICES if one.code == code)


def account_record(one: Client, account_id: str) -> dict[str, Any]:
    """The CRM's account row of a client (Salesforce field names)."""
    return {
        "Id": account_id,
        "Name": one.name,
        "Website": f"https://www.{one.website}",
        "BillingStreet": one.street,
        "BillingCity": one.city,
        "BillingState": one.region,
        "BillingPostalCode": one.postal_code,
        "BillingCountryCode": one.country,
        "CurrencyIsoCode": one.currency,
        "Tax_Id__c": one.tax_id,
        "Tax_Exempt__c": one.tax_exempt,
        "Exemption_Certificate__c": one.exemption_certificate or None,
        "Payment_Terms__c": one.terms,
        "PO_Required__c": one.po_required,
        "Billing_Email__c": f"accounts@{one.website}",
    }
