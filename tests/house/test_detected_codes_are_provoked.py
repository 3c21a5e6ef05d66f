"""What the catalogue says about detection is true: what is detected has a test that provokes it; nothing raises the rest."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from apps.triage.catalogue import CATALOGUE, Detected
from tests.provoking import provoking_tests

APPS = Path(__file__).resolve().parents[2] / "apps"
#: Fixtures behind which the emulated systems answer over HTTP.
SANDBOXED = {
    "bench",
    "served_bench",
    "sandbox",
    "netsuite",
    "kantata",
    "salesforce",
    "stripe",
    "rig",
    "crm",
    "adapter",
}
#: Places that speak of codes without raising them.
SPEAKERS = ("triage", "demo", "console")
DETECTED = sorted(code for code, item in CATALOGUE.items() if item.detected)
NOT_YET = sorted(set(CATALOGUE) - set(DETECTED))


@cache
def raisers() -> dict[str, set[str]]:
    """Code → modules that hold it as a literal."""
    found: dict[str, set[str]] = {}
    for path in APPS.rglob("*.py"):
        name = path.relative_to(APPS).as_posix()
        if name.split("/")[0] in SPEAKERS or "/migrations/" in name:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in CATALOGUE:
                found.setdefault(node.value, set()).add(name)
    return found


@pytest.mark.parametrize("code", DETECTED)
def test_a_detected_code_has_a_test_that_provokes_it_on_the_emulated_systems(code):
    tests = provoking_tests().get(code, [])
    assert tests, "mark a test with @pytest.mark.provokes, or say that the code is not detected yet"
    assert any(fixtures & SANDBOXED for _name, fixtures in tests), f"no system answers in {tests}"


def test_what_is_missing_is_said_of_just_those_codes_that_are_not_detected_yet():
    assert sorted(code for code, item in CATALOGUE.items() if item.awaits) == NOT_YET


@pytest.mark.parametrize("code", NOT_YET)
def test_a_code_that_is_not_detected_yet_is_raised_nowhere(code):
    assert code not in raisers()
    assert code not in provoking_tests()


def test_only_codes_of_the_catalogue_are_provoked():
    assert set(provoking_tests()) <= set(CATALOGUE)


@pytest.mark.parametrize("code", DETECTED)
def test_what_detects_it_is_where_the_code_stands(code):
    places = raisers()[code]
    vendors = {place for place in places if place.startswith("connectors/") or place == "sync/retries.py"}
    kinds = set(CATALOGUE[code].detected)
    if Detected.VENDOR in kinds:
        assert vendors
    if kinds & {Detected.RULE, Detected.POLL}:
        assert places - {place for place in places if place.startswith("connectors/")}
    if any(place.startswith("connectors/adapters/") for place in places):
        assert Detected.VENDOR in kinds
