"""Kantata offers neither a key nor an upsert: a write that it carries out after our probe stands there twice, and is found.

The vendor sits on a request for longer than we wait for it; we look, find nothing, write again; then it carries out the first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from apps.commercial import selectors as commercial
from apps.core import clock
from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.records.models import CrossReference
from apps.sync.models import Transaction
from apps.triage import selectors as triage
from tests.flows import acts
from tests.flows.bench import Bench

PROJECTS = ("psa", "engagement")
MILESTONES = ("psa", "milestone")
TIME = ("psa", "time_entry")
ACCEPTED = {
    "state": "accepted",
    "accepted_at": "2026-11-20T10:00:00Z",
    "acceptance_reference": "CERT-1",
}


def made_twice(bench: Bench, path: str, kind: str) -> tuple[Any, list[dict[str, Any]]]:
    """``(engagement, both records, ours first)`` of a deal one of whose writes was carried out late."""
    title = f"Handover {bench.account()[-6:]}"
    spec = replace(acts.SMALL, schedule=(deals.Entry(title, Decimal("9000")),), name="Twice")
    bench.control.fault("psa", "latency", method="POST", path=f"{path}$", seconds=5, times=1)
    deal_id = bench.win(spec)
    row = commercial.engagement_by_deal(f"crm:{deal_id}")
    named = row.name if kind == "workspaces" else title
    found = bench.wait(
        lambda: [one for one in [bench.control.records("psa", kind, title=named)] if len(one) == 2],
        what="the late write",
    )[0]
    ours = bench.wait(lambda: _held(kind, row.key), what="a link")
    return row, sorted(found, key=lambda record: record["id"] != ours)


def _held(kind: str, key: str) -> str:
    object_type = "engagement" if kind == "workspaces" else "milestone"
    rows = CrossReference.objects.filter(
        object_type=object_type, system__code="psa", key__startswith=key
    ).values_list("external_id", flat=True)
    return str(rows[0])


def case(key: str) -> Any:
    return triage.cases(EVERYTHING).filter(subject_key=key).latest("id")


@pytest.mark.provokes("PRJ-DUP")
def test_a_project_made_twice_is_a_case_within_one_poll_and_closed_when_one_is_put_away(bench: Bench):
    row, (ours, twin) = made_twice(bench, "/workspaces", "workspaces")
    assert bench.cases(row.key) == []
    bench.poll(PROJECTS)
    assert bench.cases(row.key) == [("PRJ-DUP", "open")]
    told = case(row.key)
    assert ours["id"] in told.reason
    assert twin["id"] in told.reason
    assert (told.held_amount, told.currency) == (Decimal("9000"), "GBP")
    bench.control.patch("psa", "workspaces", twin["id"], {"archived": True})
    bench.poll(PROJECTS)
    assert bench.cases(row.key) == [("PRJ-DUP", "resolved")]
    assert bench.transaction("delivery", row.key, "delivery.sync").state == "succeeded"


def test_a_milestone_made_twice_is_a_case_and_billed_once(bench: Bench):
    row, (ours, twin) = made_twice(bench, "/billing_milestones", "billing_milestones")
    bench.poll(MILESTONES)
    assert bench.cases(row.key) == [("PRJ-DUP", "open")]
    for one in (ours, twin):
        bench.control.patch("psa", "billing_milestones", one["id"], ACCEPTED)
    bench.poll(MILESTONES)
    assert [one for one in acts.prebills() if one.engagement_key == row.key] == []
    bench.control.delete("psa", "billing_milestones", twin["id"])
    bench.poll(MILESTONES)
    assert ("PRJ-DUP", "resolved") in bench.cases(row.key)
    [prebill] = [one for one in acts.prebills() if one.engagement_key == row.key]
    assert prebill.net == Decimal("9000")


def test_a_project_made_twice_of_which_no_event_tells_is_found_by_the_daily_reading(bench: Bench):
    row, _ = made_twice(bench, "/workspaces", "workspaces")
    with time_machine.travel(clock.now() + timedelta(hours=25), tick=True):
        bench.poll(TIME)
    assert bench.cases(row.key) == [("PRJ-DUP", "open")]


@pytest.mark.parametrize("reference", [None, "ENG-2020-000001"])
def test_projects_of_others_ask_for_nothing(bench: Bench, reference: str | None):
    """Without a reference of ours, or with one that we hold no project for."""
    bench.poll(PROJECTS)
    before = Transaction.objects.count()
    record: dict[str, Any] = {"title": "Somebody's", "creator_role": "maven", "currency": "GBP"}
    if reference:
        told = {"service_name": "pssync", "service_model": "engagement", "service_model_ref": reference}
        record["external_reference"] = told
    bench.control.create("psa", "workspaces", record)
    bench.poll(PROJECTS)
    assert Transaction.objects.count() == before
