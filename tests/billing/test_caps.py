"""Capped work: bill up to the cap, say both values, hold the rest for a change order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.billing import selectors, services
from apps.billing.models import BillableItem, BillingAccount
from apps.core.errors import InvalidInput
from apps.core.scope import EVERYTHING
from tests.billing import world
from tests.commercial.world import capped, money, rate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("november")]


def thornmere(cap: str = "400000", billed: str = "381200") -> str:
    """Cap 400,000; billed 381,200; what is observed in each test comes on top."""
    key = world.time_and_materials(
        world.firm(),
        rate("Manager", "100"),
        billing_model="capped_time_and_materials",
        contract=capped(cap),
    )
    services.opening_set(engagement_key=key, billed=money(billed))
    return key


def test_what_crosses_the_cap_is_cut_and_the_rest_is_held_once():
    key = thornmere()
    services.time_observe(entry=world.hours(key, 1, "100"))  # 10,000
    services.time_observe(entry=world.hours(key, 2, "210.5"))  # 21,050: 8,800 fit
    problems = services.problems(services.readiness(key))
    assert [problem["code"] for problem in problems] == ["CAP-EXCEEDED"]
    assert problems[0]["reason"] == (
        "Billed or drafted GBP 381,200.00 and ready GBP 31,050.00 together exceed the agreed maximum of GBP 400,000.00: "
        "GBP 18,800.00 can be billed, GBP 12,250.00 waits for a change order."
    )
    assert problems[0]["params"]["held"] == "12250.00"
    assert [str(figure.held) for figure in selectors.billing_held(EVERYTHING)] == ["GBP 12,250.00"]
    prebill = services.prebill_draft(engagement_key=key)
    assert prebill.net == Decimal("18800")
    assert sum(BillableItem.objects.values_list("amount", flat=True)) == Decimal("31050")
    assert sum(BillableItem.objects.values_list("quantity", flat=True)) == Decimal("310.5")


def test_evaluating_again_splits_nothing_further():
    key = thornmere()
    services.time_observe(entry=world.hours(key, 1, "310.5"))
    services.readiness(key)
    before = list(BillableItem.objects.order_by("id").values("source_key", "amount", "state"))
    services.readiness(key)
    services.prebill_draft(engagement_key=key)
    services.readiness(key)
    after = list(BillableItem.objects.order_by("id").values("source_key", "amount"))
    assert [{k: row[k] for k in ("source_key", "amount")} for row in before] == after
    assert [row["state"] for row in before] == ["ready", "pending"]


def test_beyond_an_exhausted_cap_everything_waits():
    key = thornmere(billed="400000")
    services.time_observe(entry=world.hours(key, 1, "1"))
    assert world.codes(services.readiness(key)) == {"CAP-EXCEEDED"}
    assert services.prebill_draft(engagement_key=key) is None


def test_a_hold_neither_hides_nor_moves_the_cap():
    key = thornmere()
    services.time_observe(entry=world.hours(key, 1, "310.5"))
    before = services.problems(services.readiness(key))
    account = BillingAccount.objects.get()
    services.place_hold(
        engagement_key=key,
        legal_entity_id=account.legal_entity_id,
        level="billing",
        reason="Two customers share a VAT number.",
        source_ref="case:EX-1",
    )
    assert services.problems(services.readiness(key)) == before
    assert set(BillableItem.objects.values_list("state", "held_code")) == {
        ("pending", "HOLD"),
        ("pending", "CAP-EXCEEDED"),
    }
    services.lift_hold(source_ref="case:EX-1")
    assert services.prebill_draft(engagement_key=key).net == Decimal("18800")


def test_time_that_is_edited_after_the_cut_is_whole_again_before_it_is_cut_anew():
    key = thornmere()
    services.time_observe(entry=world.hours(key, 1, "310.5"))
    services.readiness(key)
    services.time_observe(entry=world.hours(key, 1, "188"))
    assert services.problems(services.readiness(key)) == []
    amounts = dict(BillableItem.objects.values_list("state", "amount"))
    assert amounts == {"ready": Decimal("18800"), "excluded": Decimal("0")}
    services.time_observe(entry=world.hours(key, 1, "200"))
    services.readiness(key)
    live = BillableItem.objects.exclude(state="excluded")
    assert sum(live.values_list("amount", flat=True)) == Decimal("20000")
    assert live.count() == 2


def test_billed_to_date_must_be_money_of_the_engagement():
    key = thornmere()
    with pytest.raises(InvalidInput):
        services.opening_set(engagement_key=key, billed=money("1", "EUR"))
    with pytest.raises(InvalidInput):
        services.opening_set(engagement_key=key, billed=money("-1"))


class CapsHold(TestCase):
    """Whatever the hours, drafts never exceed the cap and no money appears or vanishes."""

    @settings(max_examples=25, deadline=None)
    @given(
        hours=st.lists(st.integers(1, 400).map(lambda n: Decimal(n) / 4), min_size=1, max_size=8),
        cap=st.integers(0, 40_000),
    )
    def test_a_draft_takes_all_that_fits_and_not_a_penny_more(self, hours, cap):
        key = thornmere(cap=str(cap), billed="0")
        for number, amount in enumerate(hours):
            services.time_observe(entry=world.hours(key, number, str(amount)))
        prebill = services.prebill_draft(engagement_key=key)
        worked = sum(hours) * 100
        drafted = prebill.net if prebill else Decimal(0)
        assert drafted == min(worked, Decimal(cap))
        assert sum(BillableItem.objects.values_list("amount", flat=True)) == worked
