"""No room imports upwards or a foreign room's models; no key and no migration points upwards."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from tests.house.scan import dotted, floors, may_use, python_sources, room_of, runtime_nodes, text_of


def _imported(node: ast.AST) -> list[str]:
    """The modules below ``apps`` that a node names: imports, and models asked for by their label."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.startswith("apps.")]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        if node.module == "apps":
            return [f"apps.{alias.name}" for alias in node.names]
        if node.module.startswith("apps."):
            return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and dotted(node.func).endswith("apps.get_model") and node.args:
        label = (text_of(node.args[0]) or "").split(".")[0]
        return [f"apps.{label}.models"] if label in floors() else []
    return []


def import_findings(path: str, source: str) -> list[str]:
    room, found = room_of(path), []
    if room is None or "/migrations/" in path:
        return []
    for node in runtime_nodes(ast.parse(source)):
        for module in _imported(node):
            other = module.split(".")[1]
            if other not in floors():
                found.append(f"{path}:{node.lineno}: {other} has no floor")
            elif not may_use(room, other):
                found.append(f"{path}:{node.lineno}: {room} must not know {other}")
            elif other != room and "models" in module.split(".")[2:]:
                found.append(f"{path}:{node.lineno}: {room} imports the models of {other}")
    return found


def arrow_findings(arrows: Iterable[tuple[str, str, str]]) -> list[str]:
    """Arrows ``(from room, to room, what)`` that point upwards or sideways; labels outside the house are fine."""
    known = floors()
    return [
        f"{what}: {user} must not point to {used}"
        for user, used, what in arrows
        if user in known and used in known and not may_use(user, used)
    ]


def _foreign_keys() -> list[tuple[str, str, str]]:
    return [
        (model._meta.app_label, field.related_model._meta.app_label, f"{model._meta.label}.{field.name}")
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created and field.related_model
    ]


def _migration_dependencies() -> list[tuple[str, str, str]]:
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return [
        (label, dependency[0], f"migration {label}.{name}")
        for (label, name), migration in loader.disk_migrations.items()
        for dependency in [*migration.dependencies, *migration.run_before]
    ]


def test_no_room_imports_a_higher_room_or_foreign_models():
    findings = [
        finding for path, source in python_sources("apps") for finding in import_findings(path, source)
    ]
    assert findings == []


def test_no_foreign_key_points_to_a_higher_room():
    keys = _foreign_keys()
    assert any(user == "organization" for user, _, _ in keys), "the registry was read"
    assert arrow_findings(keys) == []


def test_no_migration_depends_on_a_higher_room():
    dependencies = _migration_dependencies()
    assert any(user == "organization" for user, _, _ in dependencies), "the migrations were read"
    assert arrow_findings(dependencies) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("apps/journal/x.py", "from apps.sync import services"),
        ("apps/journal/x.py", "import apps.sync.services"),
        ("apps/journal/x.py", "from apps import triage"),
        ("apps/journal/x.py", "def later():\n    from apps.billing.services import post"),
        ("apps/records/x.py", "from apps.approvals import services"),
        ("apps/sync/x.py", "from apps.records.models import CrossReference"),
        ("apps/sync/x.py", "from apps.records import models"),
        ("apps/sync/x.py", "from apps.billing.prebills.models import Prebill"),
        ("apps/sync/x.py", "Model = django_apps.get_model('records', 'CrossReference')"),
        ("apps/sync/x.py", "Model = apps.get_model('records.CrossReference')"),
        ("apps/sync/x.py", "from apps.attic import services"),
    ],
)
def test_a_forbidden_import_is_found(path, source):
    assert len(import_findings(path, source)) == 1


def test_lawful_imports_are_not_found():
    source = (
        "from apps.records import services, selectors\nfrom apps.sync.models import Transaction\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from apps.records.models import CrossReference\n"
    )
    assert import_findings("apps/sync/x.py", source) == []


def test_an_arrow_that_points_upwards_is_found():
    arrows = [("journal", "sync", "up"), ("records", "approvals", "sideways"), ("sync", "journal", "down")]
    assert len(arrow_findings([*arrows, ("sync", "auth", "a library")])) == 2
