"""Every catalogue code that a room or an adapter can raise stands in the catalogue."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from apps.triage.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[2] / "apps"
PLACES = ("connectors", "billing", "commercial", "governance", "sync", "approvals")
#: ``DEAL-TOTAL``, ``CUS-LE-MISSING``: families of the catalogue, so that other words with a dash are no codes.
FAMILIES = sorted({code.partition("-")[0] for code in CATALOGUE})
CODE = re.compile(rf"(?:{'|'.join(FAMILIES)})(?:-[A-Z0-9]+)+")


def codes_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}


@pytest.mark.parametrize("room", PLACES)
def test_a_code_that_a_room_raises_is_in_the_catalogue(room):
    unknown = {
        f"{path.relative_to(ROOT)}: {code}"
        for path in (ROOT / room).rglob("*.py")
        if "migrations" not in path.parts
        for code in codes_in(path) - set(CATALOGUE)
    }
    assert unknown == set()


def test_the_scan_sees_codes():
    assert {"CUS-DUP", "PAY-SHORT", "AMD-UNAPPROVED"} <= {
        code for path in (ROOT / "sync").rglob("*.py") for code in codes_in(path)
    }
