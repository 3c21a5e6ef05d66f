"""Changes since a cursor: NetSuite pushes nothing, so ``lastModifiedDate`` is asked for.

Public surface: :func:`changes`, :data:`POLLED`.

A window ``[since, until)`` is fixed first and paged over the id. A record that changes while the window is read moves
out of it and is found in the next one; paging by offset or by time alone would lose it. Windows overlap by
:data:`OVERLAP`, because a record is stamped when its transaction starts and shows up when it commits; the same change
seen twice has the same ``event_id``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.connectors.adapters.netsuite.client import MODIFIED, PAGE_ROWS, Client
from apps.connectors.spi import AdapterError, Change, ErrorKind, Page
from apps.core import clock

OVERLAP = timedelta(minutes=5)
#: A window ends at a second that is over: stamps have whole seconds, and a change later in the same second would look
#: like the one already seen.
SETTLED = timedelta(seconds=2)
#: How far a first poll looks back.
FIRST = timedelta(hours=24)
#: Object type → SuiteQL table, condition, column of what the object hangs on.
POLLED: dict[str, tuple[str, str, str]] = {
    "invoice": ("transaction", "type = 'CustInvc'", "entity"),
    "receipt": ("transaction", "type = 'CustPymt'", "entity"),
    "customer": ("customer", "", ""),
}


def changes(client: Client, *, object_type: str, cursor: str, limit: int) -> Page:
    """One page; ``more`` says that the window holds further rows."""
    if object_type not in POLLED:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite is not polled for {object_type}.", code="INT-SCHEMA"
        )
    table, condition, container = POLLED[object_type]
    since, until, after = _window(cursor)
    size = max(1, min(limit, PAGE_ROWS))
    where = [
        f"lastmodifieddate >= {client.timestamp(since)}",
        f"lastmodifieddate < {client.timestamp(until)}",
        f"id > {after}",
        *([condition] if condition else []),
    ]
    columns = ", ".join(["id", "externalid", MODIFIED, *([container] if container else [])])
    rows = client.select(columns, table, *where, limit=size)
    found = [
        Change(
            object_type=object_type,
            external_id=str(row["id"]),
            event_id=f"{object_type}:{row['id']}:{row.get('lastmodifieddate') or ''}",
            occurred_at=client.moment(row.get("lastmodifieddate")),
            container_id=str(row.get(container) or "") if container else "",
            event_type=f"{object_type}.modified",
        )
        for row in rows
    ]
    beginning = datetime.min.replace(tzinfo=UTC)
    found.sort(key=lambda change: change.occurred_at or beginning)
    if len(rows) == size:
        last = max(int(row["id"]) for row in rows)
        return Page(found, _cursor(since, until, last), more=True)
    return Page(found, _cursor(until - OVERLAP, None, 0), more=False)


def _window(cursor: str) -> tuple[datetime, datetime, int]:
    """``since``, ``until`` (exclusive) and the id to go on after."""
    now = clock.now().replace(microsecond=0) - SETTLED
    if not cursor:
        return now - FIRST, now, 0
    try:
        held: dict[str, Any] = json.loads(cursor)
        since = datetime.fromisoformat(held["since"])
        until = datetime.fromisoformat(held["until"]) if held.get("until") else now
        return since, until, int(held.get("after") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "The stored polling cursor cannot be read.",
            code="INT-SCHEMA",
            value=cursor[:200],
        ) from None


def _cursor(since: datetime, until: datetime | None, after: int) -> str:
    return json.dumps(
        {"since": since.isoformat(), "until": until.isoformat() if until else None, "after": after}
    )
