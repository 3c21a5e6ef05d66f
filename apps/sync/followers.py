"""What sync does when other rooms have news: receivers of their hooks.

Public surface: :func:`prebills_moved`, :func:`billing_changed`, :func:`mappings_settled`, :func:`at_work`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db.models import Exists, OuterRef, Subquery

from apps.core.hooks import Fact
from apps.governance import selectors as governance
from apps.sync import mappings, queue
from apps.sync.models import Plan, State, Transaction

_at_work: ContextVar[str] = ContextVar("engagement_at_work", default="")
#: States of a prebill in which other systems have something to learn.
TO_SEND = frozenset({"draft", "approved", "posted", "void"})
#: Flows whose plans wait for a mapping.
HELD_FOR_MAPPINGS = ("deal.provision", "invoice.sync")


def prebills_moved(facts: list[Fact]) -> None:
    """A draft is shown in the ERP, an approved prebill posted, a posted one sent for payment, a void one taken back."""
    for fact in facts:
        if fact["state"] in TO_SEND:
            queue.enqueue(
                kind="invoice", key=fact["ref"], flow="invoice.sync", trigger=f"prebill {fact['state']}"
            )


def billing_changed(facts: list[Fact]) -> None:
    """A hold lifted, a purchase order entered, a customer's record changed: look again what may be billed.

    Not for the engagement that this very thread works on: its run evaluates readiness itself, a step later."""
    for fact in facts:
        key = fact["engagement_key"]
        if key != _at_work.get():
            queue.enqueue(kind="delivery", key=key, flow="delivery.sync", trigger="billing changed")


@contextmanager
def at_work(engagement_key: str) -> Iterator[None]:
    """While inside, news about this engagement come from its own run."""
    token = _at_work.set(engagement_key)
    try:
        yield
    finally:
        _at_work.reset(token)


def mappings_settled(facts: list[Fact]) -> None:
    """A mapping that came into force lets the deals and invoices go on that were held for it, however many they are, and the
    drafts of engagements that another mapping of the same value still holds are looked at again."""
    for fact in facts:
        if fact["state"] not in ("confirmed", "effective"):
            continue
        mapping = governance.mapping(fact["mapping_id"])
        for key in mappings.held_for_value(mapping.kind, mapping.source, mapping.legal_entity_id):
            queue.enqueue(kind="delivery", key=key, flow="delivery.sync", trigger="mapping")
        plans = Plan.objects.filter(transaction=OuterRef("pk")).order_by("-id")
        held = Transaction.objects.filter(state=State.HELD, flow__in=HELD_FOR_MAPPINGS).annotate(
            last_plan=Subquery(plans.values("id")[:1])
        )
        if mapping.legal_entity_id is not None:
            held = held.filter(legal_entity_id=mapping.legal_entity_id)
        names_it = Plan.objects.filter(
            pk=OuterRef("last_plan"), problems__contains=[{"value": mapping.source}]
        )
        waited = held.filter(Exists(names_it)).order_by("id")
        queue.plan_again(
            transaction_ids=list(waited.values_list("id", flat=True)),
            trigger="mapping",
            why=f"The mapping of {mapping.source} came into force.",
        )
