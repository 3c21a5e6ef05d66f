"""Publishing rate cards: no overlap, versions end each other, contracts define their day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from apps.commercial import selectors, services
from apps.commercial.errors import RateOverlap
from apps.commercial.models import RateCard, RateLine
from apps.core.errors import InvalidInput
from tests.commercial.world import deal, entity, lines, rate

pytestmark = pytest.mark.django_db


def publish(firm, *prices, start=date(2026, 1, 1), **more):
    return services.entity_ratecard_set(
        legal_entity=firm, name="List 2026", currency="GBP", lines=prices, effective_from=start, **more
    )


def opened(firm, **fields):
    return services.engagement_open(deal=deal(**fields), legal_entity=firm, lines=lines())


def test_an_overlapping_price_is_refused_with_both_named():
    firm = entity()
    publish(firm, rate("Manager"), rate("Partner", "340"))
    with pytest.raises(RateOverlap, match=r"RC-MER-UK-GBP v1 already prices Manager from 2026-01-01 to open"):
        publish(firm, rate("Manager", "201.83"), start=date(2026, 11, 1))
    assert RateCard.objects.count() == 1


def test_the_database_itself_refuses_an_overlap_of_approved_prices_only():
    card = publish(entity(), rate("Manager"), effective_to=date(2026, 6, 1))
    line = card.lines.get()

    def second(approved, start, end):
        copy = RateCard.objects.get(pk=card.pk)
        copy.pk, copy.version = None, RateCard.objects.count() + 1
        copy.save()
        with transaction.atomic():
            return RateLine.objects.create(
                card=copy,
                rate_key=line.rate_key,
                unit="hour",
                bill_rate=1,
                validity=DateRange(start, end),
                approved=approved,
            )

    with pytest.raises(IntegrityError, match="commercial_line_no_overlap"):
        second(True, date(2026, 5, 31), None)
    assert second(False, date(2026, 5, 31), None).pk
    assert second(True, date(2026, 6, 1), None).pk


def test_a_new_version_ends_the_former_and_both_answer_for_their_days():
    firm = entity()
    publish(firm, rate("Manager", "195"))
    second = publish(firm, rate("Manager", "201.83"), start=date(2026, 11, 1), ends_former=True)
    assert second.version == 2
    key = opened(firm).key

    def on(day):
        return selectors.effective_rate(engagement_key=key, role="Manager", service_code="", worked_on=day)

    assert str(on(date(2026, 10, 31)).money) == "GBP 195.00"
    assert str(on(date(2026, 11, 1)).money) == "GBP 201.83"
    assert on(date(2025, 12, 31)) is None
    with pytest.raises(RateOverlap, match="later version"):
        publish(firm, rate("Manager", "1"), start=date(2026, 10, 1), ends_former=True)


def test_the_same_card_again_is_the_same_card():
    firm = entity()
    assert not selectors.has_entity_rates(firm.pk, "GBP")
    first = publish(firm, rate("Manager"), rate("Partner", "340"))
    assert selectors.has_entity_rates(firm.pk, "GBP")
    assert not selectors.has_entity_rates(firm.pk, "EUR")
    assert publish(firm, rate("Partner", "340"), rate("Manager")).pk == first.pk


def test_bad_cards_are_refused():
    firm = entity()
    with pytest.raises(InvalidInput, match="at least one price"):
        publish(firm)
    with pytest.raises(InvalidInput, match="EUR"):
        publish(firm, rate("Manager", currency="EUR"))
    with pytest.raises(InvalidInput, match="end after it starts"):
        publish(firm, rate("Manager"), effective_to=date(2026, 1, 1))
    with pytest.raises(RateOverlap, match="two prices for Manager"):
        publish(firm, rate("Manager"), rate("Manager", "1"))


def test_contract_before_client_before_entity_and_the_trace_tells_why():
    firm = entity()
    publish(firm, rate("Manager", "195"))
    key = opened(firm).key
    asked = {
        "engagement_key": key,
        "role": "Manager",
        "service_code": "IMP-200",
        "worked_on": date(2026, 10, 1),
    }
    assert str(selectors.effective_rate(**asked).money) == "GBP 195.00"
    services.client_ratecard_set(
        legal_entity=firm,
        customer_key="crm:001A",
        name="Brackwater",
        currency="GBP",
        lines=[rate("Manager", "180")],
        effective_from=date(2026, 1, 1),
    )
    assert str(selectors.effective_rate(**asked).money) == "GBP 180.00"
    services.engagement_ratecard_set(
        engagement=selectors.engagement(key),
        lines=[rate(blended=True, amount="170")],
        effective_from=date(2026, 9, 1),
    )
    answer = selectors.effective_rate(**asked)
    assert str(answer.money) == "GBP 170.00"
    assert [row["scope"] for row in answer.trace] == ["engagement", "client", "entity"]


def test_a_day_is_the_entitys_unless_the_contract_says_otherwise():
    firm = entity()
    publish(firm, rate("Manager", "1200", unit="day"))
    engagement = opened(firm)
    asked = {
        "role": "Manager",
        "service_code": "",
        "worked_on": date(2026, 10, 1),
        "engagement_key": engagement.key,
    }
    assert str(selectors.effective_rate(**asked).hourly) == "GBP 160.00"
    services.engagement_ratecard_set(
        engagement=engagement,
        lines=[rate("Partner", "340")],
        effective_from=date(2026, 9, 1),
        hours_per_day=Decimal("8"),
    )
    assert str(selectors.effective_rate(**asked).hourly) == "GBP 150.00"


def test_two_prices_of_equal_rank_are_an_error_not_a_choice():
    firm = entity()
    publish(
        firm,
        rate("Manager", "195", resource="ana"),
        rate(service_code="IMP-200", resource="ana", amount="200"),
    )
    key = opened(firm).key
    with pytest.raises(RateOverlap) as caught:
        selectors.effective_rate(
            engagement_key=key,
            role="Manager",
            service_code="IMP-200",
            worked_on=date(2026, 10, 1),
            resource="ana",
        )
    assert caught.value.code == "RATE-OVERLAP"


def test_a_resolver_answers_without_queries(django_assert_num_queries):
    firm = entity()
    publish(firm, rate("Manager"), rate("Partner", "340"), rate("Analyst", "105"))
    key = opened(firm, rates=(rate("Manager", "190"),)).key
    with django_assert_num_queries(3):
        resolver = selectors.rate_resolver(key)
    with django_assert_num_queries(0):
        assert {
            resolver(role, "", date(2026, 10, 1), "").line_id for role in ("Manager", "Partner", "Analyst")
        }


def test_the_deals_rates_become_the_engagements_card():
    engagement = opened(
        entity(), rates=(rate("Manager", "190"), rate(blended=True, amount="150", service_code="X"))
    )
    card = selectors.canonical_rate_card(engagement.key)
    assert (card.key, card.version, card.effective_from) == (f"RC-{engagement.key}", 1, date(2026, 9, 15))
    assert card.hours_per_day == Decimal("7.5")
    assert [(line.role, line.blended, str(line.bill_rate)) for line in card.lines] == [
        ("Manager", False, "GBP 190.00"),
        ("", True, "GBP 150.00"),
    ]
    assert selectors.canonical_engagement(engagement.key).rate_card_key == card.key
