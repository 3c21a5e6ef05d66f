"""The demo firm, set up in a world of real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.demo.install import install
from tests.flows.world import World


@pytest.fixture
def world(
    process_database: Any, free_port_block: Callable[[int], int], tmp_path: Path, django_db_blocker: Any
) -> Iterator[World]:
    """Sandbox, beat and the demo firm; the test starts workers (and the web server) itself."""
    base_port = free_port_block(10)
    with (
        World(database_env=process_database.env, base_port=base_port, directory=tmp_path) as made,
        django_db_blocker.unblock(),
    ):
        install(control=made.control, sandbox_port=base_port, web_url=made.web_url)
        yield made
