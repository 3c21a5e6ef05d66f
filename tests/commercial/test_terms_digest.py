"""The digest of terms covers what changes money, and nothing else."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from apps.canonical.objects import DealLine, ScheduleEntry
from apps.commercial import selectors
from apps.commercial.services import terms_digest
from tests.commercial.world import capped, deal, money, rate


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Another name"},
        {"po_number": "PO-1"},
        {"project_manager": "somebody@else.example"},
        {"stage": "Won"},
        {"closed_on": date(2026, 8, 1)},
        {"schedule": tuple(reversed(deal().schedule))},
        {
            "schedule": tuple(
                entry.model_copy(update={"label": f"New {entry.label}"}) for entry in deal().schedule
            )
        },
        {"amount": money("120000.00")},
        {"lines": (deal().lines[0].model_copy(update={"description": "Words", "quantity": Decimal("1.0")}),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_not_commercial_leaves_the_digest_alone(change):
    assert terms_digest(deal(**change)) == terms_digest(deal())
    assert selectors.changed_terms(deal(), deal(**change)) == {}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("amount", {"amount": money("120000.01")}),
        ("currency", {"currency": "EUR", "lines": (), "schedule": ()}),
        ("legal_entity", {"legal_entity_code": "MER-US"}),
        ("customer", {"customer_key": "crm:001B"}),
        ("billing_model", {"billing_model": "fixed"}),
        ("start_on", {"start_on": date(2026, 9, 16)}),
        ("end_on", {"end_on": None}),
        ("payment_terms", {"payment_terms": "Net 60"}),
        ("not_to_exceed", {"contract": capped("400000")}),
        (
            "lines",
            {
                "lines": (
                    DealLine(
                        key="L1",
                        service_code="DAT-210",
                        quantity=Decimal(1),
                        unit_price=money("120000"),
                        amount=money("120000"),
                        billing_model="milestone",
                    ),
                )
            },
        ),
        (
            "schedule",
            {"schedule": (ScheduleEntry(key="S1", label="Design", amount=money("50000"), trigger="date"),)},
        ),
        ("rates", {"rates": (rate("Manager"),)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_commercial_field_changes_the_digest_and_is_named(field, change):
    assert terms_digest(deal(**change)) != terms_digest(deal())
    assert field in selectors.changed_terms(deal(), deal(**change))
