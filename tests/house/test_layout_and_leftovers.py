"""The top of the tree is what it says, every room has a floor, nothing unfinished is left, settings are documented."""

from __future__ import annotations

import re

import pytest

from tests.house.scan import ROOT, floors, python_sources, tracked_files

TOP = {
    ".ci", ".editorconfig", ".env.example", ".gitattributes", ".github", ".gitignore", "CHANGELOG.md",
    "CONTRIBUTING.md", "LICENSE", "Makefile", "Procfile", "README.md", "apps", "benchmarks", "docs", "locale",
    "manage.py", "pssync_console", "pyproject.toml", "requirements-dev.in", "requirements.in",
    "requirements.lock", "static", "templates", "tests",
}  # fmt: skip
# Spelt apart, or this file would find itself.
LEFTOVERS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
TEXTS = (".py", ".html", ".css", ".js", ".md", ".toml", ".in", ".txt", ".sql", "Makefile", "Procfile", "run")
READERS = "text|integer|boolean|choice|words|address|origins|currency"
HELPED = re.compile(rf"""(?:env|environment)\.(?:{READERS})\(\s*["'](\w+)["']""")
#: Read past the helpers, where settings do not exist yet.
STRAIGHT = re.compile(r"""\bos\.(?:environ(?:\.get\(|\[)|getenv\()\s*["'](\w+)["']""")
#: The operating system's own.
NOT_OURS = {"PATH"}


def layout_findings(names: list[str]) -> list[str]:
    known = floors()
    top = sorted({name.split("/")[0] for name in names} - TOP)
    rooms = sorted({name.split("/")[1] for name in names if name.startswith("apps/") and name.count("/") > 1})
    return [f"{name} has no place at the top" for name in top] + [
        f"apps/{room} has no floor" for room in rooms if room not in known
    ]


def leftover_findings(path: str, source: str) -> list[str]:
    lines = enumerate(source.splitlines(), start=1)
    return [f"{path}:{number}: {line.strip()}" for number, line in lines if LEFTOVERS.search(line)]


def test_the_top_of_the_tree_holds_only_what_belongs_there():
    assert layout_findings(tracked_files()) == []


def test_a_stray_file_and_a_room_without_floor_are_found():
    assert (
        len(layout_findings(["notes.txt", "apps/attic/models.py", "apps/sync/models.py", "README.md"])) == 2
    )


def test_nothing_is_left_to_be_done_in_the_sources():
    findings = [
        finding
        for name in tracked_files()
        if name.endswith(TEXTS) and "/vendor/" not in name
        for finding in leftover_findings(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert findings == []


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "XX" + "X"])
def test_a_leftover_is_found(word):
    assert leftover_findings("x.py", f"x = 1  # {word}: later") == [f"x.py:1: x = 1  # {word}: later"]
    assert leftover_findings("x.py", f"x = '{word}1'") == []


def variables_in(source: str) -> set[str]:
    return {*HELPED.findall(source), *STRAIGHT.findall(source)} - NOT_OURS


def test_every_variable_is_documented_and_every_documented_variable_is_read():
    read = {name for _, source in python_sources("apps", "pssync_console") for name in variables_in(source)}
    documented = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert "SECRET_KEY" in documented
    assert documented == read


@pytest.mark.parametrize(
    "source",
    [
        'x = env.text("SOME_NAME", "")',
        'x = environment.integer(\n    "SOME_NAME", 3\n)',
        "x = os.environ.get('SOME_NAME') or 1",
        'x = os.environ["SOME_NAME"]',
        'x = os.getenv("SOME_NAME")',
    ],
)
def test_a_variable_is_found_however_it_is_read(source):
    assert variables_in(source) == {"SOME_NAME"}
    assert variables_in('x = os.environ["PATH"]') == set()
