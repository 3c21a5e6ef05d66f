"""Stripe events: pushed as signed webhooks and listed for polling, read the same way.

Public surface: :func:`parse`, :func:`change`, :data:`OWN_PREFIX`, :data:`TYPES`.

Source: Stripe "Event object". The snapshot in the event may be old by the time it arrives: the object is read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from apps.connectors.protocols.convert import instant
from apps.connectors.spi import AdapterError, Change, WebhookRefused

#: Our idempotency keys start so; the event of a request tells its key, which shows the echo of our own writes.
OWN_PREFIX = "pssync-"
#: Event type prefix → what is to be read again, and the field of ``data.object`` that names it.
TYPES: dict[str, tuple[str, str]] = {
    "invoice.": ("invoice", "id"),
    "credit_note.": ("invoice", "invoice"),
    "charge.dispute.": ("dispute", "id"),
    "customer.tax_id.": ("customer", "customer"),
}


def parse(body: bytes) -> Mapping[str, Any]:
    """The event in a verified webhook. Raises ``WebhookRefused``."""
    try:
        event = json.loads(body)
    except ValueError:
        raise WebhookRefused("malformed", "The event is not JSON.") from None
    if not isinstance(event, dict) or not isinstance(event.get("id"), str) or not event["id"]:
        raise WebhookRefused("malformed", "The event has no id.")
    if event.get("object") != "event":
        raise WebhookRefused("unknown_version", f"Events of form “{event.get('object')}” are not known here.")
    data = event.get("data")
    if (
        not isinstance(event.get("type"), str)
        or not isinstance(data, dict)
        or not isinstance(data.get("object"), dict)
    ):
        raise WebhookRefused("malformed", "The event carries no object.")
    return event


def change(event: Mapping[str, Any]) -> Change | None:
    """What moved; None for events that are about nothing that we look at."""
    kind = str(event.get("type") or "")
    named = (names for prefix, names in TYPES.items() if kind.startswith(prefix))
    object_type, field = next(named, ("", ""))
    target = str((event.get("data") or {}).get("object", {}).get(field) or "") if field else ""
    if not target or kind == "invoice.upcoming":
        return None
    try:
        at = instant(event.get("created"), field="created")
    except AdapterError as error:
        raise WebhookRefused("malformed", error.message) from error
    request = event.get("request") or {}
    key = str(request.get("idempotency_key") or "") if isinstance(request, dict) else ""
    return Change(
        object_type=object_type,
        external_id=target,
        event_id=str(event["id"]),
        occurred_at=at,
        container_id=str(event["data"]["object"].get("customer") or ""),
        event_type=kind,
        own_write=key.startswith(OWN_PREFIX),
    )
