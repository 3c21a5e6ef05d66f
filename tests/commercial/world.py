"""A small firm for the tests of commercial and billing: entities, people, deals."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import Contract, Deal, DealLine, EngagementLine, RateLine, ScheduleEntry
from apps.organization import services as organization


def entity(code: str = "MER-UK", **fields: Any) -> Any:
    values = {
        "name": "Merridane Consulting Ltd",
        "country": "GB",
        "currency": "GBP",
        "timezone": "Europe/London",
        "hours_per_day": Decimal("7.5"),
    }
    return organization.entity_set(code=code, **{**values, **fields})


def person(name: str, *roles: str, legal_entity: Any = None) -> Any:
    user = organization.user_create(
        username=name, email=f"{name}@merridane.example", first_name=name.title(), last_name="Tester"
    )
    for role in roles:
        organization.role_grant(user=user, role=role, legal_entity=legal_entity)
    return user


def money(amount: str, currency: str = "GBP") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def rate(role: str = "", amount: str = "195", *, currency: str = "GBP", **fields: Any) -> RateLine:
    return RateLine(role=role, bill_rate=money(amount, currency), **fields)


def deal(key: str = "crm:006A", **fields: Any) -> Deal:
    currency = fields.get("currency", "GBP")
    values: dict[str, Any] = {
        "key": key,
        "name": "Brackwater ERP programme",
        "customer_key": "crm:001A",
        "legal_entity_code": "MER-UK",
        "currency": currency,
        "amount": money("120000", currency),
        "stage": "Closed Won",
        "is_won": True,
        "is_closed": True,
        "closed_on": date(2026, 9, 1),
        "billing_model": "milestone",
        "start_on": date(2026, 9, 15),
        "end_on": date(2027, 3, 31),
        "payment_terms": "Net 30",
        "project_manager": "petra@merridane.example",
        "po_number": "PO-7781",
        "lines": (
            DealLine(
                key="L1",
                service_code="IMP-200",
                quantity=Decimal(1),
                unit_price=money("120000", currency),
                amount=money("120000", currency),
                billing_model="milestone",
            ),
        ),
        "schedule": (
            ScheduleEntry(
                key="S1",
                label="Design",
                amount=money("50000", currency),
                trigger="acceptance",
                service_code="IMP-200",
            ),
            ScheduleEntry(
                key="S2",
                label="Kick-off fee",
                amount=money("70000", currency),
                trigger="date",
                due_on=date(2026, 10, 1),
                service_code="IMP-200",
            ),
        ),
    }
    return Deal(**{**values, **fields})


def capped(amount: str, currency: str = "GBP") -> Contract:
    return Contract(
        key="crm:800A",
        kind="SOW",
        number="C-100",
        status="activated",
        customer_key="crm:001A",
        not_to_exceed=money(amount, currency),
    )


def lines(*codes: str, currency: str = "GBP", model: str = "milestone") -> list[dict[str, Any]]:
    return [
        {
            **EngagementLine(
                key=f"L{number}",
                service_code=code,
                billing_code=f"ns-{code}",
                billing_model=model,
                amount=money("120000", currency),
            ).model_dump(mode="json"),
            "mapping_id": number,
            "mapping_confirmed": True,
        }
        for number, code in enumerate(codes or ("IMP-200",), start=1)
    ]
