"""Events come ten times, out of order, or not at all: what stands afterwards is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from apps.core import clock
from tests.faults.drill import Drill
from tests.faults.load import Job, Sender, post
from tests.faults.site import Site

pytestmark = pytest.mark.fault


def test_each_event_ten_times_has_one_effect(site: Site, drill: Callable[..., Drill]):
    """Fault 22. Ten senders bring the same events at once."""
    site.only("web", "worker", "beat")
    run = drill(site, 22, "each event ten times at once")
    jobs = run.deals(8)
    senders = [Sender(site, jobs, threads=1) for _ in range(10)]
    for sender in senders:
        sender.join()
    new = [sum(status == 202 for status in job.statuses) for job in jobs]
    run.end(posts=sum(len(job.statuses) for job in jobs), **{"taken as new": sum(new)})
    assert new == [1] * len(jobs)


@pytest.mark.long_fault
def test_events_out_of_order_leave_what_the_ordered_run_leaves(site: Site, drill: Callable[..., Drill]):
    """Fault 23. Four events of each deal: half of the deals get them in order, half in any order, all deals mixed."""
    site.only("web", "worker", "beat")
    run = drill(site, 23, "four events a deal, in order and out of order")
    ordered, mixed = run.deals(6), run.deals(6)
    events = [event for job in mixed for event in copies(job)]
    run.chance.shuffle(events)
    first = Sender(site, [event for job in ordered for event in copies(job)], threads=1)
    second = Sender(site, events, threads=2)
    first.join()
    second.join()
    for job in run.jobs:
        post(site, job)
    run.end(events=4 * len(run.jobs))


def copies(job: Job) -> list[Job]:
    """More events of the same deal, each with an id of its own, as a CRM sends them for one change after the other."""
    return [replace(job, event_id=f"{job.event_id}{at}", statuses=[]) for at in range(3)]


@pytest.mark.long_fault
def test_missed_events_are_found_by_polling(site: Site, drill: Callable[..., Drill]):
    """Fault 24. Two of three events never come; what the CRM has closed counts as acknowledged all the same."""
    site.only("web")
    run = drill(site, 24, "two of three events never sent, polled every second")
    jobs = run.deals(12)
    sent = [job for job in jobs if run.chance.random() < 1 / 3]
    Sender(site, sent).join()
    for job in jobs:
        job.acknowledged_at = job.acknowledged_at or clock.now()
    site.only_polled("web", "worker", "beat", every=1)
    run.end(missed=len(jobs) - len(sent))
    assert len(sent) < len(jobs)
