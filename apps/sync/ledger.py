"""The action journal: one appended row per attempt of an action, written together with what follows from it.

Public surface: :func:`append`, :class:`Entry`, :func:`in_doubt`, :func:`settled_names`,
:func:`was_settled`. A row is written only while the
lease is ours (fencing), in one short database transaction with the cross-reference it proves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from apps.core import clock
from apps.sync import payloads
from apps.sync.leases import Lease, renew
from apps.sync.models import Action, Transaction
from apps.sync.plans import PlannedAction
from apps.sync.retention import REMEMBERED, SETTLED

_COLUMNS = (
    "created_at, legal_entity_id, transaction_id, plan_id, seq, name, system, object_type, operation, target_key,"
    " external_id, idempotency_key, outcome, error_kind, code, message, url, started_at, elapsed_ms, fence,"
    " correlation_id, payload_digest"
)
_VALUES = ", ".join(f"%({name.strip()})s" for name in _COLUMNS.split(","))
_APPEND = f"WITH {payloads.STORE} INSERT INTO sync_action ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608


@dataclass(frozen=True)
class Entry:
    """The outcome of one attempt. ``exchange`` must already be redacted."""

    outcome: str
    started_at: datetime
    external_id: str = ""
    url: str = ""
    error_kind: str = ""
    code: str = ""
    message: str = ""
    exchange: Any = None


def append(
    lease: Lease, transaction: Transaction, plan_id: int | None, seq: int, action: PlannedAction, entry: Entry
) -> None:
    """Append one row; call inside ``atomic``. Raises ``LeaseLost`` when the subject is no longer ours."""
    renew(lease, progress=entry.outcome in SETTLED)
    now = clock.now()
    body = payloads.packed(entry.exchange, now)
    row = {
        "created_at": now,
        "legal_entity_id": transaction.legal_entity_id,
        "transaction_id": transaction.id,
        "plan_id": plan_id,
        "seq": seq,
        "name": action.name,
        "system": action.system,
        "object_type": action.object_type,
        "operation": action.operation,
        "target_key": action.key,
        "external_id": entry.external_id or action.external_id,
        "idempotency_key": action.idempotency_key if action.kind == "push" else "",
        "outcome": entry.outcome,
        "error_kind": entry.error_kind,
        "code": entry.code,
        "message": entry.message,
        "url": entry.url,
        "started_at": entry.started_at,
        "elapsed_ms": max(0, int((now - entry.started_at).total_seconds() * 1000)),
        "fence": lease.token,
        "correlation_id": transaction.correlation_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, row | body.parameters())


def was_settled(*, kind: str, key: str, name: str) -> bool:
    """Whether this action was ever done for the subject, by any of its transactions. Only of what retention remembers."""
    _remembered(name)
    ids = Transaction.objects.filter(subject__kind=kind, subject__key=key).values_list("id", flat=True)
    return Action.objects.filter(transaction_id__in=list(ids), name=name, outcome__in=SETTLED).exists()


def last_key(*, kind: str, key: str, name: str) -> str:
    """The idempotency key (a digest of the content) of the last write of this name for the subject; "" when none is known."""
    _remembered(name)
    ids = Transaction.objects.filter(subject__kind=kind, subject__key=key).values_list("id", flat=True)
    rows = Action.objects.filter(transaction_id__in=list(ids), name=name, outcome__in=SETTLED)
    written = rows.exclude(idempotency_key="").order_by("-id").values_list("idempotency_key", flat=True)
    return written.first() or ""


def _remembered(name: str) -> None:
    if name not in REMEMBERED:
        raise LookupError(f"{name!r} is forgotten with its month; add it to apps.sync.retention.REMEMBERED")


def settled_names(transaction_id: int) -> set[str]:
    """The actions of this transaction that have been done."""
    rows = Action.objects.filter(transaction_id=transaction_id, outcome__in=SETTLED)
    return set(rows.values_list("name", flat=True))


def in_doubt(subject_id: int, name: str) -> bool:
    """Whether this action was sent for the subject and nobody has seen since what became of it.

    A failure afterwards says nothing about that: it may have been the look itself that failed."""
    ids = Transaction.objects.filter(subject_id=subject_id).values_list("id", flat=True)
    rows = Action.objects.filter(transaction_id__in=list(ids), name=name, outcome__in=(*SETTLED, "unknown"))
    return rows.order_by("-id").values_list("outcome", flat=True).first() == "unknown"
