"""Local steps: what a plan does to our own records, in the same database transaction as the journal row.

Public surface: :func:`run`, :data:`VERBS`. Each verb is idempotent: it may run again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apps.billing import selectors as billing_selectors
from apps.billing import services as billing
from apps.canonical.money import Money
from apps.canonical.objects import Deal, Dispute, Invoice, Milestone, PaymentStatus, TimeEntry
from apps.commercial import selectors as commercial_selectors
from apps.commercial import services as commercial
from apps.core.errors import WrongState
from apps.journal import services as journal
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync import mappings
from apps.sync.models import Transaction
from apps.sync.plans import Problem


@dataclass(frozen=True)
class Result:
    """``problems`` stand beside the transaction: it goes on, a person looks at them."""

    message: str = ""
    problems: tuple[Problem, ...] = ()
    #: Transactions to ask for once this step is journaled: ``(kind, key, flow)``.
    follow: tuple[tuple[str, str, str], ...] = field(default=())


def engagement_open(
    transaction: Transaction, *, deal: dict, legal_entity_id: int, lines: list[dict]
) -> Result:
    entity = organization.entity(legal_entity_id)
    opened = commercial.engagement_open(deal=Deal.model_validate(deal), legal_entity=entity, lines=lines)
    transaction.engagement_key = opened.key
    transaction.save(update_fields=["engagement_key"])
    return Result(f"Opened {opened.key}.")


def engagement_po(
    transaction: Transaction, *, engagement_key: str, po_number: str, amount: dict | None
) -> Result:
    order = Money.model_validate(amount) if amount else None
    commercial.po_set(key=engagement_key, po_number=po_number, amount=order)
    return Result(f"Purchase order of {engagement_key} taken over.")


def engagement_activate(transaction: Transaction, *, engagement_key: str, unconfirmed: list[int]) -> Result:
    mappings.hold_unconfirmed(engagement_key, planned=unconfirmed)
    billing.schedule_load(engagement_key=engagement_key)
    commercial.engagement_activate(key=engagement_key)
    return Result(f"{engagement_key} is active.", follow=(("delivery", engagement_key, "delivery.sync"),))


def announce_engagement(transaction: Transaction, *, deal_key: str, event_type: str) -> Result:
    engagement = commercial_selectors.engagement_by_deal(deal_key)
    if engagement is None:
        raise WrongState("There is no engagement to announce.")
    journal.publish(
        type=event_type,
        subject=engagement.key,
        data={
            "engagement": engagement.key,
            "deal": deal_key,
            "name": engagement.name,
            "customer": engagement.customer_key,
        },
        legal_entity_id=engagement.legal_entity_id,
        correlation_id=str(transaction.correlation_id),
        key=f"{event_type}:{engagement.key}",
    )
    return Result("Announced.")


def billing_observe(
    transaction: Transaction,
    *,
    engagement_key: str,
    milestones: list[dict],
    entries: list[dict],
    gone: list[str],
    full: bool,
) -> Result:
    """``full``: everything was read, not only what changed; ``gone``: what the project system does not have any more."""
    for body in milestones:
        billing.milestone_observe(milestone=Milestone.model_validate(body))
    for body in entries:
        billing.time_observe(entry=TimeEntry.model_validate(body))
    billing.sources_gone(engagement_key=engagement_key, keys=gone)
    if full:
        # The reading began no earlier than this.
        billing.sources_read(
            engagement_key=engagement_key, at=transaction.started_at or transaction.created_at
        )
    return Result(f"{len(milestones)} milestones, {len(entries)} time entries, {len(gone)} deleted.")


def billing_ready(transaction: Transaction, *, engagement_key: str) -> Result:
    mappings.hold_unconfirmed(engagement_key)
    items = billing.readiness(engagement_key)
    found = [*billing.problems(items), *billing.limits(engagement_key, items)]
    prebill = billing.prebill_draft(engagement_key=engagement_key)
    message = f"Drafted on {prebill.ref}." if prebill else "Nothing new to bill."
    return Result(message, problems=tuple(Problem(**problem) for problem in found))


def invoice_posted(transaction: Transaction, *, ref: str, system_id: int) -> Result:
    record = _seen_invoice(ref, system_id)
    seen = Invoice.model_validate(record.body)
    number = str(record.facts.get("number") or seen.number)
    billing.invoice_posted(
        ref=ref,
        number=number,
        total=seen.total or seen.net,
        tax=seen.tax,
        invoice_on=seen.invoice_on,
    )
    found = billing_selectors.prebill_problems(ref)
    return Result(f"Posted as {number}.", problems=tuple(Problem(**problem) for problem in found))


def invoice_issued(transaction: Transaction, *, ref: str, system_id: int) -> Result:
    seen = _seen_invoice(ref, system_id)
    billing.invoice_issued(ref=ref, url=str(seen.facts.get("hosted_invoice_url") or seen.url))
    return Result("Issued.")


def _seen_invoice(ref: str, system_id: int) -> Any:
    link = records.find_link("invoice", ref, system_id)
    seen = records.record(system_id, "invoice", link.external_id) if link else None
    if seen is None:
        raise WrongState(f"{ref} has not been seen in that system yet.")
    return seen


def payment_observed(transaction: Transaction, *, ref: str, status: dict, collected: dict) -> Result:
    billing.payment_observed(
        ref=ref, status=PaymentStatus.model_validate(status), collected=Money.model_validate(collected)
    )
    return Result("Payment status taken over.")


def dispute_observed(transaction: Transaction, *, ref: str, dispute: dict) -> Result:
    billing.dispute_observed(ref=ref, dispute=Dispute.model_validate(dispute))
    return Result("Dispute taken over.", follow=(("invoice", ref, "payment.apply"),))


def announce_invoice(transaction: Transaction, *, ref: str, event_type: str) -> Result:
    prebill = billing_selectors.prebill(ref)
    invoice = billing_selectors.canonical_invoice(ref)
    journal.publish(
        type=event_type,
        subject=ref,
        data={
            "invoice": invoice.number,
            "prebill": ref,
            "engagement": prebill.engagement_key,
            "state": prebill.state,
        },
        legal_entity_id=prebill.legal_entity_id,
        correlation_id=str(transaction.correlation_id),
        key=f"{event_type}:{ref}",
    )
    return Result("Announced.")


VERBS: dict[str, Callable[..., Result]] = {
    verb.__name__: verb
    for verb in (
        engagement_open,
        engagement_po,
        engagement_activate,
        announce_engagement,
        billing_observe,
        billing_ready,
        invoice_posted,
        invoice_issued,
        payment_observed,
        dispute_observed,
        announce_invoice,
    )
}


def run(transaction: Transaction, verb: str, arguments: dict[str, Any]) -> Result:
    """Do the local step. Raises ``KeyError`` for an unknown verb, otherwise what the room raises."""
    return VERBS[verb](transaction, **arguments)
