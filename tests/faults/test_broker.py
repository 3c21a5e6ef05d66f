"""The broker is killed, wiped and away: PostgreSQL knows the work, the broker only rings."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.drill import Drill
from tests.faults.load import Sender
from tests.faults.site import Site
from tests.faults.test_workers import ring

pytestmark = [pytest.mark.fault, pytest.mark.long_fault]
#: RabbitMQ's orderly start takes ten seconds, and each broker needs a site of its own.
BROKERS = ["valkey", *(pytest.param(name, marks=pytest.mark.long_fault) for name in ("redis", "rabbitmq"))]


@pytest.fixture(params=BROKERS)
def broken(request: pytest.FixtureRequest, site_of: Callable[..., Site]) -> Site:
    """A site on each kind of broker that we support."""
    return site_of(request.param)


def test_a_broker_killed_wiped_and_away_loses_no_work(broken: Site, drill: Callable[..., Drill]):
    """Faults 8, 9 and 10, one after the other on one site."""
    killed_with_five_hundred_queued(broken, drill(broken, 8, "broker killed with 500 bells queued"))
    wiped_in_the_middle(broken, drill(broken, 9, "broker killed and wiped mid-run, twice"))
    away(broken, drill(broken, 10, "broker away for 20 s"), seconds=20)


@pytest.mark.long_fault
def test_a_broker_away_for_two_minutes_closes_no_door(
    site_of: Callable[..., Site], drill: Callable[..., Drill]
):
    """Fault 10 for longer; five minutes are part of the soak."""
    site = site_of("redis")
    away(site, drill(site, 10, "broker away for 120 s"), seconds=120)


def killed_with_five_hundred_queued(site: Site, run: Drill) -> None:
    site.up("web")
    run.send(8).join()
    ring(site, "sync.pump", times=500)
    with run.fault():
        site.broker.kill()
        site.broker.start()
    site.up("worker", "beat")
    run.end(bells=500)


def wiped_in_the_middle(site: Site, run: Drill) -> None:
    site.up("web", "worker", "beat")
    run.send(10, pause=0.3)
    for share in (0.1, 0.5):
        run.wait_for(share)
        with run.fault():
            site.broker.wipe()
            site.broker.start()
    run.end()


def away(site: Site, run: Drill, *, seconds: float) -> None:
    """Events come all the time while there is no broker; each must be taken at its first attempt."""
    site.up("web", "worker", "beat")
    jobs = run.deals(12)
    with run.fault():
        site.broker.kill()
        started = time.monotonic()
        sender = Sender(site, jobs, threads=1, pause=seconds / len(jobs))
        sender.join(seconds=seconds + 30)
        time.sleep(max(0.0, seconds - (time.monotonic() - started)))
        first = [job.statuses[0] for job in jobs]
        site.broker.start()
    run.end(**{"2xx at the first attempt": f"{sum(status == 202 for status in first)} of {len(jobs)}"})
    assert first == [202] * len(jobs)
