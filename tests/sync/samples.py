"""A healthy deal and its surroundings, to be bent by each test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import Address, Contract, Customer, Deal, DealLine, RateLine, ScheduleEntry


def gbp(amount: str) -> Money:
    return Money.of(amount, "GBP")


def customer(**changes: Any) -> Customer:
    values: dict[str, Any] = {
        "key": "crm:001A",
        "name": "Corvane Insurance Ltd",
        "currency": "GBP",
        "tax_id": "GB123456782",
        "payment_terms": "Net 30",
        "billing_address": Address(
            line1="70 Lime Court", city="London", postal_code="EC3M 7HA", country="GB"
        ),
    }
    return Customer(**values | changes)


def deal(**changes: Any) -> Deal:
    values: dict[str, Any] = {
        "key": "crm:006A",
        "name": "Corvane claims platform",
        "customer_key": "crm:001A",
        "legal_entity_code": "MER-UK",
        "currency": "GBP",
        "amount": gbp("90000"),
        "stage": "Closed Won",
        "is_won": True,
        "is_closed": True,
        "billing_model": "milestone",
        "start_on": date(2026, 11, 1),
        "end_on": date(2027, 6, 30),
        "contract": Contract(key="crm:800A", kind="MSA", number="MSA-7", status="activated", customer_key="crm:001A"),
        "lines": (
            DealLine(
                key="L1",
                service_code="IMP-200",
                description="ERP implementation",
                quantity=1,
                unit_price=gbp("90000"),
                amount=gbp("90000"),
            ),
        ),
        "schedule": (
            ScheduleEntry(key="m1", label="Design", amount=gbp("30000"), trigger="acceptance", service_code="IMP-200"),
            ScheduleEntry(key="m2", label="Go-live", amount=gbp("60000"), trigger="acceptance", service_code="IMP-200"),
        ),
        "rates": (RateLine(role="Manager", bill_rate=gbp("195")),),
    }  # fmt: skip
    return Deal(**values | changes)


@dataclass
class Entity:
    id: int = 1
    pk: int = 1
    code: str = "MER-UK"
    name: str = "Merridane Consulting Ltd"
    country: str = "GB"
    currency: str = "GBP"
    tax_id: str = "GB980780684"
    active: bool = True
    successor_id: int | None = None
    successor: Any = None


def snapshot(**changes: Any) -> Any:
    from apps.sync.flows.base import Meta
    from apps.sync.flows.deal import DealSnapshot

    def system(number: int, code: str) -> Any:
        return SimpleNamespace(id=number, code=code, name=code.upper())

    values: dict[str, Any] = {
        "key": "crm:006A",
        "as_of": datetime(2026, 11, 23, tzinfo=UTC),
        "live": True,
        "meta": Meta(label="Corvane claims platform"),
        "system": system(1, "crm"),
        "external_id": "006A",
        "deal": deal(),
        "customer": customer(),
        "entity": Entity(),
        "services": {
            "IMP-200": SimpleNamespace(target="503", label="ERP implementation", mapping_id=7, confirmed=True)
        },
        "rates_known": True,
        "erp": system(2, "erp"),
        "psa": system(3, "psa"),
        "billing_system": system(4, "billing"),
    }
    return DealSnapshot(**values | changes)
