"""Deadlines follow the calendars; what belongs to no legal entity has one too; nobody is told of what was decided about."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.errors import NotAllowed, WrongState
from apps.core.scope import EVERYTHING, Scope
from apps.organization import selectors as organization
from apps.organization import services as organizing
from apps.triage import rollups, selectors, services
from apps.triage.models import Case
from tests.commercial import world
from tests.journal.together import together
from tests.people import hire
from tests.triage.desk import crowd, fact, opened, problem


@pytest.fixture
def uk(db: None) -> Any:
    return world.entity()


def homeless(number: int = 1, code: str = "CUS-LE-MISSING", **fields: Any) -> Case:
    """A case of no legal entity."""
    told = fact(None, problem(code, reason="No legal entity is told."), number=number, **fields)
    services.cases_reconcile([told])
    return Case.objects.get(subject_key=told["subject_key"])


def run_of(entity: Any, *, after: Any = None) -> Any:
    return organization.invoice_run_due(entity, after or clock.now())


def other_time(entity: Any) -> Any:
    """The calendar of the entity changes: its runs close at another hour."""
    hour = (entity.invoice_run_time.hour + 5) % 24
    fields = {name: getattr(entity, name) for name in ("code", "name", "country", "currency", "timezone")}
    changed = organizing.entity_set(**fields, invoice_run_time=time(hour))
    assert run_of(changed) != run_of(entity)
    return changed


# ---- No legal entity -------------------------------------------------------------------------------------------------
def test_a_blocker_without_an_entity_is_due_by_the_nearest_run_of_all_active_ones(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    case = homeless()
    assert (case.severity, case.legal_entity) == ("blocking-provisioning", None)
    assert case.due_at == min(run_of(uk), run_of(us))


def test_a_blocker_without_an_entity_is_escalated_once(uk):
    case = homeless()
    Case.objects.filter(pk=case.pk).update(due_at=Now() + timedelta(minutes=1))
    assert services.cases_escalate() == 1
    case.refresh_from_db()
    assert case.escalated_at is not None
    assert "nobody holds it" in case.events.last().note
    assert services.cases_escalate() == 0


def test_a_case_without_an_entity_is_as_old_as_it_is_in_the_entity_where_it_is_oldest(uk):
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    case = homeless()
    bounds = selectors.age_bounds()
    for bucket, at in enumerate(bounds[None]):
        assert at == max(bounds[uk.pk][bucket], bounds[us.pk][bucket])
    Case.objects.filter(pk=case.pk).update(opened_at=bounds[None][1] - timedelta(seconds=1))
    assert selectors.ages(EVERYTHING)["3-7"] == 1
    assert selectors.ages(Scope(entity_ids=frozenset({uk.pk, us.pk})))["3-7"] == 0
    case.refresh_from_db()
    assert str(selectors.age_of(None, case.opened_at, selectors.age_bounds([None]))) == "3–7 business days"
    assert list(selectors.of_age(selectors.open_cases(EVERYTHING), "3-7")) == [case]


@pytest.mark.parametrize("dated", [True, False])
def test_a_blocker_without_an_entity_is_not_ignored_without_a_treatment(uk, dated):
    case = homeless(amount="100000")
    if not dated:
        Case.objects.filter(pk=case.pk).update(due_at=None)
    ana, carla = hire("ana"), hire("carla")
    ignore = partial(services.group_ignore, group=case.group, seen=case.group.version, why="Never mind.")
    with pytest.raises(WrongState):
        ignore(by=ana)
    with pytest.raises(NotAllowed):
        ignore(by=ana, treatment="carry")
    assert ignore(by=carla, treatment="carry")


# ---- Renewed ---------------------------------------------------------------------------------------------------------
def test_a_run_that_closed_without_it_is_followed_by_the_next_and_is_escalated_anew(uk):
    case = opened(uk)
    passed = clock.now() - timedelta(days=20)
    Case.objects.filter(pk=case.pk).update(due_at=passed, escalated_at=passed, escalated_to="controller")
    assert services.cases_reschedule() == 1
    case.refresh_from_db()
    assert (case.due_at, case.escalated_at, case.escalated_to) == (run_of(uk), None, "")
    event = case.events.last()
    assert (event.what, event.by) == ("due", None)
    assert "closed without it" in event.note
    assert services.cases_reschedule() == 0
    assert rollups.drifts() == []


def test_the_next_sight_of_a_problem_renews_its_deadline_too(uk):
    case = opened(uk)
    for moved in (timedelta(days=-20), timedelta(days=3)):
        at = clock.now() + moved
        Case.objects.filter(pk=case.pk).update(due_at=at, escalated_at=at)
        services.cases_reconcile([fact(uk, problem())])
        case.refresh_from_db()
        assert case.due_at == run_of(uk)
        assert (case.escalated_at is None) == (moved < timedelta(0))


def test_a_calendar_that_changes_moves_what_is_not_yet_past(uk):
    case, none = opened(uk), homeless(2)
    us = world.entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    other = opened(us, number=3)
    services.cases_reschedule()
    Case.objects.filter(pk=case.pk).update(escalated_at=clock.now())
    changed = other_time(uk)
    assert services.cases_reschedule() >= 1
    for one in (case, none, other):
        one.refresh_from_db()
    assert (case.due_at, other.due_at) == (run_of(changed), run_of(us))
    assert none.due_at == min(case.due_at, other.due_at)
    assert case.escalated_at is not None
    assert "By the calendar" in case.events.last().note


def test_what_is_closed_keeps_the_deadline_that_it_had(uk):
    case = opened(uk)
    services.cases_reconcile([fact(uk)])
    was = clock.now() - timedelta(days=3)
    Case.objects.filter(pk=case.pk).update(due_at=was)
    assert services.cases_reschedule() == 0
    case.refresh_from_db()
    assert case.due_at == was


def test_many_are_moved_in_as_many_statements_as_few(uk):
    def statements() -> int:
        Case.objects.update(due_at=clock.now() - timedelta(days=1))
        with CaptureQueriesContext(connection) as queries:
            services.cases_reschedule()
        return len(queries)

    crowd(uk, 2, start=100)
    few = statements()
    crowd(uk, 80, start=3000)
    assert statements() == few
    assert set(Case.objects.values_list("due_at", flat=True)) == {run_of(uk)}


def test_of_several_schedulers_each_deadline_is_moved_once(process_database):
    cases = crowd(world.entity(), 40)
    Case.objects.update(due_at=clock.now() - timedelta(days=1))
    assert sum(together(*[services.cases_reschedule] * 4)) == len(cases)
    assert all(case.events.filter(what="due").count() == 1 for case in cases)


def test_a_case_is_due_by_the_lock_where_the_run_is_over(uk):
    organizing.entity_set(code=uk.code, receivables_lock_day=4)
    with time_machine.travel(datetime(2026, 11, 3, 17, 0, tzinfo=UTC), tick=False):  # an hour after the run
        case = opened(uk, number=1)
    assert case.due_at == datetime(2026, 11, 5, 18, 0, tzinfo=UTC)
