"""The canonical objects, versioned contracts between rooms and systems (pydantic v2, frozen, no unknown fields).

Public surface: the classes below and :data:`OBJECTS`, the registry by object type name.

Every object has a ``key``: the business key in *our* namespace (never a vendor's id; those live in cross-references).
Dates are calendar dates of the legal entity; instants are aware and UTC.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from apps.canonical.money import CurrencyCode, ExactDecimal, Money

Key = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Text = Annotated[str, StringConstraints(max_length=2000)]
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
BillingModel = Literal[
    "time_and_materials", "capped_time_and_materials", "milestone", "instalment", "retainer", "fixed"
]
Unit = Literal["hour", "day", "month", "fixed"]


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("must not be negative")
    return value


NotNegative = Annotated[ExactDecimal, AfterValidator(_not_negative)]


class Canonical(BaseModel):
    """Base of all: frozen, closed, with the version of its published schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    schema_version: ClassVar[int] = 1
    object_type: ClassVar[str]


class Part(BaseModel):
    """A value inside a canonical object; frozen and closed like its owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Address(Part):
    line1: Text = ""
    line2: Text = ""
    city: Text = ""
    region: Text = ""
    postal_code: Text = ""
    country: CountryCode | None = None


class Customer(Canonical):
    """Who buys and is billed. ``key`` is the CRM account's id prefixed by its system code, e.g. ``crm:001A``."""

    object_type: ClassVar[str] = "customer"
    key: Key
    name: Text
    status: Literal["active", "inactive"] = "active"
    currency: CurrencyCode | None = None
    currencies: tuple[CurrencyCode, ...] = ()
    tax_id: Text = ""
    tax_exempt: bool = False
    #: The exemption certificate on file, and its last day (None: it does not end).
    exemption_certificate: Text = ""
    exempt_until: date | None = None
    registration_number: Text = ""
    payment_terms: Text = ""
    po_required: bool = False
    email: Text = ""
    phone: Text = ""
    website: Text = ""
    billing_address: Address = Address()
    parent_key: Key | None = None
    legal_entities: tuple[Text, ...] = ()
    #: The id that another system claims for this customer in the ERP (CRM field); evidence, not truth.
    claimed_erp_id: Text = ""


class LegalEntity(Canonical):
    object_type: ClassVar[str] = "legal_entity"
    key: Key
    name: Text
    country: CountryCode
    currency: CurrencyCode
    tax_id: Text = ""
    active: bool = True
    address: Address = Address()


class ServiceItem(Canonical):
    """What can be sold; ``key`` is the service code of the catalogue, e.g. ``IMP-200``."""

    object_type: ClassVar[str] = "service_item"
    key: Key
    name: Text
    unit: Unit = "hour"
    billing_model: BillingModel | None = None
    active: bool = True
    successor_key: Key | None = None


class Contract(Canonical):
    """A master agreement (MSA) or statement of work (SOW)."""

    object_type: ClassVar[str] = "contract"
    key: Key
    kind: Literal["MSA", "SOW"]
    number: Text = ""
    status: Literal["draft", "in_approval", "activated", "expired"]
    customer_key: Key
    start_on: date | None = None
    end_on: date | None = None
    signed_on: date | None = None
    parent_key: Key | None = None
    not_to_exceed: Money | None = None


class RateLine(Part):
    """One price. ``role`` empty and ``blended`` true: one rate for any role."""

    role: Text = ""
    service_code: Text = ""
    resource: Text = ""
    blended: bool = False
    unit: Unit = "hour"
    bill_rate: Money

    @model_validator(mode="after")
    def _role_or_blended(self) -> RateLine:
        if self.blended and self.role:
            raise ValueError("a blended rate names no role")
        if not self.blended and not self.role and not self.resource:
            raise ValueError("a rate names a role or a resource, or is blended")
        return self


class RateCard(Canonical):
    object_type: ClassVar[str] = "rate_card"
    key: Key
    name: Text
    currency: CurrencyCode
    version: int = Field(default=1, ge=1)
    effective_from: date
    effective_to: date | None = None
    hours_per_day: NotNegative = Decimal("8")
    lines: tuple[RateLine, ...]


class ScheduleEntry(Part):
    """One instalment or milestone of a billing schedule; ``trigger`` says what makes it billable."""

    key: Key
    label: Text
    amount: Money
    trigger: Literal["date", "acceptance"]
    due_on: date | None = None
    service_code: Text = ""


class BillingSchedule(Canonical):
    object_type: ClassVar[str] = "billing_schedule"
    key: Key
    engagement_key: Key
    currency: CurrencyCode
    entries: tuple[ScheduleEntry, ...]


class DealLine(Part):
    key: Key
    service_code: Text
    description: Text = ""
    quantity: NotNegative
    unit_price: Money
    amount: Money
    billing_model: BillingModel | None = None


class Deal(Canonical):
    """What the CRM says was sold: header, lines, schedule and rates, read whole."""

    object_type: ClassVar[str] = "deal"
    key: Key
    name: Text
    customer_key: Key | None = None
    legal_entity_code: Text = ""
    currency: CurrencyCode
    amount: Money
    stage: Text = ""
    is_won: bool = False
    is_closed: bool = False
    closed_on: date | None = None
    billing_model: BillingModel | None = None
    start_on: date | None = None
    end_on: date | None = None
    po_number: Text = ""
    #: What the purchase order is over, net; None where the CRM does not say.
    po_amount: Money | None = None
    payment_terms: Text = ""
    project_manager: Text = ""
    contract: Contract | None = None
    lines: tuple[DealLine, ...] = ()
    schedule: tuple[ScheduleEntry, ...] = ()
    rates: tuple[RateLine, ...] = ()


class EngagementLine(Part):
    """A sold service in the delivery world, with the ERP billing code it was mapped to."""

    key: Key
    service_code: Text
    billing_code: Text = ""
    description: Text = ""
    billing_model: BillingModel
    amount: Money


class Engagement(Canonical):
    """The project as PSA and ERP hold it; ``key`` is ours, e.g. ``ENG-2026-000042``."""

    object_type: ClassVar[str] = "engagement"
    key: Key
    name: Text
    customer_key: Key
    legal_entity_code: Text
    currency: CurrencyCode
    billing_model: BillingModel
    status: Literal["planned", "active", "suspended", "closed"] = "active"
    start_on: date | None = None
    end_on: date | None = None
    project_manager: Text = ""
    po_number: Text = ""
    contract_number: Text = ""
    budget: Money
    not_to_exceed: Money | None = None
    rate_card_key: Key | None = None
    lines: tuple[EngagementLine, ...] = ()


class Employee(Canonical):
    """A person as an ERP or directory knows them; ``email`` in lower case is what systems are matched by."""

    object_type: ClassVar[str] = "employee"
    key: Key
    name: Text
    email: Text = ""
    active: bool = True


class ResourceAssignment(Canonical):
    object_type: ClassVar[str] = "resource_assignment"
    key: Key
    engagement_key: Key
    person: Text
    role: Text
    start_on: date | None = None
    end_on: date | None = None
    planned_hours: NotNegative = Decimal("0")


class TimeEntry(Canonical):
    object_type: ClassVar[str] = "time_entry"
    key: Key
    engagement_key: Key
    person: Text
    role: Text = ""
    service_code: Text = ""
    worked_on: date
    hours: NotNegative
    billable: bool = True
    status: Literal["draft", "submitted", "approved", "rejected"]
    approved_at: AwareDatetime | None = None
    rate: Money | None = None
    notes: Text = ""


class Expense(Canonical):
    object_type: ClassVar[str] = "expense"
    key: Key
    engagement_key: Key
    person: Text = ""
    category: Text = ""
    incurred_on: date
    amount: Money
    billable: bool = True
    status: Literal["draft", "submitted", "approved", "rejected"]
    approved_at: AwareDatetime | None = None
    has_receipt: bool = False
    notes: Text = ""


class Milestone(Canonical):
    """``evidence`` is the reference of the client's acceptance certificate; accepted without it is a case."""

    object_type: ClassVar[str] = "milestone"
    key: Key
    engagement_key: Key
    name: Text
    amount: Money
    due_on: date | None = None
    status: Literal["planned", "completed", "accepted"]
    accepted_at: AwareDatetime | None = None
    evidence: Text = ""
    service_code: Text = ""


class TaxTreatment(Canonical):
    """``rate_percent`` 20 means 20 %; reverse charge needs a verified VAT id in ``evidence``."""

    object_type: ClassVar[str] = "tax_treatment"
    key: Key
    customer_key: Key
    legal_entity_code: Text
    treatment: Literal["standard", "exempt", "reverse_charge", "out_of_scope"]
    tax_code: Text = ""
    rate_percent: NotNegative = Decimal("0")
    evidence: Text = ""


class InvoiceLine(Part):
    key: Key
    description: Text
    billing_code: Text = ""
    service_code: Text = ""
    quantity: ExactDecimal = Decimal("1")
    unit_price: Money
    amount: Money
    source_key: Key | None = None


class Invoice(Canonical):
    """The invoice of record; ``number`` is given by its issuer. ``net + tax = total``; ``balance`` is what is open."""

    object_type: ClassVar[str] = "invoice"
    key: Key
    number: Text = ""
    engagement_key: Key
    customer_key: Key
    legal_entity_code: Text
    currency: CurrencyCode
    status: Literal[
        "draft",
        "approved",
        "posted",
        "issued",
        "delivered",
        "part_paid",
        "paid",
        "disputed",
        "credited",
        "void",
    ]
    invoice_on: date
    due_on: date | None = None
    payment_terms: Text = ""
    po_number: Text = ""
    memo: Text = ""
    lines: tuple[InvoiceLine, ...]
    net: Money
    tax: Money | None = None
    total: Money | None = None
    balance: Money | None = None


class PaymentStatus(Canonical):
    object_type: ClassVar[str] = "payment_status"
    key: Key
    invoice_key: Key
    status: Literal["unpaid", "part_paid", "paid", "reversed", "disputed"]
    paid: Money
    balance: Money
    reference: Text = ""
    paid_at: datetime | None = None


class Receipt(Canonical):
    """Money that came in, as the ledger holds it; ``unapplied`` is what of it settles no invoice."""

    object_type: ClassVar[str] = "receipt"
    key: Key
    number: Text = ""
    customer_key: Key
    legal_entity_code: Text
    received_on: date
    amount: Money
    unapplied: Money
    reference: Text = ""


class Dispute(Canonical):
    """An objection to a payment or invoice. ``answer_by``: until when evidence counts; ``lost`` means the money is gone."""

    object_type: ClassVar[str] = "dispute"
    key: Key
    invoice_key: Key | None = None
    amount: Money
    status: Literal["open", "won", "lost", "closed"]
    reason: Text = ""
    opened_at: AwareDatetime
    answer_by: AwareDatetime | None = None


OBJECTS: dict[str, type[Canonical]] = {
    cls.object_type: cls
    for cls in (
        Customer,
        LegalEntity,
        ServiceItem,
        Contract,
        RateCard,
        BillingSchedule,
        Deal,
        Engagement,
        Employee,
        ResourceAssignment,
        TimeEntry,
        Expense,
        Milestone,
        TaxTreatment,
        Invoice,
        PaymentStatus,
        Receipt,
        Dispute,
    )
}
