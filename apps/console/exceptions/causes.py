"""What a person may decide about a cause, beside its cases.

Public surface: :func:`cause_of`, :class:`Cause`, :data:`STATUSES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.console.access import ConsoleRequest, Permission, permissions, permitted
from apps.console.exceptions.money import BlockedView, blocked_view
from apps.triage import selectors as triage
from apps.triage.states import HIDDEN, GroupState, Treatment

#: What the list of causes can show; nothing chosen leaves out what is put aside.
STATUSES = (
    ("", _("To do")),
    ("acknowledged", _("Acknowledged")),
    ("snoozed", _("Snoozed")),
    ("ignored", _("Ignored")),
    ("any", _("All causes")),
)


@dataclass(frozen=True)
class Cause:
    """A group with its history (newest first), and whether this person may decide about it. ``stands``: it has open cases;
    ``warns``: none of them stops anything, so that it may be resolved by hand."""

    group: Any
    state: str
    state_label: str
    history: Sequence[Any]
    may: Permission
    stands: bool
    warns: bool
    treatments: Sequence[tuple[str, Any]]
    #: What was merged into it, each with the number of its open cases, and what could be.
    members: Sequence[tuple[Any, int]] = ()
    mergeable: Sequence[Any] = ()
    #: What waits for its cases.
    blocked: BlockedView | None = None


#: A cause of more cases than this is no missing record for which others wait; what waits is told by its cases one by one.
MOST_ROOTS = 1_000


def cause_of(request: ConsoleRequest, group: Any, *, stands: bool, warns: bool) -> Cause:
    """One cause for one reader."""
    # Between a case's return and the sweeper's next round the group still says that it is resolved.
    state = GroupState.OPEN if stands and group.state == GroupState.RESOLVED else GroupState(group.state)
    roots = [] if not stands else triage.transactions_of(request.scope, group, most=MOST_ROOTS)
    may_see = permissions(request).scope("transaction.view")
    return Cause(
        group=group,
        state=state.value,
        state_label=str(state.label),
        history=list(reversed(triage.group_history(request.scope, group))),
        may=permitted(request, "exception.fix", legal_entity_id=group.legal_entity_id),
        stands=stands,
        warns=warns,
        treatments=Treatment.choices,
        blocked=blocked_view(triage.blocked_behind(may_see, roots)) if roots else None,
        members=triage.members(request.scope, group),
        mergeable=triage.mergeable(request.scope, group) if stands and state not in HIDDEN else [],
    )
