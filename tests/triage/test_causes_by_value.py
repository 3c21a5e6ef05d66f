"""Each value that a mapping fixes is a cause of its own, also where groups from before held several."""

from __future__ import annotations

import importlib

import pytest
from django.apps import apps as registry
from django.db import connection

from apps.core.scope import EVERYTHING
from apps.triage import rollups, services
from apps.triage.fingerprint import strip
from apps.triage.models import Case, CaseState, Group
from tests.commercial import world
from tests.triage import desk

pytestmark = pytest.mark.django_db


def migrate() -> None:
    module = importlib.import_module("apps.triage.migrations.0020_causes_by_value")
    with connection.schema_editor() as editor:
        module.take_apart(registry, editor)


def service(value: str) -> dict[str, object]:
    return desk.problem(value=value, reason=f"Service {value} has no billing code.")


def as_before(*cases: Case) -> Group:
    """The cases in one group whose value is stripped, as the fingerprint once made it."""
    first = cases[0].group
    Group.objects.filter(pk=first.pk).update(fingerprint="before", value=strip(cases[0].value))
    Case.objects.filter(pk__in=[case.pk for case in cases]).update(group=first)
    for case in cases[1:]:
        Group.objects.filter(pk=case.group_id).delete()
    return Group.objects.get(pk=first.pk)


def test_a_deal_with_two_unmapped_services_has_two_cases():
    told = desk.fact(world.entity(), service("10001"), service("10002"))
    services.cases_reconcile([told])
    cases = Case.objects.filter(subject_key=told["subject_key"]).order_by("value")
    assert [(case.value, case.group.value) for case in cases] == [("10001", "10001"), ("10002", "10002")]
    services.cases_reconcile([{**told, "problems": [service("10002")]}])
    assert {case.value: case.state for case in cases.all()} == {
        "10001": CaseState.RESOLVED,
        "10002": CaseState.OPEN,
    }


def test_a_group_of_several_values_is_taken_apart_and_the_next_refresh_finds_its_cases():
    uk = world.entity()
    one, two, three = (
        desk.opened(uk, service(value), number=number)
        for number, value in enumerate(("10001", "10002", "10002"), 1)
    )
    closed = desk.opened(uk, service("10003"), number=4)
    Case.objects.filter(pk=closed.pk).update(state=CaseState.RESOLVED)
    group = as_before(one, two, three, closed)
    Group.objects.filter(pk=group.pk).update(state="snoozed", note="Next week.")
    rollups.fold()
    migrate()
    cases = Case.objects.select_related("group").order_by("pk")
    assert [(case.value, case.group.value) for case in cases] == [
        ("10001", "10001"), ("10002", "10002"), ("10002", "10002"), ("10003", "10003"),
    ]  # fmt: skip
    assert cases[0].group_id == group.pk
    assert {(case.group.state, case.group.note) for case in cases} == {("snoozed", "Next week.")}
    assert cases[1].group.reason == "Service 10002 has no billing code."
    assert rollups.drifts() == []
    desk.opened(uk, service("10002"), number=2)
    assert [(case.pk, case.state) for case in Case.objects.filter(subject_key=two.subject_key)] == [
        (two.pk, CaseState.OPEN)
    ]


def test_a_group_of_one_value_keeps_its_place():
    case = desk.opened(world.entity(), service("4.10"))
    group = as_before(case)
    migrate()
    desk.opened(case.legal_entity, service("4.10"))
    case.refresh_from_db()
    assert (Case.objects.count(), case.group_id, case.group.value) == (1, group.pk, "4.10")
    assert len(Case.objects.within(EVERYTHING)) == 1


def test_other_codes_and_values_that_were_kept_are_left_alone():
    mapped = desk.opened(world.entity(), number=1)
    other = desk.opened(mapped.legal_entity, desk.problem(code="MS-CHANGED", value="10001"), number=2)
    before = set(Group.objects.values_list("pk", "fingerprint", "value"))
    migrate()
    assert set(Group.objects.values_list("pk", "fingerprint", "value")) == before
    assert other.group.value == "<number>"
