"""What people decide about a cause: acknowledge, snooze, ignore, resolve, take up again; and what the sweeper does with it.

Public surface: :func:`group_acknowledge`, :func:`group_snooze`, :func:`group_ignore`, :func:`group_resolve`,
:func:`group_reopen` (a person's moves; each takes the ``version`` seen and returns the token of its undo) ·
:func:`groups_settle`, :func:`groups_wake` (the sweeper's).

A cause that stops billing or set-up is resolved by its cases clearing, never by hand; and no decision keeps one out of sight
past its invoice run unless it says what happens to the billing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.core import clock
from apps.core.errors import InvalidInput, Stale, WrongState
from apps.triage.catalogue import Severity
from apps.triage.families import ids_of
from apps.triage.models import OPEN_STATES, Case, CaseState, Group, How, Unsettled
from apps.triage.services import moves, undos
from apps.triage.services.deadlines import check_run, check_until, treatment_of
from apps.triage.services.desk import require_group
from apps.triage.states import HIDDEN, GroupState
from apps.triage.words import since_words

_AT_ONCE = 500


def group_acknowledge(*, group: Group, seen: int, by: Any, why: str = "") -> str:
    """Say that the desk knows of it; it stays in the list."""
    return _decide(group, seen, by, to=GroupState.ACKNOWLEDGED, why=why.strip())


def group_reopen(*, group: Group, seen: int, by: Any, why: str = "") -> str:
    """Take up again what was acknowledged, snoozed or ignored."""
    return _decide(group, seen, by, to=GroupState.OPEN, why=why.strip())


def group_snooze(
    *, group: Group, seen: int, by: Any, until: datetime, why: str = "", treatment: str = ""
) -> str:
    """Out of the list until an instant (aware). Past an invoice run only with a ``treatment``, by who answers for the books.

    Raises :class:`InvalidInput` (the instant, the treatment), :class:`WrongState` (a deadline is in the way),
    :class:`NotAllowed`, :class:`Stale`."""
    check_until(until)
    return _decide(
        group,
        seen,
        by,
        to=GroupState.SNOOZED,
        why=why.strip(),
        until=until,
        treatment=treatment_of(treatment),
    )


def group_ignore(
    *, group: Group, seen: int, by: Any, why: str, until: datetime | None = None, treatment: str = ""
) -> str:
    """Out of the list, with a reason, until an instant or until somebody takes it up again. Raises as :func:`group_snooze`."""
    why = why.strip()
    if not why:
        raise InvalidInput(_("Say why it can be ignored."), fields={"why": _("Required.")})
    if until is not None:
        check_until(until)
    return _decide(
        group, seen, by, to=GroupState.IGNORED, why=why, until=until, treatment=treatment_of(treatment)
    )


def group_resolve(*, group: Group, seen: int, by: Any, why: str) -> str:
    """Close a cause that only warns, and its open cases with it. Raises :class:`WrongState` where one stops something, or says
    that something was billed too much or twice: that is no word's matter, it clears when the systems agree."""
    why = why.strip()
    if not why:
        raise InvalidInput(_("Say what was done about it."), fields={"why": _("Required.")})
    with transaction.atomic():
        locked = _locked(group, seen, by)
        cases = list(_open(locked).select_for_update().order_by("id"))
        blocking = next((case for case in cases if case.severity != Severity.WARNING), None)
        if blocking is not None:
            raise WrongState(
                _(
                    "%(ref)s still stops something (%(what)s). It resolves by itself once the cause has cleared; "
                    "until then it can be snoozed, or ignored with a treatment."
                )
                % {"ref": blocking.ref, "what": blocking.get_severity_display()}
            )
        exposed = next((case for case in cases if case.exposure), None)
        if exposed is not None:
            raise WrongState(
                _(
                    "%(ref)s is counted as %(what)s. It resolves by itself once the systems agree; until then it can be "
                    "ignored."
                )
                % {"ref": exposed.ref, "what": exposed.get_exposure_display().lower()}
            )
        now = clock.now()
        before = undos.of_group(locked) | {"cases": {str(case.pk): str(case.state) for case in cases}}
        moves.move_many(cases, to=CaseState.RESOLVED, by=by, note=why, resolved_at=now, how=How.MANUAL.value)
        moves.move_group(locked, to=GroupState.RESOLVED, by=by, note=why)
        return undos.keep(by=by, what="group", before=before, after={"version": locked.version})


# ---- The sweeper's part ------------------------------------------------------------------------------------------------
def groups_settle() -> int:
    """Bring the states of groups in line with their cases: what has cleared is resolved, what came back is open again.

    The folder names the groups; each is looked at again under its lock, so two at once do no harm. Returns how many moved."""
    moved = 0
    for group_id in list(Unsettled.objects.values_list("group_id", flat=True).distinct()[:_AT_ONCE]):
        with transaction.atomic():
            group = Group.objects.select_for_update(no_key=True).filter(pk=group_id).first()
            Unsettled.objects.filter(group_id=group_id).delete()
            if group is not None:
                moved += _settle(group)
                if (root := group.merged_into) is not None:
                    moved += _settle(Group.objects.select_for_update(no_key=True).get(pk=root.pk))
    return moved


def _settle(group: Group) -> bool:
    stands = _open(group).exists()
    if stands and group.state == GroupState.RESOLVED:
        return moves.move_group(group, to=GroupState.OPEN, by=None, note=_("A case of it came back."))
    if not stands and group.state != GroupState.RESOLVED:
        return moves.move_group(group, to=GroupState.RESOLVED, by=None, note=_("All its cases have cleared."))
    return False


_DUE = """
SELECT g.id, g.until <= now() FROM triage_group g WHERE g.state IN ('snoozed', 'ignored') AND (
    g.until <= now() OR EXISTS (
        SELECT 1 FROM triage_case c WHERE c.group_id = ANY(ARRAY(
            SELECT m.id FROM triage_group m WHERE m.id = g.id OR (m.family_id = g.id AND m.family_id IS NOT NULL)))
            AND c.severity <> 'warning' AND c.due_at < coalesce(g.until, 'infinity'::timestamptz)
            AND c.state IN ('open', 'triaged', 'assigned', 'in_progress', 'awaiting_source', 'awaiting_approval')
            AND (g.treatment = '' OR c.opened_at > g.moved_at OR EXISTS (
                SELECT 1 FROM triage_caseevent e WHERE e.case_id = c.id AND e.created_at > g.moved_at
                    AND e.what = 'moved' AND e.old IN ('resolved', 'waived')))))
ORDER BY g.id LIMIT %s
"""


def groups_wake() -> int:
    """Take up again what is due by the database's clock: its time has come, or a case came (or came back) after the decision
    whose invoice run closes before that time and is treated by nobody. Returns how many were woken."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [_AT_ONCE])
        due = dict(cursor.fetchall())
    woken = 0
    for group_id, in_time in due.items():
        with transaction.atomic():
            group = Group.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=group_id).first()
            if group is None or not _still_due(group_id):
                continue
            why = (
                _("Its time has come.") if in_time else _("An invoice run closes without a treatment of it.")
            )
            woken += moves.move_group(group, to=GroupState.OPEN, by=None, note=why)
    return woken


def _still_due(group_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM ({_DUE}) AS due WHERE id = %s", [_AT_ONCE, group_id])  # noqa: S608
        return cursor.fetchone() is not None


# ---- Steps -------------------------------------------------------------------------------------------------------------
def _decide(
    group: Group,
    seen: int,
    by: Any,
    *,
    to: GroupState,
    why: str,
    until: datetime | None = None,
    treatment: str = "",
) -> str:
    with transaction.atomic():
        locked = _locked(group, seen, by)
        if locked.state == GroupState.RESOLVED and not _open(locked).exists():
            raise WrongState(_("It is resolved; it opens again by itself when a case comes back."))
        if to in HIDDEN:
            _check_runs(locked, until=until, treatment=treatment, by=by)
        elif locked.state == to:
            raise WrongState(_("It is %(state)s already.") % {"state": locked.get_state_display()})
        before = undos.of_group(locked)
        moves.move_group(locked, to=to, by=by, note=why, until=until, treatment=treatment)
        return undos.keep(by=by, what="group", before=before, after={"version": locked.version})


def _locked(group: Group, seen: int, by: Any) -> Group:
    """The group, locked, as it was ``seen``, by a person who may decide about all its open cases."""
    locked = Group.objects.select_for_update(no_key=True).get(pk=group.pk)
    require_group(locked, by)
    if locked.merged_into is not None:
        raise WrongState(
            _("It was merged into “%(root)s”; decide about all of them there.")
            % {"root": locked.merged_into.reason}
        )
    if locked.version != seen:
        raise Stale(since_words(locked.events.select_related("by").last(), _("The group")))
    return locked


def _open(group: Group) -> Any:
    """Open cases of the group and of what was merged into it."""
    return Case.objects.filter(group_id__in=ids_of(group), state__in=OPEN_STATES)


def _check_runs(group: Group, *, until: datetime | None, treatment: str, by: Any) -> None:
    """Of the nearest case that would miss its run, with those of what was merged into the group."""
    blocking = _open(group).exclude(severity=Severity.WARNING)
    if until is not None:
        blocking = blocking.filter(Q(due_at__lt=until) | Q(due_at=None))
    first = blocking.select_related("legal_entity").order_by("due_at", "id").first()
    check_run(first, treatment=treatment, by=by, legal_entity_id=group.legal_entity_id)
