"""The bench's flow: one won deal makes six writes, each waiting for the one before.

Public surface: :data:`FLOW`. It does what the product's flows do: reads routing and links, knows what exists already, plans
canonical objects with references that are resolved at their turn. It runs as ``deal.provision`` (see :mod:`benchmarks.apps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import Address, Customer, Milestone
from apps.core.errors import WrongState
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, PlannedAction, push, unchanged
from benchmarks.world import entity_of

MILESTONES = 5


@dataclass(frozen=True)
class BenchSnapshot:
    workflow: str
    entity: Any
    erp: Any
    known: dict[str, str]
    as_of: datetime

    @property
    def meta(self) -> Meta:
        return Meta(
            label=f"Deal {self.workflow}",
            customer=f"Customer of {self.workflow}",
            legal_entity_id=self.entity.pk,
            currency=self.entity.currency,
            amount=Decimal("125000"),
        )


def gather(context: Context) -> BenchSnapshot:
    _system, workflow = base.split_key(context.key)
    code = entity_of(workflow)
    entity = organization.entity(code)
    if entity is None:
        raise WrongState(f"The bench's legal entity {code} is missing.", code="CUS-LE-MISSING")
    erp = base.route(entity.pk, "erp").system
    found = records.snapshot(_objects(workflow))
    known = {key: found.link(kind, key, erp.pk) for kind, key in _objects(workflow)}
    return BenchSnapshot(workflow=workflow, entity=entity, erp=erp, known=known, as_of=base.now())


def _objects(workflow: str) -> list[tuple[str, str]]:
    milestones = [("milestone", f"{workflow}-M{number}") for number in range(1, MILESTONES + 1)]
    return [("customer", f"{workflow}-C"), *milestones]


def plan(snapshot: BenchSnapshot) -> Draft:
    steps = [
        _step(snapshot, number, kind, key)
        for number, (kind, key) in enumerate(_objects(snapshot.workflow), start=1)
    ]
    return Draft(tuple(steps), summary=f"Deal {snapshot.workflow} is provisioned.")


def _step(snapshot: BenchSnapshot, number: int, kind: str, key: str) -> PlannedAction:
    name, customer_key = f"erp.{kind}.{number}", f"{snapshot.workflow}-C"
    known = snapshot.known[key]
    if known:
        return unchanged(name, f"{known} exists.", system=snapshot.erp, object_type=kind, external_id=known)
    return push(
        name,
        f"{snapshot.erp.name} gets step {number}.",
        system=snapshot.erp,
        object_type=kind,
        operation="create",
        key=key,
        body=_customer(snapshot, key) if kind == "customer" else _milestone(snapshot, number, key),
        refs={} if kind == "customer" else {"customer": ("customer", customer_key)},
        settings={"workflow": snapshot.workflow, "step": str(number)},
    )


def _customer(snapshot: BenchSnapshot, key: str) -> Customer:
    return Customer(
        key=key,
        name=f"Customer of {snapshot.workflow}",
        currency=snapshot.entity.currency,
        tax_id="GB980780684",
        payment_terms="Net 30",
        email="accounts@customer.example",
        billing_address=Address(line1="1 Long Lane", city="York", postal_code="YO1 7HH", country="GB"),
        legal_entities=(snapshot.entity.code,),
    )


def _milestone(snapshot: BenchSnapshot, number: int, key: str) -> Milestone:
    return Milestone(
        key=key,
        engagement_key=f"ENG-{snapshot.workflow}",
        name=f"Milestone {number} of the implementation of {snapshot.workflow}",
        amount=Money.of(Decimal("25000"), snapshot.entity.currency),
        status="planned",
        service_code="IMP-200",
    )


FLOW = Flow("deal.provision", "deal", "Bench: provision a deal in six writes", gather, plan)
