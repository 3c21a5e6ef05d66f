"""The fix in place: give a value its missing partner, see what that would do, run exactly that.

Public surface: :func:`fix_preview`, :func:`case_fix_mapping`, :func:`cases_follow_mapping`.

The preview freezes what it showed (person, group, proposed mapping, transactions, plan digests) in a signed token. Running
takes the token: rows that were not in it are never touched, rows whose plan has changed since are skipped and said.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from django.core import signing
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.canonical.money import Money
from apps.core import clock
from apps.core.errors import InvalidInput, Stale
from apps.governance import services as governance
from apps.governance.selectors import ProposedMapping
from apps.organization import selectors as organization
from apps.sync import services as sync
from apps.triage.errors import NotFixableHere, PreviewExpired
from apps.triage.models import OPEN_STATES, Case, CaseState
from apps.triage.selectors import mapping_kind_of
from apps.triage.services import moves
from apps.triage.services.desk import actionable, require

_SALT = "triage.fix"
_MAX_AGE = sync.TOKEN_MAX_AGE
_OUTCOMES = ("clears", "changes", "stays", "unreachable")


def fix_preview(*, case: Case, target: str, target_label: str, by: Any) -> dict[str, Any]:
    """What mapping the case's value to ``target`` would do to every open case of its group. Writes nothing.

    ``{"results": [engine's rows plus "case_ref"], "counts": {"clears", "changes", "stays", "unreachable"}, "money":
    [{"currency", "released", "held", "unknown"}], "left_out": cases beyond the engine's limit, "summary": sentence,
    "exposure": Money or None (unknown), "token": text for case_fix_mapping}``. Money as ``Decimal``; amounts that nobody
    knows are counted in ``unknown`` and never taken for zero.
    """
    proposed = _proposal(case, target, target_label)
    _require_fix(case, by)
    with transaction.atomic():
        cases = actionable(case, by, "transaction.replay")
    if not cases:
        raise Stale(_("%(ref)s is closed meanwhile; there is nothing left to fix.") % {"ref": case.ref})
    shown = cases[: sync.PREVIEW_LIMIT]
    by_transaction = {each.transaction_id: each for each in shown}
    answer = sync.preview(transaction_ids=sorted(by_transaction), overlay=[proposed])
    results = [
        {**row, "case_ref": by_transaction[row["transaction_id"]].ref}
        for row in answer["results"]
        if row["transaction_id"] in by_transaction
    ]
    counts = Counter(row["outcome"] for row in results)
    money = _money(results, by_transaction)
    token = {
        "by": by.pk,
        "group": case.group_id,
        "target": proposed.target,
        "engine": answer["token"],
    }
    return {
        "results": results,
        "counts": {outcome: counts[outcome] for outcome in _OUTCOMES},
        "money": money,
        "left_out": len(cases) - len(shown),
        "summary": _sentence(counts, money),
        "exposure": group_exposure(case),
        "token": signing.dumps(token, salt=_SALT, compress=True),
    }


def case_fix_mapping(
    *, case: Case, target: str, target_label: str, by: Any, preview_token: str, confirm: bool = True
) -> dict[str, Any]:
    """Add the mapping and run again what the preview showed, in one database transaction.

    ``{"mapping_id", "mapping_state", "replayed": [transaction ids], "skipped_stale": [{transaction_id, ref, label,
    reason}], "waiting": number of cases that wait for a second person}``. A mapping that needs a second person first runs
    nothing: its cases wait for the approval. Raises :class:`PreviewExpired`, :class:`NotFixableHere`,
    :class:`~apps.governance.errors.AlreadyMapped`, :class:`NotAllowed`; :class:`InvalidInput` when ``confirm`` is false.
    """
    if not confirm:
        raise InvalidInput(
            _("Confirm that you have seen what it will do."), fields={"confirm": _("Required.")}
        )
    proposed = _proposal(case, target, target_label)
    _require_fix(case, by)
    digests = _read(preview_token, case=case, target=proposed.target, by=by)
    with transaction.atomic():
        cases = [
            each for each in actionable(case, by, "transaction.replay") if each.transaction_id in digests
        ]
        if not cases:
            raise Stale(_("Every case of the preview is closed meanwhile; nothing was done."))
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
        result = {"mapping_id": mapping.pk, "mapping_state": str(mapping.state)}
        if mapping.state == "proposed":
            note = _("%(source)s is proposed to mean %(target)s; a second person confirms it first.")
            _mark(cases, CaseState.AWAITING_APPROVAL, mapping, by, note)
            return {**result, "replayed": [], "skipped_stale": [], "waiting": len(cases)}
        _mark(cases, CaseState.IN_PROGRESS, mapping, by, _("%(source)s now means %(target)s; run again."))
        answer = sync.replay(
            transaction_ids=sorted({each.transaction_id for each in cases}),
            by=by,
            tokens=digests,
            why=_("Fix of %(ref)s.") % {"ref": case.ref},
        )
        _release_skipped(cases, answer["skipped"])
    case.refresh_from_db()
    return {**result, "replayed": answer["replayed"], "skipped_stale": answer["skipped"], "waiting": 0}


def cases_follow_mapping(*, mapping_id: int, state: str) -> int:
    """Carry on with the cases that waited for a second person: confirmed → run again, refused → back to the desk."""
    if state not in ("confirmed", "rejected"):
        return 0
    waiting = Case.objects.select_for_update().filter(
        mapping_id=mapping_id, state=CaseState.AWAITING_APPROVAL
    )
    with transaction.atomic():
        cases = list(waiting.order_by("id"))
        for case in cases:
            if state == "confirmed":
                note = _("The mapping is confirmed; run again.")
                moves.move(case, to=CaseState.IN_PROGRESS, by=None, note=note)
                sync.enqueue(
                    kind=case.subject_kind, key=case.subject_key, flow=case.flow, trigger="mapping", why=note
                )
            else:
                back = CaseState.ASSIGNED if case.assignee_id else CaseState.OPEN
                note = _("The proposed mapping was refused.")
                moves.move(case, to=back, by=None, note=note, fixed_by=None, mapping_id=None)
    return len(cases)


def group_exposure(case: Case) -> Money | None:
    """Net billing held by the whole group in its entity's currency; None as soon as one amount or rate is unknown."""
    entity = case.legal_entity
    currency = entity.currency if entity else case.currency
    rows = Case.objects.filter(group_id=case.group_id, state__in=OPEN_STATES)
    exposure = Decimal(0)
    for amount, held_in in rows.values_list("held_amount", "currency"):
        if amount is None:
            return None
        converted = organization.convert(Money.of(amount, held_in), currency, clock.today())
        if converted is None:
            return None
        exposure += converted[0].amount
    return Money.of(exposure, currency) if currency else None


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


def _read(token: str, *, case: Case, target: str, by: Any) -> dict[int, str]:
    try:
        content = signing.loads(token, salt=_SALT, max_age=_MAX_AGE)
    except signing.BadSignature as error:
        raise PreviewExpired(_("The preview is too old or was altered; look at a fresh one.")) from error
    if (content["by"], content["group"], content["target"]) != (by.pk, case.group_id, target):
        raise PreviewExpired(_("The preview was for another fix or another person; look at a fresh one."))
    return sync.read_token(content["engine"])


def _mark(cases: list[Case], state: CaseState, mapping: Any, by: Any, note: str) -> None:
    """Who fixed it and how; cases that are in the state already only change these two."""
    said = note % {"source": mapping.source, "target": mapping.target_label or mapping.target}
    for each in cases:
        if each.state != state:
            moves.move(each, to=state, by=by, note=said, fixed_by=by, mapping_id=mapping.pk)
            continue
        each.fixed_by, each.mapping_id = by, mapping.pk
        each.save(update_fields=["fixed_by", "mapping_id"])
        moves.event(each, what="fixed", by=by, note=said)


def _release_skipped(cases: list[Case], skipped: list[dict[str, Any]]) -> None:
    """What was not run goes back to the desk with the reason."""
    reasons = {row["transaction_id"]: row["reason"] for row in skipped}
    for each in cases:
        if each.transaction_id in reasons:
            back = CaseState.ASSIGNED if each.assignee_id else CaseState.OPEN
            note = reasons[each.transaction_id]
            moves.move(each, to=back, by=None, note=note, fixed_by=None, mapping_id=None)


def _money(results: list[dict[str, Any]], cases: dict[int, Case]) -> list[dict[str, Any]]:
    """Per currency what is held now and what of it the fix releases, from the amounts that the cases show."""
    lines: dict[str, dict[str, Any]] = {}
    for row in results:
        case = cases[row["transaction_id"]]
        line = lines.setdefault(
            case.currency,
            {"currency": case.currency, "released": Decimal(0), "held": Decimal(0), "unknown": 0},
        )
        if case.held_amount is None:
            line["unknown"] += 1
            continue
        line["held"] += case.held_amount
        if row["outcome"] == "clears":
            line["released"] += case.held_amount
    return [lines[currency] for currency in sorted(lines)]


def _sentence(counts: Counter[str], money: list[dict[str, Any]]) -> str:
    """``Clears 5, changes the error on 1, leaves 0; EUR 72,300.00 of 84,600.00 released.``"""
    text = _("Clears %(clears)s, changes the error on %(changes)s, leaves %(stays)s") % {
        "clears": counts["clears"],
        "changes": counts["changes"],
        "stays": counts["stays"],
    }
    if counts["unreachable"]:
        text += ", " + _("%(count)s could not be checked now") % {"count": counts["unreachable"]}
    parts = []
    for line in money:
        if line["currency"]:
            held = f"{Money.of(line['held'], line['currency'])}".partition(" ")[2]
            parts.append(
                _("%(released)s of %(held)s released")
                % {"released": Money.of(line["released"], line["currency"]), "held": held}
            )
    unknown = sum(line["unknown"] for line in money)
    if unknown:
        parts.append(
            ngettext("%(n)s amount is unknown", "%(n)s amounts are unknown", unknown) % {"n": unknown}
        )
    return "; ".join([text, *parts]) + "."
