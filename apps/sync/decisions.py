"""What people decided about a subject where its sources leave it open: which record it is, or a value that is missing.

Public surface: :data:`EDITABLE`, :func:`edited`, :func:`edits_of`, :func:`customer_choice`, :func:`merged`, :func:`stamped`.

Decisions stand with the subject as ``{"edits": {field: {"old", "new", "by", "why", "at"}}, "customer": {"external_id" ("":
a new one), "rejected": [ids], "by", "why", "at"}}``. The source stays right: an edit counts only as long as the source still
shows the value that it was made on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.utils.translation import gettext_lazy as _

from apps.canonical.objects import Canonical
from apps.core import clock

_Body = TypeVar("_Body", bound=Canonical)
Decisions = Mapping[str, Any]
#: By kind of subject: the fields that a person may fill in here, and what people call them. No price, no amount, no scope.
EDITABLE: dict[str, dict[str, Any]] = {
    "deal": {
        "legal_entity_code": _("Contracting legal entity"),
        "po_number": _("Purchase order"),
        "payment_terms": _("Payment terms"),
        "project_manager": _("Project manager"),
        "start_on": _("Start"),
        "end_on": _("End"),
    },
}


@dataclass(frozen=True)
class Edit:
    """One edit as people read it; ``counts`` is false once the source shows something else than it was made on."""

    field: str
    label: str
    old: str
    new: str
    by: str
    why: str
    at: str
    counts: bool


def edited(kind: str, body: _Body, decisions: Decisions) -> _Body:
    """``body`` with the edits that count. Raises pydantic's ``ValidationError`` for a value that the field cannot take."""
    allowed = EDITABLE.get(kind, {})
    changes = {
        name: edit["new"]
        for name, edit in decisions.get("edits", {}).items()
        if name in allowed and shown(body, name) == edit["old"]
    }
    if not changes:
        return body
    return type(body).model_validate({**body.model_dump(mode="json"), **changes})


def edits_of(kind: str, body: Canonical | None, decisions: Decisions) -> list[Edit]:
    """All edits of a subject, for people."""
    allowed = EDITABLE.get(kind, {})
    return [
        Edit(
            field=name,
            label=str(allowed[name]),
            old=edit["old"],
            new=edit["new"],
            by=edit.get("by", ""),
            why=edit.get("why", ""),
            at=edit.get("at", ""),
            counts=body is None or shown(body, name) == edit["old"],
        )
        for name, edit in decisions.get("edits", {}).items()
        if name in allowed
    ]


def customer_choice(decisions: Decisions) -> str | None:
    """The record that a person chose for a customer, "" for a new one, None when nobody has chosen."""
    choice = decisions.get("customer")
    return None if choice is None else str(choice["external_id"])


def shown(body: Canonical, field: str) -> str:
    """A field's value as text, the way edits compare it."""
    value = getattr(body, field)
    return "" if value is None else str(value)


def merged(held: Decisions, more: Decisions) -> dict[str, Any]:
    """``held`` with ``more``: per edited field and per choice the later one stands."""
    both = {**held, **more}
    if held.get("edits") or more.get("edits"):
        both["edits"] = {**held.get("edits", {}), **more.get("edits", {})}
    return both


def stamped(decisions: Decisions, *, by: Any, why: str) -> dict[str, Any]:
    """Who decided, when and why, on each part."""
    mark = {"by": by.display_name, "why": why, "at": clock.now().isoformat()}
    whole: dict[str, Any] = {name: {**part, **mark} for name, part in decisions.items() if name != "edits"}
    if decisions.get("edits"):
        whole["edits"] = {name: {**edit, **mark} for name, edit in decisions["edits"].items()}
    return whole
