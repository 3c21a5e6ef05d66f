"""Lines of the review list with what each reviewer may do.

Public surface: :func:`review_lines`, :class:`ReviewLine`, :func:`nothing_waits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.approvals import selectors as approvals
from apps.console.access import ConsoleRequest, permitted
from apps.governance import selectors as governance
from apps.triage import selectors as triage


@dataclass(frozen=True)
class ReviewLine:
    """``why_not`` is empty when the reader may decide; ``released`` are the cases that the mapping cleared."""

    mapping: Any
    request: Any
    former: Any
    exposure: tuple[Any, str] | None
    released: int
    why_not: str

    @property
    def may_decide(self) -> bool:
        return self.request is not None and not self.why_not


def review_lines(request: ConsoleRequest) -> list[ReviewLine]:
    """All mappings that wait for a second person; a fixed number of queries whatever the number of lines."""
    rows = governance.awaiting_review(request.scope)
    mine = set(approvals.waiting_for(request.user).filter(kind="mapping").values_list("pk", flat=True))
    released = triage.cleared_by_mappings([row.mapping.pk for row in rows])
    why: dict[int | None, str] = {}
    lines = []
    for row in rows:
        mapping = row.mapping
        reason = ""
        if row.request is not None and row.request.pk not in mine:
            if mapping.added_by_id == request.user.pk:
                reason = _("You added it, so another person must confirm it.")
            else:
                entity = mapping.legal_entity_id
                if entity not in why:
                    why[entity] = permitted(request, "mapping.confirm", legal_entity_id=entity).why
                reason = why[entity] or _("Somebody has just decided it.")
        exposure = (mapping.exposure_amount, mapping.exposure_currency) if mapping.exposure_currency else None
        lines.append(
            ReviewLine(mapping, row.request, row.former, exposure, released.get(mapping.pk, 0), reason)
        )
    return lines


def nothing_waits(request: ConsoleRequest) -> str:
    """What is true of the mappings in use when none waits: who confirmed them, and which came with the set-up."""
    count = governance.mappings_in_use(request.scope)
    parts = []
    if count.confirmed:
        parts.append(
            ngettext(
                "%(n)d mapping in use was confirmed by a second person.",
                "%(n)d mappings in use were confirmed by a second person.",
                count.confirmed,
            )
            % {"n": count.confirmed}
        )
    if count.adopted:
        parts.append(
            ngettext(
                "%(n)d mapping was adopted when this console was set up; nobody reviewed it here.",
                "%(n)d mappings were adopted when this console was set up; nobody reviewed them here.",
                count.adopted,
            )
            % {"n": count.adopted}
        )
    return " ".join(parts) or _("No mapping is in use yet.")
