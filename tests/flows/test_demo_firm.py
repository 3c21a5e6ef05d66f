"""The demo firm is brought to life by its command in a running product, with the figures that the demo tells."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apps.core.scope import EVERYTHING
from apps.demo.people import bills_by_name
from apps.demo.portfolio import healthy
from apps.demo.seeding import OPEN_CASES
from apps.sync import selectors as sync
from apps.triage import selectors as triage
from tests.flows.world import ROOT, World

#: What each cause holds, per currency of its cases.
HELD = {
    "DEAL-SVC-UNMAPPED": ("EUR", 84_600),
    "CUS-DUP": ("GBP", 62_400),
    "AMD-UNAPPROVED": ("USD", 48_000),
    "MS-NO-EVIDENCE": ("EUR", 120_000),
    "CAP-EXCEEDED": ("GBP", 12_250),
    "TIME-UNAPPROVED": ("USD", 147_000),
    "INV-PERIOD": ("EUR", 18_400),
    "PAY-SHORT": ("USD", 1_150),
}
STATES = {"drafted": "draft", "signed": "pm_approved", "issued": "issued", "paid": "paid"}


@pytest.fixture
def running(
    process_database: Any, free_port_block: Callable[[int], int], tmp_path: Path, django_db_blocker: Any
) -> Iterator[World]:
    base_port = free_port_block(10)
    with (
        World(database_env=process_database.env, base_port=base_port, directory=tmp_path, web=True) as world,
        django_db_blocker.unblock(),
    ):
        world.start("worker")
        yield world


def seed(world: World) -> subprocess.CompletedProcess[str]:
    ports = {
        "WEB_PORT": str(world.web_port),
        "SANDBOX_PORT": str(world.base_port),
        "SANDBOX_URL": f"http://127.0.0.1:{world.base_port}",
    }
    return subprocess.run(
        [sys.executable, "manage.py", "seed_demo"],
        cwd=ROOT,
        env=world.env | ports,
        capture_output=True,
        text=True,
        timeout=400,
    )


def held() -> dict[str, tuple[str, Decimal]]:
    sums: dict[str, tuple[str, Decimal]] = {}
    for code, currency, amount in triage.open_cases(EVERYTHING).values_list(
        "code", "currency", "held_amount"
    ):
        assert amount is not None, f"{code} holds an unknown amount"
        assert sums.get(code, (currency, 0))[0] == currency
        sums[code] = (currency, sums.get(code, (currency, Decimal(0)))[1] + amount)
    return sums


def test_the_firm_comes_to_life_and_stays_as_it_is_when_seeded_again(running):
    first = seed(running)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:] + running.log("worker")
    assert held() == {code: (currency, Decimal(amount)) for code, (currency, amount) in HELD.items()}
    assert Counter(triage.open_cases(EVERYTHING).values_list("code", flat=True)) == OPEN_CASES
    bills = bills_by_name()
    for deal in healthy():
        found = bills[deal.spec.name].state if deal.spec.name in bills else None
        assert found == STATES.get(deal.stage), deal.spec.name
    before = (sync.transactions(EVERYTHING).filter(flow="deal.provision").count(), len(bills))
    again = seed(running)
    assert again.returncode == 0
    assert "nadia" in again.stdout
    assert "deals" not in again.stdout
    assert (
        sync.transactions(EVERYTHING).filter(flow="deal.provision").count(),
        len(bills_by_name()),
    ) == before
