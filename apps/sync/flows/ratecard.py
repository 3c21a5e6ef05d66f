"""Flow ``ratecard.push``: the agreed rates of an engagement, sent to the ERP and the PSA.

Public surface: :data:`FLOW`. Subject key: the deal's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.canonical.objects import RateCard
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.core.errors import WrongState
from apps.governance import selectors as governance
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, PlannedAction, push, unchanged


@dataclass(frozen=True)
class RateCardSnapshot:
    as_of: datetime
    meta: Meta
    card: RateCard
    erp: Any
    psa: Any
    erp_settings: dict[str, Any]
    erp_id: str
    psa_id: str


def gather(context: Context) -> RateCardSnapshot:
    engagement = commercial.engagement_by_deal(context.key)
    if engagement is None:
        raise WrongState("The rate card's engagement has not been opened yet.")
    card = commercial.canonical_rate_card(engagement.key)
    if card is None:
        raise WrongState(f"{engagement.key} has no rate card of its own.")
    erp_route = base.route(engagement.legal_entity_id, "erp")
    psa = base.route(engagement.legal_entity_id, "psa").system
    currency = governance.translate(
        kind="currency",
        legal_entity_id=engagement.legal_entity_id,
        source=card.currency,
        overlay=context.overlay,
    )
    return RateCardSnapshot(
        as_of=clock.now(),
        meta=Meta(
            label=f"Rates of {engagement.name}",
            customer=base.customer_name(engagement.customer_key),
            legal_entity_id=engagement.legal_entity_id,
            engagement_key=engagement.key,
        ),
        card=card,
        erp=erp_route.system,
        psa=psa,
        erp_settings=dict(erp_route.settings) | {"currency_id": currency.target if currency else ""},
        erp_id=base.link_id("rate_card", card.key, erp_route.system),
        psa_id=base.link_id("rate_card", card.key, psa),
    )


def plan(snapshot: RateCardSnapshot) -> Draft:
    card = snapshot.card
    targets: tuple[tuple[str, Any, str, dict[str, Any]], ...] = (
        ("erp", snapshot.erp, snapshot.erp_id, snapshot.erp_settings),
        ("psa", snapshot.psa, snapshot.psa_id, {}),
    )
    steps: list[PlannedAction] = []
    for role, system, known, settings in targets:
        name = f"{role}.rate_card"
        if known:
            why = f"{system.name} has rate card {known}."
            steps.append(unchanged(name, why, system=system, object_type="rate_card", external_id=known))
        else:
            steps.append(
                push(
                    name,
                    f"{system.name} gets the {len(card.lines)} agreed rates.",
                    system=system,
                    object_type="rate_card",
                    operation="create",
                    key=card.key,
                    body=card,
                    settings=settings,
                )
            )
    return Draft(tuple(steps), summary=f"Rate card {card.key}.")


FLOW = Flow("ratecard.push", "rate_card", "Send a rate card", gather, plan)
