"""Opening engagements: once per deal, whoever asks, however many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from apps.commercial import selectors, services
from apps.commercial.errors import DealIncomplete
from apps.commercial.filters import EngagementFilter
from apps.commercial.models import Engagement, TermsVersion
from apps.core.errors import InvalidInput, NotFound, WrongState
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.journal import selectors as journal
from apps.organization import selectors as people
from tests.commercial.world import capped, deal, entity, lines, money, person


@pytest.mark.django_db
def test_a_deal_opens_one_engagement_with_terms_000_and_its_manager_may_see_it():
    firm = entity()
    petra = person("petra", "project_manager")
    opened = services.engagement_open(deal=deal(contract=capped("400000")), legal_entity=firm, lines=lines())
    again = services.engagement_open(deal=deal(amount=money("1")), legal_entity=firm, lines=lines())
    assert again.pk == opened.pk
    assert opened.key.startswith("ENG-")
    assert (opened.state, opened.project_manager, opened.not_to_exceed) == ("planned", petra, 400000)
    terms = selectors.current_terms(opened.key)
    assert (terms.label, terms.digest) == ("000", services.terms_digest(deal(contract=capped("400000"))))
    assert terms.lines[0]["mapping_id"] == 1
    assert selectors.current_deal(opened.key) == deal(contract=capped("400000"))
    assert people.can(petra, "prebill.approve_pm", engagement_key=opened.key)
    assert not people.can(petra, "prebill.approve_pm", engagement_key="ENG-OTHER")
    assert [row.verb for row in journal.history("engagement", opened.key)] == ["engagement.opened"]


@pytest.mark.django_db
def test_a_half_known_deal_is_refused_by_field():
    with pytest.raises(DealIncomplete) as caught:
        services.engagement_open(
            deal=deal(customer_key=None, billing_model=None), legal_entity=entity(), lines=lines()
        )
    assert set(caught.value.fields) == {"customer_key", "billing_model"}
    assert not Engagement.objects.exists()


def test_two_at_once_open_one_engagement(process_database):
    firm = entity()
    together = Barrier(4)

    def open_it(_number: int) -> str:
        try:
            together.wait(timeout=10)
            return services.engagement_open(deal=deal(), legal_entity=firm, lines=lines()).key
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(open_it, range(4)))
    assert len(set(keys)) == 1
    assert Engagement.objects.count() == 1
    assert TermsVersion.objects.count() == 1


@pytest.mark.django_db
def test_states_move_by_their_arrows_only():
    key = services.engagement_open(deal=deal(), legal_entity=entity(), lines=lines()).key
    assert services.engagement_activate(key=key).state == "active"
    assert services.engagement_activate(key=key).state == "active"
    assert services.engagement_suspend(key=key, why="Client asked").state == "suspended"
    assert services.engagement_close(key=key).state == "closed"
    with pytest.raises(WrongState):
        services.engagement_activate(key=key)
    with pytest.raises(NotFound):
        services.engagement_activate(key="ENG-1999-000001")


@pytest.mark.django_db
def test_a_scope_shows_its_entities_and_its_engagements_only():
    uk, us = entity(), entity("MER-US", country="US", currency="USD")
    mine = services.engagement_open(deal=deal(), legal_entity=uk, lines=lines())
    other = services.engagement_open(deal=deal("crm:006B"), legal_entity=us, lines=lines())

    def seen(scope):
        return {row.key for row in selectors.engagements(scope)}

    assert seen(EVERYTHING) == {mine.key, other.key}
    assert seen(Scope(entity_ids=frozenset({us.pk}))) == {other.key}
    assert seen(Scope(engagement_keys=frozenset({mine.key}))) == {mine.key}
    assert seen(NOTHING) == set()
    with pytest.raises(NotFound):
        selectors.engagement(mine.key, scope=Scope(entity_ids=frozenset({us.pk})))


@pytest.mark.django_db
def test_lists_are_filtered_and_cost_the_same_for_any_length(django_assert_num_queries):
    firm = entity()
    for number in range(5):
        services.engagement_open(deal=deal(f"crm:{number}"), legal_entity=firm, lines=lines())
    with django_assert_num_queries(1):
        rows = EngagementFilter({"q": "brackwater", "entity": "MER-UK"}, selectors.engagements(EVERYTHING)).qs
        assert [row.legal_entity.code for row in rows] == ["MER-UK"] * 5
    assert not EngagementFilter({"state": ["closed"]}, selectors.engagements(EVERYTHING)).qs.exists()


@pytest.mark.django_db
def test_a_purchase_order_is_recorded_with_who_and_what_was_before():
    engagement = services.engagement_open(deal=deal(), legal_entity=entity(), lines=lines())
    ana = person("ana")
    services.po_set(key=engagement.key, po_number=" PO-9 ", by=ana)
    services.po_set(key=engagement.key, po_number="PO-9", by=ana)
    assert selectors.engagement(engagement.key).po_number == "PO-9"
    rows = [row for row in journal.history("engagement", engagement.key) if row.verb == "engagement.po_set"]
    assert len(rows) == 1
    assert (rows[0].old, rows[0].new) == ({"po_number": "PO-7781"}, {"po_number": "PO-9"})
    services.po_set(key=engagement.key, po_number="PO-9", amount=money("5000"), by=ana)
    services.po_set(key=engagement.key, po_number="PO-9", amount=money("5000.00"), by=ana)
    rows = [row for row in journal.history("engagement", engagement.key) if row.verb == "engagement.po_set"]
    assert [row.new for row in rows].count({"po_amount": "5000"}) == 1
    with pytest.raises(InvalidInput, match="EUR"):
        services.po_set(key=engagement.key, po_number="PO-9", amount=money("5000", "EUR"))
