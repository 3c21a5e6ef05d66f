"""Reads of the commercial room.

Public surface: :func:`engagement`, :func:`engagement_by_deal`, :func:`engagements`, :func:`engagement_names`,
:func:`current_terms`, :func:`current_deal`, :func:`terms_lines`, :func:`canonical_engagement`,
:func:`canonical_rate_card`, :func:`canonical_schedule`, :func:`has_entity_rates`, :func:`rate_resolver`,
:func:`effective_rate`, :class:`RateAnswer`, :class:`RateProblem`, :func:`amount_for`, :func:`terms_digest`,
:func:`changed_terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from apps.canonical import objects
from apps.canonical.money import Money
from apps.commercial.errors import RateOverlap
from apps.commercial.models import CardState, Engagement, RateCard, RateLine, RateScope, TermsVersion
from apps.commercial.resolution import Candidate, Question, RateAnswer, RateProblem, amount_for, resolve
from apps.commercial.terms import changed_terms, terms_digest
from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, Scope

__all__ = [
    "RateAnswer",
    "RateProblem",
    "amount_for",
    "canonical_engagement",
    "canonical_rate_card",
    "canonical_schedule",
    "changed_terms",
    "current_deal",
    "current_terms",
    "effective_rate",
    "engagement",
    "engagement_by_deal",
    "engagement_names",
    "engagements",
    "has_entity_rates",
    "rate_resolver",
    "terms_digest",
    "terms_lines",
]

#: ``(role, service_code, worked_on, resource) -> answer or problem``.
Resolver = Callable[[str, str, date, str], RateAnswer | RateProblem]


def engagement(key: str, *, scope: Scope = EVERYTHING) -> Engagement:
    """The engagement inside the scope, its legal entity loaded; :class:`NotFound` otherwise."""
    found = (
        Engagement.objects.within(scope)
        .select_related("legal_entity", "project_manager")
        .filter(key=key)
        .first()
    )
    if found is None:
        raise NotFound(_("There is no such engagement."))
    return found


def engagement_by_deal(deal_key: str) -> Engagement | None:
    """The engagement that was opened from a deal, or None before provisioning."""
    return (
        Engagement.objects.select_related("legal_entity", "project_manager").filter(deal_key=deal_key).first()
    )


def engagements(scope: Scope) -> QuerySet[Engagement]:
    """What this scope may see, newest first; narrow it with :class:`apps.commercial.filters.EngagementFilter`."""
    return Engagement.objects.within(scope).select_related("legal_entity", "project_manager").order_by("-id")


def engagement_names(keys: Iterable[str]) -> dict[str, str]:
    """``{key: name}`` in one query, for lists of other rooms."""
    return dict(Engagement.objects.filter(key__in=set(keys)).values_list("key", "name"))


def current_terms(key: str) -> TermsVersion:
    """The terms in force: the highest accepted version. :class:`NotFound` for an unknown engagement."""
    found = TermsVersion.objects.filter(engagement__key=key).order_by("-number").first()
    if found is None:
        raise NotFound(_("There is no such engagement."))
    return found


def terms_of_deal(deal_key: str) -> TermsVersion | None:
    """The terms in force of the engagement that a deal became; None before there is one."""
    return TermsVersion.objects.filter(engagement__deal_key=deal_key).order_by("-number").first()


def current_deal(key: str) -> objects.Deal:
    """The terms in force as the canonical deal they were read from."""
    return objects.Deal.model_validate(current_terms(key).body)


def terms_lines(key: str) -> tuple[objects.EngagementLine, ...]:
    """The sold services in force with their billing codes."""
    return _lines(current_terms(key))


def _lines(terms: TermsVersion) -> tuple[objects.EngagementLine, ...]:
    known = objects.EngagementLine.model_fields.keys()
    return tuple(
        objects.EngagementLine.model_validate({name: value for name, value in line.items() if name in known})
        for line in terms.lines
    )


def canonical_engagement(key: str) -> objects.Engagement:
    """The engagement as PSA and ERP shall hold it."""
    row = engagement(key)
    card = _current_card(row)
    cap = row.not_to_exceed
    return objects.Engagement(
        key=row.key,
        name=row.name,
        customer_key=row.customer_key,
        legal_entity_code=row.legal_entity.code,
        currency=row.currency,
        billing_model=row.billing_model,
        status=row.state,
        start_on=row.start_on,
        end_on=row.end_on,
        project_manager=row.project_manager_email,
        po_number=row.po_number,
        contract_number=row.contract_number,
        budget=Money.of(row.value, row.currency),
        not_to_exceed=None if cap is None else Money.of(cap, row.currency),
        rate_card_key=card.key if card else None,
        lines=_lines(current_terms(key)),
    )


def canonical_rate_card(key: str) -> objects.RateCard | None:
    """The engagement's own card (its newest approved version), or None when it is priced by client or entity cards."""
    row = engagement(key)
    card = _current_card(row)
    if card is None:
        return None
    lines = card.lines.select_related("rate_key").order_by("id")
    return objects.RateCard(
        key=card.key,
        name=card.name,
        currency=card.currency,
        version=card.version,
        effective_from=card.effective_from,
        effective_to=card.effective_to,
        hours_per_day=card.hours_per_day or row.legal_entity.hours_per_day,
        lines=tuple(
            objects.RateLine(
                role=line.rate_key.role,
                service_code=line.rate_key.service_code,
                resource=line.rate_key.resource,
                blended=line.rate_key.blended,
                unit=line.unit,
                bill_rate=Money.of(line.bill_rate, card.currency),
            )
            for line in lines
        ),
    )


def canonical_schedule(key: str) -> objects.BillingSchedule | None:
    """The billing schedule in force, or None when the terms have none."""
    deal = current_deal(key)
    if not deal.schedule:
        return None
    return objects.BillingSchedule(
        key=f"{key}-BS", engagement_key=key, currency=deal.currency, entries=deal.schedule
    )


def _current_card(row: Engagement) -> RateCard | None:
    return row.rate_cards.filter(state=CardState.APPROVED).order_by("-version").first()


def rate_resolver(engagement_key: str) -> Resolver:
    """A function that answers for this engagement without further queries; three queries build it."""
    row = engagement(engagement_key)
    cards = list(row.rate_cards.filter(state=CardState.APPROVED, hours_per_day__isnull=False))
    entity_day = row.legal_entity.hours_per_day
    lines = [_candidate(line, entity_day) for line in _lines_for(row)]

    def contract_day(day: date) -> Decimal | None:
        for card in cards:
            if card.effective_from <= day and (card.effective_to is None or day < card.effective_to):
                return card.hours_per_day
        return None

    def answer(role: str, service_code: str, worked_on: date, resource: str = "") -> RateAnswer | RateProblem:
        # What a day is belongs to the contract: its word goes before that of whichever card gives the price.
        agreed = contract_day(worked_on)
        candidates = [replace(one, hours_per_day=agreed) for one in lines] if agreed else lines
        return resolve(candidates, Question(role, service_code, resource, worked_on, row.currency))

    return answer


def effective_rate(
    *, engagement_key: str, role: str, service_code: str, worked_on: date, resource: str = ""
) -> RateAnswer | None:
    """Which rate applies to an hour of this work on that day, with the trace of all prices looked at; None if none does.

    Raises :class:`RateOverlap` when two prices of equal rank apply. For the reason of a None ask :func:`rate_resolver`.
    """
    found = rate_resolver(engagement_key)(role, service_code, worked_on, resource)
    if isinstance(found, RateAnswer):
        return found
    if found.code == "RATE-OVERLAP":
        raise RateOverlap(found.reason)
    return None


def _lines_for(row: Engagement) -> QuerySet[RateLine]:
    mine = (
        Q(rate_key__scope=RateScope.ENTITY)
        | Q(rate_key__scope=RateScope.CLIENT, rate_key__customer_key=row.customer_key)
        | Q(rate_key__scope=RateScope.ENGAGEMENT, rate_key__engagement=row)
    )
    return (
        RateLine.objects.filter(mine, approved=True, rate_key__legal_entity_id=row.legal_entity_id)
        .select_related("card", "rate_key")
        .order_by("id")
    )


def _candidate(line: RateLine, entity_day: Decimal) -> Candidate:
    key: Any = line.rate_key
    return Candidate(
        line_id=line.pk,
        card=str(line.card),
        scope=key.scope,
        role=key.role,
        service_code=key.service_code,
        resource=key.resource,
        blended=key.blended,
        unit=line.unit,
        rate=line.bill_rate,
        currency=key.currency,
        valid_from=line.validity.lower,
        valid_to=line.validity.upper,
        hours_per_day=line.card.hours_per_day or entity_day,
    )


def has_entity_rates(legal_entity_id: int, currency: str) -> bool:
    """Whether the legal entity has any approved list price in this currency."""
    return RateLine.objects.filter(
        rate_key__scope=RateScope.ENTITY,
        rate_key__legal_entity_id=legal_entity_id,
        rate_key__currency=currency,
        approved=True,
    ).exists()
