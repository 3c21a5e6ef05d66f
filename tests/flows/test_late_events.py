"""News that come late, again, or in the wrong order: milestones, time and payments end as the systems show them now.

An event is only a hint. Whichever arrives first, the object is read as it is, and an older event that follows changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core import clock
from apps.demo import deals, psa
from tests.flows import acts
from tests.flows.bench import Bench

TIME = replace(
    acts.SMALL,
    billing_model="time_and_materials",
    lines=(deals.Line("ANA-220", Decimal("15000")),),
    schedule=(),
    rates={"Manager": "180"},
)
#: Both orders of an older and a newer event, the last one told twice.
ORDERS = [pytest.param((0, 1, 1), id="in order"), pytest.param((1, 0, 0), id="the older one last")]


@pytest.fixture
def bench(served_bench: Bench) -> Iterator[Bench]:
    """The PSA's feed shows an event, and the billing platform sends one, when the test says so."""
    served_bench.control.hold("billing")
    yield served_bench
    served_bench.control.settings("psa", withheld_events=[])
    served_bench.control.hold("billing", False)


class Feed:
    """What the PSA's feed of subscribed events shows about one object; what was there before the test is shown."""

    def __init__(self, bench: Bench, kind: str, subject_id: str) -> None:
        self.bench, self.kind, self.subject_id = bench, kind, subject_id
        self.old = set(self._all())

    def _all(self) -> list[str]:
        rows = self.bench.control.records("psa", "subscribed_events", subject_id=self.subject_id)
        return sorted((row["id"] for row in rows), key=int)

    def new(self) -> list[str]:
        """Events since the beginning, oldest first."""
        return [one for one in self._all() if one not in self.old]

    def show_only(self, event_ids: Sequence[str]) -> None:
        """The feed shows these of the new events; it is read, and what follows is done."""
        hidden = [one for one in self.new() if one not in event_ids]
        self.bench.control.settings("psa", withheld_events=hidden)
        self.bench.poll(("psa", self.kind))


def engagement_of(bench: Bench, spec: deals.DealSpec) -> str:
    account = bench.account()
    deal_id = bench.win(spec, account=account, name=spec.name)
    assert bench.provisioning(deal_id).state == "succeeded"
    return str(commercial.engagement_by_deal(f"crm:{deal_id}").key)


def drafted(engagement_key: str) -> list[Money]:
    """The net amounts of what is drafted now."""
    rows = [one for one in acts.prebills() if one.engagement_key == engagement_key and one.state == "draft"]
    return [billing.canonical_invoice(one.ref).net for one in rows]


@pytest.mark.parametrize("order", ORDERS)
def test_an_acceptance_and_a_later_change_of_the_amount(bench: Bench, order: tuple[int, ...]):
    title = f"Handover {'-'.join(map(str, order))}"
    spec = replace(acts.SMALL, name=f"Late {title}", schedule=(deals.Entry(title, Decimal("9000")),))
    key = engagement_of(bench, spec)
    milestone = bench.control.records("psa", "billing_milestones", title=title)[0]
    feed = Feed(bench, "milestone", milestone["id"])
    acts.accept_milestone(bench.control, title)
    if order[0] == 0:  # the acceptance is known before the amount changes
        feed.show_only(feed.new())
        assert drafted(key) == [Money.of("9000", "GBP")]
    bench.control.patch("psa", "billing_milestones", milestone["id"], {"amount_in_cents": 800_000})
    events = feed.new()
    assert len(events) == 2
    for shown in order:
        feed.show_only([events[shown]])
        if shown == 1 or order[0] == 1:
            assert bench.cases(key) == [("MS-CHANGED", "open")]
            assert drafted(key) == [], "what differs from the contract is billed by nobody"

    bench.control.patch("psa", "billing_milestones", milestone["id"], {"amount_in_cents": 900_000})
    feed.show_only([feed.new()[-1]])
    for late in events:
        feed.show_only([late])
    assert bench.cases(key) == [("MS-CHANGED", "resolved")]
    assert drafted(key) == [Money.of("9000", "GBP")]


@pytest.mark.parametrize("order", ORDERS)
def test_an_approval_and_a_later_edit_of_time(bench: Bench, order: tuple[int, ...]):
    spec = replace(TIME, name=f"Late time {'-'.join(map(str, order))}")
    key = engagement_of(bench, spec)
    sheet = psa.Sheet(spec.name, "ANA-220", "Manager", Decimal(8), day_hours=Decimal(8), approved=False)
    # Today, since what was not approved until the month is over is a case.
    assert psa.book(bench.control, [sheet], [clock.today()]) == 1
    workspace = psa.workspace_of(bench.control, spec.name)
    [entry] = bench.control.records("psa", "time_entries", workspace_id=workspace)
    bench.poll(("psa", "time_entry"))
    assert drafted(key) == []

    feed = Feed(bench, "time_entry", entry["id"])
    bench.control.patch("psa", "time_entries", entry["id"], {"approved": True})
    if order[0] == 0:
        feed.show_only(feed.new())
        assert drafted(key) == [Money.of("1440", "GBP")]
    bench.control.patch("psa", "time_entries", entry["id"], {"time_in_minutes": 360})
    events = feed.new()
    assert len(events) == 2
    for shown in order:
        feed.show_only([events[shown]])
        if shown == 1 or order[0] == 1:
            assert drafted(key) == [Money.of("1080", "GBP")], "the hours as they stand there now"
    assert bench.cases(key) == []


#: Two of what the billing platform tells of a payment, and the echo of our own sending, which is older and no news.
PART, PAID, SENT = range(3)


@pytest.mark.parametrize(
    "order", [pytest.param(one, id="".join(map(str, one))) for one in permutations((PART, PAID, SENT))]
)
def test_a_payment_and_older_events_in_every_order(bench: Bench, order: tuple[int, ...]):
    """Whichever of them says that there is news: the state is the newest and the money is applied once."""
    ref, request = issued(bench, "".join(map(str, order)))
    bench.control.pay(request["id"], amount=400_000)
    [part] = held(bench, request["id"], "invoice.updated")[-1:]
    bench.control.pay(request["id"])
    events = [
        part,
        held(bench, request["id"], "invoice.paid")[-1],
        held(bench, request["id"], "invoice.sent")[-1],
    ]
    known = "issued"
    for place in order:
        assert deliver(bench, events[place]) == [202]
        known = "paid" if place != SENT else known
        assert billing.prebill(ref).state == known
    assert deliver(bench, *events, times=2) == [200] * 6
    assert billing.prebill(ref).state == "paid"
    assert applied(bench, ref) == Decimal(request["amount_due"]) / 100
    assert bench.cases(ref, state="open") == []


def test_a_part_payment_that_is_told_again_after_the_rest_takes_nothing_back(bench: Bench):
    ref, request = issued(bench, "in parts")
    bench.control.pay(request["id"], amount=400_000)
    first = held(bench, request["id"], "invoice.updated")[-1]
    assert deliver(bench, first) == [202]
    assert (billing.prebill(ref).state, applied(bench, ref)) == ("part_paid", Decimal(4000))
    bench.control.pay(request["id"])
    paid, settled = (held(bench, request["id"], kind)[-1] for kind in ("invoice.paid", "invoice.updated"))
    assert deliver(bench, paid) == [202]
    assert deliver(bench, first, settled) == [200, 202]
    assert deliver(bench, held(bench, request["id"], "invoice.finalized")[-1]) == [202]
    assert billing.prebill(ref).state == "paid"
    assert applied(bench, ref) == Decimal(request["amount_due"]) / 100
    assert bench.cases(ref) == [("PAY-SHORT", "resolved")]


def issued(bench: Bench, name: str) -> tuple[str, dict[str, Any]]:
    """A prebill that has been sent for payment, and the request on the billing platform."""
    title = f"Payment {name}"
    spec = replace(acts.SMALL, name=f"Late {title}", schedule=(deals.Entry(title, Decimal("9000")),))
    key = engagement_of(bench, spec)
    acts.accept_milestone(bench.control, title)
    bench.poll(("psa", "milestone"))
    [ref] = [one.ref for one in acts.prebills() if one.engagement_key == key]
    acts.approve_prebill(ref, "priya", "helen")
    bench.settle()
    assert billing.prebill(ref).state == "issued"
    [request] = [one for one in bench.control.records("billing", "invoice") if ref in str(one["metadata"])]
    return ref, request


def held(bench: Bench, invoice_id: str, kind: str) -> list[str]:
    """Ids of the events of a kind about an invoice that wait or have been sent, oldest first."""
    found = [event for event in bench.control.events("billing") if invoice_id in json.dumps(event)]
    return [event["id"] for event in found if kind in json.dumps(event)]


def deliver(bench: Bench, *event_ids: str, times: int = 1) -> list[int]:
    """Send events through the door, in this order, and do what follows."""
    statuses = [sent["status"] for sent in bench.control.deliver("billing", list(event_ids), times=times)]
    bench.settle()
    return statuses


def applied(bench: Bench, ref: str) -> Decimal:
    """What the ERP has been given for an invoice."""
    rows = bench.control.records("erp", "customerPayment")
    return sum(
        (Decimal(str(row["payment"])) for row in rows if str(row["externalId"]).startswith(ref)), Decimal(0)
    )
