"""Flow ``delivery.sync``: accepted milestones and approved time of one engagement become billable items and a draft.

Public surface: :data:`FLOW`. Subject key: the engagement's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.billing import services as billing
from apps.billing.services import Outlook
from apps.canonical.objects import Milestone, TimeEntry
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.models import State, Transaction
from apps.sync.plans import Draft, Problem, local, unchanged

#: Read again what changed shortly before the last run: vendors stamp rows before they commit them.
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True)
class DeliverySnapshot:
    as_of: datetime
    meta: Meta
    engagement_key: str
    psa: Any
    milestones: tuple[Milestone, ...]
    entries: tuple[TimeEntry, ...]
    #: How the engagement's billing stands; what readiness will say follows from it and from what the PSA shows.
    outlook: Outlook | None = None


def gather(context: Context) -> DeliverySnapshot:
    """Milestones and time entries of the project, as the PSA shows them now. Raises ``AdapterError``."""
    row = commercial.engagement(context.key)
    psa = base.route(row.legal_entity_id, "psa").system
    project_id = base.link_id("engagement", row.key, psa)
    owner = {"legal_entity_id": row.legal_entity_id, "engagement_key": row.key}
    milestones: list[Milestone] = []
    entries: list[TimeEntry] = []
    if project_id and context.live:
        since = _watermark(context.key)
        for seen in base.read_many(
            context, system=psa, object_type="milestone", by="container", value=project_id
        ):
            milestones.append(_owned(seen, psa, owner))
        extra = {"updated_after": since.isoformat()} if since else None
        for seen in base.read_many(
            context, system=psa, object_type="time_entry", by="container", value=project_id, extra=extra
        ):
            entries.append(_owned(seen, psa, owner))
    return DeliverySnapshot(
        as_of=clock.now(),
        meta=Meta(
            label=row.name,
            customer=base.customer_name(row.customer_key),
            customer_key=row.customer_key,
            legal_entity_id=row.legal_entity_id,
            engagement_key=row.key,
            currency=row.currency,
        ),
        engagement_key=row.key,
        psa=psa,
        milestones=tuple(sorted(milestones, key=lambda m: m.key)),
        entries=tuple(sorted(entries, key=lambda e: e.key)),
        outlook=billing.outlook(row.key, keys=[entry.key for entry in entries], overlay=context.overlay),
    )


def _owned(seen: Any, psa: Any, owner: dict[str, Any]) -> Any:
    """The observed object, filed under the engagement it belongs to."""
    base.observe(system=psa, observed=seen, **owner)
    return seen.body.model_copy(update={"engagement_key": owner["engagement_key"]})


def _watermark(engagement_key: str) -> datetime | None:
    last = (
        Transaction.objects.filter(
            subject__kind="delivery", subject__key=engagement_key, flow=FLOW.name, state=State.SUCCEEDED
        )
        .order_by("-id")
        .values_list("started_at", flat=True)
        .first()
    )
    return last - OVERLAP if last else None


def plan(snapshot: DeliverySnapshot) -> Draft:
    done = [m for m in snapshot.milestones if m.status != "planned"]
    steps = []
    if snapshot.milestones or snapshot.entries:
        words = f"{len(done)} completed milestones and {len(snapshot.entries)} time entries"
        steps.append(
            local(
                "billing.observe",
                f"Takes over {words} from {snapshot.psa.name}.",
                verb="billing_observe",
                engagement_key=snapshot.engagement_key,
                milestones=[m.model_dump(mode="json") for m in snapshot.milestones],
                entries=[e.model_dump(mode="json") for e in snapshot.entries],
            )
        )
    else:
        steps.append(unchanged("billing.observe", f"Nothing new in {snapshot.psa.name}."))
    steps.append(
        local(
            "billing.ready",
            "Checks what may be billed and drafts it.",
            verb="billing_ready",
            engagement_key=snapshot.engagement_key,
        )
    )
    return Draft(
        tuple(steps), summary=f"Delivery of {snapshot.engagement_key}.", expected=_billing_problems(snapshot)
    )


def _billing_problems(snapshot: DeliverySnapshot) -> tuple[Problem, ...]:
    """What the step ``billing.ready`` is going to find, so that a preview can tell it."""
    if snapshot.outlook is None:
        return ()
    found = snapshot.outlook.problems(snapshot.milestones, snapshot.entries)
    return tuple(Problem(**problem) for problem in found)


FLOW = Flow("delivery.sync", "delivery", "Take over delivered work", gather, plan)
