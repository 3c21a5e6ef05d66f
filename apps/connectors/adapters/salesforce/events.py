"""Change events (Change Data Capture) relayed as signed HTTP posts.

Public surface: :func:`changes`.

Source: Change Data Capture Developer Guide, "Change event header fields", "Gap events", "Overflow events". The body holds
changed fields only, so it is never used as the record: every change is read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from apps.connectors.spi import Change, WebhookRefused

#: What our own calls say in ``Sforce-Call-Options``; it comes back in ``changeOrigin``.
CLIENT = "pssync"
#: Entity → (our object type, field of the payload that names the record to read; "" = the record itself).
ENTITIES: dict[str, tuple[str, str]] = {
    "Opportunity": ("deal", ""),
    "OpportunityLineItem": ("deal", "OpportunityId"),
    "Billing_Schedule__c": ("deal", "Opportunity__c"),
    "Deal_Rate__c": ("deal", "Opportunity__c"),
    "Account": ("customer", ""),
}
KINDS = {"CREATE", "UPDATE", "DELETE", "UNDELETE"}
GAPS = {f"GAP_{kind}" for kind in KINDS} | {"GAP_OVERFLOW"}
_REQUIRED = ("entityName", "recordIds", "changeType", "commitTimestamp")


def changes(body: bytes, *, event_id: str, schemas: Sequence[str] = ()) -> list[Change]:
    """The changes of one event. ``external_id`` ``*`` means "some of that type": poll instead.

    Raises ``WebhookRefused``: ``malformed`` for what is no event, ``unknown_version`` for an event in a shape or of a
    ``schema`` that this adapter was not made for.
    """
    try:
        message = json.loads(body)
    except ValueError:
        raise WebhookRefused("malformed", "The event is not JSON.") from None
    if not isinstance(message, dict) or not isinstance(message.get("payload"), dict):
        raise WebhookRefused("malformed", "The event has no payload.")
    payload: Mapping[str, Any] = message["payload"]
    header = payload.get("ChangeEventHeader")
    if not isinstance(header, dict):
        raise WebhookRefused("unknown_version", "The event has no change event header.")
    schema = message.get("schema")
    if not isinstance(schema, str) or not schema or (schemas and schema not in schemas):
        raise WebhookRefused("unknown_version", f"Events of schema “{schema}” are not known here.")
    if any(name not in header for name in _REQUIRED) or not isinstance(header["recordIds"], list):
        raise WebhookRefused("unknown_version", "The change event header lacks fields that we rely on.")
    kind = str(header["changeType"])
    if kind not in KINDS | GAPS:
        raise WebhookRefused("unknown_version", f"Changes of type “{kind}” are not known here.")
    known = ENTITIES.get(str(header["entityName"]))
    if known is None:
        return []
    object_type, parent = known
    at = _committed(header["commitTimestamp"])
    own = _own(str(header.get("changeOrigin") or ""))
    found = []
    for record_id in _targets(header["recordIds"], payload, parent, gap=kind in GAPS):
        found.append(
            Change(
                object_type=object_type,
                external_id=record_id,
                event_id=event_id if len(header["recordIds"]) < 2 else f"{event_id}:{record_id}",
                occurred_at=at,
                event_type=kind,
                own_write=own,
                legal_entity_code=str(payload.get("Contracting_Entity__c") or "")
                if object_type == "deal"
                else "",
            )
        )
    return found


def _targets(record_ids: Sequence[Any], payload: Mapping[str, Any], parent: str, *, gap: bool) -> list[str]:
    """Ids to read again. A child that does not name its deal is left to the next poll, which finds it."""
    if parent:
        named = payload.get(parent)
        return [str(named)] if named else []
    ids = [str(item) for item in record_ids]
    if not ids and gap:
        return ["*"]
    return ["*" if "*" in item else item for item in dict.fromkeys(ids)]


def _committed(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(int(value) / 1000, tz=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise WebhookRefused(
            "malformed", "The event's commit time is not a number of milliseconds."
        ) from None


def _own(origin: str) -> bool:
    """``com/salesforce/api/rest/68.0;client=pssync`` → ours."""
    return f"client={CLIENT}" in [part.strip() for part in origin.split(";")]
