"""The content of a prebill: its lines, their sum, its digest; adding items and letting them go.

Callers hold the account's lock. Nothing here asks for approval; see ``prebills``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import Max
from django.utils.translation import gettext as _

from apps.approvals import selectors as approvals_read
from apps.approvals import services as approvals
from apps.billing.models import BillableItem, ItemState, Prebill, PrebillEvent, PrebillLine, PrebillState
from apps.core import clock, hooks
from apps.core.errors import WrongState
from apps.journal import transitions

KIND = "prebill"


def note(prebill: Prebill, verb: str, *, by: Any = None, comment: str = "", **new: Any) -> None:
    """Append one event to a prebill's story."""
    PrebillEvent.objects.create(prebill=prebill, verb=verb, by=by, comment=comment, new=new)


def announce(prebill: Prebill) -> None:
    """Tell the floors above where the prebill stands."""
    hooks.prebills_moved.fire(
        [
            {
                "ref": prebill.ref,
                "state": str(prebill.state),
                "engagement_key": prebill.engagement_key,
                "legal_entity_id": prebill.legal_entity_id,
            }
        ]
    )


def move(prebill: Prebill, *, to: str, by: Any = None, why: str = "", **fields: Any) -> None:
    """One guarded step; losing it to somebody else is a :class:`WrongState` here, since the account is locked."""
    if not transitions.move(prebill, to=to, by=by, why=why, changed_at=clock.now(), **fields):
        raise WrongState(_("%(ref)s was changed meanwhile.") % {"ref": prebill.ref})


def content_digest(prebill: Prebill) -> str:
    """SHA-256 (hex) over what is approved: head, tax code and every line as it would be invoiced."""
    lines = [
        [
            line.item.source_key,
            line.description,
            line.service_code,
            line.billing_code,
            _plain(line.quantity),
            _plain(line.unit_price),
            _plain(line.amount),
        ]
        for line in prebill.lines.select_related("item").order_by("item__source_key")
    ]
    head = [
        prebill.engagement_key,
        prebill.customer_key,
        prebill.currency,
        prebill.po_number,
        prebill.payment_terms,
        prebill.tax_treatment,
        prebill.tax_code,
        _plain(prebill.net),
    ]
    return hashlib.sha256(json.dumps([head, lines], separators=(",", ":")).encode()).hexdigest()


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}" if value else "0"


def add_items(prebill: Prebill, items: Iterable[BillableItem], *, by: Any = None) -> int:
    """Put ready items on the prebill as lines, in their order; returns how many."""
    position = prebill.lines.aggregate(last=Max("position"))["last"] or 0
    chosen = list(items)
    moved = transitions.move_many(
        BillableItem.objects.filter(pk__in=[item.pk for item in chosen], state=ItemState.READY),
        to=ItemState.DRAFTED,
        by=by,
        why=_("Put on %(ref)s.") % {"ref": prebill.ref},
        prebill_id=prebill.pk,
    )
    if moved != len(chosen):
        raise WrongState(_("An item of %(ref)s is no longer ready.") % {"ref": prebill.ref})
    PrebillLine.objects.bulk_create(
        PrebillLine(
            prebill=prebill,
            item=item,
            position=position + offset,
            service_code=item.service_code,
            billing_code=item.billing_code,
            description=item.description,
            quantity=item.quantity,
            unit_price=item.known_amount if item.unit_price is None else item.unit_price,
            amount=item.known_amount,
            worked_amount=item.known_amount,
        )
        for offset, item in enumerate(chosen, start=1)
    )
    return moved


def refresh(prebill: Prebill) -> bool:
    """Recompute net (the sum of the lines, which are rounded each) and digest; True when the content changed."""
    # A sum in Python keeps Decimal exact and needs no query per line.
    amounts = list(prebill.lines.values_list("amount", flat=True))
    prebill.net = sum(amounts, Decimal(0))
    digest = content_digest(prebill) if amounts else ""
    changed = digest != prebill.digest
    prebill.digest = digest
    if changed:
        prebill.revision += 1
        prebill.changed_at = clock.now()
    prebill.save(update_fields=["net", "digest", "revision", "changed_at"])
    return changed


def ask_approval(prebill: Prebill, *, by: Any = None) -> None:
    """Ask for both signatures on the present content; an open request for other content is withdrawn by that.

    Who submitted it stays its maker when the content changes by itself, and so may not sign it."""
    maker = by or _submitter(prebill)
    approvals.request(
        kind=KIND,
        subject_type=KIND,
        subject_ref=prebill.ref,
        title=f"{prebill.ref} · {prebill.engagement_name}",
        digest=prebill.digest,
        legal_entity_id=prebill.legal_entity_id,
        engagement_key=prebill.engagement_key,
        by=maker,
        steps=[
            {"verb": "prebill.approve_pm", "label": str(_("Project manager"))},
            {"verb": "prebill.approve_finance", "label": str(_("Finance"))},
        ],
        amount=prebill.net,
        currency=prebill.currency,
    )
    note(prebill, PrebillEvent.Verb.SUBMITTED, by=by, net=str(prebill.net), digest=prebill.digest)


def _submitter(prebill: Prebill) -> Any:
    """Who last submitted it by hand; None when only the engine did. Not the open request's word: a draft that lost all its
    lines for a moment has none."""
    asked = prebill.events.filter(verb=PrebillEvent.Verb.SUBMITTED, by__isnull=False).select_related("by")
    last = asked.order_by("-id").first()
    return last.by if last is not None else None


def withdraw_request(prebill: Prebill, why: str) -> None:
    """Void the open request, if any: nobody may sign what is no longer there."""
    request = approvals_read.open_request(KIND, prebill.ref)
    if request is not None:
        approvals.withdraw(request=request, why=why)


def release(items: list[BillableItem], *, why: str, by: Any = None) -> None:
    """Take items off the prebill in review that they are on: their source changed. What was signed is signed again.

    A prebill without lines keeps waiting in draft: the next drafting fills it again or voids it.
    """
    for prebill in Prebill.objects.select_for_update().filter(pk__in={item.prebill_id for item in items}):
        mine = [item for item in items if item.prebill_id == prebill.pk]
        PrebillLine.objects.filter(prebill=prebill, item__in=mine).delete()
        transitions.move_many(
            BillableItem.objects.filter(pk__in=[item.pk for item in mine]),
            to=ItemState.PENDING,
            by=by,
            why=why,
            prebill_id=None,
        )
        refresh(prebill)
        note(prebill, PrebillEvent.Verb.CHANGED, by=by, comment=why, net=str(prebill.net), left=len(mine))
        if prebill.state == PrebillState.PM_APPROVED:
            move(prebill, to=PrebillState.DRAFT, by=by, why=why)
        if not prebill.digest:
            withdraw_request(prebill, why)
        elif prebill.state == PrebillState.DRAFT:
            ask_approval(prebill, by=by)
        announce(prebill)
    for item in items:
        item.refresh_from_db()
