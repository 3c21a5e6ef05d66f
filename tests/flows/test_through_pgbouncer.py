"""Workers and web server reach PostgreSQL through pgbouncer in transaction mode, which is killed in the middle of the work.

pgbouncer has fewer connections to the server than clients, so that statements of one client run on several of them. Where the
installed version carries prepared statements, both ways are tried.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.demo.install import install
from benchmarks import pooler as pgbouncer
from benchmarks.pooler import CARRIES, Pooler
from tests.flows import acts
from tests.flows.bench import Bench, provisioned
from tests.flows.world import ROOT, World

pytestmark = [pytest.mark.needs_pgbouncer]
_program = pgbouncer.program()
_carries = bool(_program and pgbouncer.version(_program) >= CARRIES)
#: How many prepared statements pgbouncer carries.
WAYS = [0, 200] if _carries else [0]
POOL = 4


@pytest.fixture
def pooler_of(
    process_database: Any, free_port_block: Callable[[int], int], tmp_path: Path
) -> Callable[[int], Pooler]:
    def make(prepared: int) -> Pooler:
        port = free_port_block(1)
        return Pooler(tmp_path, server_url=process_database.url, port=port, pool=POOL, prepared=prepared)

    return make


@contextmanager
def firm_through(
    pooler: Pooler, database: Any, base_port: int, folder: Path, blocker: Any
) -> Iterator[Bench]:
    """The demo firm; its processes know of no other address than the pooler's."""
    env = database.env | {"DATABASE_URL": pooler.url(database.name), **pooler.env}
    with (
        World(database_env=env, base_port=base_port, directory=folder, web=True) as world,
        blocker.unblock(),
    ):
        install(control=world.control, sandbox_port=base_port, web_url=world.web_url)
        yield Bench(world)


@pytest.mark.slow
@pytest.mark.parametrize("prepared", WAYS)
def test_deals_are_provisioned_once_though_the_pooler_dies_in_the_middle(
    pooler_of, prepared, process_database, free_port_block, tmp_path, django_db_blocker
):
    with (
        pooler_of(prepared) as pooler,
        firm_through(pooler, process_database, free_port_block(10), tmp_path, django_db_blocker) as firm,
    ):
        before = firm.objects()
        for name in ("worker", "worker2"):
            firm.world.start(name)
        deal_ids = [firm.deal(acts.SMALL, name=f"Pooled {number}") for number in range(4)]
        for deal_id in deal_ids[:2]:
            firm.close(deal_id)
        firm.wait(lambda: firm.added(before), seconds=60, what="the work has begun")
        passed = pooler.counted()
        assert passed["transactions"] > 100, "everything goes through the pooler"
        pooler.kill()
        pooler.start()
        for deal_id in deal_ids[2:]:
            firm.close(deal_id)
        firm.wait(lambda: provisioned(*deal_ids), seconds=90, what="all provisioned")
        firm.wait(acts.finished, seconds=30, what="everything at rest")
        added = firm.added(before)
        found = pooler.connections()
    assert {name: added[name] for name in acts.SMALL_OBJECTS} == {
        name: 4 * number for name, number in acts.SMALL_OBJECTS.items()
    }
    assert found["clients"] > found["servers"] > 0
    assert found["servers"] <= POOL
    said = "".join(path.read_text(errors="replace") for path in tmp_path.glob("w*.log"))
    assert not re.search(r'(prepared statement|cursor) "', said), "state of a session was missed"


_READ_TWICE_AT_ONCE = """
import threading
from django.contrib.auth.models import Permission
from django.db import connection
meet, seen = threading.Barrier(2), []
def read():
    count = 0
    for _ in Permission.objects.order_by("id").iterator(chunk_size=10):
        if count == 5:
            meet.wait(20)
        count += 1
    seen.append(count)
    connection.close()
threads = [threading.Thread(target=read) for _ in range(2)]
[one.start() for one in threads]
[one.join() for one in threads]
print("read", seen, Permission.objects.count())
"""


def manage(pooler: Pooler, database: Any, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    place = {"DATABASE_URL": pooler.url(database.name), "ENV_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=database.env | place | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_rows_are_read_in_parts_without_a_cursor_on_the_server(pooler_of, process_database):
    with pooler_of(0) as pooler:
        told = manage(pooler, process_database, "shell", "-v", "0", "-c", _READ_TWICE_AT_ONCE, **pooler.env)
        assert told.returncode == 0, told.stderr
    words = told.stdout.split()
    count = words[-1]
    assert told.stdout.strip() == f"read [{count}, {count}] {count}"
    assert int(count) > 10


_POOLED = {"DATABASE_POOLING": "transaction"}


@pytest.mark.parametrize(
    ("prepared", "settings", "said"),
    [
        (0, _POOLED | {"DATABASE_PREPARE": "false"}, ""),
        (0, _POOLED, ""),
        (0, _POOLED | {"DATABASE_PREPARE": "true"}, "core.E004"),
        (0, {}, "core.W003"),
        *[(way, _POOLED | {"DATABASE_PREPARE": "true"}, "") for way in WAYS if way],
    ],
)
def test_the_check_of_a_deployment_sees_the_pooler_and_what_it_carries(
    pooler_of, process_database, prepared, settings, said
):
    with pooler_of(prepared) as pooler:
        told = manage(pooler, process_database, "check", "--deploy", "--database", "default", **settings)
    found = [word for word in re.findall(r"\((\w+\.\w+)\)", told.stderr) if word.startswith("core.")]
    assert found == ([said] if said else [])
    assert told.returncode == (1 if said.startswith("core.E") else 0)


def test_the_check_of_a_deployment_sees_that_no_pooler_is_there(process_database):
    told = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--database", "default"],
        cwd=ROOT,
        env=process_database.env | {"DATABASE_POOLING": "transaction", "ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "core.W004" in told.stderr
