"""Drafting and reviewing prebills. Nothing posts by itself: the project manager signs, then finance, then it may be posted.

An engagement has at most one prebill in review. While it is a draft, new ready items join it and the request for
approval is renewed; once the project manager has signed, what becomes ready waits for the next one. One that was sent
back waits for a person, or for its lines to change at their source.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.approvals import selectors as approvals_read
from apps.approvals import services as approvals
from apps.billing.errors import PostingHeld, PrebillChanged
from apps.billing.models import (
    IN_REVIEW,
    BillableItem,
    BillingAccount,
    Hold,
    ItemState,
    Prebill,
    PrebillEvent,
    PrebillState,
)
from apps.billing.services import lines
from apps.billing.services.accounts import locked_account
from apps.billing.services.customers import customer_of
from apps.billing.services.readiness import evaluate_account, tax_of
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.core.errors import InvalidInput, NotFound, WrongState
from apps.journal import services as journal
from apps.organization import selectors as organization

#: Taken anew whenever a prebill is (re)drafted.
_HEAD = (
    "engagement_name",
    "customer_name",
    "po_number",
    "payment_terms",
    "invoice_on",
    "tax_treatment",
    "tax_code",
    "tax_rate",
    "tax_evidence",
)


def prebill_draft(*, engagement_key: str, by: Any = None) -> Prebill | None:
    """Collect what is ready into the engagement's draft and ask for approval; None when there is nothing to do.

    Evaluates readiness first, under one lock: however many workers call it, there is one draft with each item once.
    A draft whose last line has gone is voided (and returned, state ``void``).
    """
    with transaction.atomic():
        account = locked_account(engagement_key)
        evaluate_account(account)
        prebill = Prebill.objects.filter(engagement_key=engagement_key, state__in=IN_REVIEW).first()
        if prebill is not None and prebill.state == PrebillState.PM_APPROVED:
            return None
        if (
            prebill is not None
            and prebill.state == PrebillState.SENT_BACK
            and prebill.digest == prebill.sent_back_digest
        ):
            return None
        ready = _ready_items(engagement_key)
        if prebill is None:
            if not ready:
                return None
            prebill = _open(account)
        return _collect(prebill, ready, by)


def _ready_items(engagement_key: str) -> list[BillableItem]:
    rows = BillableItem.objects.filter(engagement_key=engagement_key, state=ItemState.READY)
    return list(rows.order_by("event_on", "id"))


def _open(account: BillingAccount) -> Prebill:
    engagement = commercial.engagement(account.engagement_key)
    prebill = Prebill(
        ref=journal.next_ref("PB", year=True),
        legal_entity_id=account.legal_entity_id,
        engagement_key=account.engagement_key,
        engagement_name=engagement.name,
        customer_key=account.customer_key,
        currency=account.currency,
    )
    _take_head(prebill)
    prebill.save()
    lines.note(prebill, PrebillEvent.Verb.DRAFTED)
    return prebill


def _take_head(prebill: Prebill) -> None:
    """PO, terms, customer and tax as they stand now; they are part of what is signed."""
    engagement = commercial.engagement(prebill.engagement_key)
    customer = customer_of(prebill.customer_key)
    tax = tax_of(customer, engagement.legal_entity)
    prebill.engagement_name = engagement.name
    prebill.customer_name = customer.name if customer else ""
    prebill.po_number = engagement.po_number
    prebill.payment_terms = engagement.payment_terms or (customer.payment_terms if customer else "")
    prebill.invoice_on = prebill.invoice_on or clock.today(engagement.legal_entity.timezone)
    if tax is not None:
        prebill.tax_treatment, prebill.tax_code = tax.treatment, tax.code
        prebill.tax_rate, prebill.tax_evidence = tax.rate, tax.evidence


def _collect(prebill: Prebill, ready: list[BillableItem], by: Any) -> Prebill | None:
    first = prebill.digest == ""
    _take_head(prebill)
    prebill.save(update_fields=_HEAD)
    added = lines.add_items(prebill, ready, by=by) if ready else 0
    changed = lines.refresh(prebill)
    if not prebill.digest:
        return _void(prebill, by)
    if not changed and prebill.state == PrebillState.DRAFT:
        if approvals_read.open_request(lines.KIND, prebill.ref) is None:
            lines.ask_approval(prebill, by=by)
        return None
    if changed and not first:
        lines.note(prebill, PrebillEvent.Verb.CHANGED, by=by, net=str(prebill.net), added=added)
    if prebill.state == PrebillState.SENT_BACK:
        lines.move(prebill, to=PrebillState.DRAFT, by=by, why=_("Its lines changed at their source."))
    lines.ask_approval(prebill, by=by)
    lines.announce(prebill)
    return prebill


def _void(prebill: Prebill, by: Any) -> Prebill:
    why = _("Nothing is left to bill on it.")
    lines.withdraw_request(prebill, why)
    lines.move(prebill, to=PrebillState.VOID, by=by, why=why)
    lines.note(prebill, PrebillEvent.Verb.VOIDED, by=by, comment=why)
    lines.announce(prebill)
    return prebill


def prebill_submit(*, prebill: Prebill, by: Any, comment: str) -> Prebill:
    """Hand a prebill that was sent back to the reviewers again, with an answer; by a person who may send back.

    Takes the present PO, terms and tax and whatever became ready meanwhile. Raises :class:`WrongState` unless it was sent
    back, :class:`InvalidInput` without a comment, ``NotAllowed``. Who submits cannot approve.
    """
    organization.require(
        by,
        "prebill.send_back",
        legal_entity_id=prebill.legal_entity_id,
        engagement_key=prebill.engagement_key,
    )
    comment = comment.strip()
    if not comment:
        raise InvalidInput(
            _("Say what you did about the reason it was sent back."), fields={"comment": _("Required.")}
        )
    with transaction.atomic():
        account = locked_account(prebill.engagement_key)
        fresh = _locked(prebill.ref)
        if fresh.state != PrebillState.SENT_BACK:
            raise WrongState(
                _("%(ref)s was not sent back, so there is nothing to submit again.") % {"ref": fresh.ref}
            )
        evaluate_account(account)
        _take_head(fresh)
        fresh.save(update_fields=_HEAD)
        lines.add_items(fresh, _ready_items(fresh.engagement_key), by=by)
        lines.refresh(fresh)
        if not fresh.digest:
            return _void(fresh, by)
        lines.move(fresh, to=PrebillState.DRAFT, by=by, why=comment)
        lines.note(fresh, PrebillEvent.Verb.CHANGED, by=by, comment=comment, net=str(fresh.net))
        lines.ask_approval(fresh, by=by)
        lines.announce(fresh)
    return fresh


def prebill_approve(*, prebill: Prebill, by: Any, digest: str, comment: str = "") -> Prebill:
    """Sign the prebill as it was shown (``digest``): the project manager's step, then finance's.

    Raises :class:`PrebillChanged` when the lines are no longer those, :class:`PostingHeld` at finance's step while
    something is unconfirmed, ``NotAllowed`` (permission, same person twice), :class:`WrongState`.
    """
    with transaction.atomic():
        locked_account(prebill.engagement_key)
        fresh = _locked(prebill.ref)
        request = _request(fresh)
        if prebill.state != fresh.state:
            raise PrebillChanged(
                _("%(ref)s moved on while you looked; it is now %(state)s.")
                % {"ref": fresh.ref, "state": fresh.get_state_display().lower()}
            )
        if digest != fresh.digest or lines.content_digest(fresh) != fresh.digest:
            raise PrebillChanged(
                _("%(ref)s changed after you opened it; look at it again.") % {"ref": fresh.ref}
            )
        if fresh.state == PrebillState.PM_APPROVED:
            organization.require(
                by,
                "prebill.approve_finance",
                legal_entity_id=fresh.legal_entity_id,
                engagement_key=fresh.engagement_key,
            )
            refuse_while_held(fresh)
        before = fresh.state
        approvals.decide(request=request, by=by, decision="approve", comment=comment, digest=digest)
        fresh.refresh_from_db()
        if fresh.state == before:
            # The receiver of the decision did not get through; the signature must not stand without its effect.
            raise WrongState(
                _("The approval of %(ref)s could not be taken over. Try again.") % {"ref": fresh.ref}
            )
    return fresh


def prebill_send_back(*, prebill: Prebill, by: Any, reason: str) -> Prebill:
    """Return the prebill to its preparer with a reason. Raises :class:`InvalidInput` without one, ``NotAllowed``."""
    with transaction.atomic():
        locked_account(prebill.engagement_key)
        fresh = _locked(prebill.ref)
        request = _request(fresh)
        approvals.decide(request=request, by=by, decision="send_back", comment=reason, digest=request.digest)
        fresh.refresh_from_db()
        if fresh.state != PrebillState.SENT_BACK:
            raise WrongState(_("%(ref)s could not be sent back. Try again.") % {"ref": fresh.ref})
    return fresh


def decided(*, ref: str, state: str, digest: str, by: Any, comment: str) -> None:
    """Take over a decision of the approvals room; the same decision again changes nothing."""
    prebill = _locked(ref)
    if state == "step_done" and prebill.state == PrebillState.DRAFT:
        _refuse_other_content(prebill, digest)
        _advance(prebill, PrebillState.PM_APPROVED, PrebillEvent.Verb.PM_APPROVED, by, comment)
    elif state == "approved" and prebill.state == PrebillState.PM_APPROVED:
        _refuse_other_content(prebill, digest)
        refuse_while_held(prebill)
        today = clock.today(prebill.legal_entity.timezone)
        _advance(prebill, PrebillState.APPROVED, PrebillEvent.Verb.APPROVED, by, comment, invoice_on=today)
    elif state in ("sent_back", "rejected") and prebill.state in (
        PrebillState.DRAFT,
        PrebillState.PM_APPROVED,
    ):
        _advance(
            prebill,
            PrebillState.SENT_BACK,
            PrebillEvent.Verb.SENT_BACK,
            by,
            comment,
            sent_back_digest=prebill.digest,
        )


def _advance(prebill: Prebill, to: str, verb: str, by: Any, comment: str, **fields: Any) -> None:
    lines.move(prebill, to=to, by=by, why=comment, **fields)
    lines.note(prebill, verb, by=by, comment=comment)
    lines.announce(prebill)


def _refuse_other_content(prebill: Prebill, digest: str) -> None:
    if digest and digest != prebill.digest:
        raise PrebillChanged(_("%(ref)s changed after it was signed.") % {"ref": prebill.ref})


def refuse_while_held(prebill: Prebill) -> None:
    """:class:`PostingHeld` with every reason while a hold of any level is open on the engagement."""
    reasons = list(
        Hold.objects.filter(engagement_key=prebill.engagement_key, lifted_at__isnull=True)
        .order_by("id")
        .values_list("reason", flat=True)
    )
    if reasons:
        raise PostingHeld(
            _("%(ref)s cannot be released yet: %(why)s") % {"ref": prebill.ref, "why": " · ".join(reasons)}
        )


def _locked(ref: str) -> Prebill:
    found = Prebill.objects.select_for_update().filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such prebill."))
    return found


def _request(prebill: Prebill) -> Any:
    request = approvals_read.open_request(lines.KIND, prebill.ref)
    if request is None:
        raise WrongState(
            _("%(ref)s is not waiting for approval; it is %(state)s.")
            % {"ref": prebill.ref, "state": prebill.get_state_display().lower()}
        )
    return request
