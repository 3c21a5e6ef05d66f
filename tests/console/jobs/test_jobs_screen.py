"""Many exceptions at once on the screen: chosen, planned, run, verified, found again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apps.core import clock
from apps.journal import transitions
from apps.sync import engine
from apps.sync.models import Transaction
from apps.triage.job_models import Job, JobRow
from apps.triage.jobs import services, work
from apps.triage.models import Case
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of
from tests.people import hire
from tests.triage.plans import Plans


@pytest.fixture
def plans(world: Any, monkeypatch: pytest.MonkeyPatch) -> Plans:
    """Plans of the firm's deals that need no vendor system."""
    made = Plans(monkeypatch, carried_out=True)
    made.entity_id = world.be.pk
    return made


def ring() -> None:
    for _ in range(10):
        Job.objects.filter(state__in=("planning", "running")).update(next_at=clock.now())
        if not work.work(seconds=5):
            return


def plan(client: Any, **chosen: Any) -> Job:
    answer = client.post("/jobs/plan", {"address": "/exceptions/?view=cases", **chosen})
    assert answer.status_code == 302, answer.content[:300]
    job = Job.objects.latest("id")
    assert answer["Location"] == f"/jobs/{job.ref}/"
    return job


def test_the_list_of_cases_offers_to_choose_several(world, signed_in):
    case = world.broken_deal(1)
    page = signed_in("ana").get("/exceptions/?view=cases").content.decode()
    assert re.search(
        rf'<input [^>]*name="case" value="{case.ref}~open\.\." form="bulk" aria-label="Choose {case.ref}"',
        page,
    )
    assert 'id="bulk"' in page
    assert 'id="bulk"' not in signed_in("otto").get("/exceptions/?view=cases").content.decode(), (
        "an auditor reads"
    )


def test_chosen_cases_are_frozen_planned_run_and_verified(world, signed_in, plans):
    first, second = world.broken_deal(1), world.broken_deal(2)
    world.broken_deal(3)
    Case.objects.update(phase="plan")  # found by planning, so that a plan without them clears them
    for row in Transaction.objects.all():
        transitions.move(row, to="running")
        transitions.move(row, to="held")
    client = signed_in("ana")
    job = plan(client, case=[first.ref, second.ref])
    page = text_of(client.get(f"/jobs/{job.ref}/"))
    assert "Planned 0 of 2 cases. Nothing is changed by this; you may leave." in page
    ring()
    page = text_of(client.get(f"/jobs/{job.ref}/"))
    assert "Clears 2, changes the error on 0, leaves 0." in page
    assert "EUR 24,600.00" in page
    assert client.post(f"/jobs/{job.ref}/run", {"pace": "5", "why": "Items are there"}).status_code == 302
    ring()
    engine.drain()
    ring()
    page = text_of(client.get(f"/jobs/{job.ref}/"))
    assert "2 of 2 cases cleared; each was verified by its own case." in page
    assert "2 accepted, 2 verified" in page
    assert "Items are there" in page
    assert Case.objects.filter(state="resolved").count() == 2
    assert job.ref in text_of(client.get("/jobs/"))


def test_all_that_match_is_what_the_address_says_within_the_scope(world, signed_in, plans):
    here, there = world.broken_deal(1), world.broken_deal(2, entity=world.uk)
    other = world.broken_deal(3, code="CUS-PO-REQUIRED", value="", field="po")
    client = signed_in("ana", world.be)
    job = plan(client, every="true", address="/exceptions/?view=cases&code=DEAL-SVC-UNMAPPED")
    assert job.scope_words == "All that match: DEAL-SVC-UNMAPPED"
    assert set(job.rows.values_list("case__ref", flat=True)) == {here.ref}
    assert not {there.ref, other.ref} & set(job.rows.values_list("case__ref", flat=True))


def test_a_foreign_reference_in_the_form_chooses_nothing(world, signed_in, plans):
    foreign = world.broken_deal(1, entity=world.uk)
    answer = signed_in("ana", world.be).post("/jobs/plan", {"case": [foreign.ref], "address": ""})
    assert answer.status_code == 409
    assert not Job.objects.exists()


def test_nothing_chosen_is_said(world, signed_in):
    world.broken_deal(1)
    answer = signed_in("ana").post(
        "/jobs/plan", {"address": "/exceptions/"}, headers={"Referer": "http://testserver/exceptions/"}
    )
    assert answer.status_code == 400
    assert "Choose cases first." in text_of(answer)
    assert not Job.objects.exists()


def test_the_address_leads_back_to_our_list_only(world, signed_in, plans):
    case = world.broken_deal(1)
    client = signed_in("ana")
    assert plan(client, case=[case.ref], address="https://evil.example/exceptions/").address == ""
    assert plan(client, case=[case.ref], address="//evil.example/exceptions/").address == ""
    assert (
        plan(client, case=[case.ref], address="/exceptions/?view=cases&q=x").address
        == "/exceptions/?view=cases&q=x"
    )


def test_a_job_is_its_persons_alone(world, signed_in, plans):
    job = plan(signed_in("ana"), case=[world.broken_deal(1).ref])
    carla = signed_in("carla")
    assert carla.get(f"/jobs/{job.ref}/").status_code == 404
    assert carla.post(f"/jobs/{job.ref}/run", {"pace": "5"}).status_code == 404
    assert job.ref not in text_of(carla.get("/jobs/"))


def test_a_dropped_job_leads_back_to_the_list(world, signed_in, plans):
    client = signed_in("ana")
    job = plan(client, case=[world.broken_deal(1).ref])
    answer = client.post(f"/jobs/{job.ref}/drop")
    assert answer["Location"] == "/exceptions/?view=cases"
    assert "nothing has run" in text_of(client.get("/exceptions/"))


def test_stop_is_offered_while_it_runs(world, signed_in, plans):
    client = signed_in("ana")
    job = plan(client, case=[world.broken_deal(1).ref])
    ring()
    client.post(f"/jobs/{job.ref}/run", {"pace": "5"})
    page = client.get(f"/jobs/{job.ref}/").content.decode()
    assert f'action="/jobs/{job.ref}/stop"' in page
    client.post(f"/jobs/{job.ref}/stop")
    assert "Stopping" in text_of(client.get(f"/jobs/{job.ref}/"))


def test_a_figure_filters_the_cases(world, signed_in, plans):
    good, changed = world.broken_deal(1), world.broken_deal(2)
    client = signed_in("ana")
    job = plan(client, case=[good.ref, changed.ref])
    ring()
    JobRow.objects.filter(case=changed).update(outcome="stays", reason="Still no item.")
    page = text_of(client.get(f"/jobs/{job.ref}/?show=stays"))
    assert changed.ref in page
    assert "Still no item." in page
    assert good.ref not in page


def test_more_cases_take_no_more_queries(world, signed_in, plans):
    ana = hire("ana")
    client = signed_in(ana)
    job = plan(client, case=[world.broken_deal(1).ref])
    ring()

    def more() -> None:
        for number in range(2, 9):
            case = world.broken_deal(number)
            JobRow.objects.create(
                job=job, case=case, transaction_id=case.transaction_id, outcome="clears", digest="x"
            )

    assert_rows_cost_nothing(client, f"/jobs/{job.ref}/", more)

    def more_jobs() -> None:
        for number in range(20, 25):
            services.job_plan(
                rows=Case.objects.filter(pk=world.broken_deal(number).pk), by=ana, scope_words="one"
            )

    assert_rows_cost_nothing(client, "/jobs/", more_jobs)


def test_a_case_that_closes_while_the_plan_is_looked_at_is_skipped_and_said(world, signed_in, plans):
    first, second = world.broken_deal(1), world.broken_deal(2)
    client = signed_in("ana")
    job = plan(client, case=[first.ref, second.ref])
    ring()
    transitions.move(Case.objects.get(pk=first.pk), to="resolved", resolved_at=clock.now(), how="auto")
    client.post(f"/jobs/{job.ref}/run", {"pace": "5"})
    ring()
    page = text_of(client.get(f"/jobs/{job.ref}/?show=skipped"))
    assert "It was closed after the preview." in page
