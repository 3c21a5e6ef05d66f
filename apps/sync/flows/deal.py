"""Flow ``deal.provision``: a closed-won deal becomes customer, rate card, project, and a status back in the CRM.

Public surface: :data:`FLOW`, :class:`DealSnapshot`. Objects shared with other deals are asked for as child transactions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from apps.canonical.objects import Customer, Deal
from apps.commercial import selectors as commercial
from apps.commercial.services import terms_digest
from apps.core import clock
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync import decisions, gates
from apps.sync.flows import base, checks
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.models import State, Transaction
from apps.sync.plans import Draft, PlannedAction, Problem, blocked, child, local, push, unchanged

ANNOUNCE_TYPE = "psasync.engagement.provisioned.v1"


@dataclass(frozen=True)
class DealSnapshot:
    """Everything the plan looks at. ``services`` maps service code → translation or None."""

    key: str
    as_of: datetime
    live: bool
    meta: Meta = field(default_factory=Meta)
    system: Any = None
    external_id: str = ""
    deal: Deal | None = None
    customer: Customer | None = None
    entity: Any = None
    services: dict[str, Any] = field(default_factory=dict)
    terms_known: bool = True
    currency_known: bool = True
    rates_known: bool = False
    engagement: Any = None
    known_digest: str = ""
    customer_linked: bool = False
    project_linked: bool = False
    erp: Any = None
    psa: Any = None
    billing_system: Any = None
    status_sent: bool = False


def gather(context: Context) -> DealSnapshot:
    """Read the deal and its account (live), and what we know around them. Raises ``AdapterError``."""
    system, external_id = base.split_key(context.key)
    observed = base.read_one(context, system=system, object_type="deal", external_id=external_id)
    if observed is None:
        engagement = commercial.engagement_by_deal(context.key)
        return DealSnapshot(
            context.key,
            clock.now(),
            context.live,
            system=system,
            external_id=external_id,
            engagement=engagement,
        )
    deal = decisions.edited("deal", cast(Deal, observed.body), context.decisions)
    return gather_deal(context, system=system, external_id=external_id, deal=deal)


def gather_deal(context: Context, *, system: Any, external_id: str, deal: Deal) -> DealSnapshot:
    """The rest of the snapshot for a deal document at hand (also used before closing, when the CRM sends it along)."""
    now = clock.now()
    customer = _customer(context, system, deal)
    entity = organization.entity(deal.legal_entity_code) if deal.legal_entity_code else None
    routes = _routes(entity)
    known = _translations(context, deal, customer, entity)
    engagement = commercial.engagement_by_deal(context.key)
    terms = commercial.current_terms(engagement.key) if engagement else None
    return DealSnapshot(
        key=context.key,
        as_of=context.oldest(now),
        live=context.live,
        meta=_meta(deal, customer, entity, engagement),
        system=system,
        external_id=external_id,
        deal=deal,
        customer=customer,
        entity=entity,
        rates_known=bool(deal.rates)
        or (entity is not None and commercial.has_entity_rates(entity.id, deal.currency)),
        engagement=engagement,
        known_digest=terms.digest if terms else "",
        customer_linked=_customer_linked(customer, routes) and _customer_enabled(customer, entity, routes),
        project_linked=_project_linked(engagement, routes),
        erp=routes.get("erp"),
        psa=routes.get("psa"),
        billing_system=routes.get("billing"),
        status_sent=bool(engagement and base.link_id("deal_status", context.key, system)),
        **known,
    )


def _customer(context: Context, system: Any, deal: Deal) -> Customer | None:
    if not deal.customer_key or system is None:
        return None
    account = base.read_one(
        context, system=system, object_type="customer", external_id=deal.customer_key.partition(":")[2]
    )
    return account.body if account else None  # type: ignore[return-value]


def _routes(entity: Any) -> dict[str, Any]:
    if entity is None:
        return {}
    found = {kind: organization.route(entity.id, kind) for kind in ("erp", "psa", "billing")}
    return {kind: route.system for kind, route in found.items() if route is not None}


def _translations(context: Context, deal: Deal, customer: Customer | None, entity: Any) -> dict[str, Any]:
    if entity is None:
        return {}
    codes = sorted({line.service_code for line in deal.lines})
    services = governance.translations(
        kind="service_item", legal_entity_id=entity.id, sources=codes, overlay=context.overlay
    )
    terms = deal.payment_terms or (customer.payment_terms if customer else "")
    known_terms = governance.translate(
        kind="payment_terms", legal_entity_id=entity.id, source=terms, overlay=context.overlay
    )
    currency = governance.translate(
        kind="currency", legal_entity_id=entity.id, source=deal.currency, overlay=context.overlay
    )
    return {
        "services": services,
        "terms_known": not terms or known_terms is not None,
        "currency_known": currency is not None,
    }


def _customer_linked(customer: Customer | None, routes: dict[str, Any]) -> bool:
    needed = [routes.get("erp"), routes.get("billing")]
    return customer is not None and all(
        s is not None and base.link_id("customer", customer.key, s) for s in needed
    )


def _customer_enabled(customer: Customer | None, entity: Any, routes: dict[str, Any]) -> bool:
    """Whether the ERP's customer serves this entity too: an earlier deal may have been another entity's."""
    erp = routes.get("erp")
    if customer is None or erp is None:
        return False
    route = organization.route(entity.id, "erp")
    subsidiary = str((route.settings if route else {}).get("subsidiary") or "")
    seen = records.record(erp.id, "customer", base.link_id("customer", customer.key, erp))
    shown = {str(one) for one in seen.facts.get("subsidiaries", [])} if seen else set()
    return not subsidiary or subsidiary in shown or _synchronised_for(customer, entity, erp)


def _synchronised_for(customer: Customer, entity: Any, erp: Any) -> bool:
    wanted = {gates.ENTITIES: [entity.code]}
    done = Transaction.objects.filter(
        subject__kind="customer", subject__key=f"{customer.key}@{erp.code}", state=State.SUCCEEDED
    )
    asked = done.filter(flow="customer.sync", params__entities__contains=[entity.code])
    return any(not gates.passed_over(params, wanted) for params in asked.values_list("params", flat=True))


def _project_linked(engagement: Any, routes: dict[str, Any]) -> bool:
    if engagement is None or engagement.state == "planned":
        return False
    return all(base.link_id("engagement", engagement.key, routes.get(kind)) for kind in ("psa", "erp"))


def _meta(deal: Deal, customer: Customer | None, entity: Any, engagement: Any) -> Meta:
    until = organization.invoice_run_due(entity, clock.now()).date() if entity is not None else clock.today()
    return Meta(
        label=deal.name,
        customer=customer.name if customer else "",
        customer_key=deal.customer_key or "",
        legal_entity_id=entity.id if entity else None,
        engagement_key=engagement.key if engagement else "",
        currency=deal.currency,
        amount=checks.held_amount(deal, until),
    )


def plan(snapshot: DealSnapshot) -> Draft:
    """Deal → actions, or the problems of the first stage that has any."""
    deal = snapshot.deal
    if deal is None:
        return _gone(snapshot)
    if not (deal.is_won and deal.is_closed):
        return _not_won(snapshot, deal)
    if snapshot.engagement is not None and snapshot.known_digest != terms_digest(deal):
        return _amended(snapshot, deal)
    problems = checks.deal_problems(deal, entity=snapshot.entity)
    if problems:
        return Draft((blocked("provision", "The deal itself must be corrected first."),), tuple(problems))
    problems = checks.customer_problems(
        deal,
        snapshot.customer,
        entity=snapshot.entity,
        terms_known=snapshot.terms_known,
        currency_known=snapshot.currency_known,
    )
    missing = [
        kind
        for kind, system in (
            ("erp", snapshot.erp),
            ("psa", snapshot.psa),
            ("billing", snapshot.billing_system),
        )
        if system is None
    ]
    if missing and not problems:
        problems = [_unrouted(snapshot, missing)]
    if problems:
        return Draft((blocked("customer", "The customer cannot be billed yet."),), tuple(problems))
    return _provision(snapshot, deal)


def as_won(snapshot: DealSnapshot) -> DealSnapshot:
    """The snapshot as if the deal were closed-won: what the check before closing plans."""
    assert snapshot.deal is not None
    return replace(snapshot, deal=snapshot.deal.model_copy(update={"is_won": True, "is_closed": True}))


def _provision(snapshot: DealSnapshot, deal: Deal) -> Draft:
    customer = snapshot.customer
    assert customer is not None  # a missing customer is a problem of an earlier stage
    actions = [_customer_step(snapshot, customer)]
    problems = checks.service_problems(
        deal, entity=snapshot.entity, services=snapshot.services, rates_known=snapshot.rates_known
    ) or checks.billing_problems(deal, customer)
    if problems:
        actions.append(blocked("project", "Waits until the problem is solved; nothing is created before."))
        return Draft(tuple(actions), tuple(problems))
    told = tuple(checks.date_problems(deal))
    if snapshot.engagement is not None and snapshot.project_linked and snapshot.status_sent:
        key = snapshot.engagement.key
        actions.append(unchanged("project", f"{key} is provisioned and its terms are unchanged."))
        order = _order_step(snapshot.engagement, deal)
        return Draft(
            (*actions, *order),
            told,
            f"{key} is provisioned; {'its order changed' if order else 'nothing to do'}.",
        )
    actions += _project_steps(snapshot, deal)
    return Draft(tuple(actions), told, f"Provision {deal.name} for {snapshot.entity.name}.")


def _order_step(engagement: Any, deal: Deal) -> tuple[PlannedAction, ...]:
    """The client's purchase order may come, or be raised, after the set-up: no change of terms, but bills quote it."""
    ordered = deal.po_amount
    if (engagement.po_number, engagement.po_amount) == (
        deal.po_number,
        None if ordered is None else ordered.amount,
    ):
        return ()
    why = f"The purchase order is {deal.po_number or 'none'}{'' if ordered is None else f' over {ordered}'}."
    return (
        local(
            "engagement.po",
            why,
            verb="engagement_po",
            engagement_key=engagement.key,
            po_number=deal.po_number,
            amount=ordered.model_dump(mode="json") if ordered is not None else None,
        ),
    )


def _customer_step(snapshot: DealSnapshot, customer: Customer) -> PlannedAction:
    if snapshot.customer_linked:
        return unchanged("customer", f"{customer.name} is linked in the ERP and the billing platform.")
    return child(
        "customer",
        f"{customer.name} is looked for in the ERP, then linked or created.",
        kind="customer",
        key=f"{customer.key}@{snapshot.erp.code}",
        flow="customer.sync",
        params={"entities": [snapshot.entity.code]},
    )


def _project_steps(snapshot: DealSnapshot, deal: Deal) -> list[PlannedAction]:
    lines = [
        {
            "key": line.key,
            "service_code": line.service_code,
            "billing_code": snapshot.services[line.service_code].target,
            "mapping_id": snapshot.services[line.service_code].mapping_id,
            "mapping_confirmed": snapshot.services[line.service_code].confirmed,
            "description": line.description,
            "billing_model": line.billing_model or deal.billing_model,
            "amount": line.amount.model_dump(mode="json"),
        }
        for line in deal.lines
    ]
    steps = [
        local(
            "engagement",
            "Opens the engagement with its terms and service lines.",
            verb="engagement_open",
            deal=deal.model_dump(mode="json"),
            legal_entity_id=snapshot.entity.id,
            lines=lines,
        )
    ]
    if deal.rates:
        steps.append(
            child(
                "rate_card", "Sends the agreed rates.", kind="rate_card", key=deal.key, flow="ratecard.push"
            )
        )
    steps.append(
        child("project", "Creates the project.", kind="project", key=deal.key, flow="project.provision")
    )
    steps.append(
        local(
            "announce",
            "Announces the engagement to subscribers.",
            verb="announce_engagement",
            deal_key=deal.key,
            event_type=ANNOUNCE_TYPE,
        )
    )
    # Last: that the CRM has been told is how a later run knows that nothing is left to do.
    steps.append(
        push(
            "crm.status",
            "Tells the CRM that the engagement is ready.",
            system=snapshot.system,
            object_type="deal_status",
            operation="create",
            key=snapshot.external_id,
            link_key=deal.key,
            refs={"deal": snapshot.external_id},
            values={
                "status": "Provisioned",
                "message": "Customer, project, billing rules and rates are in place.",
            },
        )
    )
    return steps


def _gone(snapshot: DealSnapshot) -> Draft:
    if snapshot.engagement is None:
        return Draft((), summary="The deal no longer exists in the CRM and nothing was made of it.")
    return Draft(
        (blocked("provision", "The deal has gone from the CRM."),),
        (
            Problem(
                "DEAL-REOPENED",
                "deal",
                "deal",
                "is_won",
                "deleted",
                f"The deal behind {snapshot.engagement.key} no longer exists in the CRM.",
            ),
        ),
    )


def _not_won(snapshot: DealSnapshot, deal: Deal) -> Draft:
    if snapshot.engagement is None:
        return Draft(
            (), summary=f"The deal is at stage “{deal.stage}”; nothing to do before it is closed-won."
        )
    return Draft(
        (blocked("provision", "A person decides what becomes of the engagement."),),
        (
            Problem(
                "DEAL-REOPENED",
                "deal",
                "deal",
                "is_won",
                deal.stage,
                f"The deal went back to “{deal.stage}” after {snapshot.engagement.key} had been provisioned.",
            ),
        ),
    )


def _amended(snapshot: DealSnapshot, deal: Deal) -> Draft:
    before = snapshot.engagement.value
    return Draft(
        (blocked("provision", "Changed terms are never overwritten; they need an approved amendment."),),
        (
            Problem(
                "AMD-UNAPPROVED",
                "deal",
                "engagement",
                "terms",
                "",
                f"The deal's terms changed after provisioning (value was {deal.currency} {before:,.2f}, is {deal.amount}) "
                "and no amendment was approved.",
                {
                    "before": str(before),
                    "after": str(deal.amount.amount),
                    "engagement": snapshot.engagement.key,
                },
            ),
        ),
    )


def _unrouted(snapshot: DealSnapshot, missing: list[str]) -> Problem:
    words = {"erp": "an ERP", "psa": "a PSA", "billing": "a billing platform"}
    names = ", ".join(words[kind] for kind in missing)
    return Problem(
        "CUS-LE-MISSING",
        "customer",
        "legal_entity",
        "routing",
        ",".join(missing),
        f"{snapshot.entity.name} is not connected to {names}, so its deals cannot be delivered or billed.",
    )


FLOW = Flow("deal.provision", "deal", "Provision a closed deal", gather, plan)
__all__ = ["FLOW", "DealSnapshot", "as_won", "gather", "gather_deal", "plan"]
