"""Sites to be broken: ``site`` (on Valkey, for all tests of a module), ``site_of`` (broker and settings as asked for)."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.faults.drill import Drill
from tests.faults.servers import Database
from tests.faults.site import Site, site_on

SEED = int(os.environ.get("SEED") or 1)


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED


@pytest.fixture(scope="session")
def template(django_db_setup: None) -> Mapping[str, Any]:
    """Where the run's migrated template is, as psycopg is told."""
    return {
        **connection.get_connection_params(),
        "dbname": f"{connection.settings_dict['NAME']}_template",
    }


def _folder(name: str) -> Path:
    """A fresh folder beside the run's own server, with the logs of the last run of that name until then.

    Not pytest's: that one belongs to root alone, and another run on the machine closes it to PostgreSQL's user at any time."""
    folder = Path(os.environ["PSSYNC_TEST_SLOT"]) / "sites" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest,
    template: Mapping[str, Any],
    free_port_block: Callable[[int], int],
    django_db_blocker: Any,
) -> Iterator[Site]:
    folder = _folder(request.module.__name__.rpartition(".")[2])
    with (
        django_db_blocker.unblock(),
        site_on(
            "valkey",
            template=template,
            base_port=free_port_block(10),
            directory=folder,
            database=Database(folder / "db", max_connections="70", deadlock_timeout="100ms"),
        ) as made,
    ):
        yield made


@pytest.fixture
def site_of(
    request: pytest.FixtureRequest,
    template: Mapping[str, Any],
    free_port_block: Callable[[int], int],
    django_db_blocker: Any,
) -> Iterator[Callable[..., Site]]:
    """``site_of("rabbitmq", env={…}, database=…)``; ends with the test."""
    with django_db_blocker.unblock(), contextlib.ExitStack() as stack:

        def make(
            kind: str, *, database: Database | None = None, env: Mapping[str, str] | None = None
        ) -> Site:
            folder, port = _folder(f"{request.node.originalname}-{kind}"), free_port_block(10)
            return stack.enter_context(
                site_on(kind, template=template, base_port=port, directory=folder, database=database, env=env)
            )

        yield make


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Callable[..., Drill]:
    """``drill(site, 12, "what is done")``."""
    return functools.partial(Drill, seed=SEED, test=request.node.nodeid)
