"""Who sees single engagements reads nothing of other engagements, although their cases are of the same cause."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.scope import EVERYTHING, Scope
from apps.triage import selectors, services
from apps.triage.models import Case, CaseState, Group
from tests.commercial import world
from tests.people import hire
from tests.triage import desk

OWN = Scope(engagement_keys=frozenset({"ENG-1"}))
SECRET = "SECRET Beta plc: milestone 9 is 999 here."


@pytest.fixture
def uk(db: None) -> Any:
    return world.entity()


def drifted(uk: Any, number: int, *, value: str = "ten", reason: str = "", **fields: Any) -> Case:
    problem = desk.problem(
        "MS-CHANGED", step="billing", value=value, reason=reason or f"Alpha: milestone {number}."
    )
    return desk.opened(
        uk, problem, number=number, **{"engagement_key": "ENG-1", "label": f"Deal {number}", **fields}
    )


def shown(scope: Scope) -> list[str]:
    rows = selectors.open_cases(scope)
    return [
        row.reason for row in selectors.group_rows(selectors.groups(rows, scope=scope), rows, scope=scope)
    ]


def test_a_causes_sentence_is_of_a_case_that_the_reader_sees(uk):
    own = drifted(uk, 1)
    foreign = drifted(uk, 2, reason=SECRET, engagement_key="ENG-2")
    assert own.group_id == foreign.group_id
    assert shown(EVERYTHING) == shown(Scope(entity_ids=frozenset({uk.pk}))) == [SECRET]
    assert shown(OWN) == [own.reason]
    assert selectors.group(OWN, own.group_id).reason == own.reason
    assert selectors.group(EVERYTHING, own.group_id).reason == SECRET
    assert Group.objects.get(pk=own.group_id).reason == SECRET


def test_what_can_be_merged_and_what_was_shows_no_sentence_of_others(uk):
    own, other = drifted(uk, 1), drifted(uk, 2, value="eleven")
    drifted(uk, 3, value="eleven", reason=SECRET, engagement_key="ENG-2")
    alien = drifted(uk, 4, value="twelve", reason=SECRET, engagement_key="ENG-2")
    root = Group.objects.get(pk=own.group_id)
    assert [one.reason for one in selectors.mergeable(OWN, root)] == [other.reason]
    ana = hire("ana", uk)
    for case in (other, alien):
        root, group = Group.objects.get(pk=own.group_id), Group.objects.get(pk=case.group_id)
        services.group_merge(into=root, seen=root.version, group=group, group_seen=group.version, by=ana)
    root.refresh_from_db()
    assert [(one.reason, number) for one, number in selectors.members(OWN, root)] == [(other.reason, 1)]
    assert len(selectors.members(EVERYTHING, root)) == 2
    told = [(event.what, event.old, event.new) for event in selectors.group_history(OWN, root)]
    assert told == [("merged", "", ""), ("merged", "", "")]
    assert SECRET[:120] in [event.old for event in selectors.group_history(EVERYTHING, root)]
    assert shown(OWN) == [other.reason]


def test_the_progress_of_a_fix_is_that_of_the_cases_that_the_reader_sees(uk):
    own, foreign = drifted(uk, 1), drifted(uk, 2, engagement_key="ENG-2")
    Case.objects.filter(pk__in=[own.pk, foreign.pk]).update(
        mapping_id=1, fixed_by=hire("ana", uk), state=CaseState.IN_PROGRESS
    )
    drifted(uk, 3, engagement_key="ENG-2")
    # The second deal stops at something else now.
    drifted(uk, 2, value="other", reason=SECRET, engagement_key="ENG-2")
    own.refresh_from_db()
    everything, mine = selectors.fix_progress(EVERYTHING, own), selectors.fix_progress(OWN, own)
    assert everything is not None
    assert mine is not None
    assert [case.reason for case in everything.turned] == [SECRET]
    assert (everything.total, everything.beside) == (2, 1)
    assert (mine.total, mine.beside, list(mine.turned), mine.moving) == (1, 0, [], 1)
    assert selectors.fix_progress(Scope(engagement_keys=frozenset({"ENG-9"})), own) is None
