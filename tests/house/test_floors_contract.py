"""The import-linter contracts of ``pyproject.toml`` hold, and would notice if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.scan import ROOT, floors


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    # Through Python, so that the linter is the one of this environment wherever PATH points.
    run = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(
        [sys.executable, "-c", run, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A house with all rooms, empty, under the real contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    rooms = [room for room in floors() if room not in {"assurance"}]
    modules = [
        "apps/__init__.py",
        "pssync_console/__init__.py",
        *(f"apps/{room}/__init__.py" for room in rooms),
    ]
    modules += [f"apps/{room}/{name}.py" for room in rooms for name in ("models", "services")]
    modules += ["apps/connectors/adapters/__init__.py"]
    modules += [f"apps/connectors/adapters/{vendor}/__init__.py" for vendor in ("salesforce", "stripe")]
    for module in modules:
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    return tmp_path


def test_the_house_keeps_its_contracts():
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_an_empty_house_keeps_its_contracts(small_house):
    result = _lint(small_house)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("apps/journal/services.py", "import apps.sync.services", "House floors"),
        ("apps/records/services.py", "import apps.approvals.services", "House floors"),
        ("apps/attic/__init__.py", "", "House floors"),
        ("apps/canonical/services.py", "import django", "Canonical objects are plain Python"),
        ("apps/console/services.py", "import apps.sync.models", "Interfaces use services and selectors"),
        (
            "apps/connectors/adapters/stripe/__init__.py",
            "import apps.connectors.adapters.salesforce",
            "Adapters do not",
        ),
        ("apps/connectors/adapters/stripe/__init__.py", "import apps.journal", "Adapters see only the SPI"),
        ("apps/sandbox/services.py", "import apps.core.services", "Sandbox stands alone"),
        ("apps/core/services.py", "import pssync_console", "Apps do not import the settings package"),
    ],
)
def test_a_breach_is_named(small_house, module, line, contract):
    path = small_house / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{line}\n")
    result = _lint(small_house)
    assert result.returncode == 1
    assert any(contract in text and "BROKEN" in text for text in result.stdout.splitlines()) or (
        "attic" in result.stdout + result.stderr
    )
