"""What people decide about one case beside its cause: acknowledge, snooze, take up again; and what the sweeper does with it.

Public surface: :func:`case_acknowledge`, :func:`case_snooze`, :func:`case_take_up`, :func:`cases_snooze` (a person's moves;
each takes the place of the case as it was ``seen`` and returns the token of its undo) · :func:`cases_wake` (the sweeper's);
for the undo :func:`stand_back`.

The rules are those of a cause (:mod:`apps.triage.services.deadlines`). Snoozed means out of the list of cases; what the case
holds is counted all the same, and its cause stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.core.errors import AppError, InvalidInput, Stale, WrongState
from apps.organization import selectors as organization
from apps.triage.models import OPEN_STATES, Case
from apps.triage.services import moves, undos
from apps.triage.services.assigning import MOST, Assigned, last_events, why_not_seen
from apps.triage.services.deadlines import check_run, check_until, past_run, treatment_of
from apps.triage.services.desk import lock_seen, require
from apps.triage.states import NO_STANCE, Stance
from apps.triage.words import since_words

_AT_ONCE = 500


def case_acknowledge(*, case: Case, seen: str, by: Any, why: str = "") -> str:
    """Say that the desk knows of it; it stays in the list. Raises :class:`WrongState` when it is so already."""
    require(case, by, "exception.fix")
    with transaction.atomic():
        locked = lock_seen(case, seen)
        if locked.stance == Stance.ACKNOWLEDGED:
            raise WrongState(_("It is %(state)s already.") % {"state": locked.get_stance_display()})
        return _stand([locked], what="acknowledged", by=by, why=why, stance=Stance.ACKNOWLEDGED.value)


def case_snooze(
    *, case: Case, seen: str, by: Any, until: datetime, why: str = "", treatment: str = ""
) -> str:
    """Out of the list until an instant (aware). Past its invoice run only with a ``treatment``, by who answers for the books.

    Raises :class:`InvalidInput` (the instant, the treatment), :class:`WrongState` (a deadline is in the way, it is closed),
    :class:`NotAllowed`, :class:`Stale`."""
    check_until(until)
    treatment = treatment_of(treatment)
    require(case, by, "exception.fix")
    with transaction.atomic():
        locked = lock_seen(case, seen)
        _check(locked, until, treatment, by)
        return _snooze([locked], until, treatment, by, why)


def case_take_up(*, case: Case, seen: str, by: Any, why: str = "") -> str:
    """Take up again what was acknowledged or snoozed."""
    require(case, by, "exception.fix")
    with transaction.atomic():
        locked = lock_seen(case, seen)
        if not locked.stance:
            raise WrongState(_("It is open already."))
        return _stand([locked], what="taken_up", by=by, why=why)


def cases_snooze(
    *,
    seen: Mapping[int, str | None],
    since: datetime | None = None,
    by: Any,
    until: datetime,
    why: str = "",
    treatment: str = "",
) -> Assigned:
    """The same for many: ``seen`` is ``{case id: its place as shown}``, None where only the instant is known at which the list
    was shown (``since``). What is closed, moved since, outside of what ``by``
    may fix or would miss its invoice run is skipped and said."""
    if len(seen) > MOST:
        raise InvalidInput(_("At most %(most)s cases can be snoozed at once.") % {"most": MOST})
    check_until(until)
    treatment = treatment_of(treatment)
    organization.require(by, "exception.fix")
    scope = organization.scope_of(by, "exception.fix")
    with transaction.atomic():
        rows = Case.objects.select_for_update(of=("self",)).select_related("assignee", "legal_entity")
        visible = rows.within(organization.scope_of(by, "exception.view"))
        found = list(visible.filter(pk__in=seen).order_by("id"))
        last = last_events(case for case in found if case.seen != seen[case.pk])
        go, skipped = [], []
        treats: dict[int | None, str] = {}
        for case in found:
            why_not = why_not_seen(case, seen[case.pk], scope, last, since=since, by=by)
            if not why_not and past_run(case, until):
                # Who may treat billing is asked once an entity; without a treatment each case has a deadline of its own.
                if not treatment or case.legal_entity_id not in treats:
                    treats[case.legal_entity_id] = _refusal(case, until, treatment, by)
                why_not = treats[case.legal_entity_id]
            if why_not:
                skipped.append((case.ref, why_not))
            else:
                go.append(case)
        token = _snooze(go, until, treatment, by, why) if go else ""
    return Assigned([case.ref for case in go], skipped, token)


def stand_back(before: Mapping[str, Any], after: Mapping[str, Any], *, by: Any) -> str:
    """Put back how the desk stood to these cases where nothing has changed since; a sentence, with what has. Raises
    :class:`Stale` when all has."""
    rows = Case.objects.select_for_update(of=("self",)).select_related("assignee", "legal_entity")
    cases = list(rows.filter(pk__in=[int(key) for key in before]).order_by("id"))
    for case in cases:
        require(case, by, "exception.fix")
    same = [case for case in cases if case.is_open and case.seen == after[str(case.pk)]]
    moved = [case for case in cases if case not in same]
    last = last_events(moved)
    changed = [since_words(last.get(case.pk), case.ref) for case in moved]
    if not same:
        raise Stale(" ".join(changed[:3]) or _("There is nothing left to take back."))
    parts: dict[tuple[str, str, str], list[Case]] = {}
    for case in same:
        was = before[str(case.pk)]
        parts.setdefault((was["stance"], was["until"] or "", was["treatment"]), []).append(case)
    for (stance, until, treatment), part in parts.items():
        when = datetime.fromisoformat(until) if until else None
        values = {"stance": stance, "until": when, "treatment": treatment}
        moves.stand(part, what="taken_back", by=by, note=_("Taken back."), **values)
    done = _("Taken back for %(n)s.") % {"n": ", ".join(case.ref for case in same[:5])}
    return " ".join([done, *changed[:3]])


# ---- The sweeper's part ------------------------------------------------------------------------------------------------
_DUE = f"""
SELECT id, until <= now() FROM triage_case
WHERE stance = 'snoozed' AND state IN ({", ".join(f"'{state}'" for state in OPEN_STATES)})
    AND (until <= now() OR (severity <> 'warning' AND treatment = '' AND due_at < until))
ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""  # noqa: S608


def cases_wake() -> int:
    """Take up again what is due by the database's clock: its time has come, or its invoice run closes before that and nobody
    treats it. Returns how many were woken."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_DUE, [_AT_ONCE])
            due = dict(cursor.fetchall())
        cases = Case.objects.select_related("assignee", "legal_entity").filter(pk__in=due).order_by("id")
        in_time = [case for case in cases if due[case.pk]]
        others = [case for case in cases if not due[case.pk]]
        moves.stand(in_time, what="woken", by=None, note=_("Its time has come."))
        moves.stand(
            others, what="woken", by=None, note=_("Its invoice run closes without a treatment of it.")
        )
    return len(due)


# ---- Steps -------------------------------------------------------------------------------------------------------------
def _check(case: Case, until: datetime, treatment: str, by: Any) -> None:
    if past_run(case, until):
        check_run(case, treatment=treatment, by=by, legal_entity_id=case.legal_entity_id)


def _refusal(case: Case, until: datetime, treatment: str, by: Any) -> str:
    try:
        _check(case, until, treatment, by)
    except AppError as error:
        return error.message
    return ""


def _snooze(cases: list[Case], until: datetime, treatment: str, by: Any, why: str) -> str:
    values = {"stance": Stance.SNOOZED.value, "until": until, "treatment": treatment}
    return _stand(cases, what="snoozed", by=by, why=why, **values)


def _stand(cases: list[Case], *, what: str, by: Any, why: str, **values: Any) -> str:
    before = {
        str(case.pk): {
            "stance": case.stance,
            "until": case.until.isoformat() if case.until else None,
            "treatment": case.treatment,
        }
        for case in cases
    }
    moves.stand(cases, what=what, by=by, note=why.strip(), **{**NO_STANCE, **values})
    return undos.keep(by=by, what="stance", before=before, after={str(case.pk): case.seen for case in cases})
