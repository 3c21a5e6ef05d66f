"""Reads of the approvals room.

Public surface: :func:`by_ref`, :func:`open_request`, :func:`open_requests`, :func:`waiting_for`,
:func:`may_decide`, :func:`history`, :class:`HistoryLine`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from apps.approvals.models import Decision, Request, RequestState, Step
from apps.core.errors import NotFound
from apps.core.scope import Scope
from apps.organization import selectors as organization


@dataclass(frozen=True)
class HistoryLine:
    """One line of a subject's approval history: an asked request (``label`` empty) or a decision of one step."""

    at: datetime
    request_ref: str
    what: str
    label: str
    who: str
    comment: str


def by_ref(*, ref: str, scope: Scope) -> Request:
    """The request inside the scope; :class:`NotFound` otherwise."""
    found = (
        Request.objects.within(scope).select_related("legal_entity", "requested_by").filter(ref=ref).first()
    )
    if found is None:
        raise NotFound(_("There is no such approval."))
    return found


def open_request(kind: str, subject_ref: str) -> Request | None:
    """The open request of a subject, or None."""
    return Request.objects.filter(kind=kind, subject_ref=subject_ref, state=RequestState.OPEN).first()


def open_requests(kind: str, subject_refs: Iterable[str]) -> dict[str, Request]:
    """The open requests of many subjects of one kind, by subject, in one query."""
    found = Request.objects.filter(kind=kind, subject_ref__in=list(subject_refs), state=RequestState.OPEN)
    return {asked.subject_ref: asked for asked in found.select_related("requested_by")}


def _current_step(**conditions: Any) -> Exists:
    return Exists(Step.objects.filter(request=OuterRef("pk"), number=OuterRef("current_step"), **conditions))


def waiting_for(user: Any) -> QuerySet[Request]:
    """Open requests whose current step this person may decide now, oldest first.

    One query for the few verbs in use, one for the rows, whatever their number.
    """
    waiting = Request.objects.filter(state=RequestState.OPEN)
    verbs = (
        Step.objects.filter(request__state=RequestState.OPEN, number=F("request__current_step"))
        .order_by()  # the default order would enter the DISTINCT
        .values_list("verb", flat=True)
        .distinct()
    )
    ids = Q(pk__in=[])
    for verb in verbs:
        scope = organization.scope_of(user, verb)
        ids |= Q(pk__in=waiting.within(scope).filter(_current_step(verb=verb)).values("pk"))
    mine = waiting.filter(ids).exclude(
        Exists(Decision.objects.filter(request=OuterRef("pk"), decided_by=user))
    )
    return (
        mine.filter(~Q(requested_by=user) | Q(requested_by__isnull=True) | _current_step(maker_may=True))
        .select_related("legal_entity", "requested_by")
        .order_by("created_at", "id")
    )


def may_decide(*, request: Request, user: Any) -> bool:
    """Whether the person could decide the current step (for showing or explaining a disabled button)."""
    return waiting_for(user).filter(pk=request.pk).exists()


def history(subject_ref: str) -> list[HistoryLine]:
    """Everything that was asked and decided about a subject, oldest first. Two queries."""
    requests = Request.objects.filter(subject_ref=subject_ref).select_related("requested_by")
    lines = [
        HistoryLine(
            at=asked.created_at,
            request_ref=asked.ref,
            what=_("Approval asked for"),
            label="",
            who=asked.requested_by.display_name if asked.requested_by else _("System"),
            comment=asked.title,
        )
        for asked in requests
    ]
    decisions = Decision.objects.filter(request__subject_ref=subject_ref).select_related(
        "request", "step", "decided_by"
    )
    lines += [
        HistoryLine(
            at=given.created_at,
            request_ref=given.request.ref,
            what=given.get_decision_display(),
            label=given.step.label,
            who=given.decided_by.display_name,
            comment=given.comment,
        )
        for given in decisions
    ]
    return sorted(lines, key=lambda line: line.at)
