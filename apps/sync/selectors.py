"""Reads of sync for screens and other rooms: transactions, their waterfall, health.

Public surface: :func:`transactions`, :func:`listed`, :func:`transaction_detail`, :func:`waterfall`, :func:`payload`,
:func:`health`, :func:`ended`, :func:`facets`, :func:`ids_of`, :func:`subjects_named`, :func:`for_engagement`,
:func:`for_subject`, :func:`last_plan`, :func:`at_rest`, :func:`in_doubt`, :func:`is_about`, :func:`edits_of_subject`,
:func:`poll_state`, :func:`waiting_for`, :func:`waited_for`, :class:`Waiting`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Reverse

from apps.canonical.objects import OBJECTS
from apps.core.errors import NotFound
from apps.core.scope import Scope
from apps.journal import counters
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync import decisions, payloads
from apps.sync.figures import Health as Health
from apps.sync.figures import ended as ended
from apps.sync.figures import health as health
from apps.sync.flows.matching import push_key
from apps.sync.models import (
    STATE_GROUPS,
    TRANSACTIONS,
    Action,
    Dependency,
    Payload,
    Plan,
    PollCursor,
    State,
    Subject,
    Transaction,
)
from apps.sync.waiting import Waiting as Waiting
from apps.sync.waiting import waited_for as waited_for
from apps.sync.waiting import waiting_for as waiting_for

#: What is searched by one business key is found in so many systems and kinds at most.
MOST_SUBJECTS = 50


def transactions(scope: Scope) -> QuerySet[Transaction]:
    """All that the scope may see, newest first, ready to be listed without further queries."""
    return Transaction.objects.within(scope).select_related("legal_entity", "subject").order_by("-id")


#: What a row of the list shows.
_LISTED = (
    "id", "ref", "label", "subject__key", "reason", "customer", "flow", "state", "legal_entity__code", "amount", "currency",
    "attempts", "created_at",
)  # fmt: skip


def listed(rows: QuerySet[Transaction]) -> QuerySet[Any]:
    """The same transactions as named tuples of what a list shows: no model is made of a row that is only read."""
    return rows.values_list(*_LISTED, named=True)


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


def ids_of(ref: str) -> list[int]:
    """The id of the transaction with this reference, for rooms that keep the id; no scope: an id says nothing."""
    return list(Transaction.objects.filter(ref=ref).values_list("id", flat=True))


def subjects_named(text: str) -> list[tuple[int, str, str]]:
    """``(id, kind, key)`` of subjects whose key is the text, or ends with it after a colon (an id as its system shows it). By
    an index; no scope: an id says nothing. The same key in :data:`MOST_SUBJECTS` systems and kinds at most."""
    rows = Subject.objects.annotate(backwards=Reverse("key"))
    found = Q(backwards=text[::-1]) | Q(backwards__startswith=f"{text[::-1]}:")
    return list(rows.filter(found).order_by("id").values_list("id", "kind", "key")[:MOST_SUBJECTS])


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


def at_rest(ids: Collection[int]) -> set[int]:
    """Those of these transactions that do not go on by themselves."""
    moving = (State.PENDING, State.RUNNING, State.WAITING, State.RETRYING)
    rows = Transaction.objects.filter(pk__in=ids).exclude(state__in=moving)
    return set(rows.values_list("pk", flat=True))


def in_doubt(ids: Collection[int]) -> dict[int, list[str]]:
    """Of these transactions, those whose subject has writes with an unknown outcome, with the names of these steps."""
    rows = Transaction.objects.filter(pk__in=ids).exclude(subject__in_doubt=[])
    return dict(rows.values_list("pk", "subject__in_doubt"))


def is_about(transaction_id: int, *, system: Any, object_type: str, external_id: str) -> bool:
    """Whether a record is what a transaction is about: its subject, its customer or something of its engagement, by the
    record's own key or by a link."""
    row = Transaction.objects.select_related("subject").get(pk=transaction_id)
    own = {row.subject.key, row.subject.key.partition("@")[0], row.engagement_key}
    if row.customer_key:
        own |= {row.customer_key, push_key(row.customer_key)}
    seen = records.record(system.pk, object_type, external_id)
    keys = {f"{system.code}:{external_id}", records.key_of(system.pk, object_type, external_id)}
    if seen is not None:
        keys |= {seen.key, seen.engagement_key}
    return bool((own & keys) - {"", None})


@dataclass(frozen=True)
class Facets:
    """How many transactions each choice of a filter leaves, the other filters as they are; ``total`` is under all of them."""

    states: Mapping[str, int]
    flows: Mapping[str, int]
    entities: Mapping[int, int]
    total: int


def facets(scope: Scope, *, state: str = "", flow: str = "", legal_entity_id: int | None = None) -> Facets:
    """From the counter tables; ``state`` may be a group (``open``, ``attention``), as in the list's filter."""
    found = counters.totals(TRANSACTIONS, scope, Transaction.objects.all())
    given: dict[int, frozenset[str]] = {}
    if state:
        given[0] = frozenset(str(one) for one in STATE_GROUPS.get(state, (state,)))
    if flow:
        given[1] = frozenset({flow})
    here = found
    if legal_entity_id is not None:
        here = [one for one in found if one.legal_entity_id == legal_entity_id]
    states = counters.summed(here, 0, given=given)
    groups = {name: sum(states.get(one, 0) for one in of) for name, of in STATE_GROUPS.items()}
    wanted = found
    for at, values in given.items():
        wanted = [one for one in wanted if one.keys[at] in values]
    by_entity: dict[int | None, int] = {}
    for entity_id, _, number in wanted:
        by_entity[entity_id] = by_entity.get(entity_id, 0) + number
    total = sum(by_entity.values()) if legal_entity_id is None else by_entity.get(legal_entity_id, 0)
    entities = {entity_id: number for entity_id, number in by_entity.items() if entity_id is not None}
    return Facets({**states, **groups}, counters.summed(here, 1, given=given), entities, total)


def edits_of_subject(kind: str, key: str) -> list[decisions.Edit]:
    """What people have filled in for a subject, and whether it still counts against what its source last showed."""
    held = (
        Subject.objects.filter(kind=kind, key=key).exclude(decisions={}).values_list("decisions", flat=True)
    )
    decided = held.first()
    if not decided:
        return []
    system, _, external_id = key.partition(":")
    seen = records.record(organization.system(system).pk, kind, external_id) if external_id else None
    body = OBJECTS[kind].model_validate(seen.body) if seen is not None and kind in OBJECTS else None
    return decisions.edits_of(kind, body, decided)


def poll_state() -> list[PollCursor]:
    """Where each poll stands, for the systems screen."""
    return list(PollCursor.objects.select_related("system").order_by("system__code", "object_type"))
