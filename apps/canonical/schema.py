"""JSON Schema of every canonical object, published under ``docs/schemas/``, and the check that it stays compatible.

Public surface: :func:`object_schema`, :func:`published`, :func:`breaking_changes`, :func:`export`, and the command
``python -m apps.canonical.schema [--check]``.

A schema file ``<object>.v<version>.json`` is a promise: within one ``schema_version`` a field is never removed, made
required, or narrowed in type or choice. A breaking change needs a raised ``schema_version`` and so a new file; the old
one stays. Schemas follow JSON Schema draft 2020-12.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from apps.canonical.objects import OBJECTS, Canonical

SCHEMA_DIR = Path(__file__).resolve().parents[2] / "docs" / "schemas"

#: Keywords where a larger number accepts less, and where a smaller number accepts less.
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class _Generator(GenerateJsonSchema):
    """Decimals are strings on the wire (a JSON number is a binary float), which pydantic leaves open."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}


def object_schema(cls: type[Canonical]) -> dict[str, Any]:
    """The JSON Schema of one canonical class as the code has it now."""
    body = cls.model_json_schema(schema_generator=_Generator)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:ps-sync-console:canonical:{cls.object_type}:v{cls.schema_version}",
        "x-schema-version": cls.schema_version,
        **body,
    }


def schema_path(cls: type[Canonical], directory: Path = SCHEMA_DIR) -> Path:
    """Where the schema of this class's current version is published."""
    return directory / f"{cls.object_type}.v{cls.schema_version}.json"


def published(cls: type[Canonical], directory: Path = SCHEMA_DIR) -> dict[str, Any] | None:
    """The published schema of the class's current version, or None when that version was never published."""
    path = schema_path(cls, directory)
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What the new schema takes away from whoever relies on the old one, one sentence each; empty = compatible.

    A higher ``x-schema-version`` announces the break, so nothing is reported then; a lower one is a break itself.
    """
    old_version, new_version = old.get("x-schema-version", 1), new.get("x-schema-version", 1)
    if new_version > old_version:
        return []
    found = (
        [f"schema_version went back from {old_version} to {new_version}"] if new_version < old_version else []
    )
    return found + list(_Comparison(old, new).nodes("", old, new))


def export(directory: Path = SCHEMA_DIR) -> list[Path]:
    """Write the schemas of all objects; returns the files that changed.

    Raises ``ValueError`` with all sentences of :func:`breaking_changes`, and writes nothing, when one would break.
    """
    problems = [
        f"{cls.object_type} v{cls.schema_version}: {problem}"
        for cls in OBJECTS.values()
        if (before := published(cls, directory)) is not None
        for problem in breaking_changes(before, object_schema(cls))
    ]
    if problems:
        raise ValueError("raise schema_version for these breaking changes:\n" + "\n".join(problems))
    directory.mkdir(parents=True, exist_ok=True)
    changed = []
    for cls in OBJECTS.values():
        path, text = schema_path(cls, directory), _text(object_schema(cls))
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def stale(directory: Path = SCHEMA_DIR) -> list[str]:
    """Objects whose published file is missing or is not what the code says."""
    return [
        cls.object_type
        for cls in OBJECTS.values()
        if not (path := schema_path(cls, directory)).exists()
        or path.read_text("utf-8") != _text(object_schema(cls))
    ]


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _Comparison:
    """Walks two schemas side by side; ``$ref`` is followed in the document it stands in."""

    def __init__(self, old_root: dict[str, Any], new_root: dict[str, Any]) -> None:
        self.old_root = old_root
        self.new_root = new_root
        self.walking: set[tuple[str, str]] = set()

    def nodes(self, path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self.walking:
                return
            self.walking.add(pair)
        olds, news = _alternatives(old, self.old_root), _alternatives(new, self.new_root)
        if len(olds) == len(news) == 1:
            yield from self._plain(path, olds[0], news[0])
        else:
            for choice in olds:
                if not any(not list(self._plain(path, choice, offered)) for offered in news):
                    yield f"{path or 'the object'} no longer accepts {_kind(choice)}"
        if all(pair):
            self.walking.discard(pair)

    def _plain(self, path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        where = path or "the object"
        lost = _types(old) - _types(new)
        if lost:
            yield f"{where} no longer accepts type {', '.join(sorted(lost))}"
            return
        yield from _narrowed(where, old, new)
        yield from self._members(path, old, new)
        if "items" in new:
            yield from self.nodes(f"{path}[]", old.get("items", {}), new["items"])

    def _members(self, path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        prefix = f"{path}." if path else ""
        for name, schema in old_fields.items():
            if name not in new_fields:
                yield f"{prefix}{name} was removed"
            else:
                yield from self.nodes(prefix + name, schema, new_fields[name])
        for name in new.get("required", []):
            if name not in old.get("required", []):
                yield (
                    f"{prefix}{name} became required"
                    if name in old_fields
                    else f"{prefix}{name} was added as required"
                )
        if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
            yield f"{path or 'the object'} no longer accepts other fields"


def _alternatives(schema: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return _alternatives(target, root)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return [found for choice in schema[word] for found in _alternatives(choice, root)]
    return [schema]


def _types(schema: dict[str, Any]) -> set[str]:
    named = schema.get("type")
    if named is None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
        found = {names[type(value)] for value in values}
        return found or {"array", "boolean", "integer", "null", "number", "object", "string"}
    found = {named} if isinstance(named, str) else set(named)
    return found | {"integer"} if "number" in found else found


def _kind(schema: dict[str, Any]) -> str:
    return schema.get("title") or "/".join(sorted(_types(schema)))


def _narrowed(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    old_choices, new_choices = _choices(old), _choices(new)
    if new_choices is not None:
        if old_choices is None:
            yield f"{where} is now limited to {', '.join(map(str, new_choices))}"
        else:
            for value in old_choices:
                if value not in new_choices:
                    yield f"{where} no longer accepts {value!r}"
    for word in ("pattern", "format"):
        # A fixed choice is compared by its values; a pattern on top of it adds nothing.
        if word in new and new[word] != old.get(word) and old_choices is None:
            yield f"{where} now asks for {word} {new[word]}"
    for word in _LOWER_BOUNDS:
        if word in new and (word not in old or new[word] > old[word]):
            yield f"{where} has {word} raised to {new[word]}"
    for word in _UPPER_BOUNDS:
        if word in new and (word not in old or new[word] < old[word]):
            yield f"{where} has {word} lowered to {new[word]}"


def _choices(schema: dict[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def main(argv: list[str] | None = None) -> int:
    """Entry of ``python -m apps.canonical.schema``; exit code 1 when something is stale or would break."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.canonical.schema", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a published schema is stale"
    )
    arguments = parser.parse_args(argv)
    if arguments.check:
        names = stale()
        if names:
            sys.stderr.write(f"published schemas differ from the code: {', '.join(names)}\n")
        return 1 if names else 0
    try:
        changed = export()
    except ValueError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    for path in changed:
        sys.stdout.write(f"{path.relative_to(SCHEMA_DIR.parents[1])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
