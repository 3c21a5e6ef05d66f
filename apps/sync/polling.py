"""Polling: what no push brings, or a lost push left out. Pages go through the same inbox as pushes.

Public surface: :func:`poll_due`. The cursor is stored after its page is in the inbox: a crash polls a page twice, the inbox
keeps each event once.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from apps.billing import selectors as billing
from apps.connectors import services as connectors
from apps.connectors.selectors import connection_states
from apps.connectors.spi import AdapterError, ErrorKind, Page
from apps.core import clock, correlation
from apps.core.errors import AppError
from apps.journal import services as journal
from apps.sync import queue, watching
from apps.sync.flows.delivery import READ_IN_FULL_EVERY
from apps.sync.models import PollCursor, Transaction

log = structlog.get_logger(__name__)
MAX_PAGES = 20
CATALOGUE_EVERY = timedelta(hours=1)
#: Engagements that one round asks to read in full, and how soon one that came to nothing is asked for again.
READ_AT_ONCE, READ_AGAIN = 100, timedelta(hours=1)

_CLAIM = """
UPDATE sync_pollcursor SET due_at = now() + make_interval(secs => %s) WHERE id IN (
    SELECT id FROM sync_pollcursor WHERE due_at <= now() ORDER BY due_at LIMIT 10 FOR UPDATE SKIP LOCKED
) RETURNING id
"""


def poll_due() -> int:
    """Look at the connections themselves, poll every object type that is due, then ask for dated instalments that fell due
    and for daily readings.

    Returns changes found."""
    ensure_cursors()
    watching.watch()
    found, read = 0, set[int]()
    # A few at a time, so that several workers share what is due; none twice in a round.
    while ids := _claimed() - read:
        read |= ids
        found += sum(_poll(row) for row in PollCursor.objects.filter(id__in=ids).select_related("system"))
    for engagement_key in billing.due_engagements(clock.now()):
        queue.enqueue(kind="delivery", key=engagement_key, flow="delivery.sync", trigger="due date")
    _unread()
    _catalogues()
    return found


def _claimed() -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [settings.SYNC_POLL_SECONDS])
        return {row[0] for row in cursor.fetchall()}


def _unread() -> None:
    """What was deleted in the project system without any event is found by reading everything, once a day."""
    for engagement_key in billing.unread_engagements(clock.now() - READ_IN_FULL_EVERY, limit=READ_AT_ONCE):
        asked = Transaction.objects.filter(
            subject__kind="delivery",
            subject__key=engagement_key,
            flow="delivery.sync",
            created_at__gte=clock.now() - READ_AGAIN,
        )
        if not asked.exists():
            queue.enqueue(kind="delivery", key=engagement_key, flow="delivery.sync", trigger="daily reading")


def _catalogues() -> None:
    """Each connected ERP's billing codes, read anew every hour."""
    since = clock.now() - CATALOGUE_EVERY
    for state in connection_states():
        if state.kind != "erp" or not state.enabled or state.paused:
            continue
        asked = Transaction.objects.filter(
            subject__kind="catalogue",
            subject__key=state.system_code,
            flow="catalogue.read",
            created_at__gte=since,
        )
        if not asked.exists():
            queue.enqueue(kind="catalogue", key=state.system_code, flow="catalogue.read", trigger="hourly")


def ensure_cursors() -> None:
    """A cursor for every object type that a connected system lets us poll."""
    rows = [
        PollCursor(system_id=state.system_id, object_type=object_type, due_at=Now())
        for state in connection_states()
        if state.enabled and not state.paused
        for object_type in connectors.describe(state.system_id).polls
    ]
    PollCursor.objects.bulk_create(rows, ignore_conflicts=True)


def _poll(row: PollCursor) -> int:
    found = 0
    try:
        for _ in range(MAX_PAGES):
            page = connectors.fetch(system_id=row.system_id, object_type=row.object_type, cursor=row.cursor)
            found += _receive(row.system, page)
            row.cursor, row.polled_at, row.error = page.cursor, clock.now(), ""
            row.save(update_fields=["cursor", "polled_at", "error"])
            if not page.more:
                break
    except (AdapterError, AppError) as error:
        if getattr(error, "kind", None) is not ErrorKind.HELD_BACK:  # its turn comes later; that is no error
            row.error = str(error)
        row.due_at = Now() + timedelta(  # by the database's clock, as it is claimed
            seconds=getattr(error, "retry_after", None) or settings.SYNC_POLL_SECONDS
        )
        row.save(update_fields=["error", "due_at"])
        log.warning("poll_failed", system=row.system.code, object_type=row.object_type, error=str(error))
    return found


def _receive(system: Any, page: Page) -> int:
    new = 0
    for change in page.changes:
        with correlation.bind() as correlation_id:
            new += journal.receive(
                source=f"poll:{system.code}",
                event_id=change.event_id,
                headers={},
                body=b"",
                changes=[asdict(change)],
                correlation_id=correlation_id,
            )
    return new
