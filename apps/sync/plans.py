"""Plans as plain values: what would be done, in what order, and what stands in the way.

Public surface: :class:`PlannedAction`, :class:`Problem`, :class:`Draft`, :func:`digest_of`, :func:`step_digests`,
:func:`shown`.
A plan is a pure function of its snapshot; the same snapshot gives the same digest on every machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as declared
from functools import cached_property
from typing import Any

from apps.canonical.objects import OBJECTS, Canonical


@dataclass(frozen=True)
class Problem:
    """Why something cannot go by itself: a catalogue code, the field and value it is about, and a sentence."""

    code: str
    step: str
    object_type: str
    field: str
    value: str
    reason: str
    params: Mapping[str, Any] = declared(default_factory=dict)


@dataclass(frozen=True)
class PlannedAction:
    """One step. ``kind``: ``push`` (a write to a system) · ``link`` (bind to what exists) · ``child`` (another subject's
    transaction) · ``local`` (our own records) · ``unchanged`` · ``blocked`` (a problem stands before it).

    ``refs`` are roles to ids: a known id as text, or a cross-reference ``(type, key[, system])`` resolved at its turn.
    ``link_key`` is the business key under which the resulting id is kept (default: ``key``).
    """

    name: str
    kind: str
    why: str
    system_id: int | None = None
    system: str = ""
    object_type: str = ""
    operation: str = ""
    key: str = ""
    link_key: str = ""
    external_id: str = ""
    body: Mapping[str, Any] | None = None
    changes: tuple[Mapping[str, Any], ...] = ()
    refs: Mapping[str, str | tuple[str, ...]] = declared(default_factory=dict)
    settings: Mapping[str, Any] = declared(default_factory=dict)
    values: Mapping[str, Any] = declared(default_factory=dict)
    fields: tuple[str, ...] = ()
    rule: str = ""
    #: Read the object again once written: what the system made of it (number, tax, address) is needed by later steps.
    read_back: bool = False

    def canonical(self) -> Canonical | None:
        """The body as its canonical object again."""
        return OBJECTS[self.object_type].model_validate(self.body) if self.body is not None else None

    @cached_property
    def text(self) -> str:
        """All of it as canonical JSON."""
        return _canonical_text(_plain(self))

    @cached_property
    def idempotency_key(self) -> str:
        """Stable for the same write with the same content, so that a vendor that keeps keys refuses the second one."""
        content: list[Any] = [self.system, self.object_type, self.operation, self.key, self.external_id]
        content += [self.body, self.values, self.settings, self.refs]
        return hashlib.sha256(_canonical_text(content).encode()).hexdigest()


@dataclass(frozen=True)
class Draft:
    """The result of planning, before it is stored. ``expected`` are problems that a step of the plan is going to find: told
    like the others, until that step has been carried out and says what it did find."""

    actions: tuple[PlannedAction, ...]
    problems: tuple[Problem, ...] = ()
    summary: str = ""
    expected: tuple[Problem, ...] = ()

    @property
    def told(self) -> tuple[Problem, ...]:
        """All problems that are known before anything is done."""
        return (*self.problems, *self.expected)

    @cached_property
    def digest(self) -> str:
        return digest_of(self)

    @property
    def actions_text(self) -> str:
        """The actions as a JSON list."""
        return f"[{','.join(action.text for action in self.actions)}]"

    @cached_property
    def problems_text(self) -> str:
        """All problems as canonical JSON."""
        return _canonical_text([_plain(problem) for problem in self.told])


def _plain(value: PlannedAction | Problem) -> dict[str, Any]:
    """Its declared fields by name. They hold plain data, which nobody changes: no need to copy to any depth."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def push(
    name: str,
    why: str,
    *,
    system: Any,
    object_type: str,
    operation: str,
    key: str,
    body: Canonical | None = None,
    **more: Any,
) -> PlannedAction:
    """A write to ``system`` (a row of the system registry)."""
    dumped = body.model_dump(mode="json") if body is not None else None
    return PlannedAction(
        name, "push", why, system.id, system.code, object_type, operation, key, body=dumped, **more
    )


def unchanged(
    name: str, why: str, *, system: Any = None, object_type: str = "", external_id: str = ""
) -> PlannedAction:
    """A step that is shown although there is nothing to do."""
    system_id, code = (system.id, system.code) if system is not None else (None, "")
    return PlannedAction(name, "unchanged", why, system_id, code, object_type, external_id=external_id)


def child(
    name: str, why: str, *, kind: str, key: str, flow: str, params: Mapping[str, Any] | None = None
) -> PlannedAction:
    """A step that belongs to another subject: its transaction is asked for and waited for."""
    return PlannedAction(
        name, "child", why, object_type=kind, operation=flow, key=key, values=dict(params or {})
    )


def local(name: str, why: str, *, verb: str, **arguments: Any) -> PlannedAction:
    """A step on our own records, done in the same database transaction as its journal row."""
    return PlannedAction(name, "local", why, operation=verb, values=arguments)


def blocked(name: str, why: str) -> PlannedAction:
    """A step that a problem keeps from being planned."""
    return PlannedAction(name, "blocked", why)


def shown(draft: Draft) -> list[dict[str, Any]]:
    """The steps as callers of previews and checks get them."""
    return [
        {
            "name": action.name,
            "kind": action.kind,
            "system": action.system,
            "object_type": action.object_type,
            "operation": action.operation,
            "why": action.why,
        }
        for action in draft.actions
    ]


#: What is decided between preview and run without changing what is done: row ids of a mapping that the run itself adds.
_NOT_DIGESTED = frozenset({"mapping_id", "mapping_confirmed", "unconfirmed"})
#: Steps of other subjects, and steps with nothing to do, may settle between preview and run.
_DIGESTED_KINDS = frozenset({"push", "link", "local", "blocked"})


def digest_of(draft: Draft) -> str:
    """SHA-256 over the canonical JSON of the problems and of the writes this subject would make."""
    actions = ",".join(_digested_text(a) for a in draft.actions if a.kind in _DIGESTED_KINDS)
    return hashlib.sha256(f"[[{actions}],{draft.problems_text}]".encode()).hexdigest()


def _digested_text(action: PlannedAction) -> str:
    """Canonical JSON of what counts of an action; most hold nothing that does not."""
    if any(f'"{name}"' in action.text for name in _NOT_DIGESTED):
        return _canonical_text(_without(_plain(action)))
    return action.text


#: Parameter of a transaction: the steps (their digests) of the plan that a person has looked at and started.
SEEN_BY_PERSON = "seen_by_person"


def step_digests(draft: Draft) -> list[str]:
    """One digest for each step that would do something, steps of other subjects included; its words do not count."""
    steps = [_without(_plain(a)) for a in draft.actions if a.kind != "unchanged"]
    return sorted(
        {hashlib.sha256(_canonical_text(step | {"why": ""}).encode()).hexdigest() for step in steps}
    )


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key not in _NOT_DIGESTED}
    if isinstance(value, list | tuple):
        return [_without(inner) for inner in value]
    return value


def _canonical_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
