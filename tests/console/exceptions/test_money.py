"""Money on the screens: in its own and in the reporting currency with the day of the rate, and exposure beside it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from apps.organization import services as organization
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of

SAID = "at the rate of 2 Nov 2026"


@pytest.fixture(autouse=True)
def rate(db):
    organization.rate_set(base="EUR", quote="GBP", on=date(2026, 11, 2), rate=Decimal("0.85"))


def test_case_cause_list_and_home_say_the_amount_as_reported_and_the_day_of_the_rate(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    for address in (f"/exceptions/{case.ref}/", f"/exceptions/?group={case.group_id}", "/exceptions/", "/"):
        page = text_of(client.get(address))
        assert "EUR 12,300.00" in page, address
        assert "GBP 10,455.00" in page, address
        assert SAID in page, address


def test_an_unknown_amount_is_not_converted(world, signed_in):
    case, client = world.broken_deal(1, amount=None), signed_in("ana")
    for address in (f"/exceptions/{case.ref}/", f"/exceptions/?group={case.group_id}", "/"):
        page = text_of(client.get(address))
        assert SAID not in page, address
        assert "GBP 0.00" not in page, address


def test_exposure_is_shown_beside_billing_held(world, signed_in):
    case, client = world.broken_deal(1, code="INV-UNKNOWN", amount="54000"), signed_in("ana")
    world.broken_deal(2, code="INV-DUP", amount=None)
    assert "Duplicate exposure EUR 54,000.00" in text_of(client.get(f"/exceptions/{case.ref}/"))
    assert "Duplicate exposure EUR 54,000.00 GBP 45,900.00" in text_of(
        client.get(f"/exceptions/?group={case.group_id}")
    )
    for address in ("/exceptions/", "/"):
        page = text_of(client.get(address))
        assert "Duplicate exposure EUR 54,000.00 1 amount unknown GBP 45,900.00" in page, address
        assert "Overbilling exposure" not in page, address


def test_more_cases_take_no_more_queries(world, signed_in):
    client = signed_in("ana")
    world.broken_deal(1, code="INV-UNKNOWN")
    for number, address in enumerate(("/", "/exceptions/", "/exceptions/?view=cases")):

        def more(first: int = 10 * (number + 1)) -> None:
            for one in range(first, first + 4):
                world.broken_deal(one, code="INV-DUP", value=f"V{one}")

        assert_rows_cost_nothing(client, address, more)
