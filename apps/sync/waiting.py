"""Who waits for a transaction: parents that asked for it as a step, and theirs in turn.

Public surface (through :mod:`apps.sync.selectors`): :func:`waiting_for`, :func:`waited_for`, :class:`Waiting`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from apps.core import statements
from apps.core.scope import Scope


@dataclass(frozen=True)
class Waiting:
    """A transaction that waits. ``amount`` None is unknown."""

    id: int
    ref: str
    subject_kind: str
    subject_key: str
    flow: str
    label: str
    customer: str
    currency: str
    amount: Decimal | None
    received_at: datetime


_BEHIND = """
WITH RECURSIVE behind AS (
    SELECT d.parent_id AS id FROM sync_dependency d JOIN sync_transaction p ON p.id = d.parent_id AND p.state = 'waiting'
    WHERE d.child_id = ANY(%(ids)s::bigint[])
    UNION
    SELECT d.parent_id FROM behind JOIN sync_dependency d ON d.child_id = behind.id
    JOIN sync_transaction p ON p.id = d.parent_id AND p.state = 'waiting'
)
SELECT t.id, t.ref, s.kind, s.key, t.flow, t.label, t.customer, t.currency, t.amount, t.created_at
FROM behind JOIN sync_transaction t ON t.id = behind.id JOIN sync_subject s ON s.id = t.subject_id
WHERE %(all)s::bool OR t.legal_entity_id = ANY(%(entities)s::bigint[]) OR t.engagement_key = ANY(%(keys)s::text[])
ORDER BY t.id
"""


def waiting_for(scope: Scope, transaction_ids: Collection[int]) -> list[Waiting]:
    """What waits for these transactions, directly or behind another that waits; in the order in which it was received, in
    which it is released. Each once, in one query."""
    given = {
        "ids": list(transaction_ids),
        "all": scope.everything,
        "entities": sorted(scope.entity_ids),
        "keys": sorted(scope.engagement_keys),
    }
    return [Waiting(*row) for row in statements.rows(_BEHIND, given)]


_AHEAD = """
WITH RECURSIVE ahead AS (
    SELECT d.child_id AS id FROM sync_dependency d JOIN sync_transaction p ON p.id = d.parent_id AND p.state = 'waiting'
    WHERE d.parent_id = ANY(%(ids)s::bigint[])
    UNION
    SELECT d.child_id FROM ahead JOIN sync_dependency d ON d.parent_id = ahead.id
    JOIN sync_transaction p ON p.id = d.parent_id AND p.state = 'waiting'
)
SELECT id FROM ahead ORDER BY id
"""


def waited_for(transaction_ids: Collection[int]) -> list[int]:
    """The other way round: the transactions for which these wait, and for which those wait in turn. One query."""
    return [row[0] for row in statements.rows(_AHEAD, {"ids": list(transaction_ids)})]
