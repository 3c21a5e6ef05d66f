"""The action journal: one appended row per attempt of an action, written together with what follows from it.

Public surface: :func:`append`, :class:`Entry`, :func:`store_plan`, :func:`settled_names`, :func:`was_settled`,
:func:`last_key`. A row is written only while the
lease is ours (fencing), in one short database transaction with the cross-reference it proves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from apps.core import clock, statements
from apps.governance import selectors as governance
from apps.records import services as records
from apps.sync import outcomes, payloads
from apps.sync.leases import Lease, LeaseLost
from apps.sync.models import Action, Gate, Transaction
from apps.sync.plans import Draft, PlannedAction
from apps.sync.retention import REMEMBERED, SETTLED


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
    lease: Lease,
    transaction: Transaction,
    plan_id: int | None,
    seq: int,
    action: PlannedAction,
    entry: Entry,
    *,
    link: Mapping[str, Any] | None = None,
) -> bool:
    """Append one row, in one statement with the renewal of the lease and the cross-reference (arguments of ``records.link``)
    that it proves. True if that link is new. Raises ``LeaseLost`` when the subject is no longer ours.

    What was sent with unknown outcome is remembered with the subject until a later row settles it."""
    asked_at, now = time.monotonic(), clock.now()
    row = {
        "subject": lease.subject_id,
        "fence": lease.token,
        "settled": entry.outcome in SETTLED,
        "unknown": entry.outcome == "unknown",
        "at": now,
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
        "correlation_id": transaction.correlation_id,
        **payloads.packed(entry.exchange, now).row(),
        **({} if link is None else records.link_row(**link)),
    }
    new = outcomes.write(row)
    lease.good_until = max(lease.good_until, asked_at + settings.SYNC_LEASE_SECONDS)
    return new


_PLAN = """
WITH held AS (
    UPDATE sync_subject SET lease_until = greatest(lease_until, now() + make_interval(secs => %(seconds)s)),
        legal_entity_id = coalesce(%(legal_entity)s, legal_entity_id), engagement_key = coalesce(nullif(%(engagement)s, ''),
        engagement_key)
    WHERE id = %(subject)s AND lease_token = %(fence)s RETURNING id
), described AS (
    UPDATE sync_transaction SET label = %(label)s, customer = %(customer)s, customer_key = %(customer_key)s,
        legal_entity_id = %(legal_entity)s, engagement_key = %(engagement)s, currency = %(currency)s, amount = %(amount)s
    WHERE id = %(transaction)s AND EXISTS (SELECT 1 FROM held)
)
INSERT INTO sync_plan (transaction_id, digest, actions, problems, governance_version, as_of, created_at)
SELECT %(transaction)s, %(digest)s, %(actions)s::jsonb, %(problems)s::jsonb, {version}, %(as_of)s, now() FROM held
RETURNING id, (SELECT mode FROM sync_gate WHERE legal_entity_id = %(legal_entity)s AND flow = %(flow)s)
"""
_PLAN_TEXT = _PLAN.format(version=governance.VERSION_SQL)


def store_plan(
    lease: Lease, transaction: Transaction, draft: Draft, *, digest: str, as_of: datetime
) -> tuple[int, str]:
    """Keep a plan and what it says of its transaction; ``(id, mode of the apply gate)``. Raises ``LeaseLost``."""
    asked_at = time.monotonic()
    stored = statements.rows(
        _PLAN_TEXT,
        {
            "seconds": settings.SYNC_LEASE_SECONDS,
            "subject": lease.subject_id,
            "fence": lease.token,
            "transaction": transaction.id,
            "flow": transaction.flow,
            "label": transaction.label,
            "customer": transaction.customer,
            "customer_key": transaction.customer_key,
            "legal_entity": transaction.legal_entity_id,
            "engagement": transaction.engagement_key,
            "currency": transaction.currency,
            "amount": transaction.amount,
            "digest": digest,
            "actions": draft.actions_text,
            "problems": draft.problems_text,
            "as_of": as_of,
        },
    )
    if not stored:
        raise LeaseLost
    lease.good_until = max(lease.good_until, asked_at + settings.SYNC_LEASE_SECONDS)
    return stored[0][0], stored[0][1] or Gate.Mode.OFF.value


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
