"""The exceptions lists: groups, filters, money counted once, scope, and queries that do not grow."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.canonical.money import Money
from apps.canonical.objects import ServiceItem
from apps.commercial import services as commercial
from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.organization import services as organization
from apps.records import services as records
from apps.triage import selectors, services
from apps.triage.filters import CaseFilter, GroupFilter
from tests.commercial import world
from tests.people import hire
from tests.triage.desk import fact, opened, problem


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


@pytest.fixture
def us(db) -> Any:
    return world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")


def rows_of(scope: Scope = EVERYTHING, **query: str) -> list[selectors.GroupRow]:
    found = GroupFilter(query, selectors.cases(scope))
    return selectors.group_rows(selectors.groups(found.qs, order=found.order_value), found.qs)


def refs(user: Any = None, **query: str) -> set[str]:
    request = SimpleNamespace(user=user) if user else None
    return set(
        CaseFilter(query, selectors.cases(EVERYTHING), request=request).qs.values_list("ref", flat=True)
    )


def test_equal_problems_make_one_line_with_count_money_and_who_must_act(uk):
    for number, amount in enumerate(("100.00", "50.50", None), start=1):
        opened(uk, number=number, amount=amount)
    opened(uk, problem(value="INT-230"), number=4, amount="7.00")
    first, second = rows_of()
    assert (first.count, first.value, first.legal_entity) == (3, "AIR-510", "MER-UK")
    assert first.held == [selectors.Held("GBP", Decimal("150.50"), 1, Money.of("150.50", "GBP"))]
    assert first.resolvers == ("billing_analyst",)
    assert (second.count, second.value) == (1, "INT-230")


def test_a_group_with_unknown_amounts_only_is_unknown_and_not_zero(uk):
    opened(uk, amount=None)
    [row] = rows_of()
    assert (row.held[0].amount, row.held[0].unknown) == (Decimal(0), 1)


def test_warnings_hold_nothing(uk):
    opened(uk, problem("PAY-SHORT"), amount="100.00")
    [row] = rows_of()
    assert row.held == []
    assert selectors.billing_held(EVERYTHING) == []


def test_a_subject_with_two_problems_is_counted_once_in_the_total(uk):
    services.cases_reconcile([fact(uk, problem(), problem("CUS-PO-REQUIRED"), amount="100.00")])
    opened(uk, number=2, amount="20.00")
    assert [(held.currency, held.amount) for held in selectors.billing_held(EVERYTHING)] == [
        ("GBP", Decimal("120.00"))
    ]


def test_groups_are_ordered_by_money_in_the_reporting_currency_due_or_age(uk, us):
    organization.rate_set(base="GBP", quote="USD", on=date(2020, 1, 1), rate=Decimal("2"), source="test")
    with time_machine.travel(datetime(2026, 11, 10, tzinfo=UTC)):
        opened(us, problem(value="US-1"), number=1, currency="USD", amount="150.00")
        opened(uk, problem(value="UK-1"), number=2, amount="100.00")
    with time_machine.travel(datetime(2026, 10, 1, tzinfo=UTC)):
        opened(uk, problem(value="OLD"), number=3, amount="1.00")
    opened(uk, problem(value="UNKNOWN"), number=4, amount=None)
    assert [row.value for row in rows_of(order="money")] == ["UK-1", "US-1", "OLD", "UNKNOWN"]
    assert rows_of(order="age")[0].value == "OLD"
    assert rows_of(order="due")[0].value == "OLD"
    dollars = next(row for row in rows_of() if row.value == "US-1").held[0]
    assert (dollars.currency, dollars.amount, dollars.reporting) == (
        "USD",
        Decimal("150"),
        Money.of("75", "GBP"),
    )


def test_a_currency_without_a_rate_is_shown_without_a_reporting_figure(us):
    opened(us, currency="USD", amount="150.00")
    [row] = rows_of()
    assert row.held[0].reporting is None


def test_ids_amounts_and_dates_do_not_split_a_group(uk):
    values = ("120,000.00 against 119,000.00", "80.00 against 79.50")
    for number, value in enumerate(values, start=1):
        opened(uk, problem("DEAL-TOTAL", field="amount", value=value), number=number)
    assert [row.count for row in rows_of()] == [2]


def test_entities_split_a_group(uk, us):
    opened(uk, number=1)
    opened(us, number=2)
    assert [row.count for row in rows_of()] == [1, 1]


def test_nobody_sees_cases_outside_the_scope(uk, us):
    key = commercial.engagement_open(deal=world.deal(), legal_entity=uk, lines=world.lines()).key
    mine = opened(uk, number=1, engagement_key=key)
    foreign = opened(us, number=2)
    everywhere = opened(None, number=3)
    scopes = {
        Scope(entity_ids=frozenset({uk.pk})): {mine.ref},
        Scope(engagement_keys=frozenset({key})): {mine.ref},
        NOTHING: set(),
        EVERYTHING: {mine.ref, foreign.ref, everywhere.ref},
    }
    for scope, seen in scopes.items():
        assert set(selectors.cases(scope).values_list("ref", flat=True)) == seen
        assert selectors.open_count(scope) == len(seen)
        assert sum(row.count for row in rows_of(scope)) == len(seen)
        assert sum(held.amount for held in selectors.billing_held(scope)) == 1000 * len(seen)
    uk_only = Scope(entity_ids=frozenset({uk.pk}))
    with pytest.raises(NotFound):
        selectors.case_detail(uk_only, foreign.ref)
    with pytest.raises(NotFound):
        selectors.group(uk_only, foreign.group_id)
    assert selectors.group(uk_only, mine.group_id) == mine.group


def test_the_detail_knows_events_comments_and_siblings(uk):
    ana = hire("ana", uk)
    case = opened(uk)
    opened(uk, number=2)
    services.case_take(case=case, by=ana)
    services.case_comment(case=case, by=ana, text="Looking.")
    detail = selectors.case_detail(EVERYTHING, case.ref)
    assert detail.entry.code == "DEAL-SVC-UNMAPPED"
    assert [event.what for event in detail.events] == ["opened", "moved"]
    assert [comment.text for comment in detail.comments] == ["Looking."]
    assert detail.siblings == 1


def test_filters_find_cases_by_state_code_entity_role_and_assignee(uk, us):
    ana = hire("ana", uk)
    unmapped, dup, weird = (
        opened(uk, number=1),
        opened(us, problem("CUS-DUP"), number=2),
        opened(uk, problem("WEIRD-42"), number=3),
    )
    services.case_take(case=unmapped, by=ana)
    services.cases_reconcile([fact(us, number=2)])
    assert refs(state="open_all") == {unmapped.ref, weird.ref}
    assert refs(state="closed_all") == {dup.ref}
    assert refs(state="assigned") == {unmapped.ref}
    assert refs(code="cus-dup") == {dup.ref}
    assert refs(severity="blocking-provisioning") == {unmapped.ref, dup.ref, weird.ref}
    assert refs(entity="MER-US") == {dup.ref}
    assert refs(role="receivables") == {dup.ref}
    assert refs(role="billing_analyst") == {unmapped.ref, weird.ref}
    assert refs(assignee="nobody") == {dup.ref, weird.ref}
    assert refs(assignee="ana") == refs(ana, assignee="me") == {unmapped.ref}
    assert refs(assignee="me") == set()
    assert refs(group=str(dup.group_id)) == {dup.ref}
    assert [row.code for row in rows_of(state="closed_all")] == ["CUS-DUP"]


def test_search_finds_references_and_beginnings_of_words(uk):
    case = opened(uk, label="Brackwater analytics roll-out", number=1)
    other = opened(
        uk,
        problem(value="INT-230", reason="Nothing alike."),
        number=2,
        label="Tolvane",
        customer="Tolvane Rail",
    )
    for text in (
        case.ref,
        case.ref.lower(),
        case.ref[3:],
        case.transaction_ref,
        "brack",
        "ANALYT roll",
        "air-510",
    ):
        assert refs(q=text) == {case.ref}, text
    assert refs(q=str(other.correlation_id)) == {other.ref}
    assert {text: refs(q=text) for text in (case.subject_key, case.subject_key.partition(":")[2])} == {
        case.subject_key: {case.ref},
        case.subject_key.partition(":")[2]: {case.ref},
    }
    assert refs(q="tolv rai") == {other.ref}
    for harmless in ("zzz", "' OR 1=1", "q & | !", ":*", "%", "\\", "'", "''", "x'y"):
        assert refs(q=harmless) == set(), harmless


def test_a_wrong_filter_value_is_named_and_not_ignored(uk):
    opened(uk)
    found = CaseFilter({"state": "nonsense", "group": "x"}, selectors.cases(EVERYTHING))
    assert not found.is_valid()
    assert set(found.errors) == {"state", "group"}


def test_queries_do_not_grow_with_rows(uk):
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            rows_of()
            [
                (case.legal_entity.code, case.assignee, case.group.value)
                for case in selectors.cases(EVERYTHING)
            ]
            selectors.billing_held(EVERYTHING)
        return len(queries)

    for number in range(1, 3):
        opened(uk, problem(value=f"S-{number}"), number=number)
    few = count()
    for number in range(3, 25):
        opened(uk, problem(value=f"S-{number}"), number=number)
    assert count() == few


def test_candidates_are_the_erps_live_items_with_the_likeliest_first(uk):
    erp = organization.system_set(code="erp", name="ERP", kind="erp", vendor="netsuite")
    other = organization.system_set(code="erp2", name="ERP 2", kind="erp", vendor="netsuite")
    organization.routing_set(legal_entity=uk, kind="erp", system=erp)
    items = {
        "11": ServiceItem(key="STRAT", name="Strategy consulting"),
        "12": ServiceItem(key="AIREV", name="Responsible AI review"),
        "13": ServiceItem(key="OLDAI", name="Responsible AI review (old)", active=False),
    }
    for external_id, body in items.items():
        records.observe(system_id=erp.pk, object_type="service_item", external_id=external_id, body=body)
    records.observe(system_id=other.pk, object_type="service_item", external_id="99", body=items["12"])
    case = opened(uk)
    found = selectors.mapping_candidates(case)
    assert [(each.target, each.label) for each in found] == [
        ("12", "AIREV Responsible AI review"),
        ("11", "STRAT Strategy consulting"),
    ]
    assert found[0].hint
    assert found[0].score > found[1].score
    assert selectors.mapping_candidates(opened(uk, problem("CUS-DUP"), number=2)) == []
    assert selectors.mapping_candidates(opened(None, number=3)) == []
