"""What the house tests share: the floors of ``pyproject.toml``, the source files and small AST helpers.

Every scan takes source text and answers findings (``path:line: what``), so that each test can also feed it a bad
sample and prove that it is able to fail.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def floors() -> dict[str, int]:
    """``{room: floor}``, 1 at the bottom, out of the import-linter contract, which is the one list of floors."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == "House floors")
    return {
        room: number
        for number, layer in enumerate(reversed(layers), start=1)
        for room in re.findall(r"\w+", layer)
    }


def may_use(user: str, used: str) -> bool:
    """Whether room ``user`` may know room ``used``: itself, or a room on a lower floor."""
    known = floors()
    return user == used or known[used] < known[user]


def python_sources(*folders: str) -> Iterator[tuple[str, str]]:
    """``(path, source)`` of every Python file below the folders, paths relative to the project."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def room_of(path: str) -> str | None:
    parts = Path(path).parts
    return parts[1] if len(parts) > 2 and parts[0] == "apps" else None


def tracked_files() -> list[str]:
    """Every file of the project that is, or would be, committed; links and deleted files left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute chain; calls and subscripts inside are passed through, the rest is empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    if isinstance(node, ast.Call):
        return dotted(node.func)
    if isinstance(node, ast.Subscript):
        return dotted(node.value)
    return ""


def text_of(node: ast.AST) -> str | None:
    """The text of a string or f-string (placeholders as ``{}``), or None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return None


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those below ``if TYPE_CHECKING:``, which never run."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and dotted(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from runtime_nodes(child)
