"""What stands beside the filters and at the head of the list is what the cases themselves say, for every scope."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from datetime import timedelta

import pytest

from apps.core import clock
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.organization import services as organization
from apps.triage import selectors
from apps.triage.catalogue import CATALOGUE, entry
from apps.triage.models import ALL_STATES, CLOSED_STATES, OPEN_STATES, Case, Group

CODES = (*list(CATALOGUE)[:4], "NOBODY-KNOWS-IT")
SEVERITIES = ("warning", "blocking-billing")


@pytest.fixture
def entities(db) -> list[int]:
    """Three legal entities with cases of all states, codes and severities; some without deadline, entity or engagement."""
    found = [
        organization.entity_set(code=f"E{n}", name=f"E{n}", country="GB", currency="GBP", timezone="UTC").pk
        for n in range(3)
    ]
    dice, now = random.Random(7), clock.now()
    group = Group.objects.create(fingerprint="f", flow="f", step="s", code="c", reason="r", created_at=now)
    Case.objects.bulk_create(
        Case(
            ref=f"EX-{number}", group=group, legal_entity_id=dice.choice([*found, None]), transaction_id=1,
            transaction_ref="TX-1", subject_kind="deal", subject_key=uuid.uuid4().hex, flow="f", step="s",
            code=dice.choice(CODES), severity=dice.choice(SEVERITIES), state=dice.choice(ALL_STATES), reason="r",
            engagement_key=dice.choice(["", "ENG-1", "ENG-2"]), opened_at=now, seen_at=now, created_at=now,
            due_at=now + timedelta(minutes=dice.randint(1, 9_000)) if dice.random() < 0.7 else None,
        )
        for number in range(200)
    )  # fmt: skip
    return found


def scopes(entities: list[int]) -> list[Scope]:
    one = frozenset(entities[:1])
    keys = frozenset({"ENG-1"})
    return [
        EVERYTHING,
        NOTHING,
        Scope(entity_ids=one),
        Scope(engagement_keys=keys),
        Scope(entity_ids=one, engagement_keys=keys),
    ]


def tally(values: Iterable[object]) -> dict[object, int]:
    found: dict[object, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


@pytest.mark.parametrize("states", [OPEN_STATES, CLOSED_STATES, ("open",), ()])
@pytest.mark.parametrize("severity", ["", "warning"])
@pytest.mark.parametrize("role", ["", "billing_analyst"])
@pytest.mark.parametrize("code", ["", CODES[0].lower()])
def test_facets_are_those_of_the_cases(entities, states, severity, role, code):
    for scope in scopes(entities):
        for entity in (None, entities[0]):
            rows = [
                row
                for row in Case.objects.within(scope)
                if (not states or row.state in states)
                and severity in ("", row.severity)
                and code in ("", row.code.lower())
            ]
            here = [row for row in rows if entity in (None, row.legal_entity_id)]
            may = [row for row in rows if not role or role in entry(row.code).resolvers]
            found = selectors.facets(
                scope, states=states, severity=severity, role=role, code=code, legal_entity_id=entity
            )
            assert found.roles == tally(name for row in here for name in entry(row.code).resolvers)
            assert found.entities == tally(row.legal_entity_id for row in may if row.legal_entity_id)
            assert found.total == len([row for row in may if entity in (None, row.legal_entity_id)])
            any_set = Case.objects.filter(pk__in=[row.pk for row in rows])
            assert selectors.facets_of(any_set, role=role, legal_entity_id=entity) == found


def test_too_many_cases_have_no_facets(entities, monkeypatch):
    monkeypatch.setattr("apps.triage.facets.MOST", 150)
    assert selectors.facets_of(Case.objects.all()) is None
    assert selectors.facets_of(Case.objects.filter(pk__in=Case.objects.all()[:150])) is not None


def test_the_next_deadline_is_the_nearest_of_an_open_case_in_scope(entities):
    for scope in scopes(entities):
        dues = [row.due_at for row in Case.objects.within(scope) if row.is_open and row.due_at]
        assert selectors.next_due(scope) == min(dues, default=None)
    Case.objects.update(due_at=None)
    assert [selectors.next_due(scope) for scope in scopes(entities)] == [None] * 5


def test_a_row_of_the_list_says_what_its_case_says(entities):
    rows = selectors.listed(selectors.cases(EVERYTHING))
    cases = {case.ref: case for case in Case.objects.select_related("legal_entity")}
    assert len(rows) == len(cases) == 200
    for row in rows:
        case = cases[row.ref]
        code = case.legal_entity.code if case.legal_entity else None
        assert (row.id, row.due_at, row.state, row.legal_entity__code) == (
            case.pk,
            case.due_at,
            case.state,
            code,
        )
        assert selectors.state_words(row.state) == case.get_state_display()
    assert {row.ref for row in selectors.listed(selectors.cases(NOTHING))} == set()
