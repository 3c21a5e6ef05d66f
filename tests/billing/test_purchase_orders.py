"""A purchase order with an amount: what fits is billed, what does not waits for a raised or new order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.billing import services
from apps.commercial import services as commercial
from tests.billing import world
from tests.commercial.world import money, rate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("november")]


def ordered(firm: Any, amount: str | None, **deal: Any) -> str:
    order = {} if amount is None else {"po_amount": money(amount)}
    return world.time_and_materials(firm, rate("Manager", "100"), po_number="PO-7", **order, **deal)


def told(key: str) -> list[tuple[str, str]]:
    return [(one["code"], one["params"]["held"]) for one in services.problems(services.readiness(key))]


def test_what_no_longer_fits_waits_whole_and_both_values_are_said():
    key = ordered(world.firm(), "1000")
    services.time_observe(entry=world.hours(key, 1, "8"))
    services.time_observe(entry=world.hours(key, 2, "3"))
    services.time_observe(entry=world.hours(key, 3, "2"))
    [problem] = services.problems(services.readiness(key))
    assert (problem["code"], problem["value"], problem["params"]["held"]) == (
        "PO-EXHAUSTED",
        "PO-7",
        "300.00",
    )
    assert problem["reason"] == (
        "Purchase order PO-7 is over GBP 1,000.00 and GBP 0.00 are billed or drafted on it: GBP 1,300.00 are ready, "
        "GBP 1,000.00 are left."
    )
    assert services.prebill_draft(engagement_key=key).net == Decimal("1000")


def test_the_verdict_is_the_same_once_what_fits_has_been_drafted():
    key = ordered(world.firm(), "1000")
    for number, hours in enumerate(("8", "3"), start=1):
        services.time_observe(entry=world.hours(key, number, hours))
    assert told(key) == [("PO-EXHAUSTED", "300.00")]
    services.prebill_draft(engagement_key=key)
    assert told(key) == [("PO-EXHAUSTED", "300.00")]


def test_a_raised_order_releases_what_waits():
    key = ordered(world.firm(), "1000")
    services.time_observe(entry=world.hours(key, 1, "11"))
    assert told(key) == [("PO-EXHAUSTED", "1100.00")]
    commercial.po_set(key=key, po_number="PO-7", amount=money("1100"))
    assert told(key) == []
    assert services.prebill_draft(engagement_key=key).net == Decimal("1100")


def test_one_order_for_two_engagements_is_used_up_by_both():
    firm = world.firm()
    first = ordered(firm, "1000")
    second = ordered(firm, "1000", key="crm:006B")
    services.time_observe(entry=world.hours(first, 1, "8"))
    assert services.prebill_draft(engagement_key=first).net == Decimal("800")
    services.time_observe(entry=world.hours(second, 2, "3"))
    [problem] = services.problems(services.readiness(second))
    assert "GBP 800.00 are billed or drafted on it" in problem["reason"]
    commercial.po_set(key=second, po_number="PO-8", amount=money("1000"))
    assert told(second) == []


def test_an_order_without_an_amount_is_not_watched():
    key = ordered(world.firm(), None)
    services.time_observe(entry=world.hours(key, 1, "1000"))
    assert told(key) == []


def test_a_hold_neither_hides_nor_moves_the_order():
    key = ordered(world.firm(), "1000")
    services.time_observe(entry=world.hours(key, 1, "11"))
    before = services.problems(services.readiness(key))
    entity = commercial.po_set(key=key, po_number="PO-7", amount=money("1000")).legal_entity_id
    services.place_hold(
        engagement_key=key, legal_entity_id=entity, level="billing", reason="A case.", source_ref="case:EX-1"
    )
    assert services.problems(services.readiness(key)) == before


def test_the_look_ahead_says_the_same_as_readiness():
    key = ordered(world.firm(), "1000")
    services.time_observe(entry=world.hours(key, 1, "8"))
    services.readiness(key)
    services.prebill_draft(engagement_key=key)
    longer, more = world.hours(key, 1, "9"), world.hours(key, 2, "2")
    ahead = services.outlook(key, keys=[longer.key, more.key]).problems([], [longer, more])
    services.time_observe(entry=longer)
    services.time_observe(entry=more)
    assert ahead == services.problems(services.readiness(key))
    assert [one["code"] for one in ahead] == ["PO-EXHAUSTED"]
