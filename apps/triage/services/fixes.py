"""The fix in place: give a value its missing partner, see what that would do, run exactly that.

Public surface: :func:`fix_preview`, :func:`case_fix_mapping`, :func:`cases_follow_mapping`; for jobs :func:`why_not`,
:func:`release_skipped`.

The preview freezes on the server what it showed (person, group, proposed mapping, cases, plan digests); its token names it.
Running takes the token: cases that were not in it are never touched, those that changed since are skipped and said. All
three verbs take a fixed number of statements a thousand cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.errors import InvalidInput, Stale
from apps.governance import services as governance
from apps.governance.selectors import ProposedMapping
from apps.organization import selectors as organization
from apps.sync import selectors as transactions
from apps.sync import services as sync
from apps.triage.errors import NotFixableHere
from apps.triage.fixing import came_later, group_exposure, told
from apps.triage.models import UNDER_WAY, Case, CaseState, FixPreview
from apps.triage.selectors import mapping_kind_of
from apps.triage.services import moves, previews
from apps.triage.services.desk import lock_seen, require
from apps.triage.services.fix_jobs import job_of_fix
from apps.triage.words import doubt_words

#: More cases than that are run by a job: with its progress, its brake, and a stop.
AT_ONCE = 10_000


def fix_preview(*, case: Case, target: str, target_label: str, by: Any, token: str = "") -> dict[str, Any]:
    """What mapping the case's value to ``target`` would do to every open case of its group. Changes nothing there.

    Plans for about two seconds and keeps what it found; while ``complete`` is false, ask again with the ``token`` of the
    answer. ``{"token", "complete", "total": cases, "planned": of them, "counts": {"clears", "changes", "stays",
    "unreachable"}, "money": [{"currency", "released", "held", "unknown"}]}`` and, once complete, ``{"results": [the first
    100: {"transaction_id", "ref", "case_ref", "label", "outcome", "reason", "digest"}], "came_later": cases that joined the
    group since and are no part of it, "summary": sentence, "exposure": Money or None (unknown)}``. Money as ``Decimal``;
    amounts that nobody knows are counted in ``unknown`` and never taken for zero. Raises :class:`PreviewExpired` for a
    token of another person, group or target, a used or an old one; :class:`Stale` when nothing is left to fix.
    """
    proposed = _proposal(case, target, target_label)
    _require_fix(case, by)
    if token:
        preview = previews.read(token, case=case, target=proposed.target, by=by)
    else:
        preview = previews.freeze(case=case, target=proposed.target, by=by)
    previews.advance(preview, proposed)
    return told(preview, case, by)


def case_fix_mapping(
    *,
    case: Case,
    target: str,
    target_label: str,
    by: Any,
    preview_token: str,
    confirm: bool = True,
    seen: str | None = None,
) -> dict[str, Any]:
    """Add the mapping and run again what the preview showed, in one database transaction.

    ``{"mapping_id", "mapping_state", "replayed": [transaction ids], "skipped_stale": [{transaction_id, ref, label,
    reason}], "waiting": number of cases that wait for a second person, "came_later": number of cases that joined the group
    after the preview, "job": reference of the job that runs them, where they are more than :data:`AT_ONCE`}``. A mapping
    that needs a second person first runs nothing: its cases wait for the approval. Raises
    :class:`PreviewExpired`, :class:`NotFixableHere`, :class:`~apps.governance.errors.AlreadyMapped`, :class:`NotAllowed`;
    :class:`InvalidInput` when ``confirm`` is false.
    """
    if not confirm:
        raise InvalidInput(
            _("Confirm that you have seen what it will do."), fields={"confirm": _("Required.")}
        )
    proposed = _proposal(case, target, target_label)
    _require_fix(case, by)
    with transaction.atomic():
        preview = previews.take(preview_token, case=case, target=proposed.target, by=by)
        later = came_later(preview, case, by)
        mapping = governance.mapping_add(
            kind=proposed.kind,
            legal_entity=case.legal_entity,
            source=proposed.source,
            target=proposed.target,
            target_label=proposed.target_label,
            by=by,
            reason=_("Fix of %(ref)s: %(reason)s") % {"ref": case.ref, "reason": case.reason},
            exposure=group_exposure(case),
        )
        result = {
            "mapping_id": mapping.pk,
            "mapping_state": str(mapping.state),
            "came_later": later,
            "job": "",
        }
        if mapping.state != "proposed" and preview.rows.exclude(digest="").count() > AT_ONCE:
            lock_seen(case, seen)
            job = job_of_fix(
                preview=preview,
                mapping_id=mapping.pk,
                by=by,
                scope_words=_("Fix of %(ref)s: %(reason)s") % {"ref": case.ref, "reason": case.reason},
                address=f"/exceptions/?group={case.group_id}",
            )
            return {**result, "job": job.ref, "replayed": [], "skipped_stale": [], "waiting": 0}
        cases, digests, skipped = _still_as_shown(preview, by)
        if seen is not None:
            lock_seen(case, seen)
        if not cases:
            raise Stale(_("Every case of the preview is closed or being fixed meanwhile; nothing was done."))
        if mapping.state == "proposed":
            note = _("%(source)s is proposed to mean %(target)s; a second person confirms it first.")
            _mark(cases, CaseState.AWAITING_APPROVAL, mapping, by, note)
            return {**result, "replayed": [], "skipped_stale": skipped, "waiting": len(cases)}
        _mark(cases, CaseState.IN_PROGRESS, mapping, by, _("%(source)s now means %(target)s; run again."))
        answer = sync.replay(
            transaction_ids=list(digests), by=by, tokens=digests, why=_("Fix of %(ref)s.") % {"ref": case.ref}
        )
        release_skipped(cases, answer["skipped"])
    case.refresh_from_db()
    skipped = [*skipped, *answer["skipped"]]
    return {**result, "replayed": answer["replayed"], "skipped_stale": skipped, "waiting": 0}


def cases_follow_mapping(*, mapping_id: int, state: str) -> int:
    """Carry on with the cases that waited for a second person: confirmed → run as the preview showed them, refused → back to
    the desk. What has become another case meanwhile is not run; what plans another thing by now is held by the engine."""
    if state not in ("confirmed", "rejected"):
        return 0
    waiting = Case.objects.filter(mapping_id=mapping_id, state=CaseState.AWAITING_APPROVAL).order_by("id")
    with transaction.atomic():
        ids = list(waiting.values_list("transaction_id", flat=True))
        sync.hold_still(transaction_ids=ids)
        cases = list(waiting.select_for_update())
        if state == "confirmed":
            _run_as_shown(cases, transactions.in_doubt(ids))
        else:
            moves.back_to_desk(cases, _("The proposed mapping was refused."))
    return len(cases)


def _run_as_shown(cases: Sequence[Case], doubts: Mapping[int, Sequence[str]]) -> None:
    """Locked cases whose mapping has been confirmed: those that still are what their preview showed run by its digests."""
    shown, good, digests = previews.ran(cases), [], {}
    skipped: dict[int, str] = {}
    for case in cases:
        transaction_id, digest = shown.get(case.pk, (case.transaction_id, ""))
        reason = _moved_on(case, transaction_id, doubts)
        if reason or not digest:
            skipped[case.pk] = reason or _("What its preview showed is not known any more; preview it again.")
        else:
            good.append(case)
            digests[transaction_id] = digest
    note = _("The mapping is confirmed; run again.")
    moves.move_many(good, to=CaseState.IN_PROGRESS, by=None, note=note)
    release_skipped(good, sync.run_as_shown(digests=digests, why=note))
    for reason in sorted(set(skipped.values())):
        moves.back_to_desk([case for case in cases if skipped.get(case.pk) == reason], reason)


def _proposal(case: Case, target: str, target_label: str) -> ProposedMapping:
    kind = mapping_kind_of(case)
    if not kind:
        raise NotFixableHere(_("%(code)s cannot be fixed by mapping a value.") % {"code": case.code})
    if not target.strip():
        raise InvalidInput(_("Choose what the value means."), fields={"target": _("Required.")})
    return ProposedMapping(
        kind, case.legal_entity_id, case.value.strip(), target.strip(), target_label.strip()
    )


def _require_fix(case: Case, by: Any) -> None:
    for verb in ("mapping.add", "transaction.replay"):
        require(case, by, verb)


def _still_as_shown(preview: FixPreview, by: Any) -> tuple[list[Case], dict[int, str], list[dict[str, Any]]]:
    """Of the preview's rows that could be planned: the cases that are still what was shown, locked, with the digest of each
    transaction, and what is skipped. Subjects and transactions are locked before cases, as workers do."""
    shown = {
        case_id: (transaction_id, digest)
        for case_id, transaction_id, digest in preview.rows.exclude(digest="").values_list(
            "case_id", "transaction_id", "digest"
        )
    }
    sync.hold_still(transaction_ids=[transaction_id for transaction_id, _digest in shown.values()])
    scope = organization.scope_of(by, "transaction.replay")
    doubts = transactions.in_doubt({transaction_id for transaction_id, _digest in shown.values()})
    cases, digests, skipped = [], {}, []
    for case in Case.objects.select_for_update().within(scope).filter(pk__in=list(shown)).order_by("id"):
        transaction_id, digest = shown[case.pk]
        reason = why_not(case, transaction_id, doubts)
        if reason:
            told_as = {"ref": case.transaction_ref, "label": case.label, "reason": reason}
            skipped.append({"transaction_id": transaction_id, **told_as})
        else:
            cases.append(case)
            digests[transaction_id] = digest
    return cases, digests, skipped


def why_not(case: Case, transaction_id: int, doubts: Mapping[int, Sequence[str]]) -> str:
    """Why a case is no longer what a preview showed of it, or may not run at all; "" when it may. ``doubts`` are those of the
    transactions (:func:`apps.sync.selectors.in_doubt`), read while these are held still."""
    if not case.is_open:
        return _("It was closed after the preview.")
    if case.state in UNDER_WAY:
        return _("Another fix of it is under way since the preview.")
    return _moved_on(case, transaction_id, doubts)


def _moved_on(case: Case, transaction_id: int, doubts: Mapping[int, Sequence[str]]) -> str:
    if case.transaction_id != transaction_id:
        return _("It goes on in another transaction since the preview.")
    return doubt_words(doubts.get(transaction_id, ()))


def _mark(cases: list[Case], state: CaseState, mapping: Any, by: Any, note: str) -> None:
    """Who fixed it and how."""
    said = note % {"source": mapping.source, "target": mapping.target_label or mapping.target}
    moves.move_many(cases, to=state, by=by, note=said, fixed_by=by, mapping_id=mapping.pk)


def release_skipped(cases: Iterable[Case], skipped: Iterable[Mapping[str, Any]]) -> None:
    """What was not run goes back to the desk with the reason."""
    reasons = {row["transaction_id"]: row["reason"] for row in skipped}
    parts: dict[str, list[int]] = defaultdict(list)
    for case in cases:
        if case.transaction_id in reasons:
            parts[reasons[case.transaction_id]].append(case.pk)
    for reason, ids in parts.items():
        moves.back_to_desk(list(Case.objects.filter(pk__in=ids).order_by("id")), reason)
