"""What delivery and the contract say becomes billable items: schedule, milestones, time. Every verb may be called again.

Observing stores and prices; it does not evaluate (a week of time sheets is evaluated once, by whoever hears
``billing_changed``).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.billing.models import BillableItem, BillingAccount, ItemKind, ItemState
from apps.billing.services import lines, observed
from apps.billing.services.accounts import locked_account
from apps.billing.services.observed import Verdict, Word
from apps.canonical import objects
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
    drop_parts(item)
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
        if take_word(item, observed.milestone_word(item, milestone), by=by):
            hooks.billing_changed.fire([{"engagement_key": milestone.engagement_key}])
    return item


def _milestone_item(account: BillingAccount, milestone: objects.Milestone) -> BillableItem:
    mine = BillableItem.objects.filter(
        engagement_key=account.engagement_key, kind__in=[ItemKind.MILESTONE, ItemKind.INSTALMENT], parent=None
    )
    wanted = Q(source_key=milestone.key) | Q(kind=ItemKind.MILESTONE, description=milestone.name)
    return observed.item_of_milestone(mine.filter(wanted).order_by("id"), account, milestone)


def time_observe(*, entry: objects.TimeEntry, by: Any = None) -> BillableItem:
    """Take one time entry: price it at the contract's rate of its work date (hours × rate, rounded half-up per entry).

    Not billable or rejected entries are excluded. An entry edited after it was approved for invoicing changes nothing
    here and is told by readiness (``TIME-EDITED``). Raises ``NotFound`` for an unknown engagement.
    """
    with transaction.atomic():
        account, former = _accounts_of(entry)
        item = BillableItem.objects.filter(source_key=entry.key).first()
        item = item or BillableItem(source_key=entry.key, kind=ItemKind.TIME)
        word = observed.time_word(account, entry, lambda: commercial.rate_resolver(account.engagement_key))
        if take_word(item, word, by=by):
            affected = [entry.engagement_key, *([former] if former else [])]
            hooks.billing_changed.fire([{"engagement_key": key} for key in affected])
    return item


def _accounts_of(entry: objects.TimeEntry) -> tuple[BillingAccount, str]:
    """The account of the entry, locked, and the key of the engagement it was moved from ("" = none; locked too).

    Two accounts are locked in the order of their keys, so that moves in both directions never wait for each other."""
    former = (
        BillableItem.objects.filter(source_key=entry.key).values_list("engagement_key", flat=True).first()
    )
    keys = sorted({entry.engagement_key, *([former] if former else [])})
    accounts = {key: locked_account(key) for key in keys}
    return accounts[entry.engagement_key], former if former and former != entry.engagement_key else ""


def take_word(item: BillableItem, word: Word, *, by: Any = None) -> bool:
    """Keep what the source says about an item; False when it was known. The caller holds the account's lock."""
    parts = item.parts.select_related("prebill") if item.pk else BillableItem.objects.none()
    before = item.source
    verdict = observed.heard(item, parts, word)
    if verdict is Verdict.KNOWN and item.source is not before:
        item.save(update_fields=["source"])
    if verdict is Verdict.TOLD:
        item.save(update_fields=["source", "blockers"])
    elif verdict is Verdict.NEW:
        drafted = [one for one in (item, *parts) if one.state == ItemState.DRAFTED]
        if drafted:
            lines.release(drafted, why=word.why, by=by)
        _follow(item, word, by)
    return verdict is not Verdict.KNOWN


def _follow(item: BillableItem, word: Word, by: Any) -> None:
    if item.pk:
        _move(item, word, by)  # An amount may vanish with the change; only pending items may be without one.
    word.fill(item)
    if word.out:
        item.held, item.held_code, item.blockers = False, "", []
    item.save()
    _move(item, word, by)
    if word.state is None:
        # A part above the cap is the same milestone: it is accepted, or not, together with the rest.
        item.parts.filter(state__in=[ItemState.PENDING, ItemState.READY]).update(
            **{name: getattr(item, name) for name in observed.FOLLOWED}
        )
    else:
        drop_parts(item)


def _move(item: BillableItem, word: Word, by: Any) -> None:
    if word.state is None or item.state == word.state:
        return
    again = _("Billable again at its source.") if item.state == ItemState.EXCLUDED else word.why
    transitions.move(item, to=word.state, by=by, why=word.out or again)


def drop_parts(item: BillableItem) -> None:
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
