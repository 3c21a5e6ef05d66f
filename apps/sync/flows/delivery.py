"""Flow ``delivery.sync``: accepted milestones and approved time of one engagement become billable items and a draft.

Public surface: :data:`FLOW`, :data:`READ_IN_FULL_EVERY`. Subject key: the engagement's key.

Time is read since the last run, or in full: at first, when a deletion is told (parameter ``full``) and once a day. What an
item stands on and a full reading does not show is asked for by its id before it counts as deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.billing import selectors as billing
from apps.billing.services import Outlook, outlook
from apps.canonical.objects import Milestone, TimeEntry
from apps.commercial import selectors as commercial
from apps.connectors.spi import AdapterError, ErrorKind
from apps.core import clock
from apps.records import selectors as records
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.flows.people import Worker, directory, people_problems, workers
from apps.sync.models import State, Transaction
from apps.sync.plans import Draft, Problem, blocked, local, unchanged

#: Read again what changed shortly before the last run: vendors stamp rows before they commit them.
OVERLAP = timedelta(minutes=10)
#: A deletion that no event has told is found within this time.
READ_IN_FULL_EVERY = timedelta(days=1)


@dataclass(frozen=True)
class Twin:
    """Objects of the PSA that carry the same key of ours; ``known`` is the one that we hold a link to."""

    object_type: str
    key: str
    known: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class DeliverySnapshot:
    as_of: datetime
    meta: Meta
    engagement_key: str
    psa: Any
    milestones: tuple[Milestone, ...]
    entries: tuple[TimeEntry, ...]
    #: Keys of what the PSA showed before and has no more.
    gone: tuple[str, ...] = ()
    #: Everything was read, not only what changed.
    full: bool = False
    #: What the PSA holds a second time under one key of ours.
    twins: tuple[Twin, ...] = ()
    #: Who has booked time, and whom of them the ERPs know as active (None: no ERP has shown employees).
    workers: tuple[Worker, ...] = ()
    directory: Mapping[str, bool] | None = None
    erp: str = ""
    #: How the engagement's billing stands; what readiness will say follows from it and from what the PSA shows.
    outlook: Outlook | None = None


def gather(context: Context) -> DeliverySnapshot:
    """Milestones and time entries of the project, as the PSA shows them now. Raises ``AdapterError``."""
    row = commercial.engagement(context.key)
    psa = base.route(row.legal_entity_id, "psa").system
    project_id = base.link_id("engagement", row.key, psa)
    owner = {"legal_entity_id": row.legal_entity_id, "engagement_key": row.key}
    as_of = clock.now()
    milestones: list[Milestone] = []
    entries: list[TimeEntry] = []
    gone: list[str] = []
    twins: list[Twin] = []
    full = context.live  # without a project there is nothing to read
    if project_id and context.live:
        since = _since(context)
        full = since is None
        shown = base.read_many(context, system=psa, object_type="milestone", by="container", value=project_id)
        twins += _twins("milestone", psa, shown)
        if full:
            projects = base.read_many(context, system=psa, object_type="engagement", by="key", value=row.key)
            twins += _twins("engagement", psa, projects)
        for seen in shown:
            milestones.append(_owned(seen, psa, owner))
        extra = {"updated_after": since.isoformat()} if since else None
        for seen in base.read_many(
            context, system=psa, object_type="time_entry", by="container", value=project_id, extra=extra
        ):
            entries.append(_owned(seen, psa, owner))
        in_use = billing.sources_in_use(row.key, time=full)
        missing = {"milestone": in_use["milestone"] - {one.key for one in milestones}}
        if full:
            missing["time_entry"] = in_use["time_entry"] - {one.key for one in entries}
        gone = _gone(context, psa, project_id, missing)
    booked = workers(row.key)
    return DeliverySnapshot(
        workers=booked,
        directory=directory(one.email for one in booked),
        erp=base.route(row.legal_entity_id, "erp").system.name,
        as_of=as_of,
        meta=Meta(
            label=row.name,
            customer=base.customer_name(row.customer_key),
            customer_key=row.customer_key,
            legal_entity_id=row.legal_entity_id,
            engagement_key=row.key,
            currency=row.currency,
            amount=row.value if twins else None,
        ),
        engagement_key=row.key,
        psa=psa,
        milestones=tuple(sorted(milestones, key=lambda m: m.key)),
        entries=tuple(sorted(entries, key=lambda e: e.key)),
        gone=tuple(sorted(gone)),
        full=full,
        twins=tuple(twins),
        outlook=outlook(row.key, keys=[entry.key for entry in entries], overlay=context.overlay),
    )


def _twins(object_type: str, psa: Any, shown: Sequence[Any]) -> list[Twin]:
    """What is there more than once. Where a vendor offers neither a key nor an upsert, a write that was under way when its
    worker was given up may be carried out after another has made sure that it was not. An archived one has been put away."""
    by_key: dict[str, list[str]] = {}
    for one in shown:
        if not one.facts.get("archived"):
            by_key.setdefault(one.body.key, []).append(one.external_id)
    found = []
    for key, ids in sorted(by_key.items()):
        known = base.link_id(object_type, key, psa)
        others = tuple(sorted({*ids} - {known}))
        if known and others:
            found.append(Twin(object_type, key, known, others))
    return found


def _owned(seen: Any, psa: Any, owner: dict[str, Any]) -> Any:
    """The observed object, filed under the engagement it belongs to."""
    base.observe(system=psa, observed=seen, **owner)
    return seen.body.model_copy(update={"engagement_key": owner["engagement_key"]})


def _since(context: Context) -> datetime | None:
    """From when on changes of time are read; None for everything."""
    read_at = billing.source_read_at(context.key)
    if context.params.get("full") or read_at is None or clock.now() - read_at > READ_IN_FULL_EVERY:
        return None
    return _watermark(context.key)


def _gone(context: Context, psa: Any, project_id: str, missing: dict[str, set[str]]) -> list[str]:
    """Which of the missing ones the PSA has no more, or has in another project. Raises ``AdapterError``.

    A list may leave out what was deleted or moved while it was paged, so each is asked for by its id; and where even the
    project is not shown, it is our rights that are gone."""
    gone: list[str] = []
    for object_type, keys in missing.items():
        seen = records.snapshot((object_type, key) for key in sorted(keys)).records
        ids = {
            key: row.external_id for (_, key), rows in seen.items() for row in rows if row.system_id == psa.id
        }
        if not ids:
            continue
        if not base.read_many(context, system=psa, object_type="engagement", by="id", value=project_id):
            raise AdapterError(
                ErrorKind.NOT_FOUND, f"{psa.name} does not show the project {project_id} any more."
            )
        found = base.read_many(
            context, system=psa, object_type=object_type, by="ids", value=",".join(sorted(ids.values()))
        )
        elsewhere = {one.external_id: one.container_id for one in found}
        for key, external_id in ids.items():
            if external_id not in elsewhere:
                base.observe_gone(system=psa, object_type=object_type, external_id=external_id)
            if elsewhere.get(external_id) != project_id:
                gone.append(key)
    return gone


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
    if snapshot.twins:
        problems = tuple(_doubled(twin, snapshot.psa) for twin in snapshot.twins)
        return Draft((blocked("billing.observe", problems[0].reason),), problems, problems[0].reason)
    done = [m for m in snapshot.milestones if m.status != "planned"]
    steps = []
    if snapshot.milestones or snapshot.entries or snapshot.gone or snapshot.full:
        words = f"{len(done)} completed milestones and {len(snapshot.entries)} time entries"
        words += f", {len(snapshot.gone)} deleted ones" if snapshot.gone else ""
        steps.append(
            local(
                "billing.observe",
                f"Takes over {words} from {snapshot.psa.name}.",
                verb="billing_observe",
                engagement_key=snapshot.engagement_key,
                milestones=[m.model_dump(mode="json") for m in snapshot.milestones],
                entries=[e.model_dump(mode="json") for e in snapshot.entries],
                gone=list(snapshot.gone),
                full=snapshot.full,
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
        tuple(steps),
        people_problems(snapshot.workers, snapshot.directory, psa=snapshot.psa.name, erp=snapshot.erp),
        f"Delivery of {snapshot.engagement_key}.",
        expected=_billing_problems(snapshot),
    )


def _doubled(twin: Twin, psa: Any) -> Problem:
    word = "project" if twin.object_type == "engagement" else twin.object_type
    reason = (
        f"{psa.name} holds the {word} {twin.key} more than once: we know {twin.known}, there is also "
        f"{', '.join(twin.others)}. Nothing is taken over until one is left."
    )
    ids = {"system": psa.code, "known": twin.known, "others": list(twin.others)}
    return Problem("PRJ-DUP", "billing.observe", twin.object_type, "key", twin.key, reason, ids)


def _billing_problems(snapshot: DeliverySnapshot) -> tuple[Problem, ...]:
    """What the step ``billing.ready`` is going to find, so that a preview can tell it."""
    if snapshot.outlook is None:
        return ()
    found = snapshot.outlook.problems(snapshot.milestones, snapshot.entries, snapshot.gone)
    return tuple(Problem(**problem) for problem in found)


FLOW = Flow("delivery.sync", "delivery", "Take over delivered work", gather, plan)
