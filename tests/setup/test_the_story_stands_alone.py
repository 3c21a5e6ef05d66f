"""``make demo ONCE=1`` drops the addresses it finds: its story never writes into somebody's database or sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from tests.house.scan import ROOT

FOREIGN = {
    "DATABASE_URL": "postgresql://pssync@db.example.com/books",
    "CELERY_BROKER_URL": "redis://broker.example.com/0",
    "SANDBOX_URL": "http://sandbox.example.com:9100",
    "PUBLIC_URL": "https://console.example.com",
}
ASK = """
import json, os
from pssync_console.runtime import demo

demo._environment(once=True)
from django.conf import settings

read = {name: getattr(settings, name) for name in json.loads(os.environ["ASKED"])}
print(json.dumps(read | {name: os.environ[name] for name in ("WEB_PORT", "SANDBOX_PORT", "PSSYNC_HOME")}))
"""


def _settled(**variables: str) -> dict[str, str]:
    """What the settings of the story say when it is started among ``variables``."""
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ENV_FILE": os.devnull}
    result = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env=surroundings | {"ASKED": json.dumps(list(FOREIGN))} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("given", ["in the environment", "as files", "in .env"])
def test_the_story_drops_every_foreign_address(tmp_path, given):
    if given == "in the environment":
        variables = FOREIGN
    elif given == "as files":
        for name, value in FOREIGN.items():
            (tmp_path / name).write_text(value)
        variables = {f"{name}_FILE": str(tmp_path / name) for name in FOREIGN}
    else:
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in FOREIGN.items()))
        variables = {"ENV_FILE": str(tmp_path / ".env")}
    settled = _settled(**variables)
    assert "example.com" not in json.dumps(settled)
    assert settled["SANDBOX_URL"] == f"http://127.0.0.1:{settled['SANDBOX_PORT']}"
    assert settled["PUBLIC_URL"] == f"http://127.0.0.1:{settled['WEB_PORT']}"
    assert settled["PSSYNC_HOME"] in urlsplit(settled["DATABASE_URL"]).query.replace("%2F", "/")
