"""Workers are killed, whole or in part, stopped and woken, poisoned and told to end: nothing is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from tests.faults.drill import Drill
from tests.faults.load import Sender, post
from tests.faults.site import Site, until

pytestmark = pytest.mark.fault


@pytest.fixture(autouse=True)
def mended(site: Site):
    yield
    for system in ("crm", "erp", "psa", "billing"):
        site.control.clear_faults(system)
    site.failpoints.unlink(missing_ok=True)


def kill_at_random(run: Drill, jobs: int, *, kills: int, pause: tuple[float, float]) -> None:
    """Two workers; one of them, its whole process group, is killed now and then and started again at once."""
    site = run.site
    site.only("web", "worker", "worker2", "beat")
    run.send(jobs, customers=max(3, jobs // 12), pause=0.05)
    run.wait_for(0.03)
    for _ in range(kills):
        name = at_work(run, "worker", "worker2")
        with run.fault():
            site.kill(name)
        site.start(name)
        time.sleep(run.chance.uniform(*pause))


@pytest.mark.long_fault
def test_workers_killed_at_random_lose_and_double_nothing(site: Site, drill: Callable[..., Drill]):
    """Fault 2, the short form: kill -9 of a worker's whole process group, five times under 30 jobs."""
    run = drill(site, 2, "a worker's process group killed at random under 30 jobs")
    kill_at_random(run, 30, kills=5, pause=(1.0, 4.0))
    run.end(kills=len(run.faults))


@pytest.mark.long_fault
def test_workers_killed_at_random_under_two_hundred_jobs(site: Site, drill: Callable[..., Drill]):
    """Fault 2 as it is specified."""
    run = drill(site, 2, "a worker's process group killed at random under 200 jobs")
    kill_at_random(run, 200, kills=15, pause=(2.0, 6.0))
    run.end(seconds=180, kills=len(run.faults))


@pytest.mark.long_fault
def test_one_child_of_a_worker_killed_is_replaced_and_its_work_goes_on(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 3. One prefork child, the parent lives on."""
    site.down("worker2")
    site.only("web", "worker", "beat")
    run = drill(site, 3, "one prefork child killed, four times")
    run.send(16, pause=0.1)
    run.wait_for(0.1)
    for _ in range(4):
        with run.fault():
            busiest(site.children("worker"), run).kill()
        time.sleep(run.chance.uniform(1.0, 3.0))
    run.end(kills=4)


def pumps(children: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have threads beside their first: they hold a seat and work."""
    found = []
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.num_threads() > 3:
                found.append(child)
    return found


def busiest(children: list[psutil.Process], run: Drill) -> psutil.Process:
    return run.chance.choice(pumps(children) or children)


def at_work(run: Drill, *names: str) -> str:
    """A worker whose children work just now, any of them when none does."""
    return run.chance.choice([name for name in names if pumps(run.site.children(name))] or list(names))


@pytest.mark.long_fault
def test_a_message_that_kills_its_worker_is_set_aside_and_the_others_go_on(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 4. Whoever writes this deal's project is killed; after three takeovers nobody tries any more."""
    site.only("web", "worker", "beat")
    run = drill(site, 4, "a deal whose worker dies at each attempt, among eleven others")
    (poison,) = run.deals(1, customers=1)
    others = run.deals(11, customers=2)
    deaths = 0
    assert post(site, poison) == 202
    sender = Sender(site, others, pause=0.1)
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and not set_aside(site, poison.deal_id):
        for child in site.children("worker"):
            with contextlib.suppress(psutil.NoSuchProcess):  # Celery replaces them meanwhile
                if works_on(site, poison.deal_id, child):
                    child.kill()
                    child.wait(5)
                    deaths += 1
        time.sleep(0.05)
    sender.join()
    run.jobs = others
    run.end(deaths=deaths, **{"set aside": lambda: int(set_aside(site, poison.deal_id))})
    assert deaths >= 3
    calls = len(run.inspector.calls([poison])[poison.deal_id])
    time.sleep(3)
    assert len(run.inspector.calls([poison])[poison.deal_id]) in (0, calls), "nobody tries it any more"


def set_aside(site: Site, deal_id: str) -> bool:
    """Whether the console's own list of dead letters has it (the one place where our own tables are asked)."""
    with site.database.connect() as server:
        row = server.execute(
            "SELECT t.state FROM sync_transaction t JOIN sync_subject s ON s.id = t.subject_id"
            " WHERE s.key = %s AND t.flow = 'deal.provision'",
            [f"crm:{deal_id}"],
        ).fetchone()
    return row is not None and row[0] == "dead"


def works_on(site: Site, deal_id: str, child: psutil.Process) -> bool:
    """Whether this process holds the subject now: the lease names its holder."""
    with site.database.connect() as server:
        row = server.execute(
            "SELECT lease_owner FROM sync_subject WHERE key = %s AND kind = 'deal' AND lease_until > now()",
            [f"crm:{deal_id}"],
        ).fetchone()
    return row is not None and row[0].split(":")[1:2] == [str(child.pid)]


@pytest.mark.long_fault
def test_a_worker_stopped_for_longer_than_its_lease_writes_nothing_when_it_wakes(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 7. SIGSTOP of a worker in the middle of its work, another takes over, SIGCONT: the sleeper's writes are fenced.

    What was on its way to the project system, which offers neither key nor upsert, may stand there twice: then it is told."""
    site.only_polled("web", "worker", "worker2", "beat", every=2)
    run = drill(site, 7, "a worker stopped for 6 s (lease 3 s), then woken, three times")
    run.send(20, pause=0.2)
    run.wait_for(0.05)
    for _ in range(3):
        name = at_work(run, "worker", "worker2")
        with run.fault():
            site.signal(name, signal.SIGSTOP)
        time.sleep(6)
        site.signal(name, signal.SIGCONT)
        time.sleep(run.chance.uniform(0.5, 2.0))
    run.end(stops=3, fenced=lambda: site.log_count("lease_lost"))


@pytest.mark.long_fault
def test_a_worker_told_to_end_in_the_middle_gives_its_work_back(site: Site, drill: Callable[..., Drill]):
    """Fault 30. SIGTERM of the parent mid-task; the next worker goes on at once, without waiting for leases to run out."""
    site.only("web", "worker", "beat")
    run = drill(site, 30, "SIGTERM mid-task, twice")
    run.send(14, pause=0.1)
    ended_within = []
    for share, successor in ((0.1, "worker2"), (0.4, "worker")):
        run.wait_for(share)
        leaving = "worker" if successor == "worker2" else "worker2"
        process = site.processes[leaving]
        started = time.monotonic()
        with run.fault():
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(timeout=25) == 0
            ended_within.append(round(time.monotonic() - started, 1))
        site.down(leaving)
        site.start(successor)
    run.end(**{"ended within": f"{max(ended_within)} s"})


@pytest.mark.long_fault
def test_a_task_longer_than_the_brokers_visibility_time_out_has_one_effect(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 5. A bell that nobody has acknowledged within a second is given to a second worker, while pumps last 14 s and
    the systems answer late. These bells do not expire."""
    site.down("worker", "worker2")
    impatient = {"DJANGO_SETTINGS_MODULE": "tests.faults.impatient", "SYNC_PUMP_SECONDS": "14"}
    for system in ("erp", "psa"):
        site.control.fault(system, "latency", seconds=0.3, times=None)
    site.only("web")
    run = drill(site, 5, "visibility time-out 1 s, tasks of 14 s, two workers")
    run.send(14, pause=0.5)
    ring(site, "sync.pump", times=2)
    for name in ("worker", "worker2"):
        site.start(name, **impatient)
    until(lambda: given_again(site) > 0, seconds=40, what="a bell was given to somebody else")
    site.up("beat")
    run.end(**{"bells given again": lambda: given_again(site)})
    site.down("worker", "worker2")


def given_again(site: Site) -> int:
    """How many bells were given out more often than they were rung; Celery logs each delivery at INFO."""
    seen = Counter(
        re.findall(
            r"Task sync\.pump\[([0-9a-f-]+)\] received",
            "".join(path.read_text(errors="replace") for path in site.directory.glob("worker*.log")),
        )
    )
    return sum(count - 1 for count in seen.values())


@pytest.mark.long_fault
def test_two_workers_with_one_message_have_one_effect(site: Site, drill: Callable[..., Drill]):
    """Fault 6. Every event comes twice at once, and two workers are rung with ten copies of each bell."""
    site.only("web", "worker", "worker2", "beat")
    run = drill(site, 6, "each event twice at once, each bell ten times, two workers")
    jobs = run.deals(14)
    first, second = Sender(site, jobs, pause=0.05), Sender(site, jobs, pause=0.05)
    for _ in range(10):
        ring(site, "sync.pump", times=10)
        time.sleep(0.3)
    first.join()
    second.join()
    run.end(**{"bells added": 100})


def ring(site: Site, task: str, *, times: int) -> None:
    from celery import Celery

    with Celery(broker=site.broker.url()) as app:
        for _ in range(times):
            app.send_task(task)
