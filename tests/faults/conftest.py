"""Sites to be broken: ``site`` (on Valkey, for all tests of a module), ``site_of`` (broker and settings as asked for)."""

from __future__ import annotations

import contextlib
import functools
import os
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


@pytest.fixture(scope="module")
def site(
    template: Mapping[str, Any],
    free_port_block: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        django_db_blocker.unblock(),
        site_on("valkey", template=template, base_port=free_port_block(10), directory=folder) as made,
    ):
        yield made


@pytest.fixture
def site_of(
    template: Mapping[str, Any], free_port_block: Callable[[int], int], tmp_path: Path, django_db_blocker: Any
) -> Iterator[Callable[..., Site]]:
    """``site_of("rabbitmq", env={…}, database=…)``; ends with the test."""
    with django_db_blocker.unblock(), contextlib.ExitStack() as stack:

        def make(
            kind: str, *, database: Database | None = None, env: Mapping[str, str] | None = None
        ) -> Site:
            port = free_port_block(10)
            folder = tmp_path / f"{kind}-{port}"
            folder.mkdir()
            return stack.enter_context(
                site_on(kind, template=template, base_port=port, directory=folder, database=database, env=env)
            )

        yield make


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Callable[..., Drill]:
    """``drill(site, 12, "what is done")``."""
    return functools.partial(Drill, seed=SEED, test=request.node.nodeid)
