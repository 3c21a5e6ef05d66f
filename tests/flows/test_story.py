"""The whole story, played by its command against real processes: web server, worker, beat and sandbox."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core import correlation
from tests.flows.world import ROOT, World

STEPS = [
    "0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c", "2d", "3a", "3b", "3c", "3d", "3e",
    "4a", "4b", "4c", "4d", "4e", "4f", "4g",
]  # fmt: skip


@pytest.fixture
def fresh_world(
    process_database: Any, free_port_block: Callable[[int], int], tmp_path: Path
) -> Iterator[World]:
    """Everything runs, nothing is set up: the story does that itself."""
    base_port = free_port_block(10)
    env = process_database.env | {"LOG_JSON": "true", "LOG_LEVEL": "INFO"}
    with World(database_env=env, base_port=base_port, directory=tmp_path, web=True) as world:
        world.start("worker")
        yield world


def story(world: World) -> subprocess.CompletedProcess[str]:
    ports = {
        "WEB_PORT": str(world.web_port),
        "SANDBOX_PORT": str(world.base_port),
        "SANDBOX_URL": f"http://127.0.0.1:{world.base_port}",
    }
    return subprocess.run(
        [sys.executable, "manage.py", "run_story"],
        cwd=ROOT,
        env=world.env | ports,
        capture_output=True,
        text=True,
        timeout=300,
    )


#: Loggers of processes that start and end, before and after any work.
LIFECYCLE = ("celery.", "django_celery_beat.")


def lines_without_id(world: World) -> list[str]:
    """Log lines of all our processes, of all levels that are written, that say about which piece of work they are not."""
    found, seen = [], {}
    for name in ("web", "worker", "beat"):
        text = (world.directory / f"{name}.log").read_text(errors="replace")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        ours = [line for line in lines if not line["logger"].startswith(LIFECYCLE)]
        found += [f"{name}: {line}" for line in ours if not correlation.parse(line.get("correlation_id"))]
        seen[name] = {line["logger"] for line in ours}
    assert {"apps.sync.apply", "apps.core.tasks"} <= seen["worker"], "the lines of the work were looked at"
    assert {"django.request", "apps.api.hooks.views"} <= seen["web"], "those of refused requests too"
    return found


def test_the_story_holds_from_the_open_deal_to_the_confirmed_mapping(fresh_world):
    played = story(fresh_world)
    assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-3000:] + fresh_world.log("worker")
    assert re.findall(r"^Step (\w+):", played.stdout, re.MULTILINE) == STEPS
    assert played.stdout.count("  held in ") == len(STEPS)
    assert "The story holds" in played.stdout
    assert lines_without_id(fresh_world) == []
    again = story(fresh_world)
    assert again.returncode == 1
    assert "starts on fresh data" in again.stderr
