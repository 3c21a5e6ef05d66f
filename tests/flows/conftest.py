"""The demo firm, set up in a world of real processes.

* ``world``: sandbox, broker and beat; the test starts workers (and the web server) itself.
* ``shared_world``: the same for all tests of a module.
* ``bench``: sandbox only, the test turns the engine by hand (see :mod:`tests.flows.bench`), for all tests of a module.
* ``served_bench``: with the web server, so that the sandbox's events come through the doors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.test import override_settings

from apps.demo.install import install
from tests.flows.bench import Bench
from tests.flows.world import World

#: In this process as in the workers of a world, but retried at once.
FAST = {
    "SYNC_LEASE_SECONDS": 6,
    "HTTP_READ_TIMEOUT": 1,
    "HTTP_CONNECT_TIMEOUT": 1,
    "SYNC_RETRY_BASE_SECONDS": 0.05,
    "SYNC_RETRY_CAP_SECONDS": 0.2,
}


@pytest.fixture
def world(
    process_database: Any, free_port_block: Callable[[int], int], tmp_path: Path, django_db_blocker: Any
) -> Iterator[World]:
    with _world(process_database, free_port_block(10), tmp_path, django_db_blocker) as made:
        yield made


@pytest.fixture(scope="module")
def shared_world(
    module_database: Any,
    free_port_block: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with _world(module_database, free_port_block(10), folder, django_db_blocker) as made:
        yield made


@contextmanager
def _world(database: Any, base_port: int, folder: Path, blocker: Any) -> Iterator[World]:
    with World(database_env=database.env, base_port=base_port, directory=folder) as made, blocker.unblock():
        install(control=made.control, sandbox_port=base_port, web_url=made.web_url)
        yield made


@pytest.fixture(scope="module")
def bench(
    module_database: Any,
    free_port_block: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    with _bench(module_database, free_port_block(10), folder, django_db_blocker) as made:
        for system in ("crm", "billing"):
            made.control.system(system).call("PUT", "/webhook", {"url": made.world.web_url, "enabled": False})
        yield made


@pytest.fixture(scope="module")
def served_bench(
    module_database: Any,
    free_port_block: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("served")
    with _bench(module_database, free_port_block(10), folder, django_db_blocker) as made:
        made.world.start("web")
        made.wait(lambda: _answers(made.world.web_url), seconds=30, what="the web server")
        yield made


@contextmanager
def _bench(database: Any, base_port: int, folder: Path, blocker: Any) -> Iterator[Bench]:
    world = World(database_env=database.env, base_port=base_port, directory=folder)
    world.sandbox.start()
    try:
        with blocker.unblock(), override_settings(**FAST):
            install(control=world.control, sandbox_port=base_port, web_url=world.web_url)
            yield Bench(world)
    finally:
        for name in list(world.processes):
            world.kill(name)
        world.sandbox.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/livez", timeout=2).status_code == 200
    except requests.RequestException:
        return False
