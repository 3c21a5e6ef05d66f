"""Working days counted back and working hours counted on, in the calendar and zone of each entity."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from apps.organization import calendars, services
from tests.commercial import world


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def back(entity: Any, when: str, *days: int) -> list[str]:
    return [f"{found:%a %d %b %H:%M}" for found in calendars.days_back([entity], at(when), days)[entity.pk]]


def on(entity: Any, when: str, hours: int) -> str:
    return f"{calendars.hours_on([entity], at(when), [hours])[entity.pk][hours]:%a %d %b %H:%M}"


def test_working_days_are_counted_back_over_the_weekend(uk):
    assert back(uk, "2026-11-24T10:00", 0, 1, 3, 7) == [
        "Tue 24 Nov 10:00", "Mon 23 Nov 10:00", "Thu 19 Nov 10:00", "Fri 13 Nov 10:00",
    ]  # fmt: skip


def test_on_a_day_off_the_working_day_before_has_just_ended(uk):
    assert back(uk, "2026-11-28T10:00", 0, 1) == ["Fri 27 Nov 23:59", "Thu 26 Nov 23:59"]


def test_public_holidays_and_closed_days_are_no_working_days(uk):
    services.closed_day_add(legal_entity=uk, on=dt.date(2026, 12, 24), label="Shutdown")
    # Christmas Day is a Friday, Boxing Day is kept on Monday the 28th.
    assert back(uk, "2026-12-29T10:00", 1) == ["Wed 23 Dec 10:00"]


def test_working_hours_end_with_the_day_and_go_on_with_the_next(uk):
    services.entity_set(code=uk.code, hours_per_day=Decimal("7.5"))
    uk.refresh_from_db()
    assert on(uk, "2026-11-24T10:00", 2) == "Tue 24 Nov 12:00"
    assert on(uk, "2026-11-24T15:30", 2) == "Wed 25 Nov 10:00"
    assert on(uk, "2026-11-27T16:00", 8) == "Tue 01 Dec 09:00"
    assert on(uk, "2026-11-28T12:00", 1) == "Mon 30 Nov 10:00"
    assert on(uk, "2026-11-24T05:00", 1) == "Tue 24 Nov 10:00"
    assert on(uk, "2026-11-24T20:00", 1) == "Wed 25 Nov 10:00"


def test_each_entity_has_its_own_zone(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    found = calendars.hours_on([uk, us], at("2026-11-24T08:00"), [1])
    assert [f"{found[one.pk][1]:%H:%M}" for one in (uk, us)] == ["10:00", "15:00"]


def test_many_entities_take_one_query(uk, django_assert_num_queries):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    with django_assert_num_queries(1):
        calendars.days_back([uk, us], at("2026-11-24T10:00"), (1, 3, 7, 14))
    with django_assert_num_queries(1):
        calendars.hours_on([uk, us], at("2026-11-24T10:00"), (8, 40))


def test_a_calendar_without_working_days_is_said_and_does_not_hang(uk):
    first = dt.date(2026, 6, 1)
    for number in range(400):
        services.closed_day_add(legal_entity=uk, on=first - dt.timedelta(days=number), label="Closed")
    assert back(uk, "2026-06-02T10:00", 0) == ["Tue 02 Jun 10:00"]
    with pytest.raises(ValueError, match="no working day"):
        calendars._step(uk, first, -1, {first - dt.timedelta(days=number) for number in range(400)})
