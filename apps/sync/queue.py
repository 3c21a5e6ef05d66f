"""The queue: how work is asked for. PostgreSQL knows it, nothing is published to a broker here.

Public surface: :func:`enqueue`, :func:`lock_subject`, :func:`make_ready`, :func:`merge`; for many at once
:func:`enqueue_fresh` with :class:`Ask`, :func:`lock_all`, :func:`resume`, :func:`pin`, :func:`plan_again`, which take a fixed
number of statements. Locks are always taken in the order subject → transaction (→ case), several subjects in the order of
their ids.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from apps.core import clock, correlation
from apps.journal import services as journal
from apps.journal import transitions
from apps.sync.flows.names import PRIORITIES
from apps.sync.models import FINISHED, OPEN, State, Subject, Transaction


def enqueue(
    *,
    kind: str,
    key: str,
    flow: str,
    trigger: str,
    params: dict[str, Any] | None = None,
    correlation_id: uuid.UUID | str | None = None,
    by: Any = None,
    why: str = "",
    expected_digest: str = "",
    legal_entity_id: int | None = None,
) -> Transaction:
    """Ask for ``flow`` on a subject. There is at most one open transaction per subject and flow: a second request joins it
    (waiting for a person or a step → planned again; running → planned again afterwards), and a dead letter comes back to
    life: parents wait for that very transaction. ``legal_entity_id`` says in whose turn it is worked on, where the caller
    knows it before the plan does. Returns the open transaction."""
    with transaction.atomic():
        subject = lock_subject(kind, key, priority=PRIORITIES[flow], legal_entity_id=legal_entity_id)
        rows = Transaction.objects.filter(subject=subject, flow=flow)
        found = rows.filter(state__in=OPEN).select_for_update().first() or _dead_letter(rows)
        if found is None:
            found = Transaction.objects.create(
                ref=journal.next_ref("TX", year=True),
                subject=subject,
                flow=flow,
                trigger=trigger,
                params=params or {},
                expected_digest=expected_digest,
                correlation_id=correlation_id or correlation.current(),
                created_at=clock.now(),
            )
            journal.record(
                verb="transaction.created",
                object_type="transaction",
                object_ref=found.ref,
                by=by,
                new={"flow": flow, "subject": str(subject), "trigger": trigger},
                why=why,
                correlation_id=str(found.correlation_id),
            )
        else:
            _join(
                found,
                params or {},
                by=by,
                why=why or f"Asked for again: {trigger}.",
                expected_digest=expected_digest,
            )
            journal.record(
                verb="transaction.joined",
                object_type="transaction",
                object_ref=found.ref,
                by=by,
                legal_entity_id=found.legal_entity_id,
                engagement_key=found.engagement_key,
                new={"trigger": trigger},
                why=why,
                correlation_id=str(correlation_id or correlation.current()),
            )
        make_ready(subject.id)
        return found


@dataclass(frozen=True)
class Ask:
    """What :func:`enqueue` is told, as a value."""

    kind: str
    key: str
    flow: str
    trigger: str
    params: dict[str, Any]
    correlation_id: str
    legal_entity_id: int | None = None


def enqueue_fresh(asks: Sequence[Ask]) -> list[Ask]:
    """Ask for many at once where there is nothing to join; a handful of statements for all. Call inside ``atomic``.

    Returns those that must be asked for one by one: another request of the batch has the subject, something is open or dead
    there, or somebody holds its row. It never waits for a row, so it cannot meet others crosswise."""
    first: dict[tuple[str, str], Ask] = {}
    for ask in asks:
        first.setdefault((ask.kind, ask.key), ask)
    ids = _lock_free(first)
    known = _last_states(ids.values())
    fresh = [ask for at, ask in first.items() if at in ids and _is_fresh(known.get((ids[at], ask.flow)))]
    refs = journal.next_refs("TX", year=True, count=len(fresh)) if fresh else []
    now = clock.now()
    made = [
        Transaction(
            ref=ref,
            subject_id=ids[ask.kind, ask.key],
            flow=ask.flow,
            trigger=ask.trigger,
            params=ask.params,
            correlation_id=ask.correlation_id,
            created_at=now,
        )
        for ref, ask in zip(refs, fresh, strict=True)
    ]
    Transaction.objects.bulk_create(made)
    journal.record_many(
        rows=[
            {
                "verb": "transaction.created",
                "object_type": "transaction",
                "object_ref": ref,
                "new": {"flow": ask.flow, "subject": f"{ask.kind}:{ask.key}", "trigger": ask.trigger},
                "correlation_id": str(ask.correlation_id),
            }
            for ref, ask in zip(refs, fresh, strict=True)
        ]
    )
    make_ready(*(row.subject_id for row in made))
    taken = {id(ask) for ask in fresh}
    return [ask for ask in asks if id(ask) not in taken]


def _lock_free(wanted: Mapping[tuple[str, str], Ask]) -> dict[tuple[str, str], int]:
    """The subjects, made where missing, whose rows nobody holds: now we do. Made in one order, as everybody makes them."""
    at = sorted(wanted)
    Subject.objects.bulk_create(
        [
            Subject(
                kind=kind,
                key=key,
                priority=PRIORITIES[wanted[kind, key].flow],
                legal_entity_id=wanted[kind, key].legal_entity_id,
                troubled=False,
            )
            for kind, key in at
        ],
        ignore_conflicts=True,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id, s.kind, s.key FROM sync_subject s JOIN unnest(%s::text[], %s::text[]) AS wanted(kind, key)"
            " ON s.kind = wanted.kind AND s.key = wanted.key FOR UPDATE OF s SKIP LOCKED",
            [[kind for kind, _ in at], [key for _, key in at]],
        )
        return {(row[1], row[2]): row[0] for row in cursor.fetchall()}


def _last_states(subject_ids: Iterable[int]) -> dict[tuple[int, str], str]:
    """The state of the last transaction of each flow; at most one is open, and none is made behind an open one."""
    rows = Transaction.objects.filter(subject_id__in=list(subject_ids)).order_by("subject_id", "flow", "-id")
    found = rows.distinct("subject_id", "flow").values_list("subject_id", "flow", "state")
    return {(subject_id, flow): state for subject_id, flow, state in found}


def _is_fresh(last: str | None) -> bool:
    return last is None or (last in FINISHED and last != State.DEAD)


def _dead_letter(rows: QuerySet[Transaction]) -> Transaction | None:
    last = rows.order_by("-id").select_for_update().first()
    return last if last is not None and last.state == State.DEAD else None


def lock_subject(kind: str, key: str, *, priority: int = 5, legal_entity_id: int | None = None) -> Subject:
    """The subject's row, created if need be, locked until the end of the database transaction."""
    made = Subject(kind=kind, key=key, priority=priority, legal_entity_id=legal_entity_id, troubled=False)
    Subject.objects.bulk_create([made], ignore_conflicts=True)
    subject = Subject.objects.select_for_update().get(kind=kind, key=key)
    if legal_entity_id is not None and subject.legal_entity_id is None:
        subject.legal_entity_id = legal_entity_id
        subject.save(update_fields=["legal_entity"])
    return subject


def _join(
    found: Transaction, params: dict[str, Any], *, by: Any, why: str, expected_digest: str = ""
) -> None:
    merged = merge(found.params, params)
    if merged != found.params:
        found.params = merged
        found.save(update_fields=["params"])
    if found.state == State.RUNNING:
        found.again = True
        found.save(update_fields=["again"])
    elif found.state in (State.WAITING, State.HELD, State.SUGGESTED):
        fields: dict[str, Any] = {"attempts": 0, "again": False, "expected_digest": expected_digest}
        transitions.move(found, to=State.PENDING, by=by, why=why, **fields)
    elif found.state == State.DEAD:
        fresh: dict[str, Any] = {
            "attempts": 0,
            "not_before": None,
            "finished_at": None,
            "expected_digest": expected_digest,
        }
        transitions.move(found, to=State.PENDING, by=by, why=why, **fresh)


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Lists are united, other values replaced."""
    merged = dict(old)
    for name, value in new.items():
        if isinstance(value, list):
            merged[name] = sorted({*merged.get(name, []), *value})
        else:
            merged[name] = value
    return merged


def make_ready(*subject_ids: int) -> None:
    """The subjects are due now, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_subject SET ready_at = least(coalesce(ready_at, now()), now()), asked = asked + 1"
            " WHERE id = ANY(%s)",
            [list(subject_ids)],
        )


# ---- Many at once ---------------------------------------------------------------------------------------------------


def lock_all(transaction_ids: Iterable[int]) -> list[Transaction]:
    """These transactions and whatever is open beside them (same subject), oldest first, locked with their subjects until
    the end of the database transaction."""
    ids = list(transaction_ids)
    subjects = set(Transaction.objects.filter(id__in=ids).values_list("subject_id", flat=True))
    locked = Subject.objects.select_for_update().order_by("id").in_bulk(list(subjects))
    rows = Transaction.objects.select_for_update().filter(
        Q(id__in=ids) | Q(subject_id__in=list(locked), state__in=OPEN)
    )
    found = list(rows.order_by("id"))
    for row in found:
        row.subject = locked[row.subject_id]
    return found


def resume(
    rows: Sequence[Transaction], *, by: Any, why: str, digests: Mapping[int, str], **fields: Any
) -> None:
    """Locked transactions at rest are to run again, each as the plan of its digest ("" or absent: whatever it plans)."""
    ids = [row.pk for row in rows]
    pin({pk: digests.get(pk, "") for pk in ids})
    values = {"attempts": 0, "not_before": None, "finished_at": None, **fields}
    transitions.move_many(Transaction.objects.filter(pk__in=ids), to=State.PENDING, by=by, why=why, **values)
    make_ready(*(row.subject_id for row in rows))


def pin(digests: Mapping[int, str]) -> None:
    """Locked transactions are carried out as the plan of their digest only ("": whatever they plan)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sync_transaction AS t SET expected_digest = given.digest"
            " FROM unnest(%s::bigint[], %s::text[]) AS given (id, digest) WHERE t.id = given.id",
            [list(digests), list(digests.values())],
        )


def plan_again(*, transaction_ids: Iterable[int], trigger: str, why: str) -> int:
    """:func:`enqueue` for the work of many transactions: what is open is joined in bulk, what has ended is asked for anew.

    Returns how many were asked for. Call it inside a database transaction when its locks shall last."""
    wanted = set(transaction_ids)
    with transaction.atomic():
        locked = lock_all(wanted)
        open_ones = {(row.subject_id, row.flow): row for row in locked if row.state in OPEN}
        asked = {(row.subject_id, row.flow): row for row in locked if row.pk in wanted}
        joined = [open_ones[key] for key in asked if key in open_ones]
        resume(
            [row for row in joined if row.state in (State.WAITING, State.HELD, State.SUGGESTED)],
            by=None,
            why=why,
            digests={},
            again=False,
        )
        running = [row.pk for row in joined if row.state == State.RUNNING]
        Transaction.objects.filter(pk__in=running).update(again=True)
        make_ready(*(row.subject_id for row in joined))
        journal.record_many(rows=[_joined(row, trigger, why) for row in joined])
        for key, row in asked.items():
            if key not in open_ones:
                enqueue(kind=row.subject.kind, key=row.subject.key, flow=row.flow, trigger=trigger, why=why)
    return len(asked)


def _joined(row: Transaction, trigger: str, why: str) -> dict[str, Any]:
    return {
        "verb": "transaction.joined",
        "object_type": "transaction",
        "object_ref": row.ref,
        "legal_entity_id": row.legal_entity_id,
        "engagement_key": row.engagement_key,
        "new": {"trigger": trigger},
        "why": why,
    }
