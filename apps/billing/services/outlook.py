"""What readiness would say if the project system's present word were taken over: told before anything is written.

Public surface: :func:`outlook` (reads), :meth:`Outlook.problems` (pure: the same outlook and the same word give the same
problems). It uses the functions that observing (``observed``) and readiness use, on items in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.billing.models import BillableItem, BillingAccount, ItemKind, ItemState, PrebillLine
from apps.billing.services import observed, predicates, readiness, timesheets
from apps.billing.services.observed import Verdict, Word
from apps.billing.services.predicates import Facts
from apps.billing.services.purchase_orders import PurchaseOrder, order_of
from apps.canonical import objects
from apps.canonical.money import Money
from apps.canonical.objects import EngagementLine
from apps.commercial import selectors as commercial
from apps.governance.selectors import ProposedMapping

_OPEN = (ItemState.PENDING, ItemState.READY)
_BILLED = (ItemState.DRAFTED, ItemState.INVOICED)
_LIVING = (*_OPEN, *_BILLED)
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
    order: PurchaseOrder | None = None

    def problems(
        self,
        milestones: Iterable[objects.Milestone],
        entries: Iterable[objects.TimeEntry],
        gone: Iterable[str] = (),
    ) -> list[dict[str, Any]]:
        """As :func:`predicates.problems` would list them after these were observed, and then these keys were gone."""
        ahead = _Ahead(self)
        for milestone in milestones:
            ahead.see_milestone(milestone)
        for entry in entries:
            ahead.see_time(entry)
        ahead.miss(set(gone))
        return ahead.problems()


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
    moved = BillableItem.objects.filter(source_key__in=list(keys)).exclude(engagement_key=engagement_key)
    found = [*mine.select_related("prebill").order_by("id"), *moved.select_related("prebill")]
    away = [item.pk for item in found if item.engagement_key != engagement_key]
    found += BillableItem.objects.filter(parent_id__in=away).select_related("prebill").order_by("id")
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
        order=order_of(account, engagement),
    )


class _Ahead:
    """A copy of the items that is worked on, with the state that each comes to; the outlook itself stays as it is."""

    def __init__(self, seen: Outlook) -> None:
        self.seen = seen
        self.items = [copy(item) for item in seen.items]
        self.states = {item.source_key: ItemState(item.state) for item in seen.items}
        self.on_bills = dict(seen.on_bills)

    def see_milestone(self, milestone: objects.Milestone) -> None:
        scheduled = [item for item in self.items if item.kind in _SCHEDULED and item.parent_id is None]
        item = observed.item_of_milestone(scheduled, self.seen.account, milestone)
        self._take_word(item, observed.milestone_word(item, milestone))

    def see_time(self, entry: objects.TimeEntry) -> None:
        item = next((one for one in self.items if one.source_key == entry.key), None)
        item = item or BillableItem(source_key=entry.key, kind=ItemKind.TIME)
        self._take_word(item, observed.time_word(self.seen.account, entry, self._rates))

    def miss(self, keys: AbstractSet[str]) -> None:
        for item in self._mine():
            if item.parent_id is None and observed.source_of(item) in keys and self._is(item, *_LIVING):
                self._take_word(item, observed.gone_word(item))

    def problems(self) -> list[dict[str, Any]]:
        seen, mine = self.seen, self._mine()
        basis = readiness.Basis(
            seen.facts,
            seen.lines,
            self._rates,
            seen.cap,
            seen.account.opening_billed + sum(self.on_bills.values(), Decimal(0)),
            frozenset(
                timesheets.identity(item.person, item.role, item.service_code, item.event_on, item.source)
                for item in mine
                if item.kind == ItemKind.TIME and item.parent_id is None and self._is(item, *_BILLED)
            ),
            None if seen.order is None else seen.order.only(self.on_bills),
        )
        judged, _items = readiness.judge(
            [item for item in mine if self._is(item, *_OPEN)], basis, split=self._cut_before(), cut=self._cut
        )
        billed = [item for item in mine if self._is(item, *_BILLED)]
        edited = readiness.edited_after_billing(item for item in billed if item.blockers)
        found = [*judged, *edited]
        near = predicates.near_cap(found, cap=seen.cap, billed=basis.billed)
        return [*predicates.problems(found), *near]

    def _mine(self) -> list[BillableItem]:
        return [item for item in self.items if item.engagement_key == self.seen.account.engagement_key]

    def _is(self, item: BillableItem, *states: ItemState) -> bool:
        return self.states[item.source_key] in states

    def _rates(self) -> commercial.Resolver:
        return self.seen.rates

    def _parts(self, item: BillableItem) -> list[BillableItem]:
        return [part for part in self.items if item.pk and part.parent_id == item.pk]

    def _cut_before(self) -> set[str]:
        parents = {part.parent_id for part in self.items if part.parent_id and self._is(part, *_LIVING)}
        return {item.source_key for item in self.items if item.kind == ItemKind.TIME and item.pk in parents}

    def _cut(self, item: BillableItem, billable: Decimal) -> BillableItem:
        root = next((one for one in self.items if item.parent_id and one.pk == item.parent_id), item)
        return readiness.cut_at(item, billable, key=f"{root.source_key}:over{len(self._parts(root)) + 1}")

    def _take_word(self, item: BillableItem, word: Word) -> None:
        """As ``items.take_word`` does it in the database."""
        parts = self._parts(item)
        if observed.heard(item, parts, word) is not Verdict.NEW:
            return
        for one in (item, *parts):
            self._release(one)
        word.fill(item)
        if item.source_key not in self.states:
            self.items.append(item)
        self.states[item.source_key] = word.state or self.states.get(item.source_key, ItemState.PENDING)
        for part in parts:
            if word.state is not None:
                self.states[part.source_key] = ItemState.EXCLUDED
            elif self._is(part, *_OPEN):
                for name in observed.FOLLOWED:
                    setattr(part, name, getattr(item, name))

    def _release(self, item: BillableItem) -> None:
        """Off the prebill in review that it is on; its line no longer counts against the cap."""
        if self.states.get(item.source_key) == ItemState.DRAFTED:
            self.on_bills.pop(item.pk, None)
            self.states[item.source_key], item.prebill = ItemState.PENDING, None
