"""Money: each line rounded half-up to its currency's minor unit, and the lines add up to the net."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.billing import selectors, services
from apps.canonical.money import total
from tests.billing import world
from tests.commercial.world import rate

PLACES = {"JPY": 0, "EUR": 2, "KWD": 3}

pytestmark = [pytest.mark.usefixtures("november")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("currency", "day_rate", "hours", "amount"),
    [
        ("JPY", "180000", "0.25", "JPY 6,000"),
        ("JPY", "100000", "1", "JPY 13,333"),
        ("EUR", "1000", "1", "EUR 133.33"),
        ("EUR", "999.99", "3.75", "EUR 500.00"),  # 499.995 goes up
        ("KWD", "100.001", "3.75", "KWD 50.001"),  # 50.0005 goes up
    ],
)
def test_a_line_is_rounded_half_up_to_its_currency(currency, day_rate, hours, amount):
    key = world.time_and_materials(
        world.firm(), rate("Manager", day_rate, unit="day", currency=currency), currency=currency
    )
    services.time_observe(entry=world.hours(key, 1, hours))
    invoice = selectors.canonical_invoice(services.prebill_draft(engagement_key=key).ref)
    assert [str(line.amount) for line in invoice.lines] == [amount]
    assert str(invoice.net) == amount


class LinesAddUp(TestCase):
    @settings(max_examples=25, deadline=None)
    @given(
        currency=st.sampled_from(sorted(PLACES)),
        cents=st.integers(1, 400_000),
        hours=st.lists(st.integers(1, 3000).map(lambda n: Decimal(n) / 100), min_size=1, max_size=10),
    )
    def test_net_is_the_sum_of_lines_that_are_rounded_one_by_one(self, currency, cents, hours):
        unit = Decimal(1).scaleb(-PLACES[currency])
        price = cents * unit
        key = world.time_and_materials(
            world.firm(), rate("Manager", str(price), unit="day", currency=currency), currency=currency
        )
        for number, amount in enumerate(hours):
            services.time_observe(entry=world.hours(key, number, str(amount)))
        invoice = selectors.canonical_invoice(services.prebill_draft(engagement_key=key).ref)
        expected = sorted((h / Decimal("7.5") * price).quantize(unit, rounding=ROUND_HALF_UP) for h in hours)
        assert sorted(line.amount.amount for line in invoice.lines) == expected
        assert invoice.net == total((line.amount for line in invoice.lines), currency)
