"""Parents and children: a plan never writes another subject's object, it asks for that subject's own transaction.

Public surface: :func:`ask`, :func:`settled`. Lock order: the child's subject first, then the parents' subjects, then rows;
a parent that asks never holds its own subject's row. Both sides hold the child's subject, so no wake-up is lost.
"""

from __future__ import annotations

from django.db import transaction as db

from apps.core import statements
from apps.journal import transitions
from apps.sync import gates, queue
from apps.sync.flows.names import PRIORITIES
from apps.sync.leases import Lease, LeaseLost
from apps.sync.models import FINISHED, Dependency, State, Subject, Transaction
from apps.sync.plans import PlannedAction


def ask(lease: Lease, parent: Transaction, action: PlannedAction) -> Transaction:
    """The child's transaction as it stands. Unless it has finished, ``parent`` is put to waiting before this returns; not for
    one that awaits a person on behalf of other legal entities and leaves out the parent's own."""
    with db.atomic():
        subject = queue.lock_subject(
            action.object_type,
            action.key,
            priority=PRIORITIES[action.operation],
            legal_entity_id=parent.legal_entity_id,
        )
        if not Subject.objects.filter(id=lease.subject_id, lease_token=lease.token).exists():
            raise LeaseLost
        dependency = (
            Dependency.objects.filter(parent=parent, action=action.name).select_related("child").first()
        )
        if dependency is not None and (
            dependency.child.subject_id != subject.id or _ended_without(dependency.child, action)
        ):
            dependency.delete()  # the step is another subject's now, or its run has left out whom we ask for
            dependency = None
        if dependency is None:
            child = queue.enqueue(
                kind=subject.kind,
                key=subject.key,
                flow=action.operation,
                trigger=f"step of {parent.ref}",
                params=dict(action.values),
                correlation_id=parent.correlation_id,
                legal_entity_id=parent.legal_entity_id,
            )
            Dependency.objects.create(parent=parent, child=child, action=action.name)
        else:
            child = dependency.child
        child.refresh_from_db()
        if child.state in (State.OBSERVED, State.CANCELLED, State.DEAD) and dependency is not None:
            dependency.delete()  # the next run asks anew
        if child.state == State.SUGGESTED and gates.passed_over(child.params, action.values):
            Dependency.objects.filter(parent=parent, action=action.name).delete()
        elif child.state not in FINISHED or child.state == State.DEAD:
            reason = f"Waits for its step “{action.name}” ({child.ref})."
            transitions.move(parent, to=State.WAITING, why=reason, reason=reason)
        return child


def _ended_without(child: Transaction, action: PlannedAction) -> bool:
    ended = child.state in FINISHED and child.state != State.DEAD
    return ended and gates.passed_over(child.params, action.values)


def _has_parents(child: Transaction) -> bool:
    asked = "SELECT EXISTS (SELECT 1 FROM sync_dependency WHERE child_id = %s)"
    return bool(statements.rows(asked, [child.pk])[0][0])


def settled(child: Transaction) -> None:
    """Wake the parents of a transaction that has just finished, or awaits a person and leaves some of them out; the caller
    holds the child's subject."""
    left_out = child.state == State.SUGGESTED and bool(child.params.get(gates.LEFT_OUT))
    if not left_out and (child.state not in FINISHED or child.state == State.DEAD):
        return
    if not _has_parents(child):
        return
    waiting = Transaction.objects.filter(children__child=child, state=State.WAITING)
    subject_ids = sorted(set(waiting.values_list("subject_id", flat=True)))
    list(Subject.objects.filter(id__in=subject_ids).order_by("id").select_for_update())
    for parent in waiting.order_by("id"):
        if transitions.move(parent, to=State.PENDING, why=f"{child.ref} is {child.state}.", again=False):
            queue.make_ready(parent.subject_id)
