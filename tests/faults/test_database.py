"""PostgreSQL is killed, restarted, frozen, out of connections, out of space: what was acknowledged is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from tests.faults.drill import Drill
from tests.faults.load import Job, Sender, notes, post
from tests.faults.site import Site, until

pytestmark = pytest.mark.fault


def known_again(site: Site, jobs: Sequence[Job]) -> tuple[int, int]:
    """Bring what was acknowledged once more: ``(how many, how many of them are not known any more)``.

    A door that still has an event says 200 (received before), one that has lost it says 202 (new)."""
    before = [job for job in jobs if job.acknowledged]
    return len(before), sum(post(site, job) != 200 for job in before)


def test_postgresql_killed_during_commit_has_stored_what_was_acknowledged(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 12. Every server process at once, in a stream of commits; no event is sent twice before all are counted."""
    site.only("web")
    run = drill(site, 12, "PostgreSQL killed during commit, five times, six senders")
    events = [*run.deals(15), *notes(1500, run.chance)]
    run.chance.shuffle(events)
    sender = Sender(site, events, threads=6, again=False)
    for _ in range(5):
        time.sleep(run.chance.uniform(0.2, 0.7))
        site.database.kill()
        site.database.start()
        (probe,) = notes(1, run.chance)
        run.figure.recovery.append(
            until(lambda probe=probe: post(site, probe) in (200, 202), seconds=30, what="an open door")
        )
    sender.join()
    acknowledged, lost = known_again(site, events)
    assert acknowledged > 100, "the stream was there"
    refused = sum(not job.acknowledged for job in events)
    assert refused > 0, "commits were under way when the server was killed"
    site.up("worker", "beat")
    run.end(events=acknowledged, refused=refused, forgotten=lost)
    assert lost == 0
