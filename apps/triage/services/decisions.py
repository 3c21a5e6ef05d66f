"""The fix by a decision: choose which customer it is, or fill in a value that the source lacks; previewed, then run.

Public surface: :func:`decision_for`, :func:`decision_preview`, :func:`case_decide`.

A preview plans the case's transaction as if it had been decided; its token carries the decision, the person and the plan's
digest. Running keeps the decision with the subject and carries out exactly that plan.
"""

from __future__ import annotations

from typing import Any

from django.core import signing
from django.utils.translation import gettext as _
from pydantic import ValidationError

from apps.core.errors import InvalidInput, Stale
from apps.organization import selectors as organization
from apps.sync import services as sync
from apps.triage.errors import NotFixableHere, PreviewExpired
from apps.triage.models import Case
from apps.triage.selectors import customer_candidates, editable_field, may_be_new
from apps.triage.services.desk import require
from apps.triage.services.planned import require_certain, run_as_planned

_SALT = "triage.decision"
#: A new customer, and a value that we fill in for the source, want a reason.
_SHORTEST_REASON = 3


def decision_for(*, case: Case, value: str, by: Any) -> dict[str, Any]:
    """The decision that ``value`` means for this case: a candidate's id or "" (a new customer), or the field's value.

    Raises :class:`NotFixableHere`, :class:`InvalidInput`, :class:`NotAllowed`."""
    for verb in ("exception.fix", "transaction.replay"):
        require(case, by, verb)
    value = value.strip()
    candidates = customer_candidates(case)
    if candidates:
        return {"customer": _choice(candidates, value)}
    field = editable_field(case)
    if not field:
        raise NotFixableHere(_("%(code)s cannot be fixed by a decision here.") % {"code": case.code})
    if not value or len(value) > 200:
        raise InvalidInput(_("Enter a value of at most 200 characters."), fields={"value": _("Required.")})
    if field == "legal_entity_code":
        _require_entity(value, by)
    return {"edits": {field: {"old": case.value, "new": value}}}


def decision_preview(*, case: Case, value: str, by: Any) -> dict[str, Any]:
    """What the decision would lead to: the engine's preview of the one transaction, ``token``, and whether a reason is
    ``wanted``. Changes nothing."""
    decided = decision_for(case=case, value=value, by=by)
    require_certain(case)
    try:
        answer = sync.preview(transaction_ids=[case.transaction_id], decided=decided)
    except ValidationError as error:
        raise InvalidInput(
            _("This value does not fit: %(why)s") % {"why": error.errors()[0]["msg"]}
        ) from error
    if not answer["results"]:
        raise Stale(_("The transaction of %(ref)s does not exist any more.") % {"ref": case.ref})
    held = {
        "case": case.pk,
        "by": by.pk,
        "decided": decided,
        "digest": answer["results"][0]["digest"],
        "transaction": case.transaction_id,
    }
    token = signing.dumps(held, salt=_SALT, compress=True)
    return {**answer, "token": token, "wanted": _wants_reason(decided)}


def case_decide(*, case: Case, token: str, by: Any, why: str = "", seen: str | None = None) -> int:
    """Keep the decision that was previewed and run its plan. Returns the id of the transaction that runs.

    Raises :class:`PreviewExpired`, :class:`Stale` when the case is another one by now, :class:`InvalidInput` without a reason
    where one is wanted."""
    held = _read(token, case, by)
    decided, why = held["decided"], why.strip()
    for verb in ("exception.fix", "transaction.replay"):
        require(case, by, verb)
    if _wants_reason(decided) and len(why) < _SHORTEST_REASON:
        raise InvalidInput(_("Say why, for who reads it later."), fields={"why": _("Required.")})
    return run_as_planned(
        case=case,
        transaction_id=held["transaction"],
        digest=held["digest"],
        by=by,
        note=_said(decided, why),
        before=lambda: sync.decide(transaction_id=held["transaction"], decided=decided, by=by, why=why),
        seen=seen,
    )


def _choice(candidates: list[dict[str, Any]], value: str) -> dict[str, Any]:
    ids = [str(one["external_id"]) for one in candidates]
    if not value and not may_be_new(candidates):
        raise InvalidInput(
            _("These records share the tax id or the key, so it is one of them; a new one would be a third.")
        )
    if value and value not in ids:
        raise InvalidInput(_("Choose one of the records that were found."), fields={"value": _("Required.")})
    if any(one["external_id"] == value and one["inactive"] for one in candidates):
        raise InvalidInput(_("This record is inactive; activate it in the ERP first, or choose another."))
    return {"external_id": value, "rejected": [one for one in ids if one != value]}


def _require_entity(code: str, by: Any) -> None:
    entity = organization.entity(code)
    if entity is None or not entity.active:
        raise InvalidInput(_("There is no active legal entity %(code)s.") % {"code": code})
    organization.require(by, "exception.fix", legal_entity_id=entity.pk)


def _wants_reason(decided: dict[str, Any]) -> bool:
    return "edits" in decided or not decided["customer"]["external_id"]


def _said(decided: dict[str, Any], why: str) -> str:
    if "customer" in decided:
        chosen = decided["customer"]["external_id"]
        text = _("It is record %(id)s.") % {"id": chosen} if chosen else _("It is a new customer.")
    else:
        field, edit = next(iter(decided["edits"].items()))
        text = _("%(field)s: “%(old)s” becomes “%(new)s”.") % {
            "field": field,
            "old": edit["old"],
            "new": edit["new"],
        }
    return f"{text} {why}".strip()


def _read(token: str, case: Case, by: Any) -> dict[str, Any]:
    try:
        held: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=sync.TOKEN_MAX_AGE)
    except signing.BadSignature as error:
        raise PreviewExpired(_("The preview is too old or was altered; look at a fresh one.")) from error
    if (held["case"], held["by"]) != (case.pk, by.pk):
        raise PreviewExpired(_("The preview was for another case or another person; look at a fresh one."))
    if not held["digest"]:
        raise PreviewExpired(_("It could not be planned then; look at a fresh preview."))
    return held
