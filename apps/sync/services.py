"""Verbs of sync: ask for work, preview it, replay it, cancel it, check a deal before it closes.

Public surface: :func:`enqueue`, :func:`plan_again`, :func:`preview`, :func:`preview_some`, :func:`read_token`,
:func:`replay`, :func:`run_as_shown`, :func:`hold_still`, :func:`cancel`, :func:`deal_validate`, :func:`gate`,
:func:`gate_set`, :func:`wake_transaction`, :func:`decide`, :func:`look_up`, :func:`look_up_doubts`,
:class:`ProposedMapping` (what an overlay is made of).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core import signing
from django.db import transaction

from apps.connectors.spi import AdapterError
from apps.core import clock, hooks
from apps.core.errors import AppError, InvalidInput, NotAllowed, NotFound, Stale, WrongState
from apps.governance.selectors import ProposedMapping
from apps.journal import services as journal
from apps.journal import transitions
from apps.organization import selectors as organization
from apps.sync import children, decisions, doubts, gates, queue
from apps.sync.apply import fact_of
from apps.sync.closing import deal_validate
from apps.sync.flows import FLOWS
from apps.sync.flows import flow as flow_named
from apps.sync.flows.base import Context, read_many
from apps.sync.models import OPEN, Gate, State, Subject, Transaction
from apps.sync.plans import SEEN_BY_PERSON, shown
from apps.sync.queue import enqueue, plan_again

__all__ = [
    "ProposedMapping",
    "cancel",
    "deal_validate",
    "decide",
    "enqueue",
    "gate",
    "gate_set",
    "hold_still",
    "look_up",
    "look_up_doubts",
    "plan_again",
    "preview",
    "preview_some",
    "read_token",
    "replay",
    "run_as_shown",
    "wake_transaction",
]
PREVIEW_LIMIT = 200
TOKEN_SALT = "sync.preview"  # noqa: S105 - a namespace, not a secret
TOKEN_MAX_AGE = 3600


def preview(
    *,
    transaction_ids: Sequence[int],
    overlay: Iterable[ProposedMapping] = (),
    decided: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a replay would do, planned now and stored nowhere; under proposed mappings and decisions, if any.

    ``results``: per transaction ``outcome`` (``clears``, ``changes``, ``stays``, ``unreachable``), the codes that would
    remain, the actions, the records that they concern (system, type, id) and the plan's digest. ``token`` carries the
    digests; a replay with it runs only these plans."""
    if len(transaction_ids) > PREVIEW_LIMIT:
        raise InvalidInput(f"At most {PREVIEW_LIMIT} transactions can be previewed at once.")
    found = Transaction.objects.filter(id__in=transaction_ids).select_related("subject").order_by("id")
    results = [_preview_one(row, tuple(overlay), decided or {}) for row in found]
    digests = {str(result["transaction_id"]): result["digest"] for result in results if result["digest"]}
    return {"results": results, "token": signing.dumps(digests, salt=TOKEN_SALT, compress=True)}


def preview_some(
    *, transaction_ids: Sequence[int], overlay: Iterable[ProposedMapping] = (), seconds: float
) -> list[dict[str, Any]]:
    """The results of :func:`preview` for the first of these, in their order: as many as are begun within ``seconds``, at
    least one. For who keeps the results and comes back for the rest; a transaction that is gone is ``unreachable``."""
    until = time.monotonic() + seconds
    found = Transaction.objects.select_related("subject").in_bulk(transaction_ids)
    proposed = tuple(overlay)
    results: list[dict[str, Any]] = []
    for transaction_id in transaction_ids:
        if results and time.monotonic() >= until:
            break
        row = found.get(transaction_id)
        gone = {"transaction_id": transaction_id, "outcome": "unreachable", "digest": "", "reason": _GONE}
        results.append(_preview_one(row, proposed, {}) if row is not None else gone)
    return results


_GONE = "This transaction does not exist any more."


def read_token(token: str) -> dict[int, str]:
    """The digests of a preview token. Raises :class:`Stale` when it is too old or was altered."""
    try:
        digests = signing.loads(token, salt=TOKEN_SALT, max_age=TOKEN_MAX_AGE)
    except signing.BadSignature as error:
        raise Stale("This preview is too old or was altered; please look at a fresh one.") from error
    return {int(transaction_id): digest for transaction_id, digest in digests.items()}


def _preview_one(
    row: Transaction, overlay: tuple[ProposedMapping, ...], decided: Mapping[str, Any]
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "transaction_id": row.id,
        "ref": row.ref,
        "label": row.label,
        "currency": row.currency,
        "amount": row.amount,
        "digest": "",
        "codes": [],
        "reason": "",
        "actions": [],
        "records": [],
    }
    last = row.plans.order_by("-id").first()
    before = {problem["code"] for problem in last.problems} if last else set()
    try:
        flow = flow_named(row.flow)
        known = decisions.merged(row.subject.decisions, decided)
        context = Context(key=row.subject.key, params=row.params, overlay=overlay, decisions=known)
        draft = flow.plan(flow.gather(context))
    except (AdapterError, AppError) as error:
        return result | {"outcome": "unreachable", "reason": str(error)}
    codes = [problem.code for problem in draft.told]
    outcome = "clears" if not codes else ("stays" if before & set(codes) else "changes")
    return result | {
        "outcome": outcome,
        "codes": codes,
        "reason": draft.told[0].reason if draft.told else draft.summary,
        "digest": draft.digest,
        "actions": shown(draft),
        "records": [
            (action.system, action.object_type, action.external_id)
            for action in draft.actions
            if action.external_id
        ],
    }


def replay(
    *, transaction_ids: Sequence[int], by: Any, tokens: Mapping[int, str] | None = None, why: str = ""
) -> dict[str, Any]:
    """Run again, oldest first. With ``tokens`` (transaction id → plan digest) only if the plan is still the one previewed.

    A finished transaction gets a successor for the same subject. Returns ``{"replayed": [ids], "skipped": [{…, reason}],
    "runs": {asked for: what runs for it}}``;
    what cannot run is skipped and said, never silently. All in one database transaction and, but for
    successors, in a fixed number of statements."""
    answer: dict[str, Any] = {"replayed": [], "skipped": [], "runs": {}}
    why = why or "Replayed by a person."
    with transaction.atomic():
        locked = queue.lock_all(transaction_ids)
        wanted = set(transaction_ids)
        chosen = [row for row in locked if row.pk in wanted]
        _require_replay(by, *chosen)
        open_ones = {(row.subject_id, row.flow): row for row in locked if row.state in OPEN}
        resumed: dict[int, Transaction] = {}
        digests: dict[int, str] = {}
        for row in chosen:
            digest = (tokens or {}).get(row.id, "")
            if tokens is not None and not digest:
                _skip(answer, row, "It was not part of the preview.")
                continue
            current = open_ones.get((row.subject_id, row.flow), row)
            state = State.PENDING if current.pk in resumed else State(current.state)
            if state in _IN_HAND:
                other = f" ({current.ref})" if current.pk != row.pk else ""
                _skip(answer, row, f"{_IN_HAND[state]}{other}")
                continue
            if state in _AT_REST:
                resumed[current.pk] = current
                digests[current.pk] = digest
            else:
                current = _successor(row, digest, by=by, why=why)
            open_ones[row.subject_id, row.flow] = current
            answer["replayed"].append(current.pk)
            answer["runs"][row.pk] = current.pk
        queue.resume(list(resumed.values()), by=by, why=why, digests=digests)
    return answer


def run_as_shown(*, digests: Mapping[int, str], why: str) -> list[dict[str, Any]]:
    """Run these (transaction id → plan digest) as a person was shown them, now that a second person has agreed; also what is
    about to run is held to its digest. Returns what cannot: ``[{transaction_id, ref, label, reason}]``."""
    answer: dict[str, Any] = {"skipped": []}
    with transaction.atomic():
        locked = queue.lock_all(digests)
        open_ones = {(row.subject_id, row.flow): row for row in locked if row.state in OPEN}
        resumed, pinned = {}, {}
        for row in locked:
            if row.pk not in digests:
                continue
            current = open_ones.get((row.subject_id, row.flow), row)
            if current.state == State.PENDING:
                pinned[current.pk] = digests[row.pk]
            elif current.state in _IN_HAND:
                _skip(answer, row, _IN_HAND[State(current.state)])
            elif current.state in _AT_REST:
                resumed[current] = digests[row.pk]
            else:
                open_ones[row.subject_id, row.flow] = _successor(row, digests[row.pk], by=None, why=why)
        queue.pin(pinned)
        queue.resume(
            list(resumed), by=None, why=why, digests={row.pk: digest for row, digest in resumed.items()}
        )
    return list(answer["skipped"])


def hold_still(*, transaction_ids: Sequence[int]) -> None:
    """Until the end of the caller's database transaction nobody moves these. For who goes on to lock rows of its own about
    them: workers lock in this order too (subject, transaction, then what they report to)."""
    queue.lock_all(transaction_ids)


def _require_replay(by: Any, *rows: Transaction) -> None:
    """Raises ``NotAllowed``; a transaction that nobody has placed yet needs a role in all entities."""
    scope = organization.scope_of(by, "transaction.replay")
    for row in rows:
        place: dict[str, Any] = {"legal_entity_id": row.legal_entity_id, "engagement_key": row.engagement_key}
        if not scope.allows(**place):
            organization.require(by, "transaction.replay", **place)
            raise NotAllowed(f"{row.ref} has no legal entity yet; it needs a role in all of them.")
        if row.state == State.SUGGESTED:
            # What one person starts is done for every legal entity that shares it.
            for code in sorted(
                set(row.params.get(gates.ENTITIES, [])) - set(row.params.get(gates.LEFT_OUT, []))
            ):
                entity = organization.entity(code)
                organization.require(by, "transaction.replay", legal_entity_id=entity.id if entity else None)


def _skip(answer: dict[str, Any], row: Transaction, reason: str) -> None:
    answer["skipped"].append({"transaction_id": row.id, "ref": row.ref, "label": row.label, "reason": reason})


#: States in which somebody else has the transaction in hand, and what a person is told then.
_IN_HAND = {
    State.RUNNING: "It is running at this moment.",
    State.PENDING: "It is about to run.",
    State.WAITING: "It waits for another transaction, which has to finish first.",
}


#: States from which a person may start the same transaction again; from any other it gets a successor.
_AT_REST = (State.HELD, State.SUGGESTED, State.DEAD, State.RETRYING)


def _successor(row: Transaction, digest: str, *, by: Any, why: str) -> Transaction:
    return enqueue(
        kind=row.subject.kind,
        key=row.subject.key,
        flow=row.flow,
        trigger="replay",
        params={
            name: value for name, value in row.params.items() if name not in (SEEN_BY_PERSON, doubts.LOOK_UP)
        },
        by=by,
        why=why,
        expected_digest=digest,
    )


def cancel(*, transaction_id: int, by: Any, why: str) -> Transaction:
    """Give a transaction up; what it has done stays done, and who waits for it is woken and held.

    Raises ``WrongState`` when it runs or has finished, ``NotFound``, ``NotAllowed``."""
    with transaction.atomic():
        row = Transaction.objects.select_related("subject").filter(id=transaction_id).first()
        if row is None:
            raise NotFound("There is no such transaction.")
        _require_replay(by, row)
        queue.lock_subject(row.subject.kind, row.subject.key)
        row.refresh_from_db()
        if row.state == State.RUNNING:
            raise WrongState(f"{row.ref} is running at this moment; wait until it has come to rest.")
        transitions.move(row, to=State.CANCELLED, by=by, why=why, reason=why, finished_at=clock.now())
        children.settled(row)
        hooks.sync_finished.fire([fact_of(row)])
        return row


def decide(*, transaction_id: int, decided: Mapping[str, Any], by: Any, why: str) -> None:
    """Keep what a person decided about the subject of a transaction (:mod:`apps.sync.decisions`), with old and new in the
    audit trail. It counts from the subject's next plan; who asks for that plan is the caller."""
    row = Transaction.objects.select_related("subject").get(pk=transaction_id)
    _require_replay(by, row)
    with transaction.atomic():
        subject = Subject.objects.select_for_update().get(pk=row.subject_id)
        former = subject.decisions
        subject.decisions = decisions.merged(former, decisions.stamped(decided, by=by, why=why))
        subject.save(update_fields=["decisions"])
        journal.record(
            verb="subject.decided",
            object_type=subject.kind,
            object_ref=subject.key,
            by=by,
            legal_entity_id=row.legal_entity_id,
            engagement_key=row.engagement_key,
            old={name: former[name] for name in decided if name in former},
            new=dict(decided),
            why=why,
        )


def look_up(*, system: Any, object_type: str, external_id: str, seconds: float) -> bool:
    """Ask the system itself for a record, for a person who waits, and keep what it shows; whether it has it. Raises
    ``AdapterError``."""
    context = Context(key="", deadline=time.monotonic() + seconds)
    return bool(read_many(context, system=system, object_type=object_type, by="id", value=external_id))


def look_up_doubts(*, transaction_id: int, by: Any, why: str) -> int:
    """Have the systems asked what became of the writes of the transaction's subject that are in doubt; nothing is sent.

    The transaction is held again afterwards, planned with the answer; one that is retried by itself only goes on earlier.
    Returns what runs. Raises ``WrongState`` when nothing is in doubt, ``Stale`` when it is running, ``NotAllowed``."""
    with transaction.atomic():
        locked = queue.lock_all([transaction_id])
        asked = next((row for row in locked if row.pk == transaction_id), None)
        if asked is None or not asked.subject.in_doubt:
            raise WrongState("Nothing that was sent is in doubt any more.")
        retried = {row.pk for row in locked if row.state == State.RETRYING}
        answer = replay(transaction_ids=[transaction_id], by=by, tokens=None, why=why)
        if answer["skipped"]:
            raise Stale(answer["skipped"][0]["reason"])
        run_id: int = answer["replayed"][0]
        if run_id not in retried:
            run = Transaction.objects.get(pk=run_id)
            run.params = {**run.params, doubts.LOOK_UP: True}
            run.save(update_fields=["params"])
        return run_id


def wake_transaction(*, transaction_id: int, why: str) -> bool:
    """Put a waiting transaction back to work (sweeper). False when somebody else was faster."""
    with transaction.atomic():
        row = Transaction.objects.select_related("subject").get(id=transaction_id)
        queue.lock_subject(row.subject.kind, row.subject.key)
        moved = transitions.move(row, to=State.PENDING, why=why, expect=State.WAITING)
        queue.make_ready(row.subject_id)
        return moved


def gate_set(*, legal_entity: Any, flow: str, mode: str, by: Any, why: str = "") -> Gate:
    """How far a flow may go for an entity. Raises :class:`InvalidInput` for an unknown flow or mode."""
    if flow not in FLOWS or mode not in Gate.Mode.values:
        raise InvalidInput(f"There is no flow “{flow}” or no mode “{mode}”.")
    if by is not None:
        organization.require(by, "system.manage", legal_entity_id=legal_entity.id)
    with transaction.atomic():
        gate, _ = Gate.objects.get_or_create(legal_entity=legal_entity, flow=flow)
        journal.record(
            verb="gate.set",
            object_type="gate",
            object_ref=f"{legal_entity.code}:{flow}",
            by=by,
            legal_entity_id=legal_entity.id,
            old={"mode": gate.mode},
            new={"mode": mode},
            why=why,
        )
        gate.mode = mode
        gate.save(update_fields=["mode"])
        return gate


def gate(*, legal_entity_id: int, flow: str) -> str:
    """How far the flow may go for the entity; ``off`` when nobody has said."""
    row = Gate.objects.filter(legal_entity_id=legal_entity_id, flow=flow).first()
    return row.mode if row else Gate.Mode.OFF.value
