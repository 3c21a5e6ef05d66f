"""What delivery and the contract say becomes billable items: schedule, milestones, time. Every verb may be called again.

Observing stores and prices; it does not evaluate (a week of time sheets is evaluated once, by whoever hears
``billing_changed``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.billing.models import IN_REVIEW, BillableItem, BillingAccount, ItemKind, ItemState
from apps.billing.services import lines
from apps.billing.services.accounts import locked_account
from apps.canonical import objects
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core import hooks
from apps.journal import transitions

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def milestone_key(engagement_key: str, entry_key: str) -> str:
    """Our key of a schedule entry in every system: at most 64 of ``[A-Za-z0-9_-]``, stable, unique per entry."""
    key = f"{engagement_key}-{_UNSAFE.sub('-', entry_key)}"
    if len(key) <= 64 and _UNSAFE.search(entry_key) is None:
        return key
    return f"{key[:55]}-{hashlib.sha256(entry_key.encode()).hexdigest()[:8]}"


def schedule_load(*, engagement_key: str) -> list[BillableItem]:
    """Create or update one item per schedule entry of the terms in force; entries that are gone are excluded.

    What is drafted or invoiced already is not touched. Returns the items in the schedule's order.
    """
    with transaction.atomic():
        account = locked_account(engagement_key)
        entries = commercial.current_deal(engagement_key).schedule
        there = {
            item.source_key: item
            for item in BillableItem.objects.filter(
                engagement_key=engagement_key, kind__in=[ItemKind.MILESTONE, ItemKind.INSTALMENT], parent=None
            )
        }
        loaded, changed = [], False
        for entry in entries:
            key = milestone_key(engagement_key, entry.key)
            item = there.pop(key, None)
            fresh = item is None
            item = item or BillableItem(source_key=key)
            changed |= _schedule_item(account, item, entry, fresh=fresh)
            loaded.append(item)
        gone = [item.pk for item in there.values() if item.source.get("schedule")]
        changed |= bool(
            transitions.move_many(
                BillableItem.objects.filter(pk__in=gone, state__in=[ItemState.PENDING, ItemState.READY]),
                to=ItemState.EXCLUDED,
                why=_("No longer in the contract's billing schedule."),
            )
        )
        if changed:
            hooks.billing_changed.fire([{"engagement_key": engagement_key}])
    return loaded


def _schedule_item(
    account: BillingAccount, item: BillableItem, entry: objects.ScheduleEntry, *, fresh: bool
) -> bool:
    dumped = entry.model_dump(mode="json")
    same = item.source.get("schedule") == dumped
    if not fresh and (
        (same and item.state != ItemState.EXCLUDED) or item.state in (ItemState.DRAFTED, ItemState.INVOICED)
    ):
        return False
    item.legal_entity_id = account.legal_entity_id
    item.engagement_key = account.engagement_key
    item.kind = ItemKind.INSTALMENT if entry.trigger == "date" else ItemKind.MILESTONE
    item.service_code = entry.service_code
    item.description = entry.label
    item.currency = entry.amount.currency
    item.quantity = 1
    item.unit_price = item.amount = entry.amount.amount
    if item.kind == ItemKind.INSTALMENT or item.event_on is None:
        item.event_on = entry.due_on
    item.source = {**item.source, "schedule": dumped, "in_terms": True}
    item.save()
    if item.state == ItemState.EXCLUDED:
        transitions.move(item, to=ItemState.PENDING, why=_("Back in the contract's billing schedule."))
    _drop_parts(item)
    return True


def milestone_observe(*, milestone: objects.Milestone, by: Any = None) -> BillableItem:
    """Take what the project system says about a milestone; finds the schedule's item by key, else by its name.

    The amount stays the contract's; a differing one is told by readiness (``MS-CHANGED``). A milestone that the contract
    does not know becomes an item that cannot be billed (``BILL-RULE-MISSING``). Raises ``NotFound`` for an unknown
    engagement.
    """
    with transaction.atomic():
        account = locked_account(milestone.engagement_key)
        item = _milestone_item(account, milestone)
        dumped = milestone.model_dump(mode="json")
        digest = milestone_digest(dumped)
        if item.pk and item.source_digest == digest and not item.source.get("edited"):
            return item
        if item.pk and _beyond_recall(item):
            _mark_edited(item, dumped, digest, "MS-CHANGED", milestone_sentence(item, milestone))
        else:
            if item.state == ItemState.DRAFTED:
                lines.release([item], why=_("“%(what)s” changed.") % {"what": item.description}, by=by)
            fill_milestone(item, milestone, dumped, digest)
            item.save()
            # A part above the cap is the same milestone: it is accepted, or not, together with the rest.
            item.parts.filter(state__in=[ItemState.PENDING, ItemState.READY]).update(
                source=item.source, source_digest=digest, final_at=item.final_at, event_on=item.event_on
            )
        hooks.billing_changed.fire([{"engagement_key": milestone.engagement_key}])
    return item


def _milestone_item(account: BillingAccount, milestone: objects.Milestone) -> BillableItem:
    mine = BillableItem.objects.filter(
        engagement_key=account.engagement_key, kind__in=[ItemKind.MILESTONE, ItemKind.INSTALMENT], parent=None
    )
    wanted = Q(source_key=milestone.key) | Q(kind=ItemKind.MILESTONE, description=milestone.name)
    return item_of_milestone(mine.filter(wanted).order_by("id"), account, milestone)


def item_of_milestone(
    mine: Iterable[BillableItem], account: BillingAccount, milestone: objects.Milestone
) -> BillableItem:
    """The item of this key, else the one milestone of this name, else a new one that the contract does not know."""
    candidates = list(mine)
    found = next((item for item in candidates if item.source_key == milestone.key), None)
    if found is None:
        named = [
            item
            for item in candidates
            if item.kind == ItemKind.MILESTONE and item.description == milestone.name
        ]
        found = named[0] if len(named) == 1 else None
    return found or BillableItem(
        legal_entity_id=account.legal_entity_id,
        engagement_key=account.engagement_key,
        kind=ItemKind.MILESTONE,
        source_key=milestone.key,
        service_code=milestone.service_code,
        description=milestone.name,
        unit_price=milestone.amount.amount,
        amount=milestone.amount.amount,
        currency=milestone.amount.currency,
        source={"in_terms": False},
    )


def milestone_digest(dumped: dict[str, Any]) -> str:
    return _digest([dumped[name] for name in ("amount", "status", "evidence", "accepted_at")])


def fill_milestone(
    item: BillableItem, milestone: objects.Milestone, dumped: dict[str, Any], digest: str
) -> None:
    """What the project system says, on the item in memory; its amount stays the contract's."""
    accepted = milestone.accepted_at if milestone.status == "accepted" else None
    item.source = {**item.source, "milestone": dumped}
    item.source_digest = digest
    item.final_at = accepted
    item.event_on = accepted.date() if accepted else milestone.due_on


def milestone_sentence(item: BillableItem, milestone: objects.Milestone) -> str:
    return _(
        "“%(what)s” is on %(prebill)s with %(billed)s; the project system now says %(now)s, %(status)s."
    ) % {
        "what": item.description,
        "prebill": item.prebill,
        "billed": Money.of(item.known_amount, item.currency),
        "now": milestone.amount,
        "status": milestone.status,
    }


def time_observe(*, entry: objects.TimeEntry, by: Any = None) -> BillableItem:
    """Take one time entry: price it at the contract's rate of its work date (hours × rate, rounded half-up per entry).

    Not billable or rejected entries are excluded. An entry edited after it was approved for invoicing changes nothing
    here and is told by readiness (``TIME-EDITED``). Raises ``NotFound`` for an unknown engagement.
    """
    with transaction.atomic():
        account = locked_account(entry.engagement_key)
        dumped = entry.model_dump(mode="json")
        digest = time_digest(dumped)
        item = BillableItem.objects.filter(source_key=entry.key).first()
        if item is not None and item.source_digest == digest and not item.source.get("edited"):
            return item
        if item is not None and _beyond_recall(item):
            _mark_edited(item, dumped, digest, "TIME-EDITED", time_sentence(item, entry))
        else:
            item = item or BillableItem(source_key=entry.key, kind=ItemKind.TIME, currency=account.currency)
            if item.state == ItemState.DRAFTED:
                lines.release([item], why=_("The time entry was changed at its source."), by=by)
            _take_time(account, item, entry, dumped, digest)
        hooks.billing_changed.fire([{"engagement_key": entry.engagement_key}])
    return item


def time_digest(dumped: dict[str, Any]) -> str:
    names = ("person", "role", "service_code", "worked_on", "hours", "billable", "status")
    return _digest([dumped[name] for name in names])


def _take_time(
    account: BillingAccount, item: BillableItem, entry: objects.TimeEntry, dumped: dict[str, Any], digest: str
) -> None:
    answer = commercial.rate_resolver(account.engagement_key)(
        entry.role, entry.service_code, entry.worked_on, entry.person
    )
    wanted = is_wanted(entry)
    if item.pk and item.state == ItemState.READY:
        # An amount may vanish with the change; only pending items may be without one.
        transitions.move(item, to=ItemState.PENDING, why=_("The time entry was changed at its source."))
    item.legal_entity_id = account.legal_entity_id
    item.engagement_key = account.engagement_key
    fill_time(item, entry, dumped, digest, answer)
    item.save()
    if wanted and item.state == ItemState.EXCLUDED:
        transitions.move(item, to=ItemState.PENDING, why=_("Billable again at its source."))
    elif not wanted and item.state != ItemState.EXCLUDED:
        BillableItem.objects.filter(pk=item.pk).update(held=False, held_code="", blockers=[])
        transitions.move(item, to=ItemState.EXCLUDED, why=_("Not billable at its source."))
    _drop_parts(item)


def is_wanted(entry: objects.TimeEntry) -> bool:
    """Whether the entry is to be billed at all."""
    return entry.billable and entry.status != "rejected"


def fill_time(
    item: BillableItem,
    entry: objects.TimeEntry,
    dumped: dict[str, Any],
    digest: str,
    answer: commercial.RateAnswer | commercial.RateProblem,
) -> None:
    """What the time sheet says and its price, on the item in memory."""
    found = answer if isinstance(answer, commercial.RateAnswer) else None
    item.service_code, item.role, item.person = entry.service_code, entry.role, entry.person
    item.quantity, item.event_on = entry.hours, entry.worked_on
    item.description = _time_text(entry)
    item.final_at = entry.approved_at if entry.status == "approved" else None
    item.rate_trace = list(answer.trace)
    item.unit_price = found.hourly.amount if found else None
    item.amount = found.amount_for(entry.hours).amount if found else None
    item.source, item.source_digest = dumped, digest


def _time_text(entry: objects.TimeEntry) -> str:
    who = " · ".join(part for part in (entry.person, entry.role) if part)
    text = f"{entry.worked_on.isoformat()} {who}"
    return f"{text}: {entry.notes}"[:500] if entry.notes else text[:500]


def time_sentence(item: BillableItem, entry: objects.TimeEntry) -> str:
    return _(
        "%(what)s is on %(prebill)s with %(billed)s h; the time sheet now says %(now)s h, %(status)s."
    ) % {
        "what": item.person or item.role,
        "prebill": item.prebill,
        "billed": f"{item.quantity.normalize():f}",
        "now": f"{entry.hours.normalize():f}",
        "status": entry.status,
    }


def _beyond_recall(item: BillableItem) -> bool:
    """On a prebill that both have approved, or invoiced; or a part of it is."""
    rows = [item, *item.parts.select_related("prebill")]
    return any(is_signed(row) for row in rows)


def is_signed(item: BillableItem) -> bool:
    """Whether its own line is on a prebill that both have approved."""
    return item.prebill is not None and item.prebill.state not in IN_REVIEW


def _mark_edited(item: BillableItem, dumped: dict[str, Any], digest: str, code: str, reason: str) -> None:
    """Keep what was billed; remember what the source says now, until it says again what was billed."""
    tell_edited(item, dumped, digest, code, reason)
    item.save(update_fields=["source", "blockers"])


def tell_edited(item: BillableItem, dumped: dict[str, Any], digest: str, code: str, reason: str) -> None:
    """The same on the item in memory."""
    if digest == item.source_digest:
        item.source = {name: value for name, value in item.source.items() if name != "edited"}
        item.blockers = []
    else:
        item.source = {**item.source, "edited": dumped}
        item.blockers = [
            {
                "predicate": "source",
                "code": code,
                "reason": reason,
                "field": "source",
                "value": item.source_key,
                "params": {"billed": str(Money.of(item.known_amount, item.currency))},
            }
        ]


def _drop_parts(item: BillableItem) -> None:
    """The whole item was priced anew, so its parts above the cap hold nothing any more."""
    if not item.pk:
        return
    parts = item.parts.filter(state__in=[ItemState.PENDING, ItemState.READY, ItemState.DRAFTED])
    drafted = list(parts.filter(state=ItemState.DRAFTED))
    if drafted:
        lines.release(drafted, why=_("The item it was cut from was changed."))
    parts.update(held=False, held_code="", blockers=[], amount=0, quantity=0)
    transitions.move_many(
        item.parts.filter(state__in=[ItemState.PENDING, ItemState.READY]),
        to=ItemState.EXCLUDED,
        why=_("Merged into the item it was cut from."),
    )


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()
