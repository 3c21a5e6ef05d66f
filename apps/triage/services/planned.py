"""Run one case's transaction as its preview showed it.

Public surface: :func:`case_retry`, :func:`case_look_up`; inside the room :func:`run_as_planned` and
:func:`require_certain`, for fixes of one case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.errors import InvalidInput, Stale, WrongState
from apps.sync import selectors as transactions
from apps.sync import services as sync
from apps.triage.models import Case, CaseState
from apps.triage.services import moves
from apps.triage.services.desk import lock_seen, require
from apps.triage.services.fixes import why_not
from apps.triage.words import doubt_words


def case_retry(*, case: Case, by: Any, token: str, why: str = "", seen: str | None = None) -> int:
    """Run the case's transaction again, exactly as the engine's preview of this ``token`` showed it; the id of what runs.

    Raises :class:`InvalidInput` without a token, :class:`Stale` when it is forged, too old or another case's, or when the
    case is another one by now (as ``seen``)."""
    require(case, by, "transaction.replay")
    if not token:
        raise InvalidInput(_("Look at the preview first; it runs exactly what the preview showed."))
    digest = sync.read_token(token).get(case.transaction_id, "")
    if not digest:
        raise Stale(
            _("The preview was for another case, or it could not be planned then; look at a fresh one.")
        )
    note = f"{_('Run again.')} {why.strip()}".strip()
    return run_as_planned(
        case=case, transaction_id=case.transaction_id, digest=digest, by=by, note=note, seen=seen
    )


def case_look_up(*, case: Case, by: Any, seen: str | None = None) -> int:
    """Have the systems asked what became of what was sent for the case and is in doubt; nothing is sent. The id of what runs.

    Raises :class:`WrongState` when nothing is in doubt, :class:`Stale` when it runs already."""
    require(case, by, "transaction.replay")
    note = _("What was sent is looked up; nothing is sent again.")
    with transaction.atomic():
        sync.hold_still(transaction_ids=[case.transaction_id])
        locked = lock_seen(case, seen)
        run_id = sync.look_up_doubts(transaction_id=locked.transaction_id, by=by, why=note)
        moves.event(locked, what="retried", by=by, note=note)
    return run_id


def require_certain(case: Case) -> None:
    """Raise :class:`WrongState` while nobody knows what became of something that was sent for the case."""
    if words := doubt_words(transactions.in_doubt([case.transaction_id]).get(case.transaction_id, ())):
        raise WrongState(words)


def run_as_planned(
    *,
    case: Case,
    transaction_id: int,
    digest: str,
    by: Any,
    note: str,
    before: Callable[[], object] | None = None,
    seen: str | None = None,
) -> int:
    """Carry out the plan of this digest, after ``before`` in the same database transaction; the id of what runs.

    All or nothing: raises :class:`Stale` when the case (as ``seen``) or its transaction is another one by now."""
    with transaction.atomic():
        sync.hold_still(transaction_ids=[transaction_id])
        locked = lock_seen(case, seen)
        if reason := why_not(locked, transaction_id, transactions.in_doubt([transaction_id])):
            raise Stale(reason)
        if before is not None:
            before()
        moves.move(locked, to=CaseState.IN_PROGRESS, by=by, note=note, fixed_by=by)
        answer = sync.replay(
            transaction_ids=[transaction_id], by=by, tokens={transaction_id: digest}, why=note
        )
        if answer["skipped"]:
            raise Stale(answer["skipped"][0]["reason"])
    case.refresh_from_db()
    return int(answer["replayed"][0])
