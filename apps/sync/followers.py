"""What sync does when other rooms have news: receivers of their hooks.

Public surface: :func:`prebills_moved`, :func:`mappings_settled`.
"""

from __future__ import annotations

from apps.core.hooks import Fact
from apps.governance import selectors as governance
from apps.sync import queue
from apps.sync.models import State, Transaction

#: States of a prebill in which other systems have something to learn.
TO_SEND = frozenset({"draft", "approved", "posted"})


def prebills_moved(facts: list[Fact]) -> None:
    """A draft is shown in the ERP, an approved prebill posted, a posted one sent for payment."""
    for fact in facts:
        if fact["state"] in TO_SEND:
            queue.enqueue(
                kind="invoice", key=fact["ref"], flow="invoice.sync", trigger=f"prebill {fact['state']}"
            )


def mappings_settled(facts: list[Fact]) -> None:
    """A mapping that came into force lets the deals go on that were held for it."""
    for fact in facts:
        if fact["state"] not in ("confirmed", "effective"):
            continue
        mapping = governance.mapping(fact["mapping_id"])
        held = Transaction.objects.filter(state=State.HELD, flow="deal.provision")
        if mapping.legal_entity_id is not None:
            held = held.filter(legal_entity_id=mapping.legal_entity_id)
        for transaction in held.select_related("subject").order_by("id"):
            plan = transaction.plans.order_by("-id").first()
            if plan and any(problem["value"] == mapping.source for problem in plan.problems):
                queue.enqueue(
                    kind=transaction.subject.kind,
                    key=transaction.subject.key,
                    flow=transaction.flow,
                    trigger="mapping",
                    why=f"The mapping of {mapping.source} came into force.",
                )
