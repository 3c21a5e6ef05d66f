"""A ``state`` column is written by ``journal.transitions`` and by nobody else, SQL strings included."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.scan import dotted, python_sources, text_of

# The path of a file that may write a state, and why. Think before adding one: a move without a row is a lie.
ALLOWED = {
    "apps/journal/transitions.py": "it is the one writer",
}
SQL_WRITE = re.compile(
    r"\bSET\b(?:(?!\b(?:WHERE|FROM|RETURNING)\b).)*?(?<![.\w])\"?state\"?\s*=", re.I | re.S
)


def state_findings(path: str, source: str) -> list[str]:
    if path in ALLOWED or path.startswith("apps/sandbox/"):
        return []  # the sandbox stands for other people's systems and keeps its own storage
    tree = ast.parse(source)
    # A set, because an f-string and its first part are both nodes with the same text.
    found = {
        f"{path}:{node.lineno}: {what}"
        for node in ast.walk(tree)
        for what in [*_assignments(node), *_calls(node), *_sql(node)]
    }
    return sorted(found)


def _assignments(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Assign):
        targets = [part for target in node.targets for part in ast.walk(target)]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    else:
        return []
    return [
        "assigns .state"
        for target in targets
        if isinstance(target, ast.Attribute) and target.attr == "state" and isinstance(target.ctx, ast.Store)
    ]


def _calls(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call):
        return []
    name = dotted(node.func).rpartition(".")[2]
    if name in {"update", "aupdate"} and isinstance(node.func, ast.Attribute):
        return ["updates state"] if "state" in _keywords(node) else []
    if name in {"update_or_create", "aupdate_or_create"}:
        defaults = [word.value for word in node.keywords if word.arg == "defaults"]
        return ["updates state by defaults"] if any("state" in _keys(value) for value in defaults) else []
    if name == "setattr" and len(node.args) > 1 and text_of(node.args[1]) == "state":
        return ["sets state by setattr"]
    if name in {"bulk_update", "save", "asave"}:
        lists = [
            *node.args[1:2],
            *(word.value for word in node.keywords if word.arg in {"fields", "update_fields"}),
        ]
        return [f"{name} names state" for value in lists if "state" in _keys(value)]
    return []


def _keywords(call: ast.Call) -> set[str]:
    named = {word.arg for word in call.keywords if word.arg}
    return named.union(*(_keys(word.value) for word in call.keywords if word.arg is None))


def _keys(node: ast.AST) -> set[str]:
    """The texts of a literal dict's keys or of a literal list, tuple or set."""
    parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return {text for part in parts if part is not None and (text := text_of(part))}


def _sql(node: ast.AST) -> list[str]:
    text = text_of(node)
    return ["writes state in SQL"] if text and SQL_WRITE.search(text) else []


def test_nothing_but_transitions_writes_a_state():
    findings = [
        finding for path, source in python_sources("apps") for finding in state_findings(path, source)
    ]
    assert findings == []


def test_every_allowed_file_exists():
    known = {path for path, _ in python_sources("apps")}
    assert set(ALLOWED) <= known


@pytest.mark.parametrize(
    "source",
    [
        "case.state = 'open'",
        "case.state: str = 'open'",
        "a, case.state = 1, 'open'",
        "Case.objects.filter(pk=1).update(state='open')",
        "Case.objects.update(**{'state': 'open'})",
        "Case.objects.update_or_create(pk=1, defaults={'state': 'open'})",
        "Case.objects.bulk_update(cases, ['state'])",
        "case.save(update_fields=['state', 'note'])",
        "setattr(case, 'state', 'open')",
        "SQL = 'UPDATE triage_case SET state = %s WHERE id = %s'",
        "SQL = f'update {table} set note = %s,\\n \"state\" = %s'",
        "SQL = 'INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET state = excluded.state'",
    ],
)
def test_a_state_written_past_transitions_is_found(source):
    assert len(state_findings("apps/triage/services.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "Case.objects.create(state='open')",
        "Case.objects.filter(state='open').update(note='x')",
        "SQL = 'UPDATE triage_case SET note = %s WHERE state = %s'",
        "SQL = 'UPDATE t SET lease_state = 1'",
        "if case.state == 'open': pass",
    ],
)
def test_reading_a_state_is_lawful(source):
    assert state_findings("apps/triage/services.py", source) == []
