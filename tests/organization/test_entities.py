"""Entities, systems and routing: checked on the way in, with history, found by code."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError

from apps.canonical.money import Money
from apps.core.errors import InvalidInput, NotFound
from apps.core.scope import Scope
from apps.journal import selectors as journal
from apps.organization import selectors, services
from apps.organization.models import System

pytestmark = pytest.mark.django_db


@pytest.fixture
def uk():
    return services.entity_set(
        code="MER-UK",
        name="Merridane Consulting Ltd",
        country="GB",
        currency="GBP",
        timezone="Europe/London",
        hours_per_day=Decimal("7.5"),
    )


def _rate(base, quote, on, rate):
    services.rate_set(base=base, quote=quote, on=dt.date.fromisoformat(on), rate=Decimal(rate))


def test_setting_an_entity_again_changes_only_what_is_given_and_says_what(uk):
    services.entity_set(code="MER-UK", name="Merridane Consulting Limited")
    services.entity_set(code="MER-UK", name="Merridane Consulting Limited")
    found = selectors.entity("MER-UK")
    assert (found.name, found.currency, found.hours_per_day) == (
        "Merridane Consulting Limited",
        "GBP",
        Decimal("7.50"),
    )
    changed, created = journal.history("legal_entity", "MER-UK")
    assert created.verb == "legal_entity.created"
    assert (changed.old, changed.new) == (
        {"name": "Merridane Consulting Ltd"},
        {"name": "Merridane Consulting Limited"},
    )


@pytest.mark.parametrize("fields", [{"currency": "XXZ"}, {"country": "GBR"}, {"name": ""}])
def test_a_wrong_entity_is_refused_naming_the_field(fields):
    right = {"name": "X", "country": "GB", "currency": "GBP"}
    with pytest.raises(InvalidInput) as refusal:
        services.entity_set(code="NEW", **{**right, **fields})
    assert set(refusal.value.fields) == set(fields)
    assert selectors.entity("NEW") is None


def test_entities_are_listed_in_scope(uk):
    us = services.entity_set(code="MER-US", name="Inc", country="US", currency="USD")
    services.entity_set(code="OLD", name="Old", country="GB", currency="GBP", active=False)
    assert selectors.entities() == [uk, us]
    assert selectors.entities(scope=Scope(entity_ids=frozenset({us.pk}))) == [us]
    assert selectors.entities(scope=Scope()) == []
    assert len(selectors.entities(active=None)) == 3
    assert selectors.entity(us.pk) == us
    assert selectors.entity("NOPE") is None


def test_routing_says_which_system_plays_a_kind(uk):
    erp = services.system_set(code="erp", name="NetSuite", kind="erp", vendor="netsuite")
    crm = services.system_set(code="crm", name="Salesforce", kind="crm", vendor="salesforce")
    with pytest.raises(InvalidInput):
        services.routing_set(legal_entity=uk, kind="erp", system=crm)
    services.routing_set(legal_entity=uk, kind="erp", system=erp, settings={"subsidiary": "1"})
    services.routing_set(legal_entity=uk, kind="erp", system=erp)
    found = selectors.route(uk.pk, "erp")
    assert (found.system, found.settings) == (erp, {"subsidiary": "1"})
    assert selectors.route(uk.pk, "psa") is None
    services.system_set(code="erp", active=False)
    assert selectors.route(uk.pk, "erp") is None
    assert selectors.systems() == [crm]
    with pytest.raises(NotFound):
        selectors.system("nope")


def test_money_is_converted_by_the_newest_rate_of_the_day_or_before():
    _rate("GBP", "USD", "2026-11-01", "1.25")
    _rate("GBP", "USD", "2026-11-20", "1.30")
    day = dt.date(2026, 11, 19)
    assert selectors.convert(Money.of("100", "GBP"), "USD", day) == (
        Money.of("125", "USD"),
        dt.date(2026, 11, 1),
    )
    assert selectors.convert(Money.of("125", "USD"), "GBP", day) == (
        Money.of("100", "GBP"),
        dt.date(2026, 11, 1),
    )
    assert selectors.convert(Money.of("1", "GBP"), "USD", dt.date(2026, 10, 31)) is None
    assert selectors.convert(Money.of("1", "GBP"), "GBP", day) == (Money.of("1", "GBP"), day)


def test_money_is_converted_through_one_currency_between():
    _rate("EUR", "GBP", "2026-11-10", "0.80")
    _rate("EUR", "JPY", "2026-11-12", "160")
    got = selectors.convert(Money.of("10", "GBP"), "JPY", dt.date(2026, 11, 30))
    assert got == (Money.of("2000", "JPY"), dt.date(2026, 11, 10))


@pytest.mark.parametrize("rate", ["0", "-1", "NaN"])
def test_a_rate_is_above_zero(rate):
    with pytest.raises(InvalidInput):
        _rate("EUR", "GBP", "2026-11-10", rate)


def test_the_invoice_run_closes_on_the_second_working_day_at_four_local_time(uk):
    london = ZoneInfo("Europe/London")
    at = dt.datetime(2026, 11, 1, 0, 0, tzinfo=dt.UTC)  # a Sunday
    due = selectors.invoice_run_due(uk, at)
    assert due == dt.datetime(2026, 11, 3, 16, 0, tzinfo=london)
    assert due.tzinfo == dt.UTC
    assert selectors.invoice_run_due(uk, due) == due
    after = selectors.invoice_run_due(uk, due + dt.timedelta(seconds=1))
    assert after == dt.datetime(2026, 12, 2, 16, 0, tzinfo=london)


def test_the_deadline_is_the_run_or_the_lock_of_receivables_whichever_is_first(uk):
    at = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    assert selectors.deadline(uk, at) == selectors.invoice_run_due(uk, at), "no lock is kept"
    uk = services.entity_set(code="MER-UK", receivables_lock_day=4, receivables_lock_time=dt.time(12, 0))
    assert selectors.deadline(uk, at) == selectors.invoice_run_due(uk, at)
    run_over = selectors.invoice_run_due(uk, at) + dt.timedelta(seconds=1)
    lock = dt.datetime(2026, 11, 5, 12, 0, tzinfo=dt.UTC)
    assert selectors.deadline(uk, run_over) == lock
    assert selectors.deadline(uk, lock + dt.timedelta(seconds=1)).date() == dt.date(2026, 12, 2)
    services.closed_day_add(legal_entity=uk, on=dt.date(2026, 11, 4), label="Inventory")
    assert selectors.deadline(uk, run_over) == lock + dt.timedelta(days=1)
    with pytest.raises(IntegrityError):
        services.entity_set(code="MER-UK", receivables_lock_day=0)


def test_public_holidays_and_closed_days_put_the_run_off(uk):
    january = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)  # New Year is a Friday
    assert selectors.invoice_run_due(uk, january).date() == dt.date(2027, 1, 5)
    services.closed_day_add(legal_entity=uk, on=dt.date(2027, 1, 4), label="Inventory")
    assert selectors.invoice_run_due(uk, january).date() == dt.date(2027, 1, 6)


def test_summer_time_moves_the_deadline_in_utc(uk):
    july = selectors.invoice_run_due(uk, dt.datetime(2026, 7, 1, tzinfo=dt.UTC))
    assert july == dt.datetime(2026, 7, 2, 15, 0, tzinfo=dt.UTC)


def test_a_country_without_known_holidays_has_weekends(uk):
    services.entity_set(code="MER-UK", country="AQ")
    uk.refresh_from_db()
    assert len(selectors.working_days(uk, 2026, 11)) == 21


def test_an_entitys_tax_id_must_be_one_of_its_country(uk):
    with pytest.raises(InvalidInput, match="GB123456789"):
        services.entity_set(code="MER-UK", tax_id="GB123456789")
    assert services.entity_set(code="MER-UK", tax_id="GB980780684").tax_id == "GB980780684"
    with pytest.raises(InvalidInput, match="no valid tax id of DE"):
        services.entity_set(code="MER-UK", country="DE")
    assert selectors.entity("MER-UK").country == "GB"


def test_who_asks_all_the_time_may_remember_the_registry_for_a_moment(django_assert_num_queries):
    services.system_set(code="crm", name="Salesforce", kind="crm", vendor="salesforce")
    selectors.remember_registry(30)
    try:
        with django_assert_num_queries(1):
            assert selectors.system("crm").name == selectors.system("crm").name == "Salesforce"
        with pytest.raises(NotFound):
            selectors.system("nobody")
        System.objects.filter(code="crm").update(name="Salesforce EU")
        assert selectors.system("crm").name == "Salesforce"
    finally:
        selectors.remember_registry(None)
    assert selectors.system("crm").name == "Salesforce EU"
