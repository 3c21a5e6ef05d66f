"""What can be taken back: how things were before an act of a person, and how they are after it.

Inner module of the room; the verb is :func:`apps.triage.services.undo`. Public surface: :func:`keep`, :func:`of_group`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from apps.core import clock
from apps.triage.models import Group, Undo
from apps.triage.states import FIELDS_OF_STATE

#: What was done longer ago is taken back by an act of its own.
LIFETIME = timedelta(minutes=15)


def keep(*, by: Any, what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Remember an act for its undo; returns the token. Drops what has expired."""
    now = clock.now()
    Undo.objects.filter(expires_at__lt=now).delete()
    made = Undo.objects.create(
        by=by, what=what, before=before, after=after, created_at=now, expires_at=now + LIFETIME
    )
    return str(made.key)


def of_group(group: Group) -> dict[str, Any]:
    """What a group says about its state, for :func:`keep`."""
    fields = {name: getattr(group, name) for name in FIELDS_OF_STATE}
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()
    }
    return {"group": group.pk, "state": str(group.state), **plain}
