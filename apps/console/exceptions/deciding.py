"""The fix by a decision on the case's page: which customer it is, or a value that the source lacks.

Public surface: :func:`decide_view`, :class:`DecideView`, :data:`NEW`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.access import ConsoleRequest, permitted
from apps.console.transactions.presenters import PreviewView
from apps.organization import selectors as organization
from apps.triage import selectors as triage
from apps.triage.words import doubt_words

#: What a form sends for "none of these".
NEW = "new"
_RUNGS = {
    "key": gettext_lazy("carries our key"),
    "claimed_id": gettext_lazy("named by the CRM"),
    "tax_id": gettext_lazy("same tax id and country"),
    "registration": gettext_lazy("same registration number"),
    "domain": gettext_lazy("same domain"),
    "name": gettext_lazy("similar name"),
    "link": gettext_lazy("linked already"),
}
_DATES = ("start_on", "end_on")


@dataclass(frozen=True)
class Candidate:
    """A record that may be the customer. ``evidence`` says why, with the score."""

    external_id: str
    name: str
    evidence: str
    inactive: bool
    url: str


@dataclass(frozen=True)
class DecideView:
    """The form. ``candidates`` or ``field`` is set; ``why_not`` disables it and says who could act."""

    label: str
    question: str
    candidates: Sequence[Candidate]
    may_be_new: bool
    field: str
    dated: bool
    entities: Sequence[Any]
    chosen: str
    note: str
    why_not: str
    preview: PreviewView | None = None


def decide_view(
    request: ConsoleRequest,
    case: Any,
    *,
    chosen: str = "",
    preview: PreviewView | None = None,
    doubts: Sequence[str] = (),
) -> DecideView | None:
    """The form of a case that a decision fixes; None for others, and while a fix is under way. With ``doubts`` about what was
    sent for the case it is disabled."""
    found, field = triage.customer_candidates(case), triage.editable_field(case)
    if not (found or field) or case.state in triage.UNDER_WAY:
        return None
    place: dict[str, Any] = {"legal_entity_id": case.legal_entity_id, "engagement_key": case.engagement_key}
    why_not = (
        permitted(request, "exception.fix", **place).why
        or permitted(request, "transaction.replay", **place).why
        or doubt_words(doubts)
    )
    preview = None if doubts else preview
    if found:
        return DecideView(
            label=_("Choose the customer"),
            question=_("Which record is %(name)s?") % {"name": case.customer_name or case.label},
            candidates=[_candidate(one) for one in found],
            may_be_new=triage.may_be_new(found),
            field="",
            dated=False,
            entities=(),
            chosen=chosen,
            note=_(
                "The record you choose is linked; the others are remembered as not meant, and flagged in the audit trail."
            ),
            why_not=why_not,
            preview=preview,
        )
    label = triage.field_label(case, field)
    return DecideView(
        label=_("Fill it in here"),
        question=label,
        candidates=(),
        may_be_new=False,
        field=field,
        dated=field in _DATES,
        entities=organization.entities(scope=request.scope) if field == "legal_entity_code" else (),
        chosen=chosen,
        note=_("The source stays right: as soon as it shows another value than now, yours no longer counts."),
        why_not=why_not,
        preview=preview,
    )


def _candidate(one: dict[str, Any]) -> Candidate:
    rung = str(_RUNGS.get(one["rung"], one["rung"]))
    score = _("%(score)s %% alike") % {"score": f"{one['score']:g}"}
    return Candidate(
        str(one["external_id"]), one["name"], f"{rung}, {score}", bool(one["inactive"]), one.get("url") or ""
    )
