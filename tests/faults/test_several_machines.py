"""Two webs and four workers through pgbouncer in transaction mode, one web and one worker killed: what ``make bench-scale``
proves.

The bench asks the stub vendor from outside: each acknowledged event has made its effects once and in order, or it ends with
an error.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.flows.world import ROOT

pytestmark = [pytest.mark.long_fault, pytest.mark.needs_pgbouncer, pytest.mark.slow(minutes=3)]


@pytest.mark.parametrize(
    "broker",
    [
        pytest.param("redis", marks=pytest.mark.needs_broker("redis")),
        pytest.param("rabbitmq", marks=pytest.mark.needs_broker("rabbitmq")),
    ],
)
def test_a_web_and_a_worker_are_killed_and_nothing_is_lost_or_doubled(broker, tmp_path):
    words = ["--n", "90", "--rounds", "1", "--only", "killed", "--broker", broker]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PSSYNC_", "DATABASE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "lost 0, doubled 0, out of order 0" in done.stdout
