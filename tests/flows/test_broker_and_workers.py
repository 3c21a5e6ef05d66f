"""Real Celery workers over a real broker: two at once, a broker that forgets everything, an orderly end.

One world serves all tests; each starts the workers it needs.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from apps.journal.models import Inbox
from apps.sync.models import Transaction
from pssync_console.runtime.shared import pid_in, wait_gone
from tests.flows import acts
from tests.flows.bench import Bench, provisioned
from tests.flows.world import World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def people(shared_world: World) -> Bench:
    """Nothing listens at the door: what changed is found by polling."""
    for system in ("crm", "billing"):
        hook = {"url": shared_world.web_url, "enabled": False}
        shared_world.control.system(system).call("PUT", "/webhook", hook)
    return Bench(shared_world)


@pytest.fixture
def firm(people: Bench) -> Iterator[Bench]:
    yield people
    for name in [name for name in people.world.processes if name.startswith("worker")]:
        people.world.kill(name)


def test_two_deals_of_one_new_customer_at_once_make_one_customer(firm: Bench):
    before = firm.objects()
    account = firm.account()
    first, second = (firm.deal(acts.SMALL, account=account, name=name) for name in ("Twin one", "Twin two"))
    firm.close(first)
    firm.close(second)
    for name in ("worker", "worker2"):
        firm.world.start(name)
    firm.wait(lambda: provisioned(first, second), seconds=60, what="both deals provisioned")
    firm.wait(acts.finished, seconds=20, what="everything at rest")
    added = firm.added(before)
    assert (added["erp customer"], added["billing customer"]) == (1, 1)
    assert (added["erp job"], added["psa workspaces"], added["crm Eng_Status__c"]) == (2, 2, 2)
    owners = {one.lease_owner for one in _subjects_of(first, second)}
    assert owners <= {""}, "no lease is left behind"


def _subjects_of(*deal_ids: str) -> list:
    return [
        row.subject
        for row in Transaction.objects.filter(
            subject__key__in=[f"crm:{deal_id}" for deal_id in deal_ids]
        ).select_related("subject")
    ]


def test_a_broker_that_dies_and_forgets_everything_loses_no_work(firm: Bench):
    before = firm.objects()
    firm.world.start("worker")
    firm.wait(lambda: _started(firm, "worker"), seconds=30, what="the worker is up")
    deal_ids = [firm.deal(acts.SMALL, name=f"Queued {number}") for number in range(3)]
    for deal_id in deal_ids:
        firm.close(deal_id)
    _kill_and_wipe(firm.world)
    known = Inbox.objects.filter(source="poll:crm").count()
    firm.poll(("crm", "deal"), settle=False)
    assert Inbox.objects.filter(source="poll:crm").count() > known, "news are taken in without a broker"
    firm.world.broker.start()
    firm.wait(lambda: provisioned(*deal_ids), seconds=60, what="every queued deal provisioned")
    firm.wait(acts.finished, seconds=20, what="everything at rest")
    added = firm.added(before)
    assert {name: added[name] for name in acts.SMALL_OBJECTS} == {
        name: 3 * number for name, number in acts.SMALL_OBJECTS.items()
    }


def _kill_and_wipe(world: World) -> None:
    """``kill -9`` the broker and delete all that it keeps on disk."""
    pid = pid_in(world.broker.data / "server.pid")
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    shutil.rmtree(world.broker.data)


def _started(firm: Bench, name: str) -> bool:
    return " ready." in firm.world.log(name)


def test_a_worker_told_to_end_does_so_within_seconds_and_leaves_nothing_behind(firm: Bench):
    before = firm.objects()
    deal_ids = [firm.deal(acts.SMALL, name=f"Shift {number}") for number in range(3)]
    worker = firm.world.start("worker")
    firm.wait(lambda: _started(firm, "worker"), seconds=30, what="the worker is up")
    for deal_id in deal_ids:
        firm.close(deal_id)
    firm.poll(("crm", "deal"), settle=False)
    firm.wait(lambda: firm.added(before), seconds=30, what="the work has begun")
    started = time.monotonic()
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait(timeout=20)
    assert time.monotonic() - started < 12
    assert worker.returncode == 0
    firm.world.start("worker2")
    firm.wait(lambda: provisioned(*deal_ids), seconds=60, what="the next worker goes on")
    firm.wait(acts.finished, seconds=20, what="everything at rest")
    added = firm.added(before)
    assert {name: added[name] for name in acts.SMALL_OBJECTS} == {
        name: 3 * number for name, number in acts.SMALL_OBJECTS.items()
    }
