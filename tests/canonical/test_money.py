"""Money is exact, knows its currency's decimals, and refuses what would lose cents."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.canonical.money import CurrencyMismatch, Money, minor_unit_exponent, total

minor_amounts = st.integers(min_value=-(10**13), max_value=10**13)
currencies = st.sampled_from(["EUR", "GBP", "USD", "JPY", "KWD"])


@pytest.mark.parametrize(("currency", "places"), [("JPY", 0), ("EUR", 2), ("KWD", 3)])
def test_each_currency_has_its_iso_4217_decimal_places(currency, places):
    assert minor_unit_exponent(currency) == places


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [("2.005", "EUR", "2.01"), ("-2.005", "EUR", "-2.01"), ("1.5", "JPY", "2"), ("0.0005", "KWD", "0.001")],
)
def test_of_rounds_half_up_to_the_minor_unit(amount, currency, rounded):
    assert Money.of(amount, currency) == Money(amount=Decimal(rounded), currency=currency)


@pytest.mark.parametrize(
    "value",
    [
        {"amount": 0.1, "currency": "EUR"},
        {"amount": True, "currency": "EUR"},
        {"amount": "NaN", "currency": "EUR"},
        {"amount": "Infinity", "currency": "EUR"},
        {"amount": "1.001", "currency": "EUR"},
        {"amount": "1.5", "currency": "JPY"},
        {"amount": "1", "currency": "EURO"},
        {"amount": "1", "currency": "eur"},
        {"amount": "1000000000000000", "currency": "EUR"},
        {"amount": "1", "currency": "EUR", "note": "x"},
    ],
)
def test_an_amount_that_cannot_be_exact_is_refused(value):
    with pytest.raises(ValidationError):
        Money.model_validate(value)


def test_amounts_of_two_currencies_do_not_add_up():
    with pytest.raises(CurrencyMismatch):
        Money.of(1, "EUR") + Money.of(1, "USD")
    with pytest.raises(CurrencyMismatch):
        Money.of(1, "EUR") - Money.of(1, "USD")
    with pytest.raises(CurrencyMismatch):
        total([Money.of(1, "EUR"), Money.of(1, "USD")], "EUR")


def test_an_empty_total_is_zero_in_its_currency():
    assert total([], "JPY") == Money.of(0, "JPY")


def test_money_reads_with_currency_thousands_and_decimals():
    assert str(Money.of("1234567.5", "EUR")) == "EUR 1,234,567.50"
    assert str(Money.of(1500, "JPY")) == "JPY 1,500"


@given(minor=minor_amounts, currency=currencies)
def test_minor_units_and_json_both_bring_the_same_money_back(minor, currency):
    money = Money.from_minor(minor, currency)
    assert money.minor == minor
    text = money.model_dump_json()
    assert isinstance(json.loads(text)["amount"], str)
    assert Money.model_validate_json(text) == money


@given(parts=st.lists(minor_amounts, max_size=20), currency=currencies)
def test_a_total_is_the_sum_of_minor_units_whatever_the_order(parts, currency):
    moneys = [Money.from_minor(part, currency) for part in parts]
    assert total(moneys, currency).minor == sum(parts)
    assert total(reversed(moneys), currency) == total(moneys, currency)
