"""Time is booked on working days, a day's hours a person, to the hour that was asked for."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from apps.demo import psa
from tests.sandbox_process import SandboxProcess


@pytest.mark.parametrize("today", [date(2026, 11, 2), date(2026, 11, 1), date(2027, 1, 1)])
def test_the_days_before_are_the_last_working_days_before_today(today):
    days = psa.days_before(today, 10)
    assert len(days) == 10
    assert days == sorted(days)
    assert all(day < today and day.weekday() < 5 for day in days)
    assert (today - days[-1]).days <= 3


def test_the_month_before_january_is_december():
    days = psa.month_before(date(2027, 1, 4))
    assert {(day.year, day.month) for day in days} == {(2026, 12)}
    assert len(days) == 23


@pytest.fixture
def sandbox(free_port_block, tmp_path):
    with SandboxProcess(free_port_block(7), tmp_path / "sandbox") as process:
        process.control.seed(
            {
                "psa": {
                    "roles": [{"id": id_, "name": role} for role, id_ in psa.ROLE_IDS.items()],
                    "workspaces": [{"title": "Ledger renewal", "creator_role": "maven", "currency": "GBP"}],
                }
            }
        )
        yield process


def test_a_sheet_becomes_entries_of_a_day_each_and_is_booked_once(sandbox):
    sheet = psa.Sheet("Ledger renewal", "PMO-110", "Consultant", Decimal(32), person=1)
    days = psa.days_before(date(2026, 11, 23), 3)
    assert psa.book(sandbox.control, [sheet], days) == 5
    rows = sandbox.control.records("psa", "time_entries")
    assert sum(row["time_in_minutes"] for row in rows) == 32 * 60
    assert max(Counter((row["user_id"], row["date_performed"]) for row in rows).values()) == 1
    assert {row["role_id"] for row in rows} == {psa.ROLE_IDS["Consultant"]}
    assert [row["title"] for row in sandbox.control.records("psa", "stories")] == ["PMO-110"]
    assert psa.book(sandbox.control, [sheet], days) == 0
    assert len(sandbox.control.records("psa", "time_entries")) == 5
