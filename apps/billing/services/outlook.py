"""What readiness would say if the project system's present word were taken over: told before anything is written.

Public surface: :func:`outlook` (reads), :meth:`Outlook.problems` (pure: the same outlook and the same word give the same
problems). It uses the functions that observing and readiness use, on items in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.billing.models import BillableItem, BillingAccount, ItemKind, ItemState, PrebillLine
from apps.billing.services import items as observing
from apps.billing.services import predicates, readiness
from apps.billing.services.predicates import Facts
from apps.canonical import objects
from apps.canonical.money import Money
from apps.canonical.objects import EngagementLine
from apps.commercial import selectors as commercial
from apps.governance.selectors import ProposedMapping

_OPEN = (ItemState.PENDING, ItemState.READY)
_SCHEDULED = (ItemKind.MILESTONE, ItemKind.INSTALMENT)


@dataclass(frozen=True)
class Outlook:
    """One billing account as it stands. ``on_bills``: item id → net amount on prebills that count against the cap."""

    account: BillingAccount
    items: tuple[BillableItem, ...]
    on_bills: Mapping[int, Decimal]
    facts: Facts
    lines: Mapping[str, EngagementLine]
    rates: commercial.Resolver
    cap: Money | None

    def problems(
        self, milestones: Iterable[objects.Milestone], entries: Iterable[objects.TimeEntry]
    ) -> list[dict[str, Any]]:
        """As :func:`predicates.problems` would list them after these were observed."""
        return _Ahead(self).problems(milestones, entries)


def outlook(
    engagement_key: str, *, keys: Iterable[str] = (), overlay: Iterable[ProposedMapping] = ()
) -> Outlook:
    """Read what the look ahead needs, without a lock. ``keys``: source keys of time that may stand under another engagement;
    ``overlay``: mappings that only a preview knows. Raises ``NotFound`` for an unknown engagement."""
    engagement = commercial.engagement(engagement_key)
    account = BillingAccount.objects.filter(engagement_key=engagement_key).first() or BillingAccount(
        engagement_key=engagement_key,
        legal_entity_id=engagement.legal_entity_id,
        customer_key=engagement.customer_key,
        currency=engagement.currency,
    )
    mine = BillableItem.objects.filter(engagement_key=engagement_key)
    elsewhere = BillableItem.objects.filter(source_key__in=list(keys)).exclude(engagement_key=engagement_key)
    found = [*mine.select_related("prebill").order_by("id"), *elsewhere.select_related("prebill")]
    on_bills = PrebillLine.objects.filter(prebill__engagement_key=engagement_key).exclude(
        prebill__state__in=readiness.NOT_BILLED
    )
    return Outlook(
        account=account,
        items=tuple(found),
        on_bills=dict(on_bills.values_list("item_id", "amount")),
        facts=readiness.gather(account, engagement, overlay=overlay),
        lines=readiness.lines_of(engagement_key),
        rates=commercial.rate_resolver(engagement_key),
        cap=readiness.cap_of(engagement, account),
    )


class _Ahead:
    """A copy of the items that is worked on; the outlook itself stays as it is."""

    def __init__(self, seen: Outlook) -> None:
        self.seen = seen
        self.items = [copy(item) for item in seen.items]
        #: Where each item would stand, by its source key; the rows' own states move elsewhere.
        self.states = {item.source_key: str(item.state) for item in seen.items}
        self.on_bills = dict(seen.on_bills)

    def problems(
        self, milestones: Iterable[objects.Milestone], entries: Iterable[objects.TimeEntry]
    ) -> list[dict[str, Any]]:
        for milestone in milestones:
            self._milestone(milestone)
        for entry in entries:
            self._time(entry)
        mine = [item for item in self.items if item.engagement_key == self.seen.account.engagement_key]
        seen = self.seen
        basis = readiness.Basis(
            seen.facts,
            seen.lines,
            self._rates,
            seen.cap,
            seen.account.opening_billed + sum(self.on_bills.values(), Decimal(0)),
        )
        judged, _items = readiness.judge(
            [item for item in mine if self._state(item) in _OPEN],
            basis,
            split=self._cut_before(),
            cut=self._cut,
        )
        billed = [item for item in mine if self._state(item) in (ItemState.DRAFTED, ItemState.INVOICED)]
        edited = readiness.edited_after_billing(item for item in billed if item.blockers)
        return predicates.problems([*judged, *edited])

    def _rates(self) -> commercial.Resolver:
        return self.seen.rates

    def _state(self, item: BillableItem) -> str:
        return self.states.get(item.source_key, ItemState.PENDING)

    def _parts(self, item: BillableItem) -> list[BillableItem]:
        return [part for part in self.items if item.pk and part.parent_id == item.pk]

    def _cut_before(self) -> set[str]:
        parts = [part for part in self.items if part.parent_id]
        parents = {part.parent_id for part in parts if self._state(part) != ItemState.EXCLUDED}
        return {item.source_key for item in self.items if item.kind == ItemKind.TIME and item.pk in parents}

    def _cut(self, item: BillableItem, billable: Decimal) -> BillableItem:
        root = next((one for one in self.items if item.parent_id and one.pk == item.parent_id), item)
        return readiness.cut_at(item, billable, key=f"{root.source_key}:over{len(self._parts(root)) + 1}")

    def _release(self, item: BillableItem) -> None:
        """Off the prebill in review that it is on; its line no longer counts against the cap."""
        if self._state(item) == ItemState.DRAFTED:
            self.on_bills.pop(item.pk, None)
            self.states[item.source_key], item.prebill = ItemState.PENDING, None

    def _is_new(
        self, item: BillableItem, digest: str, dumped: dict[str, Any], code: str, sentence: Callable[[], str]
    ) -> bool:
        """False for what is known already, and for what is beyond recall: there the item is only told about."""
        if item.pk and item.source_digest == digest and not item.source.get("edited"):
            return False
        if item.pk and any(observing.is_signed(one) for one in (item, *self._parts(item))):
            observing.tell_edited(item, dumped, digest, code, sentence())
            return False
        return True

    def _milestone(self, milestone: objects.Milestone) -> None:
        scheduled = [item for item in self.items if item.kind in _SCHEDULED and item.parent_id is None]
        item = observing.item_of_milestone(scheduled, self.seen.account, milestone)
        dumped = milestone.model_dump(mode="json")
        digest = observing.milestone_digest(dumped)
        if not self._is_new(
            item, digest, dumped, "MS-CHANGED", lambda: observing.milestone_sentence(item, milestone)
        ):
            return
        self._release(item)
        observing.fill_milestone(item, milestone, dumped, digest)
        if not item.pk:
            self.items.append(item)
        for part in self._parts(item):
            if self._state(part) in _OPEN:
                observing.fill_milestone(part, milestone, dumped, digest)
                part.source = item.source

    def _time(self, entry: objects.TimeEntry) -> None:
        account = self.seen.account
        dumped = entry.model_dump(mode="json")
        digest = observing.time_digest(dumped)
        item = next((one for one in self.items if one.source_key == entry.key), None)
        if item is None:
            item = BillableItem(source_key=entry.key, kind=ItemKind.TIME, currency=account.currency)
        known = item
        if not self._is_new(
            item, digest, dumped, "TIME-EDITED", lambda: observing.time_sentence(known, entry)
        ):
            return
        self._release(item)
        item.engagement_key = account.engagement_key
        answer = self.seen.rates(entry.role, entry.service_code, entry.worked_on, entry.person)
        observing.fill_time(item, entry, dumped, digest, answer)
        if not item.pk:
            self.items.append(item)
        if not observing.is_wanted(entry):
            self.states[item.source_key] = ItemState.EXCLUDED
        elif self._state(item) == ItemState.EXCLUDED:
            self.states[item.source_key] = ItemState.PENDING
        for part in self._parts(item):  # the whole item is priced anew
            self._release(part)
            if self._state(part) in _OPEN:
                self.states[part.source_key] = ItemState.EXCLUDED
