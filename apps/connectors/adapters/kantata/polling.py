"""Changes since a cursor, from the feed of subscribed events or, after a long gap, from the lists.

Public surface: :func:`changes`, :data:`POLLED`.

The feed keeps nine days, has no order and may tell an event twice; it is an add-on that an account may lack. So windows
overlap, the inbox drops what it has, and when the cursor is older than the feed (or there is no feed) the lists are
asked for what was updated since. Source: developer.kantata.com – Subscribed Events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.connectors.adapters.kantata.client import PAGE, UPDATED_FILTER, Client, archived_too
from apps.connectors.adapters.kantata.mapping import ENGAGEMENT_INCLUDE, reference_of
from apps.connectors.protocols.convert import instant
from apps.connectors.spi import AdapterError, Change, ErrorKind, Page
from apps.core import clock

#: The feed is trusted for a little less than its nine days.
FEED = timedelta(days=9) - timedelta(hours=1)
#: How far a first poll looks back.
FIRST = timedelta(days=8)
OVERLAP = timedelta(minutes=10)
#: Lists are read up to a second that is over: ``updated_at`` has whole seconds, and a later change must look later.
SETTLED = timedelta(seconds=2)
#: Object type → list, event prefix.
POLLED: dict[str, tuple[str, str]] = {
    "engagement": ("workspaces", "workspace"),
    "milestone": ("billing_milestones", "billing_milestone"),
    "time_entry": ("time_entries", "time_entry"),
}


@dataclass(frozen=True)
class _Cursor:
    mode: str
    since: datetime
    until: datetime | None
    page: int

    def text(self) -> str:
        until = self.until.isoformat() if self.until else None
        return json.dumps(
            {"mode": self.mode, "since": self.since.isoformat(), "until": until, "page": self.page}
        )


def changes(client: Client, *, object_type: str, cursor: str, limit: int) -> Page:
    """One page; ``more`` says that the window holds further pages."""
    if object_type not in POLLED:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"Kantata is not polled for {object_type}.", code="INT-SCHEMA"
        )
    size = max(1, min(limit, PAGE))
    at = _read(cursor)
    if at.mode == "events" and at.page == 1 and clock.now() - at.since > FEED:
        at = _Cursor("lists", at.since, None, 1)
    if at.mode == "events":
        try:
            return _events(client, object_type, at, size)
        except AdapterError as error:
            if error.kind is not ErrorKind.PERMISSION:
                raise
            at = _Cursor("lists", at.since, None, 1)  # the account has no feed
    return _lists(client, object_type, at, size)


def _events(client: Client, object_type: str, at: _Cursor, size: int) -> Page:
    prefix = POLLED[object_type][1]
    until = at.until or clock.now()
    kinds = ",".join(f"{prefix}:{verb}" for verb in ("created", "updated", "deleted"))
    found = client.page(
        "subscribed_events",
        {
            "created_after": _stamp(at.since),
            "event_types": kinds,
            "optional_fields": "current_payload,previous_payload",
        },
        number=at.page,
        size=size,
    )
    keys = _keys(client, object_type, found.records)
    told = [
        Change(
            object_type=object_type,
            external_id=str(event.get("subject_id") or ""),
            event_id=f"{object_type}:{event['id']}",
            occurred_at=instant(
                event.get("subject_changed_at") or event.get("created_at"), field="created_at"
            ),
            container_id=_container(event),
            event_type=str(event.get("event_type") or ""),
            key=keys.get(str(event.get("subject_id")), ""),
        )
        for event in found.records
    ]
    return _page(told, at, until, more=at.page < found.pages)


def _lists(client: Client, object_type: str, at: _Cursor, size: int) -> Page:
    plural = POLLED[object_type][0]
    until = at.until or clock.now().replace(microsecond=0) - SETTLED
    projects = object_type == "engagement"
    params = {"order": "created_at:asc", "include": ENGAGEMENT_INCLUDE if projects else "workspace"}
    if plural in UPDATED_FILTER:
        stamps = {"updated_after": _stamp(at.since), "updated_before": _stamp(until)}
        params |= {"order": "updated_at:asc", **stamps}
    found = client.page(plural, params | archived_too(plural), number=at.page, size=size)
    told = [
        Change(
            object_type=object_type,
            external_id=str(record["id"]),
            event_id=f"{object_type}:{record['id']}:{record.get('updated_at') or ''}",
            occurred_at=instant(record.get("updated_at"), field="updated_at"),
            container_id=str(record["id"] if projects else record.get("workspace_id") or ""),
            event_type=f"{POLLED[object_type][1]}:updated",
            key=str(reference_of(client, found, record).get("service_model_ref") or "") if projects else "",
        )
        for record in found.records
        if _inside(record, at.since, until)
    ]
    return _page(told, at, until, more=at.page < found.pages)


def _inside(record: dict[str, Any], since: datetime, until: datetime) -> bool:
    """Whether the record was updated in the window; a list without a filter for it answers all of them."""
    updated = instant(record.get("updated_at"), field="updated_at")
    return updated is None or since <= updated <= until


def _page(told: list[Change], at: _Cursor, until: datetime, *, more: bool) -> Page:
    beginning = datetime.min.replace(tzinfo=UTC)
    told.sort(key=lambda change: change.occurred_at or beginning)
    if more:
        following = _Cursor(at.mode, at.since, until, at.page + 1)
    else:
        following = _Cursor("events", until - OVERLAP, None, 1)
    return Page(told, following.text(), more=more)


def _keys(client: Client, object_type: str, events: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Ids of the projects that events are about, each with our reference on it, which an event does not tell."""
    ids = sorted({str(event["subject_id"]) for event in events if event.get("subject_id")})
    if object_type != "engagement" or not ids:
        return {}
    found = client.only("workspaces", ids, include=ENGAGEMENT_INCLUDE)
    return {
        str(record["id"]): str(reference_of(client, page, record).get("service_model_ref") or "")
        for page in found
        for record in page.records
    }


def _container(event: dict[str, Any]) -> str:
    """The project, of the payload that the event carries."""
    for name in ("current_payload", "previous_payload"):
        payload = event.get(name)
        if isinstance(payload, dict) and payload.get("workspace_id"):
            return str(payload["workspace_id"])
    return ""


def _read(cursor: str) -> _Cursor:
    if not cursor:
        return _Cursor("events", clock.now() - FIRST, None, 1)
    try:
        held = json.loads(cursor)
        mode = held["mode"]
        until = datetime.fromisoformat(held["until"]) if held.get("until") else None
        if mode not in ("events", "lists"):
            raise ValueError(mode)
        return _Cursor(mode, datetime.fromisoformat(held["since"]), until, max(1, int(held.get("page") or 1)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "The stored polling cursor cannot be read.",
            code="INT-SCHEMA",
            value=cursor[:200],
        ) from None


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
