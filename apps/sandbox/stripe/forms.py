"""Nested form encoding: ``items[0][price]=x`` and back to values.

Public surface: decode, integer, boolean, check.
"""

import re
from typing import Any

from .errors import invalid
from .fields import PARAMETERS


def decode(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Pairs of a form as nested dicts; numbered and empty brackets become lists."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        first, _, rest = key.partition("[")
        path = [first, *re.findall(r"\[([^\]]*)\]", "[" + rest if rest else "")]
        target = root
        for name in path[:-1]:
            target = target.setdefault(_slot(target, name), {})
            if not isinstance(target, dict):
                invalid(f"Invalid parameter: {key}", param=first)
        target[_slot(target, path[-1])] = value
    return {name: _lists(value) for name, value in root.items()}


def _slot(target: dict, name: str) -> str:
    return name if name != "" else str(len(target))


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(item) for name, item in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def check(call: str, values: dict) -> None:
    known = set(PARAMETERS[call].split())
    for name in values:
        if name not in known:
            invalid(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def integer(values: dict, name: str) -> int | None:
    value = values.get(name)
    if value in (None, ""):
        return None
    if not re.fullmatch(r"-?\d+", str(value)):
        invalid(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def boolean(values: dict, name: str) -> bool | None:
    value = values.get(name)
    if value in (None, ""):
        return None
    if str(value).lower() not in ("true", "false"):
        invalid(f"Invalid boolean: {value}", param=name)
    return str(value).lower() == "true"


def need(values: dict, name: str) -> Any:
    if values.get(name) in (None, ""):
        invalid(f"Missing required param: {name}.", code="parameter_missing", param=name)
    return values[name]


def metadata(before: dict, change: Any) -> dict:
    """Merged key by key; an empty value removes a key, an empty string all of them."""
    if change == "":
        return {}
    merged = {**before, **{k: str(v) for k, v in (change or {}).items()}}
    if len(merged) > 50:
        invalid("Metadata can hold up to 50 keys.", param="metadata")
    return {k: v for k, v in merged.items() if v != ""}
