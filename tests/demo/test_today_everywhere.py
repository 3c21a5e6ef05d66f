"""The demo's today has begun in every legal entity, whatever the hour in UTC."""

from __future__ import annotations

from datetime import date

import pytest
import time_machine

from apps.demo import seeding
from tests.commercial import world


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("now", "expected"),
    [("2026-11-29T00:05:00Z", date(2026, 11, 28)), ("2026-11-29T12:00:00Z", date(2026, 11, 29))],
)
def test_what_is_due_today_is_due_in_new_york_too(now, expected):
    world.entity()
    world.entity("MER-US", timezone="America/New_York")
    with time_machine.travel(now):
        assert seeding.today_everywhere() == expected
