"""The desk's small world: transactions of the real queue and the facts that the engine reports about them."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from apps.core import clock
from apps.journal import transitions
from apps.sync import services as sync
from apps.sync.models import Plan, Subject, Transaction
from apps.sync.plans import Problem
from apps.triage import services
from apps.triage.models import Case

REASON = "Service AIR-510 has no billing code in MER-UK."


def problem(code: str = "DEAL-SVC-UNMAPPED", **fields: Any) -> dict[str, Any]:
    values = {
        "code": code,
        "step": "project",
        "object_type": "deal",
        "field": "service_code",
        "value": "AIR-510",
        "reason": REASON,
        "params": {"name": "Responsible-AI review"},
    }
    return {**values, **fields}


def transaction(number: int = 1, *, state: str = "held", flow: str = "deal.provision") -> Any:
    """A transaction of the engine's queue for the ``number``-th deal, in a state of rest."""
    made = sync.enqueue(kind="deal", key=f"crm:006{number:03d}", flow=flow, trigger="test")
    if made.state == "pending" and state != "pending":
        transitions.move(made, to="running")
        transitions.move(made, to=state)
    return made


def fact(
    entity: Any, *problems: dict[str, Any], number: int = 1, made: Any = None, **fields: Any
) -> dict[str, Any]:
    """What the engine says about the ``number``-th deal."""
    made = made or transaction(number)
    made.legal_entity = entity  # the engine's first plan places a transaction
    made.save(update_fields=["legal_entity"])
    values = {
        "transaction_id": made.pk,
        "transaction_ref": made.ref,
        "subject_kind": made.subject.kind,
        "subject_key": made.subject.key,
        "flow": made.flow,
        "legal_entity_id": entity.pk if entity else None,
        "engagement_key": "",
        "label": f"Deal {number}",
        "customer": "Brackwater Utilities",
        "currency": entity.currency if entity else "GBP",
        "amount": "1000.00",
        "correlation_id": str(uuid.uuid4()),
        "problems": list(problems),
    }
    return {**values, **fields}


def opened(entity: Any, *problems: dict[str, Any], number: int = 1, **fields: Any) -> Case:
    """The case that the engine's report of one problem (unmapped service unless given) opens."""
    told = fact(entity, *(problems or (problem(),)), number=number, **fields)
    services.cases_reconcile([told])
    return Case.objects.filter(subject_key=told["subject_key"]).latest("id")


def crowd(entity: Any, count: int, *, start: int = 1000, value: str = "AIR-510") -> list[Case]:
    """``count`` cases of one group, that of :func:`opened`, each of a held deal of its own, written in bulk."""
    first = opened(entity, problem(value=value), number=start)
    pattern = Transaction.objects.select_related("subject").get(pk=first.transaction_id)
    plan = Plan(
        transaction=pattern,
        digest="",
        actions=[],
        problems=[asdict(Problem(**problem(value=value)))],
        as_of=clock.now(),
    )
    keys = [f"crm:006{start + number:05d}" for number in range(1, count)]
    subjects = Subject.objects.bulk_create([Subject(kind="deal", key=key) for key in keys])
    made = Transaction.objects.bulk_create(
        _copy(pattern, ref=f"TX-{subject.key}"[:20], subject=subject) for subject in subjects
    )
    Plan.objects.bulk_create(_copy(plan, transaction=row) for row in [pattern, *made])
    cases = Case.objects.bulk_create(
        _copy(
            first,
            ref=f"EX-{row.subject.key}",
            transaction_id=row.pk,
            transaction_ref=row.ref,
            subject_key=row.subject.key,
            label=row.subject.key,
        )
        for row in made
    )
    return [first, *cases]


def _copy(row: Any, **fields: Any) -> Any:
    names = [field.attname for field in row._meta.concrete_fields if not field.primary_key]
    values = {name: getattr(row, name) for name in names}
    for name, value in fields.items():
        values.pop(f"{name}_id", None)
        values[name] = value
    return type(row)(**values)
