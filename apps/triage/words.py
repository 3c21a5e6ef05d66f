"""Sentences that several verbs say: an instant where it matters, and who changed what since.

Inner module of the room. Public surface: :func:`at_words`, :func:`since_words`, :func:`doubt_words`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import formats
from django.utils.translation import gettext as _

from apps.triage.models import CaseState
from apps.triage.states import GroupState

_STATES = {**dict(GroupState.choices), **dict(CaseState.choices)}


def at_words(when: datetime, entity: Any = None) -> str:
    """``2 Dec 2026 16:00 (MER-UK)``: in the zone of the legal entity, UTC without one."""
    zone = entity.timezone if entity else "UTC"
    text = formats.date_format(when.astimezone(ZoneInfo(zone)), "j M Y H:i")
    return f"{text} ({entity.code if entity else 'UTC'})"


def since_words(event: Any, what: str) -> str:
    """The last move of a case or group as the reason why what a person saw is old: who, what, when, and why."""
    if event is None:
        return _("%(what)s has changed since you looked; look again.") % {"what": what}
    who = event.by.display_name if event.by else _("The console")
    if event.what == "retried":
        return _("%(what)s has been run again since you looked: %(who)s, %(when)s.") % {
            "what": what,
            "who": who,
            "when": at_words(event.created_at),
        }
    text = _("%(what)s has changed since you looked: %(who)s, %(when)s, “%(old)s” to “%(new)s”.") % {
        "what": what,
        "who": who,
        "when": at_words(event.created_at),
        "old": _STATES.get(event.old, event.old) or _("nobody"),
        "new": _STATES.get(event.new, event.new) or _("nobody"),
    }
    return f"{text} {event.note}" if event.note else text


def doubt_words(steps: Sequence[str]) -> str:
    """Why nothing is run while nobody knows what became of these steps; "" for none."""
    if not steps:
        return ""
    return _("What became of %(steps)s is not known; it is looked up before anything runs.") % {
        "steps": ", ".join(steps)
    }
