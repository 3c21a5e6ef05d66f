"""What a case keeps waiting besides its own subject: a missing customer is one case, and all its deals wait for it.

Public surface (through :mod:`apps.triage.selectors`): :func:`blocked_behind`, :func:`waits_behind`, :class:`Blocked`,
:class:`BlockedLine`.

The money of what waits is held by the root cause: the engine tells it as the amount of the root's own transaction. Here it is
shown line by line; what a case of its own holds already is counted there and not a second time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.core import statements
from apps.core.scope import Scope
from apps.sync import selectors as sync
from apps.triage.figures import Held, held_line, rates_for
from apps.triage.models import OPEN_STATES, Case


@dataclass(frozen=True)
class BlockedLine:
    """A transaction that waits. ``elsewhere``: a case of its own holds its money; ``own`` is that case's reference, "" where
    the reader may not see it."""

    waiting: sync.Waiting
    elsewhere: bool
    own: str


@dataclass(frozen=True)
class Blocked:
    """All that wait, in the order in which they were received and will be released; ``held`` is without those that count under
    a case of their own (``elsewhere``)."""

    lines: Sequence[BlockedLine]
    held: Sequence[Held]
    elsewhere: int


_OWN = f"""
SELECT DISTINCT ON (c.subject_kind, c.subject_key) c.subject_kind, c.subject_key, c.ref, c.legal_entity_id, c.engagement_key
FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS one (kind, key)
JOIN triage_case c ON c.subject_kind = one.kind AND c.subject_key = one.key AND c.severity <> 'warning'
    AND c.state IN ({", ".join(f"'{state}'" for state in OPEN_STATES)})
ORDER BY c.subject_kind, c.subject_key, c.id
"""  # noqa: S608


def blocked_behind(scope: Scope, transaction_ids: Collection[int]) -> Blocked:
    """What waits for the transactions of these cases, each once. Three queries at most, however many wait."""
    waiting = sync.waiting_for(scope, transaction_ids)
    own = _own_cases(scope, waiting) if waiting else {}
    lines = []
    for one in waiting:
        at = (one.subject_kind, one.subject_key)
        lines.append(BlockedLine(one, at in own, own.get(at, "")))
    sums: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line.elsewhere:
            continue
        amount, currency = line.waiting.amount, line.waiting.currency
        into = sums.setdefault(currency, {"currency": currency, "total": Decimal(0), "unknown": 0})
        into["total"] += amount or 0
        into["unknown"] += amount is None
    rates = rates_for(sums)
    held = [held_line(sums[name], rates) for name in sorted(sums)]
    return Blocked(lines, held, sum(line.elsewhere for line in lines))


def waits_behind(scope: Scope, case: Case) -> list[Case]:
    """The other way round: open cases that must clear before the transaction of this one can go on, oldest first."""
    ahead = sync.waited_for([case.transaction_id])
    if not ahead:
        return []
    found = Case.objects.within(scope).filter(transaction_id__in=ahead, state__in=OPEN_STATES)
    return list(found.exclude(pk=case.pk).order_by("id"))


def _own_cases(scope: Scope, waiting: Sequence[sync.Waiting]) -> dict[tuple[str, str], str]:
    """The cases that hold the money of these subjects themselves; nameless those outside the scope."""
    subjects = sorted({(one.subject_kind, one.subject_key) for one in waiting})
    given = {"kinds": [kind for kind, _key in subjects], "keys": [key for _kind, key in subjects]}
    return {
        (kind, key): ref if scope.allows(legal_entity_id=entity_id, engagement_key=engagement) else ""
        for kind, key, ref, entity_id, engagement in statements.rows(_OWN, given)
    }
