"""Causes that are one: merged into one row with exact counts and money, taken apart again, logged, and never overwritten."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.core import clock
from apps.core.errors import InvalidInput, NotAllowed, NotFound, Stale, WrongState
from apps.core.scope import EVERYTHING, Scope
from apps.organization import services as organization
from apps.triage import rollups, selectors, services
from apps.triage.filters import CaseFilter
from apps.triage.models import Case, Group
from tests.commercial import world
from tests.journal.together import outcomes, together
from tests.people import hire, stranger
from tests.triage.desk import fact, opened, problem
from tests.triage.test_kept_figures import agree, entities, make


@pytest.fixture
def uk(db) -> Any:
    return world.entity()


def cause(case: Case) -> Group:
    return Group.objects.get(pk=case.group_id)


def merge(into: Case, other: Case, by: Any) -> None:
    root, group = cause(into), cause(other)
    services.group_merge(into=root, seen=root.version, group=group, group_seen=group.version, by=by)


def unmerge(case: Case, by: Any) -> None:
    services.group_unmerge(group=cause(case), seen=cause(case).version, by=by)


def rows() -> list[tuple[int, int, list[tuple[str, Decimal]]]]:
    kept = selectors.group_list(EVERYTHING)
    assert kept is not None
    agree(EVERYTHING)
    assert rollups.drifts() == []
    return [(row.id, row.count, [(line.currency, line.amount) for line in row.held]) for row in kept[:50]]


def settled() -> None:
    rollups.fold()
    services.groups_settle()


def test_merged_causes_are_one_row_until_they_are_taken_apart(uk):
    ana = hire("ana", uk)
    first, second, third = (opened(uk, problem(value=f"S-{number}"), number=number) for number in (1, 2, 3))
    before = rows()
    merge(first, second, ana)
    assert rows() == [
        (first.group_id, 2, [("GBP", Decimal(2000))]),
        (third.group_id, 1, [("GBP", Decimal(1000))]),
    ]
    rollups.fold()
    assert [count for _id, count, _held in rows()] == [2, 1]
    unmerge(second, ana)
    assert rows() == before
    assert (cause(first).family, cause(second).family) == (None, None)
    events = [(event.what, event.by) for event in selectors.group_history(EVERYTHING, cause(first))]
    assert events == [("merged", ana), ("unmerged", ana)]
    assert [event.what for event in selectors.group_history(EVERYTHING, cause(second))] == [
        "merged",
        "unmerged",
    ]


def test_a_subject_with_cases_in_both_counts_once(uk):
    ana = hire("ana", uk)
    services.cases_reconcile([fact(uk, problem(value="A"), problem(value="B"), amount="500")])
    one, other = Case.objects.order_by("id")
    apart = opened(uk, problem(value="B"), number=2, amount="70")
    assert rows() == [(one.group_id, 1, [("GBP", Decimal(500))]), (other.group_id, 2, [("GBP", Decimal(70))])]
    merge(one, other, ana)
    assert rows() == [(one.group_id, 3, [("GBP", Decimal(570))])]
    services.cases_reconcile([fact(uk, number=2)])
    assert rows() == [(one.group_id, 2, [("GBP", Decimal(500))])]
    assert apart.group_id == other.group_id


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kept_figures_stay_exact_whatever_is_merged_and_changed(db, seed):
    random.seed(seed)
    places, ada = entities(), hire("carla")
    # One subject in several groups of an entity, so that families hold it twice.
    for place in places:
        for code in ("TAX-CODE", "PAY-SHORT"):
            for value in "ABCDE":
                for number in random.sample(range(6), 3):
                    make(
                        place,
                        subject=f"s{number}",
                        code=code,
                        value=value,
                        amount=random.choice(["10", "7.5", None]),
                    )
    for _step in range(14):
        one = random.choice(list(Group.objects.all()))
        alike = Group.objects.filter(code=one.code, legal_entity_id=one.legal_entity_id)
        other = random.choice(list(alike.exclude(pk=one.pk)))
        act = random.choice([
            partial(services.group_merge, into=one, seen=one.version, group=other, group_seen=other.version, by=ada),
            partial(services.group_unmerge, group=one, seen=one.version, by=ada),
            partial(Case.objects.filter(group=one).exclude(currency="").update, held_amount=random.randrange(900)),
            rollups.fold,
        ])  # fmt: skip
        with suppress(InvalidInput, WrongState):
            act()
        agree(EVERYTHING)
        agree(Scope(entity_ids=frozenset(places[:2])))
        assert rollups.drifts() == []
    assert Group.objects.filter(family__isnull=False).exists()


def test_what_a_project_manager_sees_and_a_search_finds_counts_merged_causes_once_too(uk):
    ana = hire("ana", uk)
    two = [problem(value="A"), problem(value="B")]
    services.cases_reconcile([fact(uk, *two, amount="500", engagement_key="ENG-1")])
    opened(uk, problem(value="A"), number=2)
    one, other = Case.objects.filter(engagement_key="ENG-1").order_by("id")
    merge(one, other, ana)
    own = selectors.open_cases(Scope(engagement_keys=frozenset({"ENG-1"})))
    (line,) = selectors.group_rows(selectors.groups(own), own)
    assert (line.id, line.count, [held.amount for held in line.held]) == (one.group_id, 2, [Decimal(500)])


def test_the_cases_of_a_merged_cause_are_listed_together(uk):
    ana = hire("ana", uk)
    first, second = opened(uk), opened(uk, problem(value="B"), number=2)
    merge(first, second, ana)
    found = CaseFilter({"group": first.group_id}, queryset=selectors.open_cases(EVERYTHING)).qs
    assert {case.pk for case in found} == {first.pk, second.pk}
    assert selectors.group(EVERYTHING, second.group_id).pk == first.group_id
    assert [(one.pk, number) for one, number in selectors.members(EVERYTHING, cause(first))] == [
        (second.group_id, 1)
    ]


def test_causes_that_are_not_alike_are_not_merged(uk):
    ana = hire("ana")
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    first = opened(uk)
    for other in (opened(us, number=2), opened(uk, problem("TAX-CODE"), number=3), first):
        with pytest.raises(InvalidInput):
            merge(first, other, ana)
    with pytest.raises(WrongState):
        unmerge(first, ana)


def test_what_is_put_aside_or_merged_already_is_not_merged(uk):
    ana = hire("ana", uk)
    first, second, third = (opened(uk, problem(value=f"S-{number}"), number=number) for number in (1, 2, 3))
    services.group_snooze(group=cause(second), seen=0, by=ana, until=clock.now() + timedelta(minutes=5))
    for into, other in ((first, second), (second, first)):
        with pytest.raises(WrongState):
            merge(into, other, ana)
    services.group_reopen(group=cause(second), seen=1, by=ana)
    merge(first, second, ana)
    with pytest.raises(WrongState):
        merge(third, second, ana)
    with pytest.raises(WrongState):
        services.group_acknowledge(group=cause(second), seen=cause(second).version, by=ana)
    merge(third, first, ana)
    assert rows() == [(third.group_id, 3, [("GBP", Decimal(3000))])]
    unmerge(first, ana)
    assert [count for _id, count, _held in rows()] == [2, 1]


def test_a_decision_about_the_root_is_about_all_of_them(uk):
    ana = hire("ana", uk)
    first, second = opened(uk), opened(uk, problem(value="B"), number=2)
    Case.objects.filter(pk=second.pk).update(due_at=Now() + timedelta(minutes=30))
    merge(first, second, ana)
    with pytest.raises(WrongState) as refused:
        services.group_snooze(group=cause(first), seen=1, by=ana, until=clock.now() + timedelta(hours=1))
    assert refused.value.message.startswith(second.ref)
    services.group_snooze(group=cause(first), seen=1, by=ana, until=clock.now() + timedelta(minutes=5))
    kept = selectors.group_list(EVERYTHING)
    assert kept is not None
    assert kept[:10] == []
    assert list(selectors.with_status(selectors.open_cases(EVERYTHING), "")) == []
    assert selectors.put_aside(EVERYTHING) == {"snoozed": 1}
    Case.objects.filter(pk=second.pk).update(due_at=Now() - timedelta(minutes=1))
    assert services.groups_wake() == 1


def test_a_merged_cause_is_resolved_with_the_last_case_of_all_and_opens_with_the_first(uk):
    ana = hire("ana", uk)
    first, second = opened(uk), opened(uk, problem(value="B"), number=2)
    merge(first, second, ana)
    services.cases_reconcile([fact(uk)])
    settled()
    assert (cause(first).state, cause(second).state) == ("open", "open")
    services.cases_reconcile([fact(uk, number=2)])
    settled()
    assert (cause(first).state, cause(second).state) == ("resolved", "resolved")
    opened(uk, problem(value="B"), number=2)
    settled()
    assert (cause(first).state, cause(second).state) == ("open", "open")


def test_strangers_auditors_and_other_entities_merge_nothing(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    ana, first, second = hire("ana", uk), opened(uk), opened(uk, problem(value="B"), number=2)
    for by in (stranger(), hire("otto"), hire("rashid", us)):
        with pytest.raises(NotAllowed):
            merge(first, second, by)
    merge(first, second, ana)
    with pytest.raises(NotAllowed):
        unmerge(second, hire("otto"))


def test_of_two_people_who_merge_at_once_one_is_told(process_database):
    uk = world.entity()
    ana, rashid = hire("ana", uk), hire("rashid", uk)
    one, two, three = (cause(opened(uk, problem(value=f"S-{number}"), number=number)) for number in (1, 2, 3))
    results = together(
        partial(services.group_merge, into=one, seen=0, group=two, group_seen=0, by=ana),
        partial(services.group_merge, into=three, seen=0, group=two, group_seen=0, by=rashid),
    )
    assert outcomes(results)["Stale"] == 1
    assert sum(isinstance(result, str) for result in results) == 1, "one has the token of its undo"
    assert Group.objects.filter(family__isnull=False).count() == 2
    told = next(result for result in results if isinstance(result, Stale))
    assert "has changed since you looked" in told.message


def test_rates_and_words_of_a_merged_row_are_those_of_its_root(uk):
    ana = hire("ana", uk)
    organization.rate_set(base="EUR", quote="GBP", on=clock.today(), rate=Decimal("0.5"))
    first, second = opened(uk), opened(uk, problem(value="B"), number=2, currency="EUR", amount="10")
    merge(first, second, ana)
    (row,) = selectors.group_list(EVERYTHING)[:5]
    assert (row.reason, row.code) == (cause(first).reason, first.code)
    assert [(line.currency, str(line.reporting)) for line in row.held] == [
        ("EUR", "GBP 5.00"),
        ("GBP", "GBP 1,000.00"),
    ]


# ---- Taken back -------------------------------------------------------------------------------------------------------
def families() -> dict[int, int | None]:
    return dict(Group.objects.values_list("pk", "family_id"))


def merge_with_token(into: Case, other: Case, by: Any) -> str:
    root, group = cause(into), cause(other)
    return services.group_merge(
        into=root, seen=root.version, group=group, group_seen=group.version, by=by, why="The same."
    )


def test_a_merge_is_taken_back_with_all_that_followed(uk):
    ana = hire("ana", uk)
    one, two, three, four = (
        opened(uk, problem(value=f"S-{number}"), number=number) for number in range(1, 5)
    )
    merge(two, three, ana)
    merge(one, four, ana)
    before, shown = families(), rows()
    token = merge_with_token(one, two, ana)
    assert [count for _id, count, _held in rows()] == [4]
    assert services.undo(token=token, by=ana) == "Taken back: they are two rows again."
    assert (families(), rows()) == (before, shown)
    event = cause(two).events.last()
    assert (event.what, event.old, event.by, event.note) == (
        "unmerged",
        cause(one).reason,
        ana,
        "Taken back.",
    )
    with pytest.raises(Stale):
        services.undo(token=token, by=ana)


def test_taking_out_is_taken_back(uk):
    ana = hire("ana", uk)
    one, two = opened(uk, problem(value="A"), number=1), opened(uk, problem(value="B"), number=2)
    merge(one, two, ana)
    before = families()
    token = services.group_unmerge(group=cause(two), seen=cause(two).version, by=ana)
    assert set(families().values()) == {None}
    assert services.undo(token=token, by=ana) == "Taken back: they are one row again."
    assert families() == before
    assert cause(two).events.last().what == "merged"


def test_a_merge_is_not_taken_back_over_what_was_decided_since(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    one, two, three = (opened(uk, problem(value=f"S-{number}"), number=number) for number in range(1, 4))
    token = merge_with_token(one, two, ana)
    merge(one, three, carla)
    before = families()
    with pytest.raises(Stale) as told:
        services.undo(token=token, by=ana)
    assert "Carla Whitfield" in told.value.message
    assert families() == before
    with pytest.raises(NotFound):
        services.undo(token=token, by=carla)
