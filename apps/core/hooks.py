"""Named hooks: how news travels up the floors without an import.

Public surface: :class:`Hook` and the hooks declared below. A room connects in its ``AppConfig.ready()``.

Receivers take a list of facts (plain JSON-able dicts) and run in a savepoint of the recording transaction. A receiver that
fails does not undo the facts: a row is left (see ``journal``) and the sweeper fires it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.db import transaction

Fact = dict[str, Any]
Receiver = Callable[[list[Fact]], None]
#: ``(hook name, receiver name, facts, error)`` → stores the due row; set by the journal room.
FailureRecorder = Callable[[str, str, list[Fact], Exception], None]

log = structlog.get_logger(__name__)
_recorder: FailureRecorder | None = None
_hooks: dict[str, Hook] = {}


def set_failure_recorder(recorder: FailureRecorder) -> None:
    """Say who keeps failed deliveries; without one a failing receiver raises."""
    global _recorder
    _recorder = recorder


def get(name: str) -> Hook:
    return _hooks[name]


class Hook:
    """One kind of news. ``carries`` documents the keys of a fact."""

    def __init__(self, name: str, carries: str) -> None:
        self.name = name
        self.carries = carries
        self.receivers: dict[str, Receiver] = {}
        self.wanted: dict[str, Callable[[Fact], bool]] = {}
        _hooks[name] = self

    def connect(self, receiver: Receiver, *, wants: Callable[[Fact], bool] | None = None) -> None:
        """Connect once at start; the receiver's dotted name is its identity.

        ``wants`` says of a fact alone, without looking anywhere, whether it is news for this receiver."""
        name = f"{receiver.__module__}.{receiver.__qualname__}"
        self.receivers[name] = receiver
        if wants is not None:
            self.wanted[name] = wants

    def awaited(self, fact: Fact) -> bool:
        """Whether any receiver would be handed this."""
        return any(name not in self.wanted or self.wanted[name](fact) for name in self.receivers)

    def fire(self, facts: list[Fact]) -> None:
        """Hand the facts to every receiver, each in a savepoint. Raises only when nobody keeps failures."""
        for name in self.receivers:
            wants = self.wanted.get(name)
            told = facts if wants is None else [fact for fact in facts if wants(fact)]
            if told:
                self.deliver(name, told)

    def deliver(self, receiver_name: str, facts: list[Fact]) -> None:
        """Hand the facts to one receiver; used again by the sweeper."""
        try:
            with transaction.atomic():
                self.receivers[receiver_name](facts)
        except Exception as error:
            log.exception("hook_receiver_failed", hook=self.name, receiver=receiver_name)
            if _recorder is None:
                raise
            _recorder(self.name, receiver_name, facts, error)


sync_planned = Hook(
    "sync.planned",
    "transaction_id, transaction_ref, subject_kind, subject_key, flow, legal_entity_id, engagement_key, label, customer, "
    "currency, amount, correlation_id, phase (plan|apply), problems[{code, step, object_type, field, value, reason, params}]",
)
sync_finished = Hook(
    "sync.finished", "transaction_id, transaction_ref, subject_kind, subject_key, flow, state, engagement_key"
)
approvals_decided = Hook(
    "approvals.decided", "request_id, ref, kind, subject_type, subject_ref, state, by_id, comment"
)
mappings_settled = Hook("governance.mappings_settled", "mapping_id, state, legal_entity_id")
prebills_moved = Hook("billing.prebills_moved", "ref, state, engagement_key, legal_entity_id")
billing_changed = Hook("billing.changed", "engagement_key")
records_observed = Hook("records.observed", "system_id, object_type, external_id, key")
