"""From an approved prebill to cash: what the issuer and the payment platform say about it. Saying it again changes nothing."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import (
    NUMBERED,
    BillableItem,
    ItemState,
    Payment,
    Prebill,
    PrebillEvent,
    PrebillState,
)
from apps.billing.services import lines
from apps.billing.services.accounts import locked_account
from apps.billing.services.totals import total_problem
from apps.canonical import objects
from apps.canonical.money import Money
from apps.core import clock
from apps.core.errors import InvalidInput, NotFound, WrongState
from apps.journal import transitions

_DAYS = re.compile(r"^\s*net\s*(\d{1,3})\s*$", re.IGNORECASE)
#: Where each word of a payment status leads.
_STATE_OF = {
    "unpaid": PrebillState.ISSUED,
    "reversed": PrebillState.ISSUED,
    "part_paid": PrebillState.PART_PAID,
    "paid": PrebillState.PAID,
    "disputed": PrebillState.DISPUTED,
}


def due_date(invoice_on: date, terms: str) -> date | None:
    """``Net 30`` is thirty days after the invoice date; other terms are the issuer's to read."""
    match = _DAYS.match(terms)
    return invoice_on + timedelta(days=int(match[1])) if match else None


def invoice_posted(*, ref: str, number: str, total: Money, tax: Money | None, invoice_on: date) -> Prebill:
    """The issuer gave the invoice its legal number. A total that is not the approved one is kept and told (``INV-TOTAL``,
    ``TAX-DIFF``).

    Said again with another total, tax or date, those are taken over: the issuer is of record.

    Raises :class:`WrongState` before approval or for another number than the first.
    """
    if not number:
        raise InvalidInput(_("A posted invoice has a number."), fields={"number": _("Required.")})
    with transaction.atomic():
        prebill = _locked(ref)
        _same_currency(prebill, total, *([tax] if tax else []))
        if prebill.state in NUMBERED:
            if prebill.number != number:
                raise WrongState(
                    _("%(ref)s is posted as %(ours)s; it cannot also be %(theirs)s.")
                    % {"ref": ref, "ours": prebill.number, "theirs": number},
                    code="INV-DUP",
                )
            return _posted_anew(prebill, total, tax, invoice_on)
        if prebill.state != PrebillState.APPROVED:
            raise WrongState(
                _("%(ref)s is %(state)s; only an approved prebill may be posted.")
                % {"ref": ref, "state": prebill.get_state_display().lower()}
            )
        said = _("Posted in the ERP as %(number)s.") % {"number": number}
        transitions.move_many(
            BillableItem.objects.filter(prebill=prebill, state=ItemState.DRAFTED),
            to=ItemState.INVOICED,
            why=said,
        )
        lines.move(
            prebill,
            to=PrebillState.POSTED,
            why=said,
            number=number,
            total=total.amount,
            tax=None if tax is None else tax.amount,
            balance=total.amount,
            invoice_on=invoice_on,
            alerts=_total_alerts(prebill, total, tax),
        )
        lines.note(prebill, PrebillEvent.Verb.POSTED, number=number, total=str(total))
        lines.announce(prebill)
    return prebill


def _posted_anew(prebill: Prebill, total: Money, tax: Money | None, invoice_on: date) -> Prebill:
    """What the issuer changed after posting; what was paid of it stays paid."""
    former = prebill.total or Decimal(0)
    values = {
        "total": total.amount,
        "tax": None if tax is None else tax.amount,
        "invoice_on": invoice_on,
        "alerts": _total_alerts(prebill, total, tax),
    }
    if all(getattr(prebill, name) == value for name, value in values.items()):
        return prebill
    if prebill.state != PrebillState.CREDITED and prebill.balance is not None:
        values["balance"] = prebill.balance + total.amount - former
    for name, value in values.items():
        setattr(prebill, name, value)
    prebill.changed_at = clock.now()
    prebill.save(update_fields=[*values, "changed_at"])
    lines.note(
        prebill,
        PrebillEvent.Verb.CHANGED,
        comment=_("Changed by the issuer after posting."),
        net=str(prebill.net),
        total=str(total),
        former=str(Money.of(former, prebill.currency)),
    )
    return prebill


def _total_alerts(prebill: Prebill, total: Money, tax: Money | None) -> list[dict[str, Any]]:
    amounts = prebill.lines.order_by("position").values_list("amount", flat=True)
    problem = total_problem(
        ref=prebill.ref,
        lines=[Money.of(amount, prebill.currency) for amount in amounts],
        treatment=prebill.tax_treatment or "standard",
        rate_percent=prebill.tax_rate,
        currency=prebill.currency,
        total=total,
        tax=tax,
    )
    return [] if problem is None else [problem]


def invoice_issued(*, ref: str, url: str = "") -> Prebill:
    """The invoice went to the client (``url``: where it can be seen and paid). Raises :class:`WrongState` before posting."""
    with transaction.atomic():
        prebill = _locked(ref)
        if prebill.state == PrebillState.POSTED:
            lines.move(prebill, to=PrebillState.ISSUED, url=url)
            lines.note(prebill, PrebillEvent.Verb.ISSUED, url=url)
            lines.announce(prebill)
        elif prebill.state not in NUMBERED:
            raise WrongState(_("%(ref)s is not posted yet, so it cannot be issued.") % {"ref": ref})
        elif url and prebill.url != url:
            prebill.url = url
            prebill.save(update_fields=["url"])
    return prebill


def payment_observed(*, ref: str, status: objects.PaymentStatus, collected: Money | None = None) -> Prebill:
    """Take the newest truth about the money. Invoice state and balance follow; an unchanged status changes nothing.

    ``collected``: what the billing platform has collected of it. A payment taken back (``reversed``) opens the invoice again.

    Raises :class:`WrongState` before posting, :class:`InvalidInput` when figures and word contradict or the currency is
    another one.
    """
    with transaction.atomic():
        prebill = _locked(ref)
        _same_currency(prebill, status.paid, status.balance)
        if prebill.state not in NUMBERED:
            raise WrongState(
                _("%(ref)s has no invoice number yet, so nothing can be paid on it.") % {"ref": ref}
            )
        if status.status == "paid" and status.balance.amount > 0:
            raise InvalidInput(
                _("%(ref)s is said to be paid with %(open)s open.") % {"ref": ref, "open": status.balance},
                fields={"balance": _("Zero when paid.")},
            )
        values = {
            "status": status.status,
            "paid": status.paid.amount,
            "balance": status.balance.amount,
            "reference": status.reference,
            "paid_at": status.paid_at,
            "collected": collected.amount if collected is not None else None,
        }
        former = Payment.objects.select_for_update().filter(key=status.key).first()
        if former is not None and former.prebill_id != prebill.pk:
            raise WrongState(_("This payment belongs to another invoice."))
        news = [name for name, value in values.items() if former is None or getattr(former, name) != value]
        if not news:
            return prebill
        Payment.objects.update_or_create(
            key=status.key,
            defaults={**values, "observed_at": clock.now()},
            create_defaults={
                **values,
                "legal_entity_id": prebill.legal_entity_id,
                "engagement_key": prebill.engagement_key,
                "prebill": prebill,
                "currency": prebill.currency,
            },
        )
        if news != ["collected"]:
            _follow(prebill, status)
    return prebill


def _follow(prebill: Prebill, status: objects.PaymentStatus) -> None:
    to = _STATE_OF[status.status]
    if status.status == "reversed" and status.paid.amount > 0:
        to = PrebillState.PART_PAID  # only a part was taken back
    lines.note(
        prebill,
        PrebillEvent.Verb.PAYMENT,
        status=status.status,
        paid=str(status.paid.amount),
        balance=str(status.balance.amount),
        reference=status.reference,
    )
    # "Unpaid" about an invoice that is posted but not yet issued is no news of its delivery.
    stays = prebill.state == to or (prebill.state == PrebillState.POSTED and to == PrebillState.ISSUED)
    if stays or prebill.state == PrebillState.CREDITED:
        prebill.balance = status.balance.amount
        prebill.save(update_fields=["balance"])
    else:
        lines.move(prebill, to=to, why=_said(status), balance=status.balance.amount)
    lines.announce(prebill)


def _said(status: objects.PaymentStatus) -> str:
    """``Paid in full (payment request in_1QX).``"""
    sentences = {
        "unpaid": _("Nothing is paid yet%(request)s."),
        "part_paid": _("Paid in part%(request)s."),
        "paid": _("Paid in full%(request)s."),
        "reversed": _("The payment was taken back%(request)s."),
        "disputed": _("The payment is disputed%(request)s."),
    }
    request = _(" (payment request %(id)s)") % {"id": status.reference} if status.reference else ""
    return sentences[status.status] % {"request": request}


def _same_currency(prebill: Prebill, *amounts: Money) -> None:
    for money in amounts:
        if money.currency != prebill.currency:
            raise InvalidInput(
                _("%(ref)s is in %(ours)s, not %(theirs)s.")
                % {"ref": prebill.ref, "ours": prebill.currency, "theirs": money.currency},
                fields={"currency": _("As on the prebill.")},
            )


def _locked(ref: str) -> Prebill:
    found = Prebill.objects.filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such prebill."))
    locked_account(found.engagement_key)
    return Prebill.objects.select_for_update().get(pk=found.pk)
