"""The demo firm's deals are whole: what is sold is what is scheduled, and every name is there once."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from apps.demo import firm, situations
from apps.demo.portfolio import SELLER, STAGES, TIME_BASED, healthy
from apps.demo.seeding import first_bill

HEALTHY = healthy()
EVERY_SPEC = [*(deal.spec for deal in HEALTHY), *situations.all_specs()]
SCHEDULED = {"milestone", "instalment", "retainer", "fixed"}


def test_there_are_about_sixty_healthy_deals_in_every_stage():
    assert 55 <= len(HEALTHY) <= 65
    assert set(Counter(deal.stage for deal in HEALTHY)) == set(STAGES)


def test_no_two_deals_share_a_name():
    assert [name for name, times in Counter(spec.name for spec in EVERY_SPEC).items() if times > 1] == []


@pytest.mark.parametrize("spec", EVERY_SPEC, ids=lambda spec: spec.name)
def test_the_schedule_of_a_deal_adds_up_to_its_fixed_price_lines(spec):
    several = len(spec.lines) > 1
    models = {
        line: firm.service(line.service).billing_model if several else spec.billing_model
        for line in spec.lines
    }
    fixed = sum((line.amount for line, model in models.items() if model in SCHEDULED), Decimal(0))
    assert sum((entry.amount for entry in spec.schedule), Decimal(0)) == fixed


def test_healthy_deals_meet_what_their_client_insists_on():
    for deal in HEALTHY:
        client = firm.client(deal.spec.client)
        assert bool(deal.spec.po_number) == client.po_required, deal.spec.name
        assert deal.spec.entity == SELLER[client.key]
        assert deal.spec.currency == client.currency


def test_every_sold_service_of_a_healthy_deal_has_an_item_in_the_sellers_erp():
    for deal in HEALTHY:
        erp = firm.entity(deal.spec.entity).erp
        assert all(erp in firm.service(line.service).items for line in deal.spec.lines), deal.spec.name


def test_only_deals_with_a_draft_have_something_to_bill():
    for deal in HEALTHY:
        due = [entry for entry in deal.spec.schedule if entry.days is not None and entry.days <= 0]
        timed = deal.spec.lines[0].service in TIME_BASED
        assert bool(deal.hours) == (deal.billed and timed)
        if deal.billed:
            assert first_bill(deal) > 0, deal.spec.name
        else:
            assert not due, deal.spec.name


def test_project_managers_of_all_deals_are_people_of_the_firm():
    managers = {one.username for one in firm.PEOPLE if one.role == "project_manager"}
    assert {spec.project_manager for spec in EVERY_SPEC} == managers
