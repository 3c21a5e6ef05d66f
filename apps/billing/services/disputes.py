"""Objections of clients, as the billing platform tells them. Saying one again changes nothing."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import NUMBERED, Dispute, Prebill, PrebillEvent
from apps.billing.services import lines
from apps.billing.services.accounts import locked_account
from apps.canonical import objects
from apps.core import clock
from apps.core.errors import InvalidInput, NotFound, WrongState


def dispute_observed(*, ref: str, dispute: objects.Dispute) -> Dispute:
    """Take the newest truth about an objection; what it means for the invoice's money is said by its payment status.

    Raises :class:`WrongState` before posting or for a dispute of another invoice, :class:`InvalidInput` for another currency.
    """
    with transaction.atomic():
        prebill = Prebill.objects.filter(ref=ref).first()
        if prebill is None:
            raise NotFound(_("There is no such prebill."))
        locked_account(prebill.engagement_key)
        prebill = Prebill.objects.select_for_update().get(pk=prebill.pk)
        if prebill.state not in NUMBERED:
            raise WrongState(_("%(ref)s has no invoice number yet, so nobody can dispute it.") % {"ref": ref})
        if dispute.amount.currency != prebill.currency:
            raise InvalidInput(
                _("%(ref)s is in %(ours)s, not %(theirs)s.")
                % {"ref": ref, "ours": prebill.currency, "theirs": dispute.amount.currency},
                fields={"currency": _("As on the prebill.")},
            )
        former = Dispute.objects.select_for_update().filter(key=dispute.key).first()
        if former is not None and former.prebill_id != prebill.pk:
            raise WrongState(_("This dispute belongs to another invoice."))
        values = {
            "status": dispute.status,
            "amount": dispute.amount.amount,
            "reason": dispute.reason[:200],
            "answer_by": dispute.answer_by,
        }
        if former is not None and all(getattr(former, name) == value for name, value in values.items()):
            return former
        kept, _made = Dispute.objects.update_or_create(
            key=dispute.key,
            defaults={**values, "observed_at": clock.now()},
            create_defaults={
                **values,
                "legal_entity_id": prebill.legal_entity_id,
                "engagement_key": prebill.engagement_key,
                "prebill": prebill,
                "currency": prebill.currency,
                "opened_at": dispute.opened_at,
            },
        )
        lines.note(
            prebill,
            PrebillEvent.Verb.DISPUTE,
            comment=_said(kept),
            status=dispute.status,
            amount=str(kept.amount),
        )
    return kept


def _said(dispute: Dispute) -> str:
    """``Disputed: product not received.``"""
    if dispute.status == "open":
        return _("Disputed: %(why)s.") % {"why": dispute.reason} if dispute.reason else _("Disputed.")
    sentences = {
        "won": _("The dispute was decided for us."),
        "lost": _("The dispute was lost: the money is taken back."),
        "closed": _("The inquiry was closed without a dispute."),
    }
    return sentences[dispute.status]
