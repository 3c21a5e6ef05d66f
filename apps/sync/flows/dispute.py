"""Flow ``dispute.take``: a client objects to a payment on the billing platform; its invoice hears of it.

Public surface: :data:`FLOW`. Subject key: ``<billing system>:<dispute id>``. The platform's news names the dispute alone,
the dispute a payment: which invoice it is about is asked for here. What that means for the invoice says ``payment.apply``,
which is asked for afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.billing import selectors as billing
from apps.canonical.objects import Dispute
from apps.core import clock
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, local


@dataclass(frozen=True)
class DisputeSnapshot:
    """``ref`` is the prebill of the invoice, "" where it is none of ours."""

    as_of: datetime
    meta: Meta
    system: Any
    dispute: Dispute | None
    ref: str


def gather(context: Context) -> DisputeSnapshot:
    """The dispute as the platform shows it now. Raises ``AdapterError``."""
    system, external_id = base.split_key(context.key)
    as_of = clock.now()
    seen = base.read_one(context, system=system, object_type="dispute", external_id=external_id)
    dispute: Dispute | None = seen.body if seen is not None else None  # type: ignore[assignment]
    if dispute is None or dispute.invoice_key is None:
        return DisputeSnapshot(context.oldest(as_of), Meta(label="Dispute"), system, dispute, "")
    prebill = billing.prebill(dispute.invoice_key)
    meta = Meta(
        label=f"Dispute of {prebill.number}",
        customer=prebill.customer_name,
        customer_key=prebill.customer_key,
        legal_entity_id=prebill.legal_entity_id,
        engagement_key=prebill.engagement_key,
        currency=dispute.amount.currency,
        amount=dispute.amount.amount,
    )
    return DisputeSnapshot(context.oldest(as_of), meta, system, dispute, prebill.ref)


def plan(snapshot: DisputeSnapshot) -> Draft:
    dispute = snapshot.dispute
    if dispute is None:
        return Draft((), summary=f"{snapshot.system.name} does not have this dispute any more.")
    if not snapshot.ref:
        return Draft((), summary="The disputed payment belongs to no invoice of ours.")
    why = f"The client disputes {dispute.amount} of {snapshot.ref}; {snapshot.system.name} says “{dispute.status}”."
    step = local(
        "dispute",
        why,
        verb="dispute_observed",
        ref=snapshot.ref,
        dispute=dispute.model_dump(mode="json"),
    )
    return Draft((step,), summary=why)


FLOW = Flow("dispute.take", "dispute", "Take over a dispute", gather, plan)
