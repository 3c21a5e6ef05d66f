"""An active engagement of the small firm with its people, customer record and tax set-up, ready to bill."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from apps.billing import services
from apps.canonical.objects import Address, Customer, Milestone, TimeEntry
from apps.commercial import services as commercial
from apps.organization import services as organization
from apps.records import services as records
from tests.commercial import world

TAX = {
    "standard": {"code": "S-GB", "rate": "20"},
    "exempt": {"code": "E-GB", "rate": "0"},
    "reverse_charge": {"code": "RC-GB", "rate": "0"},
}


@dataclass(frozen=True)
class Firm:
    entity: Any
    crm: Any
    pm: Any
    controller: Any
    analyst: Any


def firm(**fields: Any) -> Firm:
    entity = world.entity(**fields)
    crm = organization.system_set(code="crm", name="CRM", kind="crm", vendor="salesforce")
    erp = organization.system_set(code="erp", name="ERP", kind="erp", vendor="netsuite")
    organization.routing_set(legal_entity=entity, kind="erp", system=erp, settings={"tax": TAX})
    return Firm(
        entity,
        crm,
        world.person("petra", "project_manager"),
        world.person("carl", "controller", legal_entity=entity),
        world.person("ana", "billing_analyst", legal_entity=entity),
    )


def customer(firm: Firm, **fields: Any) -> None:
    values: dict[str, Any] = {
        "key": "crm:001A",
        "name": "Brackwater Utilities",
        "billing_address": Address(country="GB"),
        "payment_terms": "Net 30",
    }
    body = Customer(**{**values, **fields})
    records.observe(system_id=firm.crm.pk, object_type="customer", external_id="001A", body=body)


def engagement(firm: Firm, *, lines: list[dict[str, Any]] | None = None, **deal: Any) -> str:
    """The key of an active engagement with its schedule loaded; the customer is known unless observed before."""
    customer(firm)
    currency = deal.get("currency", "GBP")
    opened = commercial.engagement_open(
        deal=world.deal(**deal), legal_entity=firm.entity, lines=lines or world.lines(currency=currency)
    )
    commercial.engagement_activate(key=opened.key)
    services.schedule_load(engagement_key=opened.key)
    return opened.key


def time_and_materials(firm: Firm, *prices: Any, **deal: Any) -> str:
    """An engagement billed by the hour: Manager at 195 unless other prices are given."""
    currency = deal.get("currency", "GBP")
    values: dict[str, Any] = {
        "billing_model": "time_and_materials",
        "schedule": (),
        "rates": prices or (world.rate("Manager", "195", currency=currency),),
    }
    return engagement(
        firm,
        lines=world.lines("ADV-100", model="time_and_materials", currency=currency),
        **{**values, **deal},
    )


def hours(key: str, number: int = 1, amount: str = "7.5", **fields: Any) -> TimeEntry:
    values: dict[str, Any] = {
        "key": f"psa:time:{number}",
        "engagement_key": key,
        "person": "ben",
        "role": "Manager",
        "service_code": "ADV-100",
        "worked_on": date(2026, 10, 5),
        "hours": Decimal(amount),
        "status": "approved",
        "approved_at": datetime(2026, 10, 12, 9, tzinfo=UTC),
    }
    return TimeEntry(**{**values, **fields})


def milestone(
    engagement_key: str,
    *,
    status: str = "accepted",
    evidence: str = "CERT-1",
    amount: str = "50000",
    **fields: Any,
) -> Milestone:
    values: dict[str, Any] = {
        "key": services.milestone_key(engagement_key, "S1"),
        "engagement_key": engagement_key,
        "name": "Design",
        "amount": world.money(amount),
        "status": status,
        "evidence": evidence,
        "accepted_at": datetime(2026, 11, 2, 10, tzinfo=UTC) if status == "accepted" else None,
    }
    return Milestone(**{**values, **fields})


def codes(results: list[Any], source_key: str | None = None) -> set[str]:
    """The catalogue codes of failed predicates, of all items or of one."""
    return {
        predicate.code
        for result in results
        if source_key in (None, result.source_key)
        for predicate in result.failed
        if predicate.code
    }
