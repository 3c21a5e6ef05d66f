"""Gates are per legal entity, also where two of them share a customer: each deal goes as far as its own entity's gate says.

Merridane UK and Merridane US sell to the same new customer, whose one record stands in the ERP that they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from apps.organization import selectors as organization
from apps.sync import engine
from apps.sync import services as sync
from apps.sync.models import Transaction
from tests.flows import acts
from tests.flows.bench import Bench

UK, US = "MER-UK", "MER-US"
SUBSIDIARY = {UK: "1", US: "2"}
FLOW = "customer.sync"


def gate(code: str, mode: str, flow: str = FLOW) -> None:
    sync.gate_set(legal_entity=organization.entity(code), flow=flow, mode=mode, by=None)


@pytest.fixture(autouse=True)
def opened_again(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()
    for code in (UK, US):
        for flow in (FLOW, "delivery.sync"):
            gate(code, "automatic", flow)


class Shared:
    """One customer and a deal of each entity, closed together; both ask for the customer before it is worked on."""

    def __init__(self, bench: Bench, modes: dict[str, str]) -> None:
        self.bench = bench
        for code, mode in modes.items():
            gate(code, mode)
        self.account = bench.account()
        self.deals = {
            code: bench.deal(replace(acts.SMALL, name=f"Small {code}", entity=code), account=self.account)
            for code in (UK, US)
        }
        for deal_id in self.deals.values():
            bench.close(deal_id)
        bench.control.fault("erp", "status", status=503, path="/suiteql", times=None)
        bench.poll(("crm", "deal"), settle=False)
        bench.wait(
            lambda: engine.drain() >= 0 and {self.deal(code).state for code in self.deals} == {"waiting"},
            what="both deals wait for the customer",
        )
        assert Transaction.objects.get(subject__key=self.key).params["entities"] == [UK, US]
        bench.clear_faults()
        bench.settle()

    @property
    def key(self) -> str:
        return f"crm:{self.account}@erp"

    def deal(self, code: str) -> Transaction:
        return self.bench.provisioning(self.deals[code])

    def customer(self) -> Transaction:
        return self.bench.transaction("customer", self.key, FLOW)

    def runs(self) -> list[tuple[list[str], str]]:
        """The entities and the end of each run for the customer, oldest first."""
        rows = Transaction.objects.filter(subject__key=self.key).order_by("id")
        return [(row.params["entities"], row.state) for row in rows]

    def records(self) -> list[dict[str, Any]]:
        return self.bench.control.records("erp", "customer", externalId=f"cus-crm-{self.account}")

    def enabled(self) -> set[str]:
        """The subsidiaries that the ERP's record may trade with."""
        records = self.records()
        if not records:
            return set()
        [record] = records
        related = self.bench.control.records("erp", "customerSubsidiaryRelationship")
        more = {line["subsidiary"]["id"] for line in related if line["entity"]["id"] == record["id"]}
        return more | {record["subsidiary"]["id"]}

    def go(self, transaction: Transaction) -> None:
        tokens = sync.read_token(sync.preview(transaction_ids=[transaction.id])["token"])
        done = sync.replay(transaction_ids=[transaction.id], by=acts.person("nadia"), tokens=tokens)
        assert done["replayed"], done
        self.bench.settle()


@pytest.mark.parametrize(("open_one", "closed_one"), [(UK, US), (US, UK)])
@pytest.mark.parametrize("mode", ["off", "observe"])
def test_the_entity_whose_gate_is_closed_is_not_enabled_and_the_other_goes_on(
    bench: Bench, open_one: str, closed_one: str, mode: str
):
    shared = Shared(bench, {open_one: "automatic", closed_one: mode})
    assert shared.enabled() == {SUBSIDIARY[open_one]}
    assert shared.deal(open_one).state == "succeeded"
    stopped = shared.deal(closed_one)
    assert (stopped.state, stopped.engagement_key) == ("held", "")
    assert stopped.reason.endswith("was observed, not carried out.")
    gate(closed_one, "automatic")
    sync.replay(transaction_ids=[stopped.id], by=acts.person("nadia"), why="The gate is open now.")
    bench.settle()
    assert shared.deal(closed_one).state == "succeeded"
    assert shared.enabled() == {"1", "2"}
    assert len(shared.records()) == 1


def test_an_entity_that_wants_a_person_waits_for_one_and_the_other_goes_on(bench: Bench):
    shared = Shared(bench, {UK: "suggest", US: "automatic"})
    assert shared.enabled() == {"2"}
    assert (shared.deal(US).state, shared.deal(UK).state) == ("succeeded", "waiting")
    waiting = shared.customer()
    assert (waiting.state, waiting.params["entities"]) == ("suggested", [UK])
    assert waiting.legal_entity == organization.entity(UK)
    shared.go(waiting)
    assert shared.deal(UK).state == "succeeded"
    assert shared.enabled() == {"1", "2"}


def test_where_one_wants_a_person_and_the_other_is_closed_each_deal_is_told_its_own(bench: Bench):
    shared = Shared(bench, {UK: "off", US: "suggest"})
    assert shared.records() == []
    assert shared.customer().state == "suggested"
    assert (shared.deal(UK).state, shared.deal(US).state) == ("held", "waiting")
    shared.go(shared.customer())
    assert (shared.deal(UK).state, shared.deal(US).state) == ("held", "succeeded")
    assert shared.enabled() == {"2"}


def test_a_change_in_the_crm_reaches_the_record_though_the_last_deals_entity_is_closed(bench: Bench):
    shared = Shared(bench, {UK: "automatic", US: "off"})
    assert shared.runs()[-1] == ([US], "observed")
    bench.control.patch("crm", "Account", shared.account, {"BillingCity": "Halifax"})
    bench.poll(("crm", "customer"))
    [record] = shared.records()
    [line] = record["addressBook"]["items"]
    assert line["addressBookAddress"]["city"] == "Halifax"
    assert shared.enabled() == {"1"}


def test_a_gate_is_of_one_flow(bench: Bench):
    gate(US, "off", "delivery.sync")
    shared = Shared(bench, {UK: "automatic", US: "automatic"})
    states = {code: self_delivery(bench, shared.deal(code).engagement_key) for code in (UK, US)}
    assert states == {UK: "succeeded", US: "observed"}
    assert {shared.deal(code).state for code in (UK, US)} == {"succeeded"}


def self_delivery(bench: Bench, engagement_key: str) -> str:
    return bench.transaction("delivery", engagement_key, "delivery.sync").state
