"""Which catalogue codes a test has really provoked.

Public surface: :func:`raised_codes` (what was raised in this process meanwhile), :func:`provoking_tests` (the registry: the
marker ``provokes`` on tests, read from their source).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent


@contextmanager
def raised_codes() -> Iterator[set[str]]:
    """Codes of the problems that are found in this process, and of the errors that adapters sort."""
    from apps.connectors.spi import AdapterError
    from apps.core.hooks import sync_planned
    from apps.sync.plans import Problem

    seen: set[str] = set()

    def note_problems(facts: list[dict[str, Any]]) -> None:
        seen.update(problem["code"] for fact in facts for problem in fact["problems"])

    sync_planned.receivers["tests.provoking"] = note_problems
    try:
        with _noting(AdapterError, seen), _noting(Problem, seen):
            yield seen
    finally:
        del sync_planned.receivers["tests.provoking"]


@contextmanager
def _noting(made: Any, seen: set[str]) -> Iterator[None]:
    """The code of every instance is noted."""
    init = made.__init__

    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        seen.add(self.code)

    made.__init__ = noted
    try:
        yield
    finally:
        made.__init__ = init


def provoking_tests() -> dict[str, list[tuple[str, set[str]]]]:
    """Code → the tests that are marked with it, each with the names of its fixtures."""
    found: dict[str, list[tuple[str, set[str]]]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            fixtures = {argument.arg for argument in node.args.args}
            for code in _marked(node):
                found.setdefault(code, []).append((f"{path.relative_to(TESTS)}::{node.name}", fixtures))
    return found


def _marked(function: ast.FunctionDef) -> Iterator[str]:
    """Also the marks of single parameters, which stand inside the decorator."""
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "provokes"
            ):
                yield from (ast.literal_eval(argument) for argument in node.args)
