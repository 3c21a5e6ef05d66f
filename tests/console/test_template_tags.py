"""Money, time, states and addresses as the screens write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.conf import settings
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import formats, timezone, translation
from django.utils.html import strip_tags

from apps.canonical.money import Money, minor_unit_exponent
from apps.console import nav
from apps.console.states import TONES, state_label, state_tone
from apps.console.templatetags import console as tags
from apps.triage.models import CaseState

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("language", ["en", "de", "fr", "pl", "hi"])
@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
def test_money_is_written_as_django_writes_numbers_of_the_language(language, currency):
    for amount in (Decimal(0), Decimal("-12"), Decimal("1234567.5"), Decimal("-999999999999.25")):
        with translation.override(language):
            shown = strip_tags(tags.render_money(amount, currency)).split(" ", 1)[1]
            decimals = max(minor_unit_exponent(currency), len(f"{amount:f}".partition(".")[2].rstrip("0")))
            wanted = formats.number_format(amount, decimals, use_l10n=True, force_grouping=True)
        assert unescape(shown) == wanted.replace("-", "−")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Money.of("72300", "EUR"), "EUR 72,300.00"),
        (("1234567", "JPY"), "JPY 1,234,567"),
        ({"amount": "0.5", "currency": "KWD"}, "KWD 0.500"),
        (("-2813.96", "GBP"), "GBP −2,813.96"),
        ((Decimal("195.1250"), "GBP"), "GBP 195.125"),
    ],
)
def test_money_shows_its_currency_and_at_least_the_decimals_of_that_currency(value, shown):
    assert strip_tags(tags.money(value)) == shown


@pytest.mark.parametrize(
    "value", [None, "", (None, "EUR"), ("12", ""), ("12", "ZZZ"), ("NaN", "EUR"), ("many", "EUR")]
)
def test_an_unknown_amount_is_said_to_be_unknown_and_never_zero(value):
    assert strip_tags(tags.money(value)) == "unknown"


def test_amounts_of_two_currencies_stand_one_under_the_other():
    shown = tags.moneys([("1", "EUR"), ("2", "USD")])
    assert strip_tags(shown) == "EUR 1.00USD 2.00"
    assert strip_tags(tags.moneys([])) == "–"


@time_machine.travel(NOON, tick=False)
def test_a_time_is_relative_with_the_absolute_one_in_the_persons_zone_on_hover():
    with timezone.override(ZoneInfo("Europe/Brussels")):
        shown = tags.ago(datetime(2026, 11, 23, 9, 30, tzinfo=UTC))
    assert "2 h ago" in shown
    assert 'title="Mon 23 Nov 2026 10:30 CET"' in shown
    assert 'datetime="2026-11-23T09:30:00+00:00"' in shown


@time_machine.travel(NOON, tick=False)
@pytest.mark.parametrize(
    ("when", "words", "css"),
    [
        (datetime(2026, 11, 23, 11, tzinfo=UTC), "1 h overdue", "late"),
        (datetime(2026, 11, 23, 16, tzinfo=UTC), "due in 4 h", "soon"),
        (datetime(2026, 12, 2, 16, tzinfo=UTC), "due in 9 days", ""),
        (None, "no deadline", "soft"),
    ],
)
def test_a_deadline_says_how_long_is_left_or_how_late_it_is(when, words, css):
    shown = tags.due(when)
    assert words in shown
    assert f'class="{css}"' in shown


def test_a_filter_changed_in_a_link_keeps_the_others_and_starts_at_the_first_page():
    context = Context(
        {"request": RequestFactory().get("/exceptions/", {"q": "a&b", "page": "3", "tab": "x"})}
    )
    assert tags.keep_query(context, tab=None, view="cases") == "?q=a%26b&view=cases"
    assert tags.keep_query(context, page=4) == "?q=a%26b&page=4&tab=x"


def test_a_state_is_told_in_words_beside_its_colour():
    shown = tags.badge("awaiting_approval")
    assert "Awaiting approval" in shown
    assert "pill-hold" in shown
    assert state_tone("something new") == "quiet"
    assert state_label("something new") == "Something new"


def test_no_state_has_two_tones():
    states = [state for states in TONES.values() for state in states]
    assert len(states) == len(set(states))
    for state in CaseState:
        assert any(state in states for states in TONES.values()), state


def test_text_of_others_is_escaped_in_badges_and_icons():
    assert "<b>" not in tags.badge("open", "<b>x</b>")
    assert "<script>" not in tags.icon("lock", "", "<script>")


def test_every_icon_that_a_template_or_the_navigation_names_exists():
    folder = Path(settings.BASE_DIR) / "templates"
    names = {icon for _group, _label, _url, icon, _letter, _verbs in nav.SCREENS}
    for path in folder.rglob("*.html"):
        source = path.read_text(encoding="utf-8")
        names |= set(re.findall(r'{% icon "([a-z0-9-]+)"', source))
        names |= set(re.findall(r'symbol="([a-z0-9-]+)"', source))
    assert len(names) > 20
    for name in names:
        assert "<svg" in tags.icon(name), name


@pytest.mark.parametrize(
    ("value", "shown"), [(Decimal("7.5000"), "7.5"), (Decimal("1000.00"), "1,000"), (None, "–")]
)
def test_a_quantity_has_no_trailing_zeros(value, shown):
    assert tags.plain(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.42, "0.4 s"), (42.2, "42 s"), (200, "3 min")])
def test_a_duration_is_as_exact_as_people_need_it(value, shown):
    assert tags.seconds(value) == shown


def test_a_hidden_person_is_the_system():
    assert Template("{% load console %}{{ nobody|person_name }}").render(Context()) == "the system"
