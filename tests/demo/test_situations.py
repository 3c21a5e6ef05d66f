"""The situations show the figures that the demo tells about."""

from __future__ import annotations

from decimal import Decimal

from apps.demo import firm, situations
from apps.demo.deals import DealSpec


def upfront(specs: tuple[DealSpec, ...]) -> list[Decimal]:
    return [entry.amount for spec in specs for entry in spec.schedule if entry.days == 0]


def test_six_upfront_instalments_wait_for_a_billing_code_and_one_of_them_for_a_purchase_order():
    assert (len(situations.UNMAPPED), sum(upfront(situations.UNMAPPED))) == (6, 84_600)
    without_po = [
        spec for spec in situations.UNMAPPED if firm.client(spec.client).po_required and not spec.po_number
    ]
    assert upfront(tuple(without_po)) == [12_300]
    assert "erp-be" not in firm.service("AIR-510").items


def test_two_customers_of_the_erp_share_the_vat_number_of_the_deals_client():
    twins = situations.dormant_twins()
    assert {row["vatRegNumber"] for row in twins} == {firm.client("corvane").tax_id}
    assert len({row["id"] for row in twins}) == 2
    assert {spec.client for spec in situations.TWINS} == {"corvane"}
    assert sum(upfront(situations.TWINS)) == 62_400


def test_the_amendment_is_worth_the_difference():
    line, entry = situations.AMENDMENT
    assert situations.AMENDED.amount + line.amount == 288_000
    assert line.amount == entry.amount == 48_000


def test_the_cap_is_crossed_by_what_is_ready():
    [sheet] = situations.CAPPED_TIME
    ready = sheet.hours * Decimal(situations.CAPPED.rates[sheet.role])
    assert ready == 31_050
    assert situations.CAPPED.not_to_exceed is not None
    assert situations.CAPPED_BEFORE + ready - situations.CAPPED.not_to_exceed == 12_250


def test_unapproved_hours_are_611_worth_147000():
    rates = {role: Decimal(rate) for spec in situations.UNAPPROVED for role, rate in spec.rates.items()}
    assert sum(sheet.hours for sheet in situations.UNAPPROVED_TIME) == 611
    assert sum(sheet.hours * rates[sheet.role] for sheet in situations.UNAPPROVED_TIME) == 147_000
    assert not any(sheet.approved for sheet in situations.UNAPPROVED_TIME)
