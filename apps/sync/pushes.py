"""From a planned write to what an adapter is handed, and from its exchange to what may be stored.

Public surface: :func:`build_push`, :data:`Known`, :func:`redacted`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from apps.connectors.protocols import redact
from apps.connectors.spi import Exchange, Push
from apps.core.errors import WrongState
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.plans import PlannedAction

#: Ids that this very run has learned: ``(object type, key, system id)`` → external id.
Known = dict[tuple[str, str, int], str]


def build_push(action: PlannedAction, known: Known) -> Push:
    """The write with its references resolved to ids. Raises :class:`WrongState` (``PRJ-PARTIAL``) when one is missing."""
    refs = {role: _resolved(ref, action, known) for role, ref in action.refs.items()}
    return Push(
        object_type=action.object_type,
        operation=action.operation,
        key=action.key,
        idempotency_key=action.idempotency_key,
        body=action.canonical(),
        external_id=action.external_id or refs.get(action.object_type, ""),
        refs=refs,
        settings=action.settings,
        fields=action.fields,
        values=action.values,
    )


def _resolved(ref: str | tuple[str, ...], action: PlannedAction, known: Known) -> str:
    if isinstance(ref, str):
        return ref
    object_type, key, *other = ref
    system_id = organization.system(other[0]).pk if other else action.system_id
    assert system_id is not None
    if found := known.get((object_type, key, system_id)):
        return found
    link = records.find_link(object_type, key, system_id)
    if link is None:
        name = organization.system(system_id).name
        raise WrongState(
            f"{object_type.replace('_', ' ').capitalize()} {key} has no id in {name} yet.",
            code="PRJ-PARTIAL",
        )
    return link.external_id


_KEPT = tuple(field.name for field in fields(Exchange) if field.name != "masked")


def redacted(exchange: Exchange | None) -> dict[str, Any] | None:
    """What may be stored of an exchange: no secrets, no personal data."""
    if exchange is None:
        return None
    kept = {name: getattr(exchange, name) for name in _KEPT}
    return kept if exchange.masked else redact.storable(kept)
