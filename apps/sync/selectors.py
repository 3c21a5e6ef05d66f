"""Reads of sync for screens and other rooms: transactions, their waterfall, health.

Public surface: :func:`transactions`, :func:`transaction_detail`, :func:`waterfall`, :func:`payload`, :func:`health`,
:func:`for_engagement`, :func:`for_subject`, :func:`last_plan`, :func:`poll_state`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, QuerySet

from apps.core import clock
from apps.core.errors import NotFound
from apps.core.scope import Scope
from apps.sync import payloads
from apps.sync.models import FINISHED, OPEN, Action, Dependency, Payload, Plan, PollCursor, State, Transaction


def transactions(scope: Scope) -> QuerySet[Transaction]:
    """All that the scope may see, newest first, ready to be listed without further queries."""
    return Transaction.objects.within(scope).select_related("legal_entity", "subject").order_by("-id")


def transaction_detail(scope: Scope, ref: str) -> Transaction:
    """One transaction by its reference. Raises :class:`NotFound`, also when it is out of scope."""
    found = transactions(scope).filter(ref=ref).first()
    if found is None:
        raise NotFound("There is no such transaction, or you may not see it.")
    return found


@dataclass(frozen=True)
class Bar:
    """One attempt in the waterfall; ``offset`` and ``width`` are percent of the whole span."""

    attempt: Action
    offset: float
    width: float
    retry: int
    child: Transaction | None = None


def waterfall(transaction: Transaction) -> list[Bar]:
    """Every attempt in order, placed on one time axis. One query, plus one for the children."""
    since = transaction.created_at - timedelta(days=1)
    attempts = list(
        Action.objects.filter(transaction_id=transaction.id, created_at__gte=since).order_by("id")
    )
    if not attempts:
        return []
    children = {
        row.action: row.child for row in Dependency.objects.filter(parent=transaction).select_related("child")
    }
    start = min(attempt.started_at for attempt in attempts)
    end = max(attempt.created_at for attempt in attempts)
    span = max((end - start).total_seconds(), 0.001)
    seen: dict[str, int] = {}
    bars = []
    for attempt in attempts:
        seen[attempt.name] = seen.get(attempt.name, 0) + 1
        offset = (attempt.started_at - start).total_seconds() / span * 100
        width = (attempt.created_at - attempt.started_at).total_seconds() / span * 100
        bars.append(
            Bar(
                attempt,
                round(offset, 2),
                round(max(width, 0.6), 2),
                seen[attempt.name],
                children.get(attempt.name),
            )
        )
    return bars


def payload(transaction: Transaction, attempt_id: int) -> dict[str, Any]:
    """The redacted exchange of one of this transaction's attempts. Raises :class:`NotFound`, also once it is dropped."""
    attempt = Action.objects.filter(transaction_id=transaction.id, id=attempt_id).first()
    if attempt is None or not attempt.has_payload:
        raise NotFound("There is no such payload.")
    if attempt.payload_digest is not None:
        found = payloads.body_of(bytes(attempt.payload_digest), attempt.created_at)
    else:
        former = Payload.objects.filter(pk=attempt.payload_id or 0, created_at=attempt.created_at)
        found = former.values_list("exchange", flat=True).first()
    if found is None:
        raise NotFound("Request and answer of this attempt are not kept any longer.")
    return found


def last_plan(transaction: Transaction) -> Plan | None:
    return transaction.plans.order_by("-id").first()


def for_engagement(scope: Scope, engagement_key: str) -> list[Transaction]:
    """Everything that ran for an engagement, oldest first."""
    return list(transactions(scope).filter(engagement_key=engagement_key).order_by("id")[:500])


def for_subject(kind: str, key: str, flow: str = "") -> Transaction | None:
    """The newest transaction of a subject (of one flow)."""
    rows = (
        Transaction.objects.filter(subject__kind=kind, subject__key=key)
        .select_related("subject")
        .order_by("-id")
    )
    return (rows.filter(flow=flow) if flow else rows).first()


@dataclass(frozen=True)
class Health:
    """Counts of open transactions by state, and of those finished in the last 24 hours; latency in seconds."""

    open: dict[str, int]
    finished: dict[str, int]
    median_seconds: float | None
    p90_seconds: float | None


def health(scope: Scope) -> Health:
    """How the engine does, for the home screen. Three queries."""
    rows = Transaction.objects.within(scope)
    day = clock.now() - timedelta(hours=24)
    open_counts = dict(rows.filter(state__in=OPEN).values_list("state").annotate(Count("id")).order_by())
    finished = dict(
        rows.filter(state__in=FINISHED, finished_at__gte=day)
        .values_list("state")
        .annotate(Count("id"))
        .order_by()
    )
    rows_done = rows.filter(state=State.SUCCEEDED, finished_at__gte=day).values_list(
        "created_at", "finished_at"
    )[:5000]
    spans = sorted((end - start).total_seconds() for start, end in rows_done if end is not None)
    return Health(open_counts, finished, _quantile(spans, 0.5), _quantile(spans, 0.9))


def _quantile(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def poll_state() -> list[PollCursor]:
    """Where each poll stands, for the systems screen."""
    return list(PollCursor.objects.select_related("system").order_by("system__code", "object_type"))
