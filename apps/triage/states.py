"""States of a group of cases, and what is done with billing that a person lets pass its invoice run.

Public surface: :class:`GroupState`, :data:`GROUP_ARROWS`, :data:`HIDDEN`, :data:`FIELDS_OF_STATE`, :class:`Treatment`;
of one case: :class:`Stance`, :func:`place_of`.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.journal.transitions import Arrows


class GroupState(models.TextChoices):
    """How the desk stands to a cause. Only clearing it resolves a cause that stops billing or set-up::

    open → acknowledged | snoozed | ignored → resolved (its cases are gone) → open (a case came back, or an undo)
    """

    OPEN = "open", _("Open")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    SNOOZED = "snoozed", _("Snoozed")
    IGNORED = "ignored", _("Ignored")
    RESOLVED = "resolved", _("Resolved")


#: A person may go from any state of the desk to any other; undoing a resolution leads back to where it was.
GROUP_ARROWS = Arrows({state: set(GroupState) - {state} for state in GroupState})
#: Kept out of the list of causes unless it is asked for them; their money and their cases are counted all the same.
HIDDEN = (GroupState.SNOOZED, GroupState.IGNORED)
#: What a group says about its present state; an undo puts all of them back.
FIELDS_OF_STATE = ("until", "treatment", "note", "moved_by_id", "moved_at")


class Treatment(models.TextChoices):
    """What becomes of billing that will not be on its invoice run."""

    ACCRUE = "accrue", _("Accrue")
    DEFER = "defer", _("Defer")
    WRITE_DOWN = "write_down", _("Write down")
    CARRY = "carry", _("Carry forward")


class Stance(models.TextChoices):
    """How the desk stands to one case beside its state and its cause; "" is as found. It ends when the case closes."""

    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    SNOOZED = "snoozed", _("Snoozed")


#: A case as it is found, and as it is again once it is taken up or closed.
NO_STANCE: dict[str, Any] = {"stance": "", "until": None, "treatment": ""}


def place_of(row: Any, **changed: Any) -> str:
    """Where a case (or a row of a list) stands with the desk; ``changed`` are values that it is about to have."""
    names = ("state", "assignee_id", "queue", "stance", "until")
    state, assignee_id, queue, stance, until = (changed.get(name, getattr(row, name)) for name in names)
    put = f".{stance}.{int(until.timestamp()) if until else ''}" if stance else ""
    return f"{state}.{assignee_id or ''}.{queue}{put}"
