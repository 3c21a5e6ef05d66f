"""The bells' queue as a quorum queue of RabbitMQ: workers answer when asked, and a node that forgets all loses no work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu import Queue as BrokerQueue

from apps.demo.install import install
from tests.faults.servers import RabbitMQ
from tests.flows import acts
from tests.flows.bench import Bench, provisioned
from tests.flows.world import ROOT, World

pytestmark = [pytest.mark.long_fault, pytest.mark.slow, pytest.mark.needs_broker("rabbitmq")]
QUEUE = "pssync.bells"


class Quorum(World):
    """The same world on a RabbitMQ node of its own."""

    def __init__(self, broker: RabbitMQ, **given: Any) -> None:
        super().__init__(**given)
        self.broker = broker  # type: ignore[assignment]
        self.env |= {"CELERY_BROKER_URL": broker.url(), "BROKER_QUEUE_TYPE": "quorum"}

    def celery(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "celery", "-q", "-A", "pssync_console", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def firm(
    process_database: Any, free_port_block: Callable[[int], int], tmp_path: Path, django_db_blocker: Any
) -> Iterator[Bench]:
    port = free_port_block(10)
    node = RabbitMQ(tmp_path, port + 9, free_port_block(1))
    with (
        Quorum(node, database_env=process_database.env, base_port=port, directory=tmp_path) as world,
        django_db_blocker.unblock(),
    ):
        install(control=world.control, sandbox_port=port, web_url=world.web_url)
        yield Bench(world)


def test_workers_on_a_quorum_queue_do_all_work_once_and_can_be_asked(firm: Bench):
    world = firm.world
    assert isinstance(world, Quorum)
    before = firm.objects()
    for name in ("worker", "worker2"):
        world.start(name)
    for name in ("worker", "worker2"):
        world.wait(lambda name=name: " ready." in _log(world, name), what=f"{name} is up")
    assert _type(world) == "quorum"
    told = world.celery("inspect", "ping", "--timeout=10", "--json")
    assert len(json.loads(told.stdout)) == 2, told.stderr

    deal_ids = [firm.deal(acts.SMALL, name=f"Quorum {number}") for number in range(4)]
    for deal_id in deal_ids[:2]:
        firm.close(deal_id)
    world.wait(lambda: provisioned(*deal_ids[:2]), seconds=90, what="the first two provisioned")
    world.broker.wipe()  # type: ignore[attr-defined]
    world.broker.start()
    for deal_id in deal_ids[2:]:
        firm.close(deal_id)
    world.wait(lambda: provisioned(*deal_ids), seconds=120, what="all provisioned on the node made anew")
    world.wait(acts.finished, seconds=30, what="everything at rest")
    added = firm.added(before)
    assert {name: added[name] for name in acts.SMALL_OBJECTS} == {
        name: 4 * number for name, number in acts.SMALL_OBJECTS.items()
    }
    assert _type(world) == "quorum"

    for name in ("worker", "worker2", "beat"):
        world.kill(name)
    with Connection(world.broker.url()) as link:
        link.default_channel.queue_purge(QUEUE)
        _ring(world, expires=10)
        world.wait(lambda: _waiting(link) == 1, what="a bell that nobody hears")
        world.wait(lambda: _waiting(link) == 0, seconds=30, what="it goes when its time is over")
        _ring(world, expires=60)
        world.wait(lambda: _waiting(link) == 1, what="another bell")
    assert "Purged 1 message" in world.celery("purge", "-f").stdout
    with Connection(world.broker.url()) as link:
        assert _waiting(link) == 0


def _log(world: World, name: str) -> str:
    return (world.directory / f"{name}.log").read_text(errors="replace")


def _type(world: World) -> str:
    """RabbitMQ takes a declaration of a queue that exists only when it names the same type."""
    with Connection(world.broker.url()) as link:
        channel = link.channel()
        BrokerQueue(QUEUE, exchange=None, queue_arguments={"x-queue-type": "quorum"}, durable=True).bind(
            channel
        ).queue_declare()
    return "quorum"


def _ring(world: Quorum, *, expires: int) -> None:
    told = world.celery("call", "sync.sweep", f"--expires={expires}")
    assert told.returncode == 0, told.stderr


def _waiting(link: Connection) -> int:
    return int(link.default_channel.queue_declare(QUEUE, passive=True).message_count)
