"""What the environment of a deployment on several machines turns into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.house.scan import ROOT
from tests.setup.test_environment_is_loud import PRODUCTION

_SHOW = """
import json
from pssync_console import settings
print(json.dumps({name: getattr(settings, name, None) for name in %r.split()}, default=str))
"""


def shown(names: str, **variables: str) -> dict[str, Any]:
    surroundings = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull}
    told = subprocess.run(
        [sys.executable, "-c", _SHOW % names],
        cwd=ROOT,
        env=surroundings | PRODUCTION | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(told.stdout)


@pytest.mark.parametrize(
    ("variables", "prepare", "no_cursors"),
    [
        ({}, True, False),
        ({"DATABASE_PREPARE": "false"}, False, False),
        ({"DATABASE_POOLING": "transaction"}, False, True),
        ({"DATABASE_POOLING": "transaction", "DATABASE_PREPARE": "true"}, True, True),
    ],
)
def test_a_pooler_goes_without_what_lives_in_a_session(variables, prepare, no_cursors):
    found = shown("DATABASES DATABASE_PREPARE", **variables)
    assert found["DATABASE_PREPARE"] is prepare
    assert found["DATABASES"]["default"]["DISABLE_SERVER_SIDE_CURSORS"] is no_cursors


def test_a_quorum_queue_has_a_name_of_its_own_and_confirms():
    names = "CELERY_TASK_DEFAULT_QUEUE_TYPE CELERY_TASK_DEFAULT_QUEUE CELERY_BROKER_TRANSPORT_OPTIONS"
    assert shown(names) == dict.fromkeys(names.split())
    assert shown(names, BROKER_QUEUE_TYPE="quorum") == {
        "CELERY_TASK_DEFAULT_QUEUE_TYPE": "quorum",
        "CELERY_TASK_DEFAULT_QUEUE": "pssync.bells",
        "CELERY_BROKER_TRANSPORT_OPTIONS": {"confirm_publish": True},
    }


@pytest.mark.parametrize(("slots", "seconds", "bells"), [(2, 20, 1), (10, 20, 1), (11, 20, 2), (36, 20, 4)])
def test_many_seats_are_rung_for_more_often(slots, seconds, bells):
    found = shown("CELERY_BEAT_SCHEDULE", SYNC_PUMP_SLOTS=str(slots), SYNC_PUMP_SECONDS=str(seconds))
    rings = [entry for entry in found["CELERY_BEAT_SCHEDULE"].values() if entry["task"] == "sync.pump"]
    assert len(rings) == bells
    assert {entry["schedule"] for entry in rings} == {1.0}
