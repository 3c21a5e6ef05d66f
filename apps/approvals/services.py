"""Verbs of the approvals room.

Public surface: :func:`request`, :func:`decide`, :func:`withdraw`.

A request pins the content by its digest. Steps are decided in their order; one step by one person, and nobody decides
twice, nor (unless a step says ``maker_may``) on what that person asked for. Two deciders at once: one wins, the other is
told. News goes out by the hook ``approvals_decided`` inside the deciding transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal, NotRequired, TypedDict

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.approvals.errors import AlreadyDecided, ContentChanged, SegregationOfDuties
from apps.approvals.models import Decision, DecisionKind, Request, RequestState, Step
from apps.core import clock, correlation, hooks
from apps.core.errors import InvalidInput, NotAllowed, WrongState
from apps.journal import services as journal
from apps.journal import transitions
from apps.organization import selectors as organization

_END_OF = {DecisionKind.REJECT: RequestState.REJECTED, DecisionKind.SEND_BACK: RequestState.SENT_BACK}


class StepSpec(TypedDict):
    """``{"verb": "prebill.approve_pm", "label": "Project manager", "maker_may": False}``."""

    verb: str
    label: str
    maker_may: NotRequired[bool]


def request(
    *,
    kind: str,
    subject_type: str,
    subject_ref: str,
    title: str,
    digest: str,
    legal_entity_id: int | None,
    steps: Sequence[StepSpec],
    by: Any = None,
    engagement_key: str = "",
    amount: Decimal | None = None,
    currency: str = "",
) -> Request:
    """Ask for approval of a subject in its present content.

    Asking again for the same content returns the open request; for other content the open one is withdrawn, since
    nobody may sign what has changed. Raises :class:`InvalidInput` without steps or digest.
    """
    if not steps or not digest:
        raise InvalidInput(_("An approval needs at least one step and the digest of what is approved."))
    with transaction.atomic():
        former = (
            Request.objects.select_for_update()
            .filter(kind=kind, subject_type=subject_type, subject_ref=subject_ref, state=RequestState.OPEN)
            .first()
        )
        if former is not None and former.digest == digest:
            return former
        if former is not None:
            _end(
                former,
                to=RequestState.WITHDRAWN,
                by=by,
                why=_("The content changed; a new approval was asked for."),
            )
        try:
            with transaction.atomic():
                asked = Request.objects.create(
                    ref=journal.next_ref("AP", year=True),
                    kind=kind,
                    subject_type=subject_type,
                    subject_ref=subject_ref,
                    title=title[:300],
                    digest=digest,
                    legal_entity_id=legal_entity_id,
                    engagement_key=engagement_key,
                    amount=amount,
                    currency=currency,
                    requested_by=by,
                    correlation_id=correlation.current(),
                    created_at=clock.now(),
                )
        except IntegrityError:
            # Lost a race against the same question; the winner's request stands for both when the content is equal.
            winner = Request.objects.get(
                kind=kind, subject_type=subject_type, subject_ref=subject_ref, state=RequestState.OPEN
            )
            if winner.digest != digest:
                raise ContentChanged(
                    _("Another approval of this subject was asked for at the same moment.")
                ) from None
            return winner
        Step.objects.bulk_create(
            Step(
                request=asked,
                number=number,
                verb=spec["verb"],
                label=spec["label"],
                maker_may=spec.get("maker_may", False),
            )
            for number, spec in enumerate(steps, start=1)
        )
        _note(
            asked, verb="approval.requested", by=by, new={"state": RequestState.OPEN.value, "digest": digest}
        )
    return asked


def decide(
    *,
    request: Request,
    by: Any,
    decision: Literal["approve", "reject", "send_back"],
    digest: str,
    comment: str = "",
) -> Request:
    """Decide the current step of ``request`` as shown to ``by``; returns the same instance, refreshed.

    ``request`` carries the step that the person saw: when it has moved on since, :class:`AlreadyDecided` is raised, never
    is the click counted for the next step. Raises :class:`ContentChanged` when ``digest`` is not the request's,
    :class:`SegregationOfDuties` for the maker, a second signature of one person or a machine, :class:`NotAllowed` without
    the step's permission, :class:`InvalidInput` when a refusal gives no reason.
    """
    try:
        kind = DecisionKind(decision)
    except ValueError:
        raise InvalidInput(_("A decision is approve, reject or send back.")) from None
    comment = comment.strip()
    if kind is not DecisionKind.APPROVE and not comment:
        raise InvalidInput(
            _("Say why, so that the preparer knows what to change."), fields={"comment": _("Required.")}
        )
    with transaction.atomic():
        locked = Request.objects.select_for_update().get(pk=request.pk)
        step = _step_to_decide(locked, seen=request, digest=digest)
        _check_person(locked, step, by)
        try:
            with transaction.atomic():
                Decision.objects.create(
                    request=locked,
                    step=step,
                    decided_by=by,
                    decision=kind,
                    comment=comment,
                    digest=digest,
                    created_at=clock.now(),
                )
        except IntegrityError:
            raise AlreadyDecided(_("%(step)s has been decided meanwhile.") % {"step": step.label}) from None
        state = _advance(locked, step, kind, by=by, comment=comment)
        hooks.approvals_decided.fire(
            [
                {
                    "request_id": locked.pk,
                    "ref": locked.ref,
                    "kind": locked.kind,
                    "subject_type": locked.subject_type,
                    "subject_ref": locked.subject_ref,
                    "state": state,
                    "by_id": by.pk,
                    "comment": comment,
                    "step": step.number,
                    "verb": step.verb,
                    "digest": locked.digest,
                }
            ]
        )
    request.refresh_from_db()
    return request


def withdraw(*, request: Request, by: Any = None, why: str = "") -> Request:
    """Take an open request back. A person may withdraw only what that person asked for; the system (None) any."""
    with transaction.atomic():
        locked = Request.objects.select_for_update().get(pk=request.pk)
        if by is not None and by.pk != locked.requested_by_id:
            raise NotAllowed(
                _("Only the person who asked may withdraw %(ref)s.") % {"ref": locked.ref},
                who=getattr(locked.requested_by, "display_name", ""),
            )
        if not locked.is_open:
            raise WrongState(_closed_sentence(locked))
        _end(locked, to=RequestState.WITHDRAWN, by=by, why=why or _("Withdrawn by its preparer."))
    request.refresh_from_db()
    return request


def _step_to_decide(locked: Request, *, seen: Request, digest: str) -> Step:
    if not locked.is_open:
        error = AlreadyDecided if seen.is_open else WrongState
        raise error(_closed_sentence(locked))
    if digest != locked.digest:
        raise ContentChanged(
            _("%(ref)s was changed after you opened it; look at it again before deciding.")
            % {"ref": locked.ref}
        )
    step = locked.steps.get(number=locked.current_step)
    if seen.current_step != locked.current_step:
        former = locked.decisions.select_related("decided_by").latest("id")
        raise AlreadyDecided(
            _("%(who)s decided this step of %(ref)s a moment ago; it now waits for: %(step)s.")
            % {"who": former.decided_by.display_name, "ref": locked.ref, "step": step.label}
        )
    return step


def _check_person(locked: Request, step: Step, by: Any) -> None:
    """Permission first, then segregation: a stranger learns nothing about who prepared what."""
    # Programs act by API keys and the system acts as None; neither is an account of a person.
    if not isinstance(by, get_user_model()) or not by.is_active:
        raise SegregationOfDuties(
            _("Only a person may approve; service accounts and the system itself never do.")
        )
    organization.require(
        by, step.verb, legal_entity_id=locked.legal_entity_id, engagement_key=locked.engagement_key
    )
    scope = organization.scope_of(by, step.verb)
    if not scope.allows(legal_entity_id=locked.legal_entity_id, engagement_key=locked.engagement_key):
        raise NotAllowed(
            _("%(ref)s concerns all legal entities; your role is for some of them.") % {"ref": locked.ref}
        )
    if by.pk == locked.requested_by_id and not step.maker_may:
        raise SegregationOfDuties(
            _("You prepared %(ref)s, so another person must decide it.") % {"ref": locked.ref},
            who=_others(locked, step, by),
        )
    if locked.decisions.filter(decided_by=by).exists():
        raise SegregationOfDuties(
            _("You already signed an earlier step of %(ref)s; a second person must take this one.")
            % {"ref": locked.ref},
            who=_others(locked, step, by),
        )


def _others(locked: Request, step: Step, by: Any) -> str:
    taken = {by.pk, *locked.decisions.values_list("decided_by_id", flat=True)}
    if not step.maker_may:
        taken.add(locked.requested_by_id)
    people = organization.who_can(step.verb, locked.legal_entity_id, engagement_key=locked.engagement_key)
    return ", ".join(person.display_name for person in people if person.pk not in taken)


def _advance(locked: Request, step: Step, kind: DecisionKind, *, by: Any, comment: str) -> str:
    """Move the request on; returns its state, or ``step_done`` when further steps wait."""
    if kind in _END_OF:
        _end(locked, to=_END_OF[kind], by=by, why=comment)
        return _END_OF[kind].value
    if locked.steps.filter(number__gt=step.number).exists():
        Request.objects.filter(pk=locked.pk).update(current_step=step.number + 1)
        _note(
            locked,
            verb="approval.step_approved",
            by=by,
            old={"step": step.number},
            new={"step": step.number + 1, "signed": step.label},
            why=comment,
        )
        return "step_done"
    _end(locked, to=RequestState.APPROVED, by=by, why=comment)
    return RequestState.APPROVED.value


def _end(locked: Request, *, to: RequestState, by: Any, why: str) -> None:
    if not transitions.move(locked, to=to, by=by, why=why, closed_at=clock.now()):
        raise AlreadyDecided(_("%(ref)s was closed meanwhile.") % {"ref": locked.ref})


def _closed_sentence(locked: Request) -> str:
    return _("%(ref)s is already closed: %(state)s.") % {
        "ref": locked.ref,
        "state": locked.get_state_display(),
    }


def _note(locked: Request, *, verb: str, by: Any, old: Any = None, new: Any = None, why: str = "") -> None:
    journal.record(
        verb=verb,
        object_type="approval",
        object_ref=locked.ref,
        by=by,
        legal_entity_id=locked.legal_entity_id,
        engagement_key=locked.engagement_key,
        old=old,
        new=new,
        why=why,
    )
