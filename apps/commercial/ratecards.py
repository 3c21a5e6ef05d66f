"""Publishing rate cards (the verbs of :mod:`apps.commercial.services` that concern prices).

An approved price is never edited: a new version takes over from its first day and the former one ends there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.utils.translation import gettext as _

from apps.canonical import objects
from apps.commercial.errors import RateOverlap
from apps.commercial.models import CardState, Engagement, RateCard, RateKey, RateLine, RateScope
from apps.core import clock, hooks
from apps.core.errors import InvalidInput, Stale
from apps.journal import services as journal


def ratecard_from_deal(*, engagement: Engagement, deal: objects.Deal, by: Any = None) -> RateCard | None:
    """The prices that the deal itself agrees, valid from its start without an end; None when it names none."""
    if not deal.rates:
        return None
    return _publish(
        scope=RateScope.ENGAGEMENT,
        legal_entity=engagement.legal_entity,
        engagement=engagement,
        key=f"RC-{engagement.key}",
        name=engagement.name,
        currency=deal.currency,
        lines=deal.rates,
        effective_from=deal.start_on or deal.closed_on or clock.today(engagement.legal_entity.timezone),
        by=by,
    )


def engagement_ratecard_set(
    *,
    engagement: Engagement,
    lines: Sequence[objects.RateLine],
    effective_from: date,
    effective_to: date | None = None,
    hours_per_day: Decimal | None = None,
    ends_former: bool = False,
    by: Any = None,
) -> RateCard:
    """Prices of one contract; ``hours_per_day`` here is the contract's day, for prices of every scope."""
    return _publish(
        scope=RateScope.ENGAGEMENT,
        legal_entity=engagement.legal_entity,
        engagement=engagement,
        key=f"RC-{engagement.key}",
        name=engagement.name,
        currency=engagement.currency,
        lines=lines,
        effective_from=effective_from,
        effective_to=effective_to,
        hours_per_day=hours_per_day,
        ends_former=ends_former,
        by=by,
    )


def client_ratecard_set(
    *,
    legal_entity: Any,
    customer_key: str,
    name: str,
    currency: str,
    lines: Sequence[objects.RateLine],
    effective_from: date,
    effective_to: date | None = None,
    hours_per_day: Decimal | None = None,
    ends_former: bool = False,
    by: Any = None,
) -> RateCard:
    """Prices that a legal entity agreed with one client, for all its engagements there."""
    suffix = "".join(char if char.isalnum() else "-" for char in customer_key)[-40:]
    return _publish(
        scope=RateScope.CLIENT,
        legal_entity=legal_entity,
        customer_key=customer_key,
        key=f"RC-{legal_entity.code[:12]}-{suffix}-{currency}",
        name=name,
        currency=currency,
        lines=lines,
        effective_from=effective_from,
        effective_to=effective_to,
        hours_per_day=hours_per_day,
        ends_former=ends_former,
        by=by,
    )


def entity_ratecard_set(
    *,
    legal_entity: Any,
    name: str,
    currency: str,
    lines: Sequence[objects.RateLine],
    effective_from: date,
    effective_to: date | None = None,
    hours_per_day: Decimal | None = None,
    ends_former: bool = False,
    by: Any = None,
) -> RateCard:
    """A legal entity's list prices. Setting the same card again returns it; ``ends_former`` ends the card before it.

    Raises :class:`RateOverlap` when a price already covers a day of the new one, :class:`InvalidInput` on mixed currencies.
    """
    return _publish(
        scope=RateScope.ENTITY,
        legal_entity=legal_entity,
        key=f"RC-{legal_entity.code}-{currency}",
        name=name,
        currency=currency,
        lines=lines,
        effective_from=effective_from,
        effective_to=effective_to,
        hours_per_day=hours_per_day,
        ends_former=ends_former,
        by=by,
    )


def _publish(
    *,
    scope: str,
    legal_entity: Any,
    key: str,
    name: str,
    currency: str,
    lines: Sequence[objects.RateLine],
    effective_from: date,
    effective_to: date | None = None,
    hours_per_day: Decimal | None = None,
    customer_key: str = "",
    engagement: Engagement | None = None,
    ends_former: bool = False,
    by: Any = None,
) -> RateCard:
    _check(lines, currency, effective_from, effective_to)
    owner = {
        "legal_entity_id": legal_entity.pk,
        "scope": scope,
        "customer_key": customer_key,
        "engagement": engagement,
    }
    wanted = {"effective_from": effective_from, "effective_to": effective_to, "hours_per_day": hours_per_day}
    with transaction.atomic():
        # The newest version is locked so that two publishers of one card take turns.
        former = RateCard.objects.select_for_update().filter(key=key).order_by("-version").first()
        if former is not None and _same(former, wanted, lines):
            return former
        keys = [_rate_key(owner, currency, line) for line in lines]
        if ends_former and former is not None:
            _end_former(key, effective_from)
        validity = DateRange(effective_from, effective_to, "[)")
        _refuse_overlap(keys, validity)
        try:
            with transaction.atomic():
                card = RateCard.objects.create(
                    **owner,
                    **wanted,
                    key=key,
                    version=former.version + 1 if former else 1,
                    name=name,
                    currency=currency,
                )
                RateLine.objects.bulk_create(
                    RateLine(
                        card=card,
                        rate_key=rate_key,
                        unit=line.unit,
                        bill_rate=line.bill_rate.amount,
                        validity=validity,
                    )
                    for rate_key, line in zip(keys, lines, strict=True)
                )
        except IntegrityError as error:
            if "commercial_line_no_overlap" in str(error):
                raise RateOverlap(
                    _("Another price for the same work was published at the same moment.")
                ) from error
            if "commercial_card_version" in str(error):
                raise Stale(
                    _("Another version of this rate card was published at the same moment.")
                ) from error
            raise
        journal.record(
            verb="rate_card.published",
            object_type="rate_card",
            object_ref=str(card),
            by=by,
            legal_entity_id=legal_entity.pk,
            engagement_key=engagement.key if engagement else "",
            new={"effective_from": effective_from.isoformat(), "lines": len(lines), "currency": currency},
        )
        if engagement is not None:
            hooks.billing_changed.fire([{"engagement_key": engagement.key}])
    return card


def _check(
    lines: Sequence[objects.RateLine], currency: str, effective_from: date, effective_to: date | None
) -> None:
    if not lines:
        raise InvalidInput(_("A rate card needs at least one price."), fields={"lines": _("Required.")})
    if effective_to is not None and effective_to <= effective_from:
        raise InvalidInput(
            _("A rate card must end after it starts."), fields={"effective_to": _("After the first day.")}
        )
    for line in lines:
        if line.bill_rate.currency != currency:
            raise InvalidInput(
                _("The card is in %(card)s, a price in %(line)s.")
                % {"card": currency, "line": line.bill_rate.currency},
                code="RATE-CCY",
                fields={"lines": _("One currency a card.")},
            )
    seen = [(line.role, line.service_code, line.resource) for line in lines]
    twice = {entry for entry in seen if seen.count(entry) > 1}
    if twice:
        what = " · ".join(part for part in min(twice) if part) or _("any role")
        raise RateOverlap(_("The card has two prices for %(what)s.") % {"what": what})


def _same(card: RateCard, wanted: dict[str, Any], lines: Sequence[objects.RateLine]) -> bool:
    if card.state != CardState.APPROVED or any(
        getattr(card, field) != value for field, value in wanted.items()
    ):
        return False
    there = {
        (line.rate_key.role, line.rate_key.service_code, line.rate_key.resource, line.unit, line.bill_rate)
        for line in card.lines.select_related("rate_key")
    }
    return there == {
        (line.role, line.service_code, line.resource, line.unit, line.bill_rate.amount) for line in lines
    }


def _rate_key(owner: dict[str, Any], currency: str, line: objects.RateLine) -> RateKey:
    # get_or_create survives two publishers: the loser of the unique key reads the winner's row.
    return RateKey.objects.get_or_create(
        **owner,
        currency=currency,
        role=line.role,
        service_code=line.service_code,
        resource=line.resource,
        blended=line.blended,
    )[0]


def _end_former(key: str, on: date) -> None:
    """End every version of the card that runs on ``on`` or later; one that would start later must not exist."""
    cards = RateCard.objects.filter(key=key, state=CardState.APPROVED)
    if cards.filter(effective_from__gte=on).exists():
        raise RateOverlap(_("A later version of this rate card exists already; set the new one after it."))
    for card in cards.filter(effective_to__isnull=True) | cards.filter(effective_to__gt=on):
        card.lines.update(validity=DateRange(card.effective_from, on, "[)"))
        RateCard.objects.filter(pk=card.pk).update(effective_to=on)


def _refuse_overlap(keys: list[RateKey], validity: DateRange) -> None:
    rival = (
        RateLine.objects.filter(rate_key__in=keys, approved=True, validity__overlap=validity)
        .select_related("card", "rate_key")
        .first()
    )
    if rival is not None:
        until = rival.validity.upper.isoformat() if rival.validity.upper else _("open")
        raise RateOverlap(
            _("%(card)s already prices %(what)s from %(start)s to %(end)s.")
            % {
                "card": rival.card,
                "what": rival.rate_key,
                "start": rival.validity.lower.isoformat(),
                "end": until,
            }
        )
