"""Reads for the screens: scope, figures, time line, and queries that do not grow with the rows."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser

from apps.billing import selectors, services
from apps.billing.filters import PrebillFilter
from apps.billing.models import BillableItem
from apps.canonical.objects import PaymentStatus
from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.organization import selectors as people
from tests.billing import world
from tests.commercial.world import entity, money, rate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("november")]


def drafts(firm, count):
    return [
        services.prebill_draft(engagement_key=world.engagement(firm, key=f"crm:{number}"))
        for number in range(count)
    ]


def test_lists_and_details_stay_inside_the_scope():
    firm = world.firm()
    mine, other = drafts(firm, 2)
    us = entity("MER-US", country="US", currency="USD")
    only_mine = Scope(engagement_keys=frozenset({mine.engagement_key}))
    assert {row.ref for row in selectors.prebills(EVERYTHING)} == {mine.ref, other.ref}
    assert {row.ref for row in selectors.prebills(only_mine)} == {mine.ref}
    assert not selectors.prebills(NOTHING).exists()
    assert not selectors.prebills(Scope(entity_ids=frozenset({us.pk}))).exists()
    with pytest.raises(NotFound):
        selectors.prebill_detail(other.ref, user=firm.pm, scope=only_mine)
    assert selectors.prebill_detail(mine.ref, user=firm.pm, scope=only_mine).may_decide


def test_what_waits_for_whom():
    firm = world.firm()
    first, second = drafts(firm, 2)
    assert list(selectors.prebills_awaiting(firm.pm)) == [first, second]
    assert list(selectors.prebills_awaiting(firm.controller)) == []
    services.prebill_approve(prebill=first, by=firm.pm, digest=first.digest)
    assert list(selectors.prebills_awaiting(firm.pm)) == [second]
    assert list(selectors.prebills_awaiting(firm.controller)) == [first]
    request = SimpleNamespace(user=firm.controller)
    assert list(PrebillFilter({"mine": "true"}, selectors.prebills(EVERYTHING), request=request).qs) == [
        first
    ]
    request = SimpleNamespace(user=AnonymousUser())
    assert not PrebillFilter({"mine": "true"}, selectors.prebills(EVERYTHING), request=request).qs.exists()


def test_prebills_are_found_by_what_people_say():
    prebill = drafts(world.firm(), 1)[0]
    for said in (prebill.ref, prebill.engagement_key, "brackwater", "po-7781"):
        assert PrebillFilter({"q": said}, selectors.prebills(EVERYTHING)).qs.get() == prebill
    assert not PrebillFilter({"q": "nobody"}, selectors.prebills(EVERYTHING)).qs.exists()
    assert not PrebillFilter({"state": ["paid"]}, selectors.prebills(EVERYTHING)).qs.exists()
    assert PrebillFilter({"currency": "gbp", "entity": "MER-UK"}, selectors.prebills(EVERYTHING)).qs.exists()


def test_a_list_costs_one_query_for_any_length(django_assert_num_queries):
    drafts(world.firm(), 4)
    with django_assert_num_queries(1):
        assert [(row.legal_entity.code, row.line_count) for row in selectors.prebills(EVERYTHING)] == [
            ("MER-UK", 1)
        ] * 4


def test_a_detail_costs_the_same_for_any_number_of_lines(
    django_assert_num_queries, django_assert_max_num_queries
):
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1))
    prebill = services.prebill_draft(engagement_key=key)

    def page():
        detail = selectors.prebill_detail(prebill.ref, user=firm.pm, scope=EVERYTHING)
        return [(line.item.source_key, line.amount) for line in detail.lines]

    with django_assert_max_num_queries(60) as few:
        assert len(page()) == 1
    for number in range(2, 12):
        services.time_observe(entry=world.hours(key, number))
    services.prebill_draft(engagement_key=key)
    with django_assert_max_num_queries(len(few.captured_queries)):
        assert len(page()) == 11
    with django_assert_num_queries(2):
        assert len(selectors.canonical_invoice(prebill.ref).lines) == 11


def test_billing_held_counts_each_amount_once_per_entity_and_currency():
    firm = world.firm()
    held = world.engagement(firm, key="crm:1")
    fine = world.engagement(firm, key="crm:2")
    euros = world.time_and_materials(
        firm, rate("Manager", "180", currency="EUR"), key="crm:3", currency="EUR"
    )
    for source in ("case:EX-1", "case:EX-2"):
        services.place_hold(
            engagement_key=held,
            legal_entity_id=firm.entity.pk,
            level="billing",
            reason="Why",
            source_ref=source,
        )
    services.readiness(fine)
    services.time_observe(entry=world.hours(euros, 1, "10", status="submitted", approved_at=None))
    services.readiness(euros)
    figures = {
        (figure.currency, str(figure.held), figure.items) for figure in selectors.billing_held(EVERYTHING)
    }
    assert figures == {("GBP", "GBP 70,000.00", 1), ("EUR", "EUR 1,800.00", 1)}
    assert selectors.billing_held(NOTHING) == []
    by_engagement = selectors.billing_held_by_engagement([held, fine, euros])
    assert {key: str(amount) for key, amount in by_engagement.items()} == {
        held: "GBP 70,000.00",
        euros: "EUR 1,800.00",
    }
    assert str(selectors.engagement_money(held).held) == "GBP 70,000.00"
    assert str(selectors.engagement_money(held).waiting) == "GBP 50,000.00"
    assert str(selectors.engagement_money(fine).ready) == "GBP 70,000.00"


def test_the_time_line_tells_the_story_in_order(django_assert_num_queries):
    firm = world.firm()
    key = world.engagement(firm)
    services.place_hold(
        engagement_key=key,
        legal_entity_id=firm.entity.pk,
        level="billing",
        reason="Why",
        source_ref="case:EX-1",
    )
    services.lift_hold(source_ref="case:EX-1")
    prebill = services.prebill_draft(engagement_key=key)
    for who in (firm.pm, firm.controller):
        prebill = services.prebill_approve(prebill=prebill, by=who, digest=prebill.digest)
    services.invoice_posted(
        ref=prebill.ref,
        number="INV-1",
        total=money("84000"),
        tax=money("14000"),
        invoice_on=date(2026, 11, 23),
    )
    services.invoice_issued(ref=prebill.ref)
    services.payment_observed(
        ref=prebill.ref,
        status=PaymentStatus(
            key="p1", invoice_key=prebill.ref, status="paid", paid=money("84000"), balance=money("0")
        ),
    )
    with django_assert_num_queries(3):
        facts = selectors.engagement_timeline(key)
    told = [(fact.kind, fact.verb) for fact in facts]
    for earlier, later in (
        (("item", "final"), ("hold", "placed")),
        (("prebill", "drafted"), ("prebill", "approved")),
        (("prebill", "posted"), ("payment", "payment")),
    ):
        assert told.index(earlier) < told.index(later)
    assert str(facts[-1].amount) == "GBP 84,000.00"


def test_milestones_for_the_project_system_carry_our_key_and_the_contracts_amount():
    key = world.engagement(world.firm())
    assert [(m.key, m.name, str(m.amount), m.status) for m in selectors.canonical_milestones(key)] == [
        (services.milestone_key(key, "S1"), "Design", "GBP 50,000.00", "planned")
    ]
    services.milestone_observe(milestone=world.milestone(key))
    assert selectors.canonical_milestones(key)[0].status == "accepted"


def test_a_schedule_that_was_amended_updates_what_is_not_billed_and_drops_what_is_gone():
    firm = world.firm()
    key = world.engagement(firm)
    services.prebill_draft(engagement_key=key)
    from apps.commercial.models import TermsVersion

    terms = TermsVersion.objects.get(engagement__key=key)
    body = {
        **terms.body,
        "schedule": [{**terms.body["schedule"][1], "amount": {"amount": "1", "currency": "GBP"}}],
    }
    TermsVersion.objects.create(
        engagement=terms.engagement, number=1, digest="x", body=body, lines=terms.lines
    )
    services.schedule_load(engagement_key=key)
    states = {item.description: (item.state, str(item.amount)) for item in BillableItem.objects.all()}
    assert states == {"Design": ("excluded", "50000.0000"), "Kick-off fee": ("drafted", "70000.0000")}


def test_a_project_manager_sees_own_engagements_only():
    firm = world.firm()
    mine = drafts(firm, 1)[0]
    world_of_petra = people.scope_of(firm.pm, "prebill.view")
    assert list(selectors.prebills(world_of_petra)) == [mine]
    foreign = services.prebill_draft(
        engagement_key=world.engagement(firm, key="crm:9", project_manager="other@merridane.example")
    )
    assert foreign not in selectors.prebills(people.scope_of(firm.pm, "prebill.view"))
