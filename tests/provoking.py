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
    """Codes of the problems that transactions tell, and of the errors that adapters sort."""
    from apps.connectors.spi import AdapterError
    from apps.core.hooks import sync_planned

    seen: set[str] = set()
    made = AdapterError.__init__

    def note_error(self: AdapterError, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        seen.add(self.code)

    def note_problems(facts: list[dict[str, Any]]) -> None:
        seen.update(problem["code"] for fact in facts for problem in fact["problems"])

    AdapterError.__init__ = note_error  # type: ignore[method-assign]
    sync_planned.receivers["tests.provoking"] = note_problems
    try:
        yield seen
    finally:
        AdapterError.__init__ = made  # type: ignore[method-assign]
        del sync_planned.receivers["tests.provoking"]


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
