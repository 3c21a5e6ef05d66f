"""Verbs of the commercial room.

Public surface: :func:`engagement_open`, :func:`engagement_activate`, :func:`engagement_suspend`, :func:`engagement_close`,
:func:`po_set`, :func:`terms_digest`, and the rate card verbs :func:`ratecard_from_deal`,
:func:`engagement_ratecard_set`, :func:`client_ratecard_set`, :func:`entity_ratecard_set`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.canonical import objects
from apps.canonical.money import Money
from apps.commercial.errors import DealIncomplete
from apps.commercial.models import Engagement, EngagementState, TermsVersion
from apps.commercial.ratecards import (
    client_ratecard_set,
    engagement_ratecard_set,
    entity_ratecard_set,
    ratecard_from_deal,
)
from apps.commercial.terms import terms_digest
from apps.core import hooks
from apps.core.errors import InvalidInput, NotFound, WrongState
from apps.journal import services as journal
from apps.journal import transitions
from apps.organization import selectors as people
from apps.organization import services as organization

__all__ = [
    "client_ratecard_set",
    "engagement_activate",
    "engagement_close",
    "engagement_open",
    "engagement_ratecard_set",
    "engagement_suspend",
    "entity_ratecard_set",
    "po_set",
    "ratecard_from_deal",
    "terms_digest",
]


def engagement_open(
    *, deal: objects.Deal, legal_entity: Any, lines: Sequence[Mapping[str, Any]], by: Any = None
) -> Engagement:
    """Open the engagement of a deal with its terms 000 and rate card; opening it again returns the one there is.

    ``lines``: dumps of canonical ``EngagementLine`` plus ``mapping_id``. A deal that was read again with other terms
    changes nothing here: that is an amendment. Raises :class:`DealIncomplete` (``DEAL-INCOMPLETE``).
    """
    _check(deal)
    dumped = [
        {**objects.EngagementLine.model_validate(_bare(line)).model_dump(mode="json"), **line}
        for line in lines
    ]
    there = Engagement.objects.select_related("legal_entity").filter(deal_key=deal.key).first()
    if there is not None:
        return there
    try:
        with transaction.atomic():
            return _open(deal, legal_entity, dumped, by)
    except IntegrityError as error:
        # Two at once: the unique deal key let one through; the other takes what the first has committed.
        there = Engagement.objects.select_related("legal_entity").filter(deal_key=deal.key).first()
        if there is None:
            raise error
        return there


def _open(deal: objects.Deal, legal_entity: Any, lines: list[dict[str, Any]], by: Any) -> Engagement:
    manager = people.user_by_email(deal.project_manager) if deal.project_manager else None
    contract = deal.contract
    cap = contract.not_to_exceed if contract else None
    engagement = Engagement.objects.create(
        key=journal.next_ref("ENG", year=True),
        deal_key=deal.key,
        legal_entity=legal_entity,
        name=deal.name,
        customer_key=deal.customer_key or "",
        currency=deal.currency,
        billing_model=deal.billing_model or "",
        project_manager=manager,
        project_manager_email=deal.project_manager,
        start_on=deal.start_on,
        end_on=deal.end_on,
        value=deal.amount.amount,
        not_to_exceed=None if cap is None else cap.amount,
        po_number=deal.po_number,
        po_amount=None if deal.po_amount is None else deal.po_amount.amount,
        contract_number=contract.number if contract else "",
        payment_terms=deal.payment_terms,
    )
    TermsVersion.objects.create(
        engagement=engagement,
        number=0,
        digest=terms_digest(deal),
        body=deal.model_dump(mode="json"),
        lines=lines,
        accepted_by=by,
    )
    ratecard_from_deal(engagement=engagement, deal=deal, by=by)
    journal.record(
        verb="engagement.opened",
        object_type="engagement",
        object_ref=engagement.key,
        by=by,
        legal_entity_id=legal_entity.pk,
        engagement_key=engagement.key,
        new={"deal": deal.key, "value": str(deal.amount), "terms": "000"},
    )
    if manager is not None:
        organization.grant_engagement(user=manager, engagement_key=engagement.key, by=by)
    return engagement


def engagement_activate(*, key: str, by: Any = None, why: str = "") -> Engagement:
    """Say that the project exists where it is worked on; saying it twice is one change."""
    return _move(key, EngagementState.ACTIVE, by, why)


def engagement_suspend(*, key: str, why: str, by: Any = None) -> Engagement:
    """Stop billing until the engagement is active again; what is approved already goes out."""
    return _move(key, EngagementState.SUSPENDED, by, why)


def engagement_close(*, key: str, why: str = "", by: Any = None) -> Engagement:
    """End the engagement; this is final."""
    return _move(key, EngagementState.CLOSED, by, why)


def po_set(*, key: str, po_number: str, amount: Money | None = None, by: Any = None) -> Engagement:
    """Record the client's purchase order and what it is over (None: not said). No commercial change, so no amendment.

    Raises ``InvalidInput`` when the order is in another currency than the engagement.
    """
    with transaction.atomic():
        engagement = _locked(key)
        if amount is not None and amount.currency != engagement.currency:
            raise InvalidInput(
                _("A purchase order over %(amount)s cannot pay for an engagement in %(currency)s.")
                % {"amount": amount, "currency": engagement.currency},
                fields={"po_amount": _("In the currency of the engagement.")},
            )
        old, new = (
            _order(engagement.po_number, engagement.po_amount),
            _order(po_number.strip(), None if amount is None else amount.amount),
        )
        if old != new:
            journal.record(
                verb="engagement.po_set",
                object_type="engagement",
                object_ref=key,
                by=by,
                legal_entity_id=engagement.legal_entity_id,
                engagement_key=key,
                old={name: value for name, value in old.items() if value != new[name]},
                new={name: value for name, value in new.items() if value != old[name]},
            )
            engagement.po_number = po_number.strip()
            engagement.po_amount = None if amount is None else amount.amount
            engagement.save(update_fields=["po_number", "po_amount"])
            hooks.billing_changed.fire([{"engagement_key": key}])
    return engagement


def _order(number: str, amount: Decimal | None) -> dict[str, str]:
    """A purchase order as the audit shows it."""
    return {"po_number": number, "po_amount": "" if amount is None else f"{amount.normalize():f}"}


def _move(key: str, to: str, by: Any, why: str) -> Engagement:
    with transaction.atomic():
        engagement = _locked(key)
        if engagement.state != to:
            if not transitions.move(engagement, to=to, by=by, why=why):
                raise WrongState(_("%(key)s was changed meanwhile.") % {"key": key})
            hooks.billing_changed.fire([{"engagement_key": key}])
    return engagement


def _locked(key: str) -> Engagement:
    found = Engagement.objects.select_for_update().filter(key=key).first()
    if found is None:
        raise NotFound(_("There is no such engagement."))
    return found


def _bare(line: Mapping[str, Any]) -> dict[str, Any]:
    known = objects.EngagementLine.model_fields.keys()
    return {name: value for name, value in line.items() if name in known}


def _check(deal: objects.Deal) -> None:
    missing = {
        name: str(_("Required."))
        for name, value in (("customer_key", deal.customer_key), ("billing_model", deal.billing_model))
        if not value
    }
    if missing:
        raise DealIncomplete(
            _("The deal %(name)s lacks: %(fields)s.") % {"name": deal.name, "fields": ", ".join(missing)},
            fields=missing,
        )
    if deal.amount.currency != deal.currency:
        raise DealIncomplete(
            _("The deal is in %(deal)s, its amount in %(amount)s.")
            % {"deal": deal.currency, "amount": deal.amount.currency},
            fields={"amount": str(_("Other currency."))},
        )
