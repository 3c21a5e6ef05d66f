"""Apply: carry a plan out, action by action, each outcome journaled before the next one starts.

Public surface: :func:`run_next`, :class:`PutBack`, :func:`fact_of`. Everything here happens under a lease. No network call is
made inside a database transaction; a write whose outcome is not known is probed by its external key and never sent again
blindly.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, NoReturn

import structlog
from django.conf import settings
from django.db import transaction as db

from apps.connectors import services as connectors
from apps.connectors.spi import AdapterError, ErrorKind, Outcome
from apps.core import clock, correlation, hooks, statements, stopping
from apps.core.errors import AppError
from apps.core.failpoints import reach
from apps.journal import transitions
from apps.organization import selectors as organization
from apps.records import services as record_services
from apps.sync import children, doubts, followers, ledger, locals, queue, retries, runs
from apps.sync.flows import flow as flow_named
from apps.sync.flows.base import Context, Meta, read_many
from apps.sync.gates import LEFT_OUT, passed_over
from apps.sync.leases import Lease, LeaseLost, make_sure, release_held, renew
from apps.sync.ledger import Entry
from apps.sync.models import Gate, State, Subject, Transaction
from apps.sync.plans import SEEN_BY_PERSON, Draft, PlannedAction, Problem, step_digests
from apps.sync.pushes import Known, build_push, redacted

log = structlog.get_logger(__name__)
#: Parameter of a transaction whose worker was lost: its next write is looked for before it is sent.
PROBE_FIRST = "probe_first"
GATHER = PlannedAction("gather", "unchanged", "Reads what is needed for the plan.")


class Stop(Exception):
    """The transaction has come to rest for now; its state says why."""


class PutBack(Exception):
    """Nothing is wrong, only not now: its system has no room (``waits_for``), or this process is to stop."""

    def __init__(self, *, waits_for: int = 0, delay: float = 0.0) -> None:
        super().__init__()
        self.waits_for = waits_for
        self.delay = delay


def run_next(lease: Lease) -> bool:
    """Work on the subject's oldest runnable transaction. False when there is none that is due."""
    begun = runs.begin(lease)
    if begun is None:
        return False
    found = begun.transaction
    own = found.subject.key if found.subject.kind == "delivery" else ""
    with correlation.bind(found.correlation_id), followers.at_work(own):
        try:
            _Run(lease, found, fresh=begun.fresh).go()
        except PutBack:
            raise
        except LeaseLost:
            log.warning("lease_lost", transaction=found.ref)
            raise
        except Exception:
            log.exception("transaction_crashed", transaction=found.ref)
            raise
    return True


class _Run:
    """One attempt at one transaction. Small methods, one state: the transaction's row."""

    def __init__(self, lease: Lease, transaction: Transaction, *, fresh: bool = False) -> None:
        self.lease = lease
        self.transaction = transaction
        self.flow = flow_named(transaction.flow)
        self.plan_id: int | None = None
        self.problems: list[Problem] = []
        self.gate = Gate.Mode.OFF.value
        self.known: Known = {}
        self.in_doubt = set(transaction.subject.in_doubt)
        self.troubled = transaction.subject.troubled
        self.probe_first = lease.taken_over or bool(transaction.params.get(PROBE_FIRST))
        self.beside: list[Problem] = []
        subject = transaction.subject
        self.context = Context(key=subject.key, params=transaction.params, decisions=subject.decisions)
        #: Steps that this transaction has done in earlier runs; one that starts has none.
        self.settled = set() if fresh else ledger.settled_names(transaction.id)

    def go(self) -> None:
        """Carry the transaction, which is running, to where it comes to rest."""
        transaction = self.transaction
        self._remember_takeover()
        try:
            if self.lease.takeovers >= settings.SYNC_POISON_TAKEOVERS:
                self._set_aside(_poison(self.lease.takeovers))
            reach(f"{transaction.flow}:claimed")
            if transaction.params.get(doubts.LOOK_UP):
                self._look_up()
            draft, digest = self._make_plan()
            self._pass_gate(draft, digest)
            for seq, action in enumerate(draft.actions, start=1):
                if stopping.requested():
                    raise PutBack  # each step is journaled; who comes next goes on from here
                self._apply(seq, action)
            self._finish(draft)
        except Stop:
            return

    def _remember_takeover(self) -> None:
        """A run may come to rest before its first write (a reading failed, a step is waited for); the next must know."""
        if self.probe_first and not self.transaction.params.get(PROBE_FIRST):
            self._set_params({PROBE_FIRST: True})

    def _forget_takeover(self) -> None:
        self.probe_first = False
        if self.transaction.params.get(PROBE_FIRST):
            self._set_params({PROBE_FIRST: False})

    def _set_params(self, values: dict[str, Any], **fields: Any) -> None:
        """Change parameters under the subject's row, so that nothing that was asked for meanwhile is overwritten."""
        with db.atomic():
            renew(self.lease)
            self.transaction.refresh_from_db(fields=["params"])
            self.transaction.params |= values
            for name, value in fields.items():
                setattr(self.transaction, name, value)
            self.transaction.save(update_fields=["params", *fields])

    # -- what nobody knows ----------------------------------------------------------------------------------------

    def _look_up(self) -> NoReturn:
        """Ask the systems what became of the writes in doubt and plan with the answer; a person looks at that first."""
        for name in sorted(self.in_doubt):
            sent = doubts.last_sent(self.lease.subject_id, name)
            if sent is not None:
                self.plan_id, action = sent
                self._ask_after(action)
        self.plan_id = None
        self._make_plan()
        self._set_params({doubts.LOOK_UP: False})
        left = Subject.objects.values_list("in_doubt", flat=True).get(pk=self.lease.subject_id)
        words = "What was sent has been looked up; preview the run, then start it."
        if left:
            words = f"No plan says any more what was sent as {', '.join(left)}; look for it in the system."
        self._rest(State.HELD, reason=self.problems[0].reason if self.problems else words)

    def _ask_after(self, action: PlannedAction) -> None:
        started = clock.now()
        assert action.system_id is not None
        try:
            found = connectors.probe(system_id=action.system_id, push=build_push(action, self.known))
        except AdapterError as error:
            self._failed(0, action, error, started, in_doubt=True)
        except AppError as error:
            self._refused(0, action, error, started)
        if found is not None:
            self._written(0, action, found, started, "found")
            return
        said = Entry("failed", started, message="Looked up: it is certainly not there.")
        with db.atomic():
            ledger.append(self.lease, self.transaction, self.plan_id, 0, action, said)
            doubts.not_there(self.lease, action.name)
        self.in_doubt.discard(action.name)

    # -- plan -----------------------------------------------------------------------------------------------------

    def _make_plan(self) -> tuple[Draft, str]:
        started = clock.now()
        try:
            snapshot = self.flow.gather(self.context)
            draft = self.flow.plan(snapshot)
        except AdapterError as error:
            self._failed(0, GATHER, error, started)
        except AppError as error:
            self._refused(0, GATHER, error, started)
        meta: Meta = snapshot.meta
        self._describe(meta)
        if list(meta.left_out) != self.transaction.params.get(LEFT_OUT, []):
            self._set_params({LEFT_OUT: list(meta.left_out)})
        digest = draft.digest
        expected = self.transaction.expected_digest
        # A plan that is not run clears nothing: what led to the preview stays with a person.
        refused = bool(expected) and expected != digest
        problems = list(draft.told) or (self._standing() if refused else [])
        with self._telling(problems, phase="plan"):
            self.plan_id, self.gate = ledger.store_plan(
                self.lease,
                self.transaction,
                draft,
                digest=digest,
                as_of=snapshot.as_of,
            )
            self.problems = list(draft.told)
        reach(f"{self.transaction.flow}:planned")
        return draft, digest

    def _describe(self, meta: Meta) -> None:
        transaction = self.transaction
        transaction.label, transaction.customer = meta.label[:300], meta.customer[:300]
        transaction.legal_entity_id = meta.legal_entity_id
        transaction.engagement_key = meta.engagement_key or transaction.engagement_key
        transaction.currency, transaction.amount = meta.currency, meta.amount
        transaction.customer_key = meta.customer_key

    def _pass_gate(self, draft: Draft, digest: str) -> None:
        expected = self.transaction.expected_digest
        if expected and expected != digest:
            self._rest(
                State.HELD,
                reason="The plan has changed since its preview; nothing was done.",
                expected_digest="",
            )
        if expected:
            self._set_params({SEEN_BY_PERSON: step_digests(draft)}, expected_digest="")
        writes = [action for action in draft.actions if action.kind != "unchanged"]
        if not writes or all(action.kind == "blocked" for action in writes):
            return
        mode = self.gate
        if mode == Gate.Mode.AUTOMATIC or (mode == Gate.Mode.SUGGEST and self._was_seen(draft)):
            return
        if mode == Gate.Mode.SUGGEST:
            self._rest(
                State.SUGGESTED, reason="Planned; the apply gate of this entity wants a person to start it."
            )
        words = "off" if mode == Gate.Mode.OFF else "“observe”"
        self._rest(
            State.OBSERVED, reason=f"Planned only: the apply gate of this flow is {words} for this entity."
        )

    def _was_seen(self, draft: Draft) -> bool:
        """Whether a person has started exactly these steps. Those that are done meanwhile are no longer among them; one that
        nobody has seen stops them all."""
        return set(step_digests(draft)) <= set(self.transaction.params.get(SEEN_BY_PERSON, []))

    # -- apply ----------------------------------------------------------------------------------------------------

    def _apply(self, seq: int, action: PlannedAction) -> None:
        started = clock.now()
        match action.kind:
            case "unchanged":
                self._note(seq, action, Entry("unchanged", started, message=action.why))
            case "blocked":
                self._rest(State.HELD, reason=self._problem_text())
            case "child":
                self._ask_child(seq, action, started)
            case "link":
                self._link(seq, action, started)
            case "local":
                self._local(seq, action, started)
            case _:
                self._push(seq, action, started)
                self._forget_takeover()

    def _ask_child(self, seq: int, action: PlannedAction, started: datetime) -> None:
        renew(self.lease)
        child = children.ask(self.lease, self.transaction, action)
        if child.state == State.SUCCEEDED:
            self._note(seq, action, Entry("done", started, message=f"{action.why} ({child.ref})"))
            return
        if child.state in (State.OBSERVED, State.CANCELLED):
            self._rest(
                State.HELD,
                reason=f"Its step “{action.name}” ({child.ref}) was {child.state}, not carried out.",
            )
        if child.state == State.SUGGESTED and passed_over(child.params, action.values):
            self._rest(
                State.HELD,
                reason=f"Its step “{action.name}” ({child.ref}) is for other legal entities only; "
                "the apply gate of this one does not let it be carried out.",
            )
        self._look_again()  # children.ask has put it to waiting
        raise Stop

    def _look_again(self) -> None:
        """News that came while it ran may say that it need not wait, or for something else."""
        with db.atomic():
            renew(self.lease)
            self.transaction.refresh_from_db(fields=["again", "state"])
            if self.transaction.again and self.transaction.state == State.WAITING:
                self._move(
                    State.PENDING, why="Something changed while it ran; it is planned again.", again=False
                )

    def _link(self, seq: int, action: PlannedAction, started: datetime) -> None:
        link = self._link_of(action, Outcome(action.external_id, created=False), linked_by="match")
        with db.atomic():
            entry = Entry("linked", started, external_id=action.external_id, message=action.why)
            if not ledger.append(self.lease, self.transaction, self.plan_id, seq, action, entry, link=link):
                record_services.link(**link)
        reach(f"{self.transaction.flow}:{action.name}:journaled")

    def _local(self, seq: int, action: PlannedAction, started: datetime) -> None:
        try:
            with db.atomic():
                result = locals.run(self.transaction, action.operation, dict(action.values))
                entry = Entry("done", started, message=result.message)
                ledger.append(self.lease, self.transaction, self.plan_id, seq, action, entry)
                for kind, key, flow in result.follow:
                    queue.enqueue(
                        kind=kind,
                        key=key,
                        flow=flow,
                        trigger="follows",
                        correlation_id=self.transaction.correlation_id,
                        legal_entity_id=self.transaction.legal_entity_id,
                    )
        except AppError as error:
            self._refused(seq, action, error, started)
        self.beside += result.problems
        reach(f"{self.transaction.flow}:{action.name}:journaled")

    def _push(self, seq: int, action: PlannedAction, started: datetime) -> None:
        assert action.system_id is not None
        name = f"{self.transaction.flow}:{action.name}"
        in_doubt = self._may_have_happened(action)
        try:
            push = build_push(action, self.known)
            if in_doubt:
                found = connectors.probe(system_id=action.system_id, push=push)
                if found is not None:
                    self._written(seq, action, found, started, "found")
                    return
                in_doubt = False
            make_sure(self.lease, seconds=self._needed(action))
            reach(f"{name}:before_send")
            outcome = connectors.push(system_id=action.system_id, push=push, not_after=self.lease.good_until)
            reach(f"{name}:sent")
        except AdapterError as error:
            self._failed(seq, action, error, started, in_doubt=in_doubt)
        except AppError as error:
            self._refused(seq, action, error, started)
        else:
            self._written(seq, action, outcome, started, "succeeded")

    def _needed(self, action: PlannedAction) -> float:
        """How long the lease must be good for before a write is sent, in seconds.

        Where the system itself refuses a second write (upsert, idempotency key), a takeover in the middle is harmless and the
        heartbeat keeps the lease. Where it does not, the lease outlives the longest call: who takes over finds it finished."""
        assert action.system_id is not None
        protected = connectors.guarantee(
            system_id=action.system_id, object_type=action.object_type, operation=action.operation
        )
        if protected == "search":
            return connectors.write_seconds() + 2.0
        return settings.SYNC_LEASE_SECONDS / 3

    def _may_have_happened(self, action: PlannedAction) -> bool:
        """After a takeover the next unjournaled write may have been sent; after an unknown outcome this one was."""
        return self.probe_first or action.name in self.in_doubt

    def _written(
        self, seq: int, action: PlannedAction, outcome: Outcome, started: datetime, word: str
    ) -> None:
        entry = Entry(
            word,
            started,
            outcome.external_id,
            outcome.url,
            message=action.why,
            exchange=redacted(outcome.exchange),
        )
        link = self._link_of(action, outcome, linked_by="push" if word == "succeeded" else "probe")
        new = ledger.append(self.lease, self.transaction, self.plan_id, seq, action, entry, link=link)
        self.known[link["object_type"], link["key"], link["system_id"]] = outcome.external_id
        try:
            if not new:
                record_services.link(**link)
        except AppError as error:  # the system's id belongs to something else: a person decides
            self._refused(seq, action, error, started)
        self._forget_failures()
        reach(f"{self.transaction.flow}:{action.name}:journaled")
        if action.read_back:
            self._read_back(seq, action, outcome.external_id)

    def _read_back(self, seq: int, action: PlannedAction, external_id: str) -> None:
        """Keep what the system now shows. A failure here is retried; the write itself is journaled and not repeated."""
        system = organization.system(action.system)
        started = clock.now()
        try:
            read_many(self.context, system=system, object_type=action.object_type, by="id", value=external_id)
        except AdapterError as error:
            self._failed(seq, GATHER, error, started)

    def _link_of(self, action: PlannedAction, outcome: Outcome, *, linked_by: str) -> dict[str, Any]:
        """The cross-reference that this outcome proves, as ``records.link`` takes it."""
        assert action.system_id is not None
        return {
            "object_type": action.object_type,
            "key": action.link_key or action.key,
            "system_id": action.system_id,
            "external_id": outcome.external_id,
            "url": outcome.url,
            "linked_by": linked_by,
            "evidence": {
                "action": action.name,
                "transaction": self.transaction.ref,
                "matched_by": str(action.values.get("evidence", "")),
            },
        }

    # -- outcomes -------------------------------------------------------------------------------------------------

    def _failed(
        self,
        seq: int,
        action: PlannedAction,
        error: AdapterError,
        started: datetime,
        *,
        in_doubt: bool = False,
    ) -> NoReturn:
        """``in_doubt``: it was the probe that failed, so whether the write happened is as unknown as before."""
        if error.kind is ErrorKind.HELD_BACK:
            self._put_back(error)
        attempts = self.transaction.attempts + (0 if self._in_outage(error) else 1)
        decision = retries.decide(error, attempts=max(1, attempts), object_type=action.object_type)
        unknown = in_doubt or (error.kind is ErrorKind.UNKNOWN and action.kind == "push")
        code = decision.code
        if in_doubt and decision.verdict == "retry":
            code = retries.unknown_code(action.object_type)
        entry = Entry(
            "unknown" if unknown else "failed",
            started,
            error_kind=error.kind,
            code=code,
            message=error.message,
            exchange=redacted(error.exchange),
        )
        problem = Problem(
            code,
            action.name,
            action.object_type,
            error.field,
            error.value,
            error.message,
            {"system": action.system, **error.details},
        )
        with db.atomic():
            ledger.append(self.lease, self.transaction, self.plan_id, seq, action, entry)
            if decision.verdict == "retry":
                if unknown and action.object_type in retries.MONEY:
                    self._report([*self._standing(), problem])
                due = self.lease.due(decision.delay)
                self._rest_in(State.RETRYING, reason=error.message, attempts=attempts, not_before=due)
            else:
                self._report([*self._standing(), problem])
                state = State.HELD if decision.verdict == "hold" else State.DEAD
                self._rest_in(state, reason=error.message, attempts=attempts)
        raise Stop

    def _in_outage(self, error: AdapterError) -> bool:
        """Whether the system fails for everybody: that spends no budget of this transaction, however often it is the one that
        probes. For so many hours at most, so that what itself brings a system down ends some day."""
        if error.kind not in (ErrorKind.TRANSIENT, ErrorKind.UNKNOWN):
            return False
        system_id = error.details.get("system_id")
        waited = clock.now() - self.transaction.created_at
        if system_id is None or waited > timedelta(hours=settings.SYNC_OUTAGE_HOURS):
            return False
        return connectors.in_outage(int(system_id))

    def _put_back(self, error: AdapterError) -> NoReturn:
        """Nothing was sent and nothing failed: said on the row for people, no attempt, no journal row, no move."""
        delay = retries.decide(error, attempts=self.transaction.attempts).delay
        Transaction.objects.filter(id=self.transaction.id, state=State.RUNNING).update(
            reason=error.message, not_before=self.lease.due(delay)
        )
        raise PutBack(waits_for=int(error.details.get("system_id", 0)), delay=delay)

    def _refused(self, seq: int, action: PlannedAction, error: Any, started: datetime) -> NoReturn:
        """One of our own rooms says no: its sentence goes to a person."""
        code = getattr(error, "code", "") or retries.REFUSED
        message = str(getattr(error, "message", error))
        problem = Problem(code, action.name, action.object_type, "", "", message)
        with db.atomic():
            ledger.append(
                self.lease,
                self.transaction,
                self.plan_id,
                seq,
                action,
                Entry("failed", started, error_kind="refused", code=code, message=message),
            )
            self._report([*self._standing(), problem])
            self._rest_in(State.HELD, reason=message, attempts=self.transaction.attempts + 1)
        raise Stop

    def _finish(self, draft: Draft) -> None:
        problems = [*draft.problems, *self.beside]
        reason = problems[0].reason if problems else draft.summary
        if self._ends_quietly(problems) and runs.succeed(self.lease, self.transaction, reason=reason):
            self._say_rested(State.SUCCEEDED)
        else:
            with db.atomic():
                renew(self.lease, progress=True)
                self._report(problems)
                self._rest_in(State.SUCCEEDED, reason=reason, attempts=0, finished_at=clock.now())
                release_held(self.lease)
        reach(f"{self.transaction.flow}:finished")

    def _ends_quietly(self, problems: list[Problem]) -> bool:
        """Whether nobody has to be told that it has succeeded, and nothing is known to have changed while it ran."""
        if problems or self.troubled or self.transaction.again:
            return False
        told = fact_of(self.transaction) | {"state": State.SUCCEEDED.value}
        return not hooks.sync_finished.awaited(told)

    def _rest(self, state: State, reason: str, **fields: Any) -> NoReturn:
        with db.atomic():
            renew(self.lease)
            self._rest_in(state, reason=reason, **fields)
        raise Stop

    def _rest_in(self, state: State, *, reason: str, **fields: Any) -> None:
        """Move to a state of rest inside the caller's database transaction and wake who waits for it.

        News that came while it ran (``again``) sends it back to the start instead: the newest truth wins."""
        self._read_news()
        if self.transaction.again and state in (State.SUCCEEDED, State.HELD, State.SUGGESTED, State.OBSERVED):
            fields = {"again": False, "expected_digest": "", "attempts": 0}
            state, reason = State.PENDING, "Something changed while it ran; it is planned again."
        if state in (State.OBSERVED, State.DEAD, State.CANCELLED):
            fields.setdefault("finished_at", clock.now())
        self._move(state, why=reason, reason=reason, **fields)
        self._say_rested(state)
        children.settled(self.transaction)
        hooks.sync_finished.fire([fact_of(self.transaction)])

    def _say_rested(self, state: State) -> None:
        log.info("transaction_rested", ref=self.transaction.ref, flow=self.transaction.flow, state=str(state))

    def _read_news(self) -> None:
        """What was asked for while it ran; the caller holds the subject's row, so nothing more comes in."""
        asked = "SELECT again, params FROM sync_transaction WHERE id = %s"
        ((again, params),) = statements.rows(asked, [self.transaction.id])
        self.transaction.again, self.transaction.params = again, json.loads(params)

    def _move(self, state: State, *, why: str = "", **fields: Any) -> bool:
        return transitions.move(self.transaction, to=state, why=why, **fields)

    @contextlib.contextmanager
    def _telling(self, problems: list[Problem], *, phase: str) -> Iterator[None]:
        """One database transaction with the report of what stands in the way; none at all where there is nothing to tell."""
        if not problems and not self.troubled:
            yield
            return
        with db.atomic():
            yield
            self._report(problems, phase=phase)

    def _report(self, problems: list[Problem], *, phase: str = "apply") -> None:
        """Tell triage what stands in the way now; what it no longer hears of has cleared (of what the phase can see).

        Nothing is told of a subject that has no problems and had none: that is how nearly all of them are."""
        if not problems and not self.troubled:
            return
        told = {"problems": [asdict(problem) for problem in problems], "phase": phase}
        hooks.sync_planned.fire([fact_of(self.transaction) | told])
        if problems and not self.troubled:
            self.troubled = True
            Subject.objects.filter(id=self.lease.subject_id).update(troubled=True)

    def _standing(self) -> list[Problem]:
        """What the last plan found: an error in reading, or later on, has not cleared it."""
        if self.plan_id is not None:
            return self.problems
        last = self.transaction.plans.order_by("-id").first()
        return [Problem(**problem) for problem in last.problems] if last else []

    def _set_aside(self, reason: str) -> NoReturn:
        problem = Problem("INT-POISON", "", self.transaction.subject.kind, "", "", reason)
        with db.atomic():
            renew(self.lease, progress=True)  # the count has done its work; a replay gets a chance of its own
            self._report([*self._standing(), problem])
            self._rest_in(State.DEAD, reason=reason)
        raise Stop

    def _note(self, seq: int, action: PlannedAction, entry: Entry) -> None:
        """Journal a step with nothing to write, once per transaction however often it is planned again."""
        if action.name in self.settled:
            return
        ledger.append(self.lease, self.transaction, self.plan_id, seq, action, entry)
        reach(f"{self.transaction.flow}:{action.name}:journaled")

    def _forget_failures(self) -> None:
        if self.transaction.attempts:
            self.transaction.attempts = 0
            self.transaction.save(update_fields=["attempts"])

    def _problem_text(self) -> str:
        return self.problems[0].reason if self.problems else "A person has to decide."


def _poison(takeovers: int) -> str:
    return f"Workers died {takeovers} times on this subject without any progress; it is set aside."


def fact_of(transaction: Transaction) -> dict[str, Any]:
    """What other rooms are told about a transaction."""
    return {
        "transaction_id": transaction.id,
        "transaction_ref": transaction.ref,
        "subject_kind": transaction.subject.kind,
        "subject_key": transaction.subject.key,
        "flow": transaction.flow,
        "state": str(transaction.state),
        "legal_entity_id": transaction.legal_entity_id,
        "engagement_key": transaction.engagement_key,
        "label": transaction.label,
        "customer": transaction.customer,
        "currency": transaction.currency,
        "amount": str(transaction.amount) if transaction.amount is not None else None,
        "correlation_id": str(transaction.correlation_id),
    }
