"""Writes whose outcome nobody knows: what was sent, so that the system can be asked whether it is there.

Public surface: :data:`LOOK_UP`, :func:`last_sent`, :func:`not_there`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core import statements
from apps.sync.leases import Lease, LeaseLost
from apps.sync.models import Action, Plan, Transaction
from apps.sync.plans import PlannedAction

#: Parameter of a transaction: its next run asks what became of the writes in doubt, plans, and sends nothing.
LOOK_UP = "look_up"
_NOT_THERE = """
UPDATE sync_subject SET in_doubt = array_remove(in_doubt, %s::varchar) WHERE id = %s AND lease_token = %s
"""


def last_sent(subject_id: int, name: str) -> tuple[int, PlannedAction] | None:
    """The plan and the step whose write of this name was sent last with an unknown outcome, as it was planned then; None when
    no plan says it any more."""
    ids = list(Transaction.objects.filter(subject_id=subject_id).values_list("id", flat=True))
    sent = Action.objects.filter(transaction_id__in=ids, name=name, outcome="unknown").order_by("-id").first()
    if sent is None or sent.plan_id is None:
        return None
    plan = Plan.objects.filter(pk=sent.plan_id).first()
    for action in plan.actions if plan is not None else ():
        if action["name"] == name and action["kind"] == "push":
            return sent.plan_id, _action(action)
    return None


def not_there(lease: Lease, name: str) -> None:
    """The write of this name has certainly not happened. Raises :class:`LeaseLost`."""
    if not statements.count(_NOT_THERE, [name, lease.subject_id, lease.token]):
        raise LeaseLost


def _action(kept: Mapping[str, Any]) -> PlannedAction:
    """A stored step as a value again: JSON knows no tuples."""
    refs = {role: ref if isinstance(ref, str) else tuple(ref) for role, ref in kept["refs"].items()}
    sequences = {name: tuple(kept[name]) for name in ("changes", "fields")}
    return PlannedAction(**{**kept, "refs": refs, **sequences})
