"""What ended between two instants is counted exactly, whole hours from the counter and divided ones from the rows."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.journal import counters
from apps.organization import services as organization
from apps.sync import selectors
from apps.sync.models import Subject, Transaction

START = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.fixture
def ended(db) -> tuple[int, int]:
    dice = random.Random(8)
    one, two = (
        organization.entity_set(code=code, name=code, country="GB", currency="GBP", timezone="UTC").pk
        for code in ("A", "B")
    )
    subject = Subject.objects.create(kind="deal", key="d")
    for number in range(300):
        at = START + timedelta(seconds=dice.randrange(4 * 86_400))
        Transaction.objects.create(
            ref=f"T{number}", legal_entity_id=dice.choice((one, two, None)), subject=subject, flow="f", trigger="test",
            state=dice.choice(("succeeded", "dead", "cancelled")), correlation_id=uuid.uuid4(), created_at=at,
            finished_at=at, engagement_key=dice.choice(("", "ENG-1")),
        )  # fmt: skip
    Transaction.objects.create(
        ref="open", subject=subject, flow="f", trigger="test", correlation_id=uuid.uuid4(), created_at=START
    )
    return one, two


def counted(scope: Scope, bounds: list[datetime]) -> list[dict[str, int]]:
    answer = []
    for at, until in zip(bounds, [*bounds[1:], START + timedelta(days=99)], strict=True):
        found: dict[str, int] = {}
        for row in Transaction.objects.within(scope).filter(finished_at__gte=at, finished_at__lt=until):
            found[row.state] = found.get(row.state, 0) + 1
        answer.append(found)
    return answer


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize("folded", [False, True])
def test_days_of_any_zone_are_exact_in_every_scope(ended, zone, folded):
    if folded:
        assert counters.fold() > 0
    one, two = ended
    days = [datetime(2026, 11, 10 + number, tzinfo=ZoneInfo(zone)) for number in range(4)]
    for scope in (
        EVERYTHING,
        Scope(entity_ids=frozenset({one})),
        Scope(entity_ids=frozenset({one, two})),
        Scope(engagement_keys=frozenset({"ENG-1"})),
        Scope(entity_ids=frozenset({two}), engagement_keys=frozenset({"ENG-1"})),
    ):
        found = selectors.ended(scope, days)
        assert found == counted(scope, days)
        assert sum(map(sum, (states.values() for states in found))) > 20
    assert selectors.ended(NOTHING, days) == [{}] * 4


def test_bounds_within_one_hour_divide_it(ended):
    bounds = [START + timedelta(hours=30, minutes=minute, seconds=1) for minute in (3, 17, 59)]
    assert selectors.ended(EVERYTHING, bounds) == counted(EVERYTHING, bounds)
