"""Published schemas are what the code says, and a breaking change is caught.

``released/`` keeps what others were given, apart from ``docs/schemas/``: a published file that is deleted or edited by hand
together with the code is measured against it. Its files are added at a release and never changed.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from apps.canonical import schema as schema_module
from apps.canonical.objects import OBJECTS, Canonical, Key
from apps.canonical.schema import (
    SCHEMA_DIR,
    breaking_changes,
    export,
    main,
    object_schema,
    published,
    stale,
)

RELEASED_DIR = Path(__file__).parent / "released"
#: What stands in ``released/``; a name is never taken out.
RELEASED = {
    "billing_schedule.v1", "contract.v1", "customer.v1", "deal.v1", "engagement.v1", "expense.v1", "invoice.v1",
    "legal_entity.v1", "milestone.v1", "payment_status.v1", "rate_card.v1", "resource_assignment.v1", "service_item.v1",
    "tax_treatment.v1", "time_entry.v1",
}  # fmt: skip


def broken_promises(objects: dict[str, type[Canonical]], directory: Path = SCHEMA_DIR) -> list[str]:
    """Where the code, or the files that it publishes, take something away from what was released."""
    found = []
    for name in sorted(RELEASED):
        object_type, _, version = name.partition(".v")
        before = json.loads((RELEASED_DIR / f"{name}.json").read_text("utf-8"))
        file = directory / f"{name}.json"
        if not file.exists():
            found.append(f"{name} is not published any more")
        else:
            now = json.loads(file.read_text("utf-8"))
            found += [f"{name} as published: {what}" for what in breaking_changes(before, now)]
        if object_type not in objects:
            found.append(f"{name} has no class any more")
        elif objects[object_type].schema_version == int(version):
            now = object_schema(objects[object_type])
            found += [f"{name} as coded: {what}" for what in breaking_changes(before, now)]
    return found


def test_nothing_that_was_released_is_broken():
    assert {path.stem for path in RELEASED_DIR.glob("*.json")} == RELEASED
    assert broken_promises(OBJECTS) == []


def test_a_published_file_that_goes_along_with_a_broken_class_hides_nothing(tmp_path):
    class Milestone(OBJECTS["milestone"]):  # type: ignore[misc, name-defined]
        cost_centre: str

    objects = {**OBJECTS, "milestone": Milestone}
    for name in RELEASED - {"milestone.v1", "invoice.v1"}:
        (tmp_path / f"{name}.json").write_text((SCHEMA_DIR / f"{name}.json").read_text("utf-8"), "utf-8")
    (tmp_path / "milestone.v1.json").write_text(json.dumps(object_schema(Milestone)), "utf-8")
    assert broken_promises(objects, tmp_path) == [
        "invoice.v1 is not published any more",
        "milestone.v1 as published: cost_centre was added as required",
        "milestone.v1 as coded: cost_centre was added as required",
    ]


@pytest.mark.parametrize("object_type", sorted(OBJECTS))
def test_the_published_schema_is_what_the_code_says(object_type):
    cls = OBJECTS[object_type]
    assert published(cls) == object_schema(cls)


def test_no_published_file_is_stale():
    assert stale() == []
    assert main(["--check"]) == 0


def invoice() -> dict[str, Any]:
    return object_schema(OBJECTS["invoice"])


def edited(edit) -> dict[str, Any]:
    value = copy.deepcopy(invoice())
    edit(value)
    return value


def _require(name: str, value: dict[str, Any]) -> None:
    value["properties"].setdefault(name, {"type": "string"})
    value["required"].append(name)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda s: s["properties"].pop("memo"), "memo was removed"),
        (lambda s: s["$defs"]["InvoiceLine"]["properties"].pop("quantity"), "lines[].quantity was removed"),
        (lambda s: _require("cost_centre", s), "cost_centre was added as required"),
        (lambda s: _require("memo", s), "memo became required"),
        (lambda s: s["properties"].update(memo={"type": "integer"}), "memo no longer accepts type string"),
        (lambda s: s["properties"]["status"]["enum"].remove("void"), "status no longer accepts 'void'"),
        (lambda s: s["properties"]["memo"].update(enum=["a"]), "memo is now limited to a"),
        (lambda s: s["properties"]["memo"].update(maxLength=10), "memo has maxLength lowered to 10"),
        (lambda s: s["properties"]["memo"].update(minLength=1), "memo has minLength raised to 1"),
        (lambda s: s["properties"]["memo"].update(pattern="^x"), "memo now asks for pattern ^x"),
        (lambda s: s["properties"]["due_on"]["anyOf"].pop(1), "due_on no longer accepts null"),
        (lambda s: s["properties"].update(net={"type": "null"}), "net no longer accepts type object"),
        (lambda s: s["$defs"]["Money"]["required"].append("scale"), "net.scale was added as required"),
    ],
)
def test_a_change_that_takes_something_away_is_named(edit, sentence):
    assert sentence in breaking_changes(invoice(), edited(edit))


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s["properties"].update(cost_centre={"type": "string", "default": ""}),
        lambda s: s["required"].remove("net"),
        lambda s: s["properties"]["status"]["enum"].append("parked"),
        lambda s: s["properties"]["memo"].update(maxLength=5000, description="longer"),
        lambda s: s["properties"].update(memo={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
)
def test_a_change_that_only_adds_is_compatible(edit):
    assert breaking_changes(invoice(), edited(edit)) == []


def test_a_raised_version_may_break_and_a_lowered_one_may_not():
    broken = edited(lambda s: s["properties"].pop("memo"))
    assert breaking_changes(invoice(), {**broken, "x-schema-version": 2}) == []
    assert breaking_changes({**invoice(), "x-schema-version": 2}, invoice()) == [
        "schema_version went back from 2 to 1"
    ]


class WidgetAtFirst(Canonical):
    object_type: ClassVar[str] = "widget"
    key: Key
    state: Literal["new", "old"] = "new"


class WidgetNarrowed(Canonical):
    object_type: ClassVar[str] = "widget"
    key: Key
    state: Literal["new"] = "new"


class WidgetVersionTwo(WidgetNarrowed):
    schema_version: ClassVar[int] = 2


def test_a_deliberately_broken_object_cannot_be_published_under_the_same_version(tmp_path, monkeypatch):
    monkeypatch.setattr(schema_module, "OBJECTS", {"widget": WidgetAtFirst})
    assert [path.name for path in export(tmp_path)] == ["widget.v1.json"]
    assert export(tmp_path) == []

    monkeypatch.setattr(schema_module, "OBJECTS", {"widget": WidgetNarrowed})
    before = (tmp_path / "widget.v1.json").read_text("utf-8")
    with pytest.raises(ValueError, match="state no longer accepts 'old'"):
        export(tmp_path)
    assert (tmp_path / "widget.v1.json").read_text("utf-8") == before
    assert stale(tmp_path) == ["widget"]

    monkeypatch.setattr(schema_module, "OBJECTS", {"widget": WidgetVersionTwo})
    assert [path.name for path in export(tmp_path)] == ["widget.v2.json"]
    assert (tmp_path / "widget.v1.json").read_text("utf-8") == before
