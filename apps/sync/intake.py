"""Intake: from the inbox to subjects. A change is only a hint; the flow reads the object itself.

Public surface: :func:`take`. A row is claimed with SKIP LOCKED and settled in one database transaction, so that a crash
leaves it for the next taker.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, transaction
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
#: So long after its beginning a second of another system's clock is over.
SETTLED = timedelta(seconds=2)
#: What is paid is looked at as well: money can be taken back.
IN_COLLECTION = frozenset({"posted", "issued", "part_paid", "paid", "disputed"})


def take(*, limit: int = 200) -> int:
    """Turn up to ``limit`` inbox rows into work. Returns how many were taken.

    Most events are the first about their subject: they are settled a batch at a time. The others, and every row of a batch in
    which something failed, are settled one by one. Every second batch begins with the newest: what comes in behind a backlog
    of a hundred thousand is seen at once; a change is only a hint, so the order of taking it in does not matter."""
    count = 0
    while count < limit:
        taken, alone = _take_batch(min(BATCH, limit - count), newest=next(_turns) % 2 == 1)
        for inbox_id in alone:
            taken += _take_alone(inbox_id)
        count += taken
        if not taken:
            break
    return count


BATCH = 100
_turns = itertools.count()


def _take_batch(limit: int, *, newest: bool) -> tuple[int, list[int]]:
    """``(settled, ids of rows to settle one by one)``. It never waits for a subject that somebody holds."""
    rows: list[Any] = []
    try:
        with transaction.atomic():
            rows = journal.inbox_claim(limit=limit, newest=newest)
            if not rows:
                return 0, []
            shown = _Shown(rows)
            asks = {row.id: list(_asks(row, shown)) for row in rows}
            left = {id(ask) for ask in queue.enqueue_fresh([ask for many in asks.values() for ask in many])}
            alone = [row.id for row in rows if any(id(ask) in left for ask in asks[row.id])]
            done = [row.id for row in rows if row.id not in set(alone)]
            if done:
                journal.inbox_done(ids=done)
            return len(done), alone
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001 - settled one by one below, where the row that failed is known and said
        log.warning("inbox_batch_failed", rows=len(rows))
        return 0, [row.id for row in rows]


def _take_alone(inbox_id: int) -> bool:
    """One row a database transaction: a taker that held the subjects of many rows would stand in the way of the workers
    that finish them, and two takers of each other."""
    with transaction.atomic():
        rows = journal.inbox_claim(limit=1, ids=[inbox_id])
        for row in rows:
            with correlation.bind(row.correlation_id):
                _settle(row)
        return bool(rows)


def _settle(row: Any) -> None:
    try:
        with transaction.atomic():
            for ask in _asks(row, _Shown([row])):
                queue.enqueue(
                    kind=ask.kind,
                    key=ask.key,
                    flow=ask.flow,
                    params=ask.params,
                    trigger=ask.trigger,
                    correlation_id=ask.correlation_id,
                    legal_entity_id=ask.legal_entity_id,
                )
    except Exception as error:
        log.exception("inbox_row_failed", inbox_id=row.id)
        journal.inbox_failed(id=row.id, message=str(error))
    else:
        journal.inbox_done(ids=[row.id])


class _Shown:
    """What the systems and objects of some inbox rows are to us: read once for all of them."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.systems: dict[str, Any] = {}
        self.entities: dict[str, int | None] = {}
        self._rows = rows
        self._modified: dict[tuple[int, str, str], datetime | None] | None = None

    def system(self, source: str) -> Any:
        code = source.removeprefix("poll:")
        if code not in self.systems:
            self.systems[code] = organization.system(code)
        return self.systems[code]

    def entity_id(self, code: str) -> int | None:
        if code not in self.entities:
            found = organization.entity(code) if code else None
            self.entities[code] = found.id if found is not None else None
        return self.entities[code]

    def modified_at(self, system: Any, change: Mapping[str, Any]) -> datetime | None:
        if self._modified is None:
            self._modified = records.modified_at(
                (self.system(row.source).id, one["object_type"], one["external_id"])
                for row in self._rows
                for one in row.changes
            )
        return self._modified.get((system.id, change["object_type"], change["external_id"]))


def _asks(row: Any, shown: _Shown) -> Iterable[queue.Ask]:
    system = shown.system(row.source)
    for change in row.changes:
        if change.get("own_write") or change["external_id"] == "*":
            continue  # our echo, or "something of that type moved": the next poll says what
        for kind, key, flow, params in _work(system, change, shown):
            yield queue.Ask(
                kind=kind,
                key=key,
                flow=flow,
                params=params,
                trigger=row.source,
                correlation_id=str(row.correlation_id),
                legal_entity_id=shown.entity_id(change.get("legal_entity_code") or ""),
            )


def _work(system: Any, change: Mapping[str, Any], shown: _Shown) -> Iterable[Work]:
    """The subjects that a change concerns; none when it tells us nothing new."""
    match system.kind, change["object_type"]:
        case "crm", "deal":
            key = f"{system.code}:{change['external_id']}"
            if not (_already_known(system, change, shown) and _planned_since(system, change, "deal", key)):
                yield "deal", key, "deal.provision", {}
        case "crm", "customer":
            yield from _customer_work(system, change, shown)
        case "erp", "customer":
            yield from _ledger_customer_work(system, change, shown)
        case "psa", "engagement":
            yield from _project_work(system, change)
        case "psa", _:
            engagement_key = _delivered_on(system, change)
            if engagement_key:
                # No list tells what is not there any more: only a reading of everything does.
                gone = str(change.get("event_type") or "").endswith(":deleted")
                yield "delivery", engagement_key, "delivery.sync", {"full": True} if gone else {}
        case (("billing" | "erp"), "invoice"):
            ref = records.key_of(system.id, "invoice", change["external_id"])
            prebill = billing.prebill(ref) if ref else None
            if prebill is not None and prebill.state in IN_COLLECTION:
                yield "invoice", prebill.ref, "payment.apply", {}
            if prebill is not None and _is_held("invoice", prebill.ref, "invoice.sync"):
                yield "invoice", prebill.ref, "invoice.sync", {}  # the fix may be in the invoice
        case "billing", "dispute":
            yield "dispute", f"{system.code}:{change['external_id']}", "dispute.take", {}
        case "billing", "customer":
            # A register has answered about the tax id of one of our customers.
            customer_key = records.key_of(system.id, "customer", change["external_id"])
            if customer_key is not None:
                yield "tax_id", f"{customer_key}@{system.code}", "taxid.check", {}
        case "erp", "receipt":
            # What we have applied ourselves is applied; a payment of a customer of ours may be for anything.
            ours = records.key_of(system.id, "payment", change["external_id"]) is not None
            if not ours and records.key_of(system.id, "customer", change.get("container_id") or ""):
                yield "receipt", f"{system.code}:{change['external_id']}", "receipt.match", {}


def _delivered_on(system: Any, change: Mapping[str, Any]) -> str:
    """The engagement of a milestone or time entry, "" when unknown; news of a deletion may not name the project."""
    if found := records.key_of(system.id, "engagement", change.get("container_id") or ""):
        return found
    seen = records.record(system.id, change["object_type"], change["external_id"])
    return seen.engagement_key if seen is not None else ""


def _project_work(system: Any, change: Mapping[str, Any]) -> Iterable[Work]:
    """A project that carries our reference and is not the one we hold was made a second time: everything is read again, which
    finds both. So it is when that may be settled. Before there is a link the first reading looks for others."""
    seen = records.record(system.id, "engagement", change["external_id"])
    key = change.get("key") or (seen.key if seen is not None else "")
    ours = records.find_link("engagement", key, system.id) if key else None
    if ours is None:
        return
    if ours.external_id != change["external_id"] or _is_held("delivery", key, "delivery.sync"):
        yield "delivery", key, "delivery.sync", {"full": True}


def _already_known(system: Any, change: Mapping[str, Any], shown: _Shown) -> bool:
    """A poll repeats what a push has brought: the record as we read it is at least as new."""
    occurred = _instant(change.get("occurred_at"))
    modified = shown.modified_at(system, change)
    return bool(occurred and modified and modified >= occurred)


def _planned_since(system: Any, change: Mapping[str, Any], kind: str, key: str) -> bool:
    """Whether the subject's own run has seen what we hold: a preview, a check before closing or another deal of the customer
    reads it too, and does nothing about it."""
    seen = records.record(system.id, change["object_type"], change["external_id"])
    plans = Plan.objects.filter(transaction__subject__kind=kind, transaction__subject__key=key)
    as_of = plans.order_by("-id").values_list("as_of", flat=True).first()
    return bool(seen and as_of and as_of >= seen.observed_at and _read_after(change, seen))


def _read_after(change: Mapping[str, Any], seen: Any) -> bool:
    """A stamp in whole seconds stands for every change within its second: what was read before that second was over may
    lack the last of them."""
    occurred = _instant(change.get("occurred_at"))
    if occurred is None or occurred.microsecond or seen.modified_at > occurred:
        return True
    return bool(seen.observed_at >= occurred + SETTLED)


def _is_held(kind: str, key: str, flow: str) -> bool:
    rows = Transaction.objects.filter(subject__kind=kind, subject__key=key, flow=flow, state=State.HELD)
    return rows.exists()


def _instant(value: Any) -> datetime | None:
    return parse_datetime(value) if isinstance(value, str) else value


def _customer_work(system: Any, change: Mapping[str, Any], shown: _Shown) -> Iterable[Work]:
    """Our customers made of this account, and its deals that wait for a person: the fix may be in the account."""
    customer_key = f"{system.code}:{change['external_id']}"
    known = _already_known(system, change, shown)
    for subject in Subject.objects.filter(kind="customer", key__startswith=f"{customer_key}@"):
        last = Transaction.objects.filter(subject=subject).order_by("-id").first()
        if last is None:
            continue
        if last.state == State.HELD or not (
            known and _planned_since(system, change, "customer", subject.key)
        ):
            yield "customer", subject.key, "customer.sync", {"entities": _sellers(subject)}
    for subject in Subject.objects.filter(kind="tax_id", key__startswith=f"{customer_key}@"):
        if not (known and _planned_since(system, change, "tax_id", subject.key)):
            yield "tax_id", subject.key, "taxid.check", {}
    held = Transaction.objects.filter(
        customer_key=customer_key, state__in=OPEN, flow="deal.provision"
    ).filter(state=State.HELD)
    for found in held.select_related("subject"):
        yield "deal", found.subject.key, "deal.provision", {}


def _ledger_customer_work(system: Any, change: Mapping[str, Any], shown: _Shown) -> Iterable[Work]:
    """The ERP's record of a customer of ours moved: what the CRM owns is corrected, the rest is told. That we have made it
    ourselves is told once as well; it is read then, and writes nothing."""
    key = records.key_of(system.id, "customer", change["external_id"])
    subject = Subject.objects.filter(kind="customer", key=f"{key}@{system.code}").first() if key else None
    if subject is None:
        return
    known = _already_known(system, change, shown) and _planned_since(system, change, "customer", subject.key)
    if not known or _is_held("customer", subject.key, "customer.sync"):
        yield "customer", subject.key, "customer.sync", {"entities": _sellers(subject)}


def _sellers(subject: Subject) -> list[str]:
    """Codes of every legal entity that has ever asked for this customer: its last run may have been for one of them."""
    rows = Transaction.objects.filter(subject=subject, flow="customer.sync").order_by()
    asked = rows.values_list("params__entities", flat=True).distinct()
    return sorted({code for codes in asked for code in codes or []})
