"""Intake: from the inbox to subjects. A change is only a hint; the flow reads the object itself.

Public surface: :func:`take`. A row is claimed with SKIP LOCKED and settled in one database transaction, so that a crash
leaves it for the next taker.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.utils.dateparse import parse_datetime

from apps.billing import selectors as billing
from apps.core import correlation
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync import queue
from apps.sync.models import OPEN, Plan, State, Subject, Transaction

log = structlog.get_logger(__name__)
#: ``(kind, key, flow, params)`` of the work a change asks for.
Work = tuple[str, str, str, dict[str, Any]]
IN_COLLECTION = frozenset({"posted", "issued", "part_paid", "disputed"})


def take(*, limit: int = 200) -> int:
    """Turn up to ``limit`` inbox rows into work. Returns how many were taken."""
    for count in range(limit):
        if not _take_one():
            return count
    return limit


def _take_one() -> bool:
    """One row a database transaction: a taker that held the subjects of many rows would stand in the way of the workers
    that finish them, and two takers of each other."""
    with transaction.atomic():
        rows = journal.inbox_claim(limit=1)
        for row in rows:
            with correlation.bind(row.correlation_id):
                _settle(row)
        return bool(rows)


def _settle(row: Any) -> None:
    try:
        with transaction.atomic():
            _take_row(row)
    except Exception as error:
        log.exception("inbox_row_failed", inbox_id=row.id)
        journal.inbox_failed(id=row.id, message=str(error))
    else:
        journal.inbox_done(ids=[row.id])


def _take_row(row: Any) -> None:
    system = organization.system(row.source.removeprefix("poll:"))
    for change in row.changes:
        if change.get("own_write") or change["external_id"] == "*":
            continue  # our echo, or "something of that type moved": the next poll says what
        for kind, key, flow, params in _work(system, change):
            queue.enqueue(
                kind=kind,
                key=key,
                flow=flow,
                params=params,
                trigger=row.source,
                correlation_id=row.correlation_id,
            )


def _work(system: Any, change: dict[str, Any]) -> Iterable[Work]:
    """The subjects that a change concerns; none when it tells us nothing new."""
    match system.kind, change["object_type"]:
        case "crm", "deal":
            key = f"{system.code}:{change['external_id']}"
            if not (_already_known(system, change) and _planned_since(system, change, "deal", key)):
                yield "deal", key, "deal.provision", {}
        case "crm", "customer":
            yield from _customer_work(system, change)
        case "psa", _:
            engagement_key = records.key_of(system.id, "engagement", change.get("container_id") or "")
            if engagement_key:
                yield "delivery", engagement_key, "delivery.sync", {}
        case (("billing" | "erp"), "invoice"):
            ref = records.key_of(system.id, "invoice", change["external_id"])
            prebill = billing.prebill(ref) if ref else None
            if prebill is not None and prebill.state in IN_COLLECTION:
                yield "invoice", prebill.ref, "payment.apply", {}


def _already_known(system: Any, change: dict[str, Any]) -> bool:
    """A poll repeats what a push has brought: the record as we read it is at least as new."""
    occurred = _instant(change.get("occurred_at"))
    seen = records.record(system.id, change["object_type"], change["external_id"])
    return bool(occurred and seen and seen.modified_at and seen.modified_at >= occurred)


def _planned_since(system: Any, change: dict[str, Any], kind: str, key: str) -> bool:
    """Whether the subject's own run has seen what we hold: a preview, a check before closing or another deal of the customer
    reads it too, and does nothing about it."""
    seen = records.record(system.id, change["object_type"], change["external_id"])
    plans = Plan.objects.filter(transaction__subject__kind=kind, transaction__subject__key=key)
    as_of = plans.order_by("-id").values_list("as_of", flat=True).first()
    return bool(seen and as_of and as_of >= seen.observed_at)


def _instant(value: Any) -> datetime | None:
    return parse_datetime(value) if isinstance(value, str) else value


def _customer_work(system: Any, change: dict[str, Any]) -> Iterable[Work]:
    """Our customers made of this account, and its deals that wait for a person: the fix may be in the account."""
    customer_key = f"{system.code}:{change['external_id']}"
    known = _already_known(system, change)
    for subject in Subject.objects.filter(kind="customer", key__startswith=f"{customer_key}@"):
        last = Transaction.objects.filter(subject=subject).order_by("-id").first()
        if last is None:
            continue
        if last.state == State.HELD or not (
            known and _planned_since(system, change, "customer", subject.key)
        ):
            yield "customer", subject.key, "customer.sync", {"entities": last.params.get("entities", [])}
    held = Transaction.objects.filter(
        customer_key=customer_key, state__in=OPEN, flow="deal.provision"
    ).filter(state=State.HELD)
    for found in held.select_related("subject"):
        yield "deal", found.subject.key, "deal.provision", {}
