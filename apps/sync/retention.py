"""What retention may drop of the engine's tables, and what it must leave.

Public surface: :func:`declare_rules`, :data:`REMEMBERED`, :data:`SETTLED`.
"""

from __future__ import annotations

from django.conf import settings

from apps.journal import retention
from apps.sync.models import State

#: Actions whose having been done is asked for however long ago it was: a request for payment is sent once, and an invoice's
#: last content is compared with what would be sent now. Such rows outlive their month.
REMEMBERED = ("billing.invoice.send", "erp.invoice")
SETTLED = ("succeeded", "found", "linked", "done", "unchanged")
#: A transaction in one of these never runs again; a dead letter may.
ENDED = (State.SUCCEEDED, State.OBSERVED, State.CANCELLED)


def _texts(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


#: Steps of transactions that may still run, writes of which nobody knows whether they happened, and what is remembered.
_NEEDED_ACTION = (
    f"(r.outcome = 'unknown' OR (r.name IN ({_texts(REMEMBERED)}) AND r.outcome IN ({_texts(SETTLED)})) OR EXISTS "  # noqa: S608
    f"(SELECT 1 FROM sync_transaction t WHERE t.id = r.transaction_id AND t.state NOT IN ({_texts(ENDED)})))"
)


def declare_rules() -> None:
    """Called when the application starts."""
    retention.declare(
        retention.Rule("sync_action", lambda: settings.RETENTION_MONTHS_ACTIONS, keep=_NEEDED_ACTION)
    )
    for table in ("sync_body", "sync_payload"):
        retention.declare(retention.Rule(table, lambda: settings.RETENTION_MONTHS_PAYLOADS))
