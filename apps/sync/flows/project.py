"""Flow ``project.provision``: the engagement in PSA and ERP, its milestones, billing rules and billing schedule.

Public surface: :data:`FLOW`. Subject key: the deal's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.billing.services import milestone_key
from apps.canonical.objects import BillingSchedule, Engagement, Milestone, ScheduleEntry
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.core.errors import WrongState
from apps.governance import selectors as governance
from apps.sync import mappings
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft, PlannedAction, local, push, unchanged


@dataclass(frozen=True)
class ProjectSnapshot:
    as_of: datetime
    meta: Meta
    engagement: Engagement
    schedule: tuple[ScheduleEntry, ...]
    erp: Any
    psa: Any
    erp_settings: dict[str, Any]
    links: dict[str, str]
    unconfirmed: tuple[int, ...]
    loaded: bool


def gather(context: Context) -> ProjectSnapshot:
    row = commercial.engagement_by_deal(context.key)
    if row is None:
        raise WrongState("The engagement has not been opened yet.")
    engagement = commercial.canonical_engagement(row.key)
    scheduled = commercial.canonical_schedule(row.key)
    schedule = scheduled.entries if scheduled else ()
    erp_route = base.route(row.legal_entity_id, "erp")
    psa = base.route(row.legal_entity_id, "psa").system
    currency = governance.translate(
        kind="currency",
        legal_entity_id=row.legal_entity_id,
        source=engagement.currency,
        overlay=context.overlay,
    )
    return ProjectSnapshot(
        as_of=clock.now(),
        meta=Meta(
            label=row.name,
            customer=base.customer_name(row.customer_key),
            legal_entity_id=row.legal_entity_id,
            engagement_key=row.key,
        ),
        engagement=engagement,
        schedule=schedule,
        erp=erp_route.system,
        psa=psa,
        erp_settings=dict(erp_route.settings) | {"currency_id": currency.target if currency else ""},
        links=_links(engagement, schedule, erp_route.system, psa),
        unconfirmed=mappings.in_use(row.key, overlay=context.overlay).unconfirmed,
        loaded=row.state != "planned",
    )


def _links(engagement: Engagement, schedule: Any, erp: Any, psa: Any) -> dict[str, str]:
    links = {
        "psa.project": base.link_id("engagement", engagement.key, psa),
        "erp.project": base.link_id("engagement", engagement.key, erp),
        "erp.billing_schedule": base.link_id("billing_schedule", schedule_key(engagement.key), erp),
    }
    for line in engagement.lines:
        links[f"erp.billing_rule.{line.key}"] = base.link_id(
            "billing_rule", _rule_key(engagement, line.key), erp
        )
    for entry in schedule:
        links[f"psa.milestone.{entry.key}"] = base.link_id(
            "milestone", milestone_key(engagement.key, entry.key), psa
        )
    return links


def schedule_key(engagement_key: str) -> str:
    """As :func:`commercial.canonical_schedule` names it."""
    return f"{engagement_key}-BS"


def _rule_key(engagement: Engagement, line_key: str) -> str:
    return f"{engagement.key}-{line_key}"


def plan(snapshot: ProjectSnapshot) -> Draft:
    engagement = snapshot.engagement
    steps = [_psa_project(snapshot)]
    steps += [_milestone(snapshot, entry) for entry in snapshot.schedule if entry.trigger == "acceptance"]
    if snapshot.schedule:
        steps.append(_billing_schedule(snapshot))
    steps.append(_erp_project(snapshot))
    steps += [_billing_rule(snapshot, line) for line in engagement.lines]
    if snapshot.loaded:
        steps.append(unchanged("activate", f"{engagement.key} is active."))
    else:
        steps.append(
            local(
                "activate",
                "Loads the billing schedule and opens the engagement for billing.",
                verb="engagement_activate",
                engagement_key=engagement.key,
                unconfirmed=list(snapshot.unconfirmed),
            )
        )
    return Draft(
        tuple(steps), summary=f"Provision {engagement.key} in {snapshot.psa.name} and {snapshot.erp.name}."
    )


def _psa_project(snapshot: ProjectSnapshot) -> PlannedAction:
    known = snapshot.links["psa.project"]
    if known:
        return unchanged(
            "psa.project",
            f"Project {known} exists.",
            system=snapshot.psa,
            object_type="engagement",
            external_id=known,
        )
    card = snapshot.engagement.rate_card_key
    return push(
        "psa.project",
        f"{snapshot.psa.name} gets the project people book their time on.",
        system=snapshot.psa,
        object_type="engagement",
        operation="create",
        key=snapshot.engagement.key,
        body=snapshot.engagement,
        refs={"rate_card": ("rate_card", card)} if card else {},
    )


def _milestone(snapshot: ProjectSnapshot, entry: ScheduleEntry) -> PlannedAction:
    name = f"psa.milestone.{entry.key}"
    known = snapshot.links[name]
    if known:
        return unchanged(
            name, f"{entry.label} exists.", system=snapshot.psa, object_type="milestone", external_id=known
        )
    key = milestone_key(snapshot.engagement.key, entry.key)
    return push(
        name,
        f"Milestone “{entry.label}” over {entry.amount}.",
        system=snapshot.psa,
        object_type="milestone",
        operation="create",
        key=key,
        body=Milestone(
            key=key,
            engagement_key=snapshot.engagement.key,
            name=entry.label,
            amount=entry.amount,
            due_on=entry.due_on,
            status="planned",
            service_code=entry.service_code,
        ),
        refs={"engagement": ("engagement", snapshot.engagement.key)},
    )


def _billing_schedule(snapshot: ProjectSnapshot) -> PlannedAction:
    """Before the project, which refers to it."""
    name, engagement = "erp.billing_schedule", snapshot.engagement
    known = snapshot.links[name]
    if known:
        return unchanged(
            name,
            f"Billing schedule {known} exists.",
            system=snapshot.erp,
            object_type="billing_schedule",
            external_id=known,
        )
    key = schedule_key(engagement.key)
    return push(
        name,
        f"{snapshot.erp.name} gets the billing schedule with its {len(snapshot.schedule)} milestones and instalments.",
        system=snapshot.erp,
        object_type="billing_schedule",
        operation="create",
        key=key,
        body=BillingSchedule(
            key=key, engagement_key=engagement.key, currency=engagement.currency, entries=snapshot.schedule
        ),
    )


def _erp_project(snapshot: ProjectSnapshot) -> PlannedAction:
    known = snapshot.links["erp.project"]
    if known:
        return unchanged(
            "erp.project",
            f"Project {known} exists.",
            system=snapshot.erp,
            object_type="engagement",
            external_id=known,
        )
    card = snapshot.engagement.rate_card_key
    refs: dict[str, str | tuple[str, ...]] = {"customer": ("customer", snapshot.engagement.customer_key)}
    if card:
        refs["rate_card"] = ("rate_card", card)
    if snapshot.schedule:
        refs["billing_schedule"] = ("billing_schedule", schedule_key(snapshot.engagement.key))
    return push(
        "erp.project",
        f"{snapshot.erp.name} gets the project that invoices are booked on, "
        f"billed by {snapshot.engagement.billing_model.replace('_', ' ')}.",
        system=snapshot.erp,
        object_type="engagement",
        operation="create",
        key=snapshot.engagement.key,
        body=snapshot.engagement,
        refs=refs,
        settings=snapshot.erp_settings,
    )


def _billing_rule(snapshot: ProjectSnapshot, line: Any) -> PlannedAction:
    name = f"erp.billing_rule.{line.key}"
    known = snapshot.links[name]
    if known:
        return unchanged(
            name,
            f"Billing rule {known} exists.",
            system=snapshot.erp,
            object_type="billing_rule",
            external_id=known,
        )
    return push(
        name,
        f"{line.service_code} is billed with code {line.billing_code} by {line.billing_model.replace('_', ' ')}.",
        system=snapshot.erp,
        object_type="billing_rule",
        operation="create",
        key=_rule_key(snapshot.engagement, line.key),
        refs={"engagement": ("engagement", snapshot.engagement.key)},
        settings=snapshot.erp_settings,
        values={
            "name": f"{line.service_code} {line.description}".strip()[:100],
            "billing_model": line.billing_model,
            "billing_code": line.billing_code,
            "amount": str(line.amount.amount),
            "currency": line.amount.currency,
        },
    )


FLOW = Flow("project.provision", "project", "Create a project", gather, plan)
