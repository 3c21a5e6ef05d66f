"""Shared inner steps of the verbs: moving a case with its event row, and its billing hold.

Inner module of the room; outsiders use :mod:`apps.triage.services`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from apps.billing import services as billing
from apps.core import clock, correlation
from apps.journal import services as journal
from apps.journal import transitions
from apps.triage.catalogue import Severity
from apps.triage.models import CLOSED_STATES, Case, CaseEvent, CaseState, Group, GroupEvent
from apps.triage.states import NO_STANCE, GroupState
from apps.triage.words import at_words


def source_ref(case: Case) -> str:
    """The name under which a case places its hold."""
    return f"case:{case.ref}"


def move(case: Case, *, to: CaseState, by: Any, note: str = "", **fields: Any) -> bool:
    """Move a case and write its event; False when another process was first (nothing is written then)."""
    former = str(case.state)
    if not transitions.move(case, to=to, by=by, why=note, **_ending(to), **fields):
        return False
    event(case, what="moved", old=former, new=to.value, by=by, note=note)
    return True


def move_many(cases: Sequence[Case], *, to: CaseState, by: Any, note: str = "", **fields: Any) -> None:
    """Move cases that the caller has locked, with their events, in a fixed number of statements. ``cases`` themselves keep
    the values that they were read with."""
    if not cases:
        return
    rows = Case.objects.filter(pk__in=[case.pk for case in cases])
    transitions.move_many(rows, to=to, by=by, why=note, **_ending(to), **fields)
    event_many(cases, what="moved", new=to.value, by=by, note=note)


def back_to_desk(cases: Sequence[Case], note: str) -> None:
    """To whoever has it, or to the queue; the fix is none of theirs any more."""
    for back in (CaseState.ASSIGNED, CaseState.OPEN):
        part = [case for case in cases if bool(case.assignee_id) == (back == CaseState.ASSIGNED)]
        move_many(part, to=back, by=None, note=note, fixed_by=None, mapping_id=None)


def _ending(to: CaseState) -> dict[str, Any]:
    """What the desk had decided about a case ends with it."""
    return dict(NO_STANCE) if to in CLOSED_STATES else {}


def stand(cases: Sequence[Case], *, what: str, by: Any, note: str = "", **values: Any) -> None:
    """Put locked cases there (``stance``, ``until``, ``treatment``), with history and audit, in a fixed number of statements.
    ``values`` are set on ``cases`` too."""
    values = {**NO_STANCE, **values}
    Case.objects.filter(pk__in=[case.pk for case in cases]).update(**values)
    journal.record_many(
        rows=[
            {
                "verb": f"case.{what}",
                "object_type": "case",
                "object_ref": case.ref,
                "by": by,
                "legal_entity_id": case.legal_entity_id,
                "engagement_key": case.engagement_key,
                "old": {name: getattr(case, name) for name in NO_STANCE},
                "new": values,
                "why": note,
            }
            for case in cases
        ]
    )
    parts: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        former = case.stance or CaseState.OPEN.value
        for name, value in values.items():
            setattr(case, name, value)
        parts.setdefault((former, told(case, note)), []).append(case)
    for (former, text), part in parts.items():
        new = values["stance"] or CaseState.OPEN.value
        event_many(part, what=what, by=by, old=former, new=new, note=text)


def event_many(
    cases: Sequence[Case], *, what: str, by: Any, old: str = "", new: str = "", note: str = ""
) -> None:
    """One event each; the old value, where none is given, is the state of a case that moves, else who had it."""
    now, trace = clock.now(), correlation.current()
    CaseEvent.objects.bulk_create(
        [
            CaseEvent(
                case=case,
                what=what,
                old=old or (str(case.state) if what == "moved" else _holder(case)),
                new=new[:120],
                note=note,
                by=by,
                correlation_id=trace,
                created_at=now,
            )
            for case in cases
        ],
        batch_size=1000,
    )


def _holder(case: Case) -> str:
    return case.assignee.display_name[:120] if case.assignee else case.queue


def move_group(group: Group, *, to: GroupState, by: Any, note: str, said: str = "", **fields: Any) -> bool:
    """Move a group that the caller has locked, with its history (``said``: in these words); a second decision for the same
    state renews what it says.

    ``fields``: ``until``, ``treatment``, and for an undo ``moved_at`` and ``moved_by_id``."""
    former, now = str(group.state), clock.now()
    values = {
        "note": note,
        "until": None,
        "treatment": "",
        "moved_at": now,
        "moved_by_id": by.pk if by else None,
        "version": group.version + 1,
        **fields,
    }
    if former == to:
        for name, value in values.items():
            setattr(group, name, value)
        group.save(update_fields=list(values))
        journal.record(
            verb="case_group.renewed",
            object_type="case_group",
            object_ref=str(group.pk),
            by=by,
            legal_entity_id=group.legal_entity_id,
            new={"state": former, "note": note, "until": values["until"], "treatment": values["treatment"]},
        )
    elif not transitions.move(group, to=to, by=by, why=said or note, **values):
        return False
    _group_event(group, what="moved", old=former, new=to.value, note=said or told(group, group.note), by=by)
    return True


def say_group(group: Group, *, what: str, by: Any, old: str = "", new: str = "", note: str = "") -> None:
    """Keep the family of a locked group as it was set, with its history; its state stays."""
    group.version += 1
    group.save(update_fields=["family", "version"])
    _group_event(group, what=what, old=old, new=new, note=note, by=by)
    journal.record(
        verb=f"case_group.{what}",
        object_type="case_group",
        object_ref=str(group.pk),
        by=by,
        legal_entity_id=group.legal_entity_id,
        new={"family": group.family_id},
        why=note,
    )


def _group_event(group: Group, *, what: str, old: str, new: str, note: str, by: Any) -> None:
    GroupEvent.objects.create(
        group=group,
        what=what,
        old=old[:120],
        new=new[:120],
        note=note,
        by=by,
        correlation_id=correlation.current(),
        created_at=clock.now(),
    )


def told(thing: Group | Case, note: str) -> str:
    """Why, until when, and what happens to the billing."""
    parts = [note] if note else []
    if thing.until:
        parts.append(_("Until %(when)s.") % {"when": at_words(thing.until, thing.legal_entity)})
    if thing.treatment:
        parts.append(_("Billing past the run: %(treatment)s.") % {"treatment": thing.get_treatment_display()})
    return " ".join(parts)


def event(case: Case, *, what: str, by: Any, old: str = "", new: str = "", note: str = "") -> None:
    CaseEvent.objects.create(
        case=case,
        what=what,
        old=old[:120],
        new=new[:120],
        note=note,
        by=by,
        correlation_id=correlation.current(),
        created_at=clock.now(),
    )


def place_hold(case: Case) -> None:
    """An open case that stops billing keeps its engagement's items from being drafted.

    Not one that billing's own readiness told (step ``billing``): there exactly the items concerned wait already, and the
    rest of the engagement shall go out (bill up to the cap, bill the hours that are approved).
    """
    entity_id = case.legal_entity_id
    stops = case.severity == Severity.BLOCKING_BILLING and case.step != "billing"
    if stops and case.engagement_key and entity_id is not None:
        billing.place_hold(
            engagement_key=case.engagement_key,
            legal_entity_id=entity_id,
            level="billing",
            reason=f"{case.ref}: {case.reason}",
            source_ref=source_ref(case),
        )


def lift_hold(case: Case, *, by: Any) -> None:
    """By its source alone: whatever engagement it was placed on, no hold outlives its case."""
    if case.severity == Severity.BLOCKING_BILLING:
        billing.lift_hold(source_ref=source_ref(case), by=by)
