"""Field-level difference between two versions of a canonical object.

Public surface: :func:`diff`, :class:`FieldDiff`, :func:`shown`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from apps.canonical.money import Money


@dataclass(frozen=True)
class FieldDiff:
    """One field that differs.

    ``path`` names it with dots and brackets: ``billing_address.city``, ``lines[L1].amount``, ``rates[0].bill_rate``.
    ``old`` and ``new`` are plain JSON values (decimals and dates as strings, money as ``{"amount", "currency"}``);
    ``None`` means absent or empty.
    """

    path: str
    old: Any
    new: Any


def diff(
    old: BaseModel | Mapping[str, Any] | None, new: BaseModel | Mapping[str, Any] | None
) -> list[FieldDiff]:
    """The fields that differ between two versions of one object, in the order of its fields.

    Money counts as one value, compared by number (``5.0`` equals ``5.00``). List items that all carry a unique
    ``key`` are matched by it, so that inserting one does not make its followers look changed and a new order alone
    is no difference; other lists are matched by position. ``None`` stands for "no such object": every field that
    holds something is then a difference. Mappings (stored JSON) are compared as they are: convert them to the
    canonical class first where ``"5.0"`` and ``"5.00"`` must be equal.

    Raises ``TypeError`` when the two are objects of different classes.
    """
    if isinstance(old, BaseModel) and isinstance(new, BaseModel) and type(old) is not type(new):
        raise TypeError(f"cannot compare {type(old).__name__} with {type(new).__name__}")
    return list(_fields("", _members(old), _members(new)))


def shown(value: Any) -> str:
    """A difference's value as a person reads it: ``EUR 1,250.00`` for money, ``–`` for nothing."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, Mapping) and set(value) == {"amount", "currency"}:
        return str(Money.model_validate(dict(value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name}: {shown(part)}" for name, part in value.items() if part not in (None, "", [])
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(shown(item) for item in value)
    return str(value)


def _members(value: BaseModel | Mapping[str, Any] | None) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return dict(value)


def _fields(prefix: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[FieldDiff]:
    for name in [*old, *(name for name in new if name not in old)]:
        path = f"{prefix}.{name}" if prefix else name
        yield from _values(path, old.get(name), new.get(name))


def _values(path: str, old: Any, new: Any) -> Iterator[FieldDiff]:
    if _is_branch(old) and _is_branch(new):
        yield from _fields(path, _members(old), _members(new))
    elif _is_list(old) and _is_list(new):
        yield from _items(path, old, new)
    elif not _same(old, new):
        yield FieldDiff(path, _plain(old), _plain(new))


def _is_branch(value: Any) -> bool:
    # An amount without its currency says nothing, so money is never taken apart.
    if isinstance(value, Mapping):
        return set(value) != {"amount", "currency"}
    return isinstance(value, BaseModel) and not isinstance(value, Money)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _same(old: Any, new: Any) -> bool:
    # True == 1 in Python, but not in JSON.
    return old == new and isinstance(old, bool) == isinstance(new, bool)


def _items(path: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[FieldDiff]:
    old_by_key, new_by_key = _by_key(old), _by_key(new)
    if old_by_key is None or new_by_key is None:
        old_by_key, new_by_key = dict(enumerate(old)), dict(enumerate(new))
    for key in [*old_by_key, *(key for key in new_by_key if key not in old_by_key)]:
        yield from _values(f"{path}[{key}]", old_by_key.get(key), new_by_key.get(key))


def _by_key(items: Sequence[Any]) -> dict[Any, Any] | None:
    """Items by their ``key``; None when one has none or two share it."""
    keyed: dict[Any, Any] = {}
    for item in items:
        key = _members(item).get("key") if isinstance(item, BaseModel | Mapping) else None
        if not isinstance(key, str) or key in keyed:
            return None
        keyed[key] = item
    return keyed


def _plain(value: Any) -> Any:
    return to_jsonable_python(value)
