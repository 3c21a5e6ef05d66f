"""``make demo`` gives the demo its ports: the defaults where nothing is said, what is said elsewhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("given", "ports"), [({}, "8000 9100"), ({"WEB_PORT": "8010"}, "8010 9100")])
def test_the_ports_reach_what_make_starts(given: dict[str, str], ports: str) -> None:
    done = subprocess.run(
        ["make", "-s", "--eval", "show-ports: ; @echo $$WEB_PORT $$SANDBOX_PORT", "show-ports"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ports
