"""A firm on real systems whose engine the test turns by hand: fast, and every step is seen.

Public surface: :class:`Bench`, :func:`provisioned`. The sandbox is a process of its own and everything between it and the
engine is HTTP; only the workers are missing: :meth:`Bench.settle` does in this process what they do (intake, leases, plans,
writes, retries).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from apps.core import clock
from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.demo.sandbox_client import SandboxControl
from apps.sync import engine, ledger, polling
from apps.sync.models import RUNNABLE, Action, PollCursor, Transaction
from apps.triage import selectors as triage
from tests.flows import acts
from tests.flows.world import World

T = TypeVar("T")
LATER = timedelta(hours=1)
#: Names far enough from each other that no two customers look alike to the match ladder.
NAMES = (
    "Quillon Aggregates", "Fenwick Harbour", "Zephyrine Textiles", "Maudsley Orchards", "Borealis Kitchens",
    "Tarrant Foundry", "Ixworth Publishing", "Cobblestone Logistics", "Vantrell Optics", "Hespera Cruises",
    "Dunmore Distillery", "Jasperwood Toys", "Ravelin Security", "Ottermead Fisheries", "Plimsoll Freight",
    "Gorsebush Energy", "Nightjar Studios", "Umberleigh Ceramics", "Saltmarsh Pensions", "Eskdale Wool",
    "Larkhill Aviation", "Wychwood Timber", "Yarrow Clinics", "Kestrelton Schools", "Auberon Hotels",
)  # fmt: skip


class Bench:
    """``web`` runs in a process of its own when asked for; names of customers and deals are given out once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.control: SandboxControl = world.control
        self._names = iter(NAMES)

    # -- the CRM's people -------------------------------------------------------------------------------------------

    def account(self, **changes: Any) -> str:
        """A customer nobody has met before. Returns the CRM's id; ``changes`` are fields of the CRM."""
        name = next(self._names)
        site = name.lower().replace(" ", "") + ".example"
        record = {
            "Name": name,
            "Website": f"https://www.{site}",
            "BillingStreet": "1 Long Lane",
            "BillingCity": "York",
            "BillingPostalCode": "YO1 7HH",
            "BillingCountryCode": "GB",
            "CurrencyIsoCode": "GBP",
            "Payment_Terms__c": "Net 30",
            "Billing_Email__c": f"accounts@{site}",
        }
        return str(self.control.create("crm", "Account", record | changes)["Id"])

    def deal(self, spec: deals.DealSpec, *, account: str = "", name: str = "") -> str:
        """Enter ``spec`` for an account (a new one unless given). Returns the deal's id in the CRM."""
        account = account or self.account()
        spec = replace(spec, name=name or f"{spec.name} {account[-6:]} {time.monotonic_ns()}")
        deal_id = deals.enter(self.control, spec, today=clock.today())
        contract = self.control.records("crm", "Opportunity", Id=deal_id)[0]["ContractId"]
        self.control.patch("crm", "Contract", contract, {"AccountId": account})
        self.control.patch("crm", "Opportunity", deal_id, {"AccountId": account})
        return deal_id

    def close(self, deal_id: str) -> None:
        deals.close(self.control, deal_id)

    def win(self, spec: deals.DealSpec, **more: Any) -> str:
        """Enter, close, and let the engine do its work. Returns the deal's id."""
        deal_id = self.deal(spec, **more)
        self.close(deal_id)
        self.poll(("crm", "deal"))
        return deal_id

    # -- the engine -------------------------------------------------------------------------------------------------

    def poll(self, *places: tuple[str, str], settle: bool = True) -> None:
        """The systems are asked what changed, now; only these ``(system, object type)`` where any are named."""
        polling.ensure_cursors()
        PollCursor.objects.update(due_at=clock.now() + LATER)
        for cursor in PollCursor.objects.select_related("system"):
            if not places or (cursor.system.code, cursor.object_type) in places:
                cursor.due_at = clock.now() - LATER
                cursor.save(update_fields=["due_at"])
        polling.poll_due()
        if settle:
            self.settle()

    def settle(self, *, seconds: float = 30) -> None:
        """Work until nothing is on its way; retries are waited for, held ones and who waits for them are left."""
        moving = Transaction.objects.filter(state__in=RUNNABLE)
        self.wait(
            lambda: engine.drain() >= 0 and not moving.exists(), seconds=seconds, what="everything at rest"
        )

    def wait(self, condition: Callable[[], T], *, seconds: float = 30, what: str = "") -> T:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        open_ones = list(
            Transaction.objects.exclude(state__in=("succeeded", "observed", "cancelled")).values_list(
                "ref", "flow", "state", "reason"
            )
        )
        raise AssertionError(f"not within {seconds:g} s: {what}; open: {open_ones}")

    # -- what became of it ------------------------------------------------------------------------------------------

    def transaction(self, kind: str, key: str, flow: str) -> Transaction:
        """The newest one of a subject."""
        rows = Transaction.objects.filter(subject__kind=kind, subject__key=key, flow=flow)
        return rows.order_by("-id")[0]

    def provisioning(self, deal_id: str) -> Transaction:
        return self.transaction("deal", f"crm:{deal_id}", "deal.provision")

    def of_deal(self, deal_id: str) -> list[Transaction]:
        """Everything that ran for a deal: its own transactions and those of its steps."""
        ids = Transaction.objects.filter(subject__key=f"crm:{deal_id}").values_list(
            "correlation_id", flat=True
        )
        return list(Transaction.objects.filter(correlation_id__in=list(ids)).order_by("id"))

    def attempts(self, *transactions: Transaction) -> list[tuple[str, str]]:
        """``(name, outcome)`` of every attempt of these transactions at a vendor's object, oldest first."""
        ids = [one.id for one in transactions]
        rows = Action.objects.filter(transaction_id__in=ids).exclude(system="").exclude(outcome="unchanged")
        rows = rows.order_by("id")
        return list(rows.values_list("name", "outcome"))

    def written(self, *transactions: Transaction) -> dict[str, int]:
        """How often each write of these transactions counts as done (it must be once)."""
        done: dict[str, int] = {}
        for name, outcome in self.attempts(*transactions):
            if outcome in ledger.SETTLED:
                done[name] = done.get(name, 0) + 1
        return done

    def cases(self, key: str = "", *, state: str = "") -> list[tuple[str, str]]:
        """``(code, state)`` of the cases about a subject, oldest first."""
        rows = triage.cases(EVERYTHING).order_by("id")
        rows = rows.filter(subject_key=key) if key else rows
        return list((rows.filter(state=state) if state else rows).values_list("code", "state"))

    def objects(self) -> dict[str, int]:
        """How many objects of each kind that we write stand in the emulated systems."""
        kinds = (
            ("erp", "customer"), ("erp", "job"), ("erp", "billingRateCard"), ("erp", "billingSchedule"), ("erp", "chargeRule"),
            ("erp", "invoice"), ("erp", "customerPayment"), ("psa", "workspaces"), ("psa", "rate_cards"),
            ("psa", "billing_milestones"), ("billing", "customer"), ("billing", "invoice"), ("billing", "invoiceitem"),
            ("crm", "Eng_Status__c"),
        )  # fmt: skip
        return {f"{system} {kind}": acts.count(self.control, system, kind) for system, kind in kinds}

    def added(self, before: dict[str, int]) -> dict[str, int]:
        """What was added since ``before``, without what stayed."""
        now = self.objects()
        return {name: now[name] - before[name] for name in now if now[name] != before[name]}

    def clear_faults(self) -> None:
        for system in ("crm", "erp", "erp-be", "psa", "billing"):
            self.control.clear_faults(system)


def provisioned(*deal_ids: str) -> bool:
    """Whether each of these deals has its engagement (a look at a deal that is not won yet succeeds without one)."""
    done = Transaction.objects.filter(
        subject__key__in=[f"crm:{deal_id}" for deal_id in deal_ids],
        flow="deal.provision",
        state="succeeded",
        engagement_key__startswith="ENG",
    )
    return done.values("subject_id").distinct().count() == len(deal_ids)
