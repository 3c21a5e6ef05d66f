"""Overbilling and duplicate exposure are figures of their own; money in the reporting currency says the day of its rate."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.core import clock
from apps.core.scope import EVERYTHING, Scope
from apps.organization import services as organization
from apps.triage import selectors, services
from tests.commercial import world
from tests.triage.desk import fact, opened, problem


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def us(db) -> Any:
    return world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")


def told(scope: Scope = EVERYTHING) -> dict[str, list[tuple[str, Decimal, int]]]:
    return {
        one.kind.value: [(line.currency, line.amount, line.unknown) for line in one.held]
        for one in selectors.open_exposures(scope)
    }


def test_each_kind_is_summed_by_currency_beside_billing_held(uk, us):
    opened(uk, problem("INV-UNKNOWN"), amount="54000")
    opened(uk, problem("INV-TOTAL", params={"held": "40.50"}), number=2, amount="900")
    opened(us, problem("INV-DUP"), number=3, amount="100")
    opened(us, problem("INV-DUP", value="other"), number=4, amount=None)
    opened(uk, number=5, amount="1")
    assert told() == {
        "overbilling": [("GBP", Decimal("40.5"), 0)],
        "duplicate": [("GBP", Decimal("54000"), 0), ("USD", Decimal("100"), 1)],
    }
    assert told(Scope(entity_ids=frozenset({us.pk}))) == {"duplicate": [("USD", Decimal("100"), 1)]}
    assert told(Scope()) == {}


def test_a_subject_counts_once_a_kind_and_an_amount_that_the_problem_says_wins(uk):
    both = [problem("INV-DUP"), problem("INV-UNKNOWN", params={"exposure": "7"})]
    services.cases_reconcile([fact(uk, *both, amount="100")])
    assert told() == {"duplicate": [("GBP", Decimal("100"), 0)]}
    paid = problem("PAY-OUTSIDE", params={"open": "33.10", "held": "0"})
    opened(uk, paid, number=2, amount="500")
    assert told() == {"duplicate": [("GBP", Decimal("133.1"), 0)]}


def test_what_has_cleared_is_exposed_no_more(uk):
    opened(uk, problem("INV-UNKNOWN"))
    services.cases_reconcile([fact(uk)])
    assert told() == {}


def test_the_reporting_currency_says_the_day_of_its_rate(uk, us):
    day = clock.today() - timedelta(days=3)
    organization.rate_set(base="USD", quote="GBP", on=day, rate=Decimal("0.80"))
    opened(us, amount="1000")
    opened(uk, number=2, amount="10")
    pounds, dollars = selectors.billing_held(EVERYTHING)
    assert (str(dollars.reporting), dollars.rate_on) == ("GBP 800.00", day)
    assert (str(pounds.reporting), pounds.rate_on) == ("GBP 10.00", None)
    assert selectors.held_of(selectors.open_cases(EVERYTHING)) == [pounds, dollars]
    converted = selectors.in_reporting_currency(Decimal("1000"), "USD")
    assert converted is not None
    assert (str(converted[0]), converted[1]) == ("GBP 800.00", day)
    assert selectors.in_reporting_currency(None, "USD") is None
    assert selectors.in_reporting_currency(Decimal(1), "") is None
    assert selectors.in_reporting_currency(Decimal(1), "GBP") is None
    assert selectors.in_reporting_currency(Decimal(1), "JPY") is None


def test_without_a_rate_nothing_is_guessed(us):
    opened(us, problem("INV-UNKNOWN"), amount="1000")
    (line,) = selectors.billing_held(EVERYTHING)
    assert (line.reporting, line.rate_on) == (None, None)
    (one,) = selectors.open_exposures(EVERYTHING)
    assert one.held[0].reporting is None


def test_a_rate_across_another_currency_has_the_day_of_the_older_leg(uk):
    old, new = clock.today() - timedelta(days=9), clock.today() - timedelta(days=2)
    organization.rate_set(base="SEK", quote="EUR", on=old, rate=Decimal("0.1"))
    organization.rate_set(base="EUR", quote="GBP", on=new, rate=Decimal("0.8"))
    opened(uk, currency="SEK", amount="1000")
    (line,) = selectors.billing_held(EVERYTHING)
    assert (str(line.reporting), line.rate_on) == ("GBP 80.00", old)
