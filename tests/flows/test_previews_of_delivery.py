"""What a preview of delivered work says is what a run does: readiness is looked ahead of, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from apps.billing import selectors as billing
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.governance import services as governance
from apps.organization import selectors as organization
from apps.organization import services as organizing
from apps.sync import services as sync
from apps.sync.models import Plan
from apps.triage import selectors as triage
from apps.triage import services as fixes
from tests.flows import acts
from tests.flows.bench import Bench
from tests.flows.test_unconfirmed_mappings import review

PSA = ("psa", "milestone")


class Delivered:
    """An engagement of a customer (in Britain unless said otherwise) whose one milestone the client has accepted."""

    def __init__(self, bench: Bench, *, certificate: str = "CERT-1", **account: Any) -> None:
        self.bench = bench
        customer = bench.account(**account)
        self.title = f"Handover {customer[-6:]}"
        spec = replace(acts.SMALL, schedule=(deals.Entry(self.title, acts.SMALL.lines[0].amount),))
        deal_id = bench.win(spec, account=customer)
        self.key = commercial.engagement_by_deal(f"crm:{deal_id}").key
        acts.accept_milestone(bench.control, self.title, certificate=certificate)
        bench.poll(PSA)

    @property
    def run(self) -> Any:
        return self.bench.transaction("delivery", self.key, "delivery.sync")

    def preview(self) -> tuple[str, list[str]]:
        [result] = sync.preview(transaction_ids=[self.run.id])["results"]
        return result["outcome"], result["codes"]

    def bills(self) -> list[Any]:
        return [one for one in acts.prebills() if one.engagement_key == self.key]

    def case(self) -> Any:
        [found] = triage.cases(EVERYTHING).filter(subject_key=self.key)
        return found


def gate(mode: str) -> None:
    sync.gate_set(legal_entity=organization.entity("MER-UK"), flow="delivery.sync", mode=mode, by=None)


@pytest.fixture
def untaxed(bench: Bench) -> Iterator[None]:
    """The ERP routing has no code for sales to other countries."""
    entity = organization.entity("MER-UK")
    route = organization.route(entity.id, "erp")
    kept = dict(route.settings)
    tax = {name: entry for name, entry in kept["tax"].items() if name in ("standard", "exempt")}
    organizing.routing_set(
        legal_entity=entity, kind="erp", system=route.system, settings={**kept, "tax": tax}
    )
    yield
    organizing.routing_set(legal_entity=entity, kind="erp", system=route.system, settings=kept)


def test_the_preview_of_a_missing_certificate_is_true_before_and_after_it_comes(bench: Bench):
    delivered = Delivered(bench, certificate="")
    assert bench.cases(delivered.key) == [("MS-NO-EVIDENCE", "open")]
    assert delivered.preview() == ("stays", ["MS-NO-EVIDENCE"])
    acts.accept_milestone(bench.control, delivered.title, certificate="CERT-9")
    assert delivered.preview() == ("clears", [])
    assert bench.cases(delivered.key) == [("MS-NO-EVIDENCE", "open")], "a preview changes nothing"
    assert delivered.bills() == []
    acts.retry(delivered.case(), "nadia")
    bench.settle()
    assert bench.cases(delivered.key) == [("MS-NO-EVIDENCE", "resolved")]
    assert len(delivered.bills()) == 1


def test_the_preview_knows_what_was_deleted(bench: Bench):
    delivered = Delivered(bench)
    [bill] = delivered.bills()
    [record] = bench.control.records("psa", "billing_milestones", title=delivered.title)
    bench.control.delete("psa", "billing_milestones", record["id"])
    assert delivered.preview() == ("changes", ["MS-CHANGED"])
    bill.refresh_from_db()
    assert (str(bill.state), bill.lines.count()) == ("draft", 1), "a preview changes nothing"
    bench.poll(PSA)
    assert bench.cases(delivered.key) == [("MS-CHANGED", "open")]
    assert delivered.preview() == ("stays", ["MS-CHANGED"])
    bench.control.create("psa", "billing_milestones", record)
    assert delivered.preview() == ("clears", [])


def test_a_case_stands_while_the_gate_lets_nothing_be_taken_over(bench: Bench):
    gate("observe")
    try:
        delivered = Delivered(bench, certificate="")
        assert delivered.run.state == "observed"
        assert bench.cases(delivered.key) == [("MS-NO-EVIDENCE", "open")]
        assert billing.canonical_milestones(delivered.key)[0].status == "planned", "only looked at"
    finally:
        gate("automatic")


def test_what_the_step_itself_finds_counts_and_is_told_once(bench: Bench):
    delivered = Delivered(bench, certificate="")
    bench.poll(PSA)
    case = delivered.case()
    assert (case.state, case.reopened, case.phase) == ("open", 0, "plan")
    last = Plan.objects.filter(transaction=delivered.run).order_by("-id")[0]
    assert [problem["code"] for problem in last.problems] == ["MS-NO-EVIDENCE"]


@pytest.mark.provokes("TAX-CODE")
@pytest.mark.usefixtures("untaxed")
def test_a_missing_tax_code_is_mapped_in_place_by_two_people(bench: Bench):
    abroad = {"BillingCountryCode": "US", "BillingState": "NY", "BillingPostalCode": "10001"}
    one, other = Delivered(bench, **abroad), Delivered(bench, **abroad)
    for delivered in (one, other):
        assert bench.cases(delivered.key) == [("TAX-CODE", "open")]
        assert delivered.preview() == ("stays", ["TAX-CODE"])
    by = acts.person("nadia")
    chosen: dict[str, Any] = {"target": "202", "target_label": "GB exempt"}
    shown = fixes.fix_preview(case=one.case(), by=by, **chosen)
    assert {name: shown["counts"][name] for name in ("clears", "stays")} == {"clears": 2, "stays": 0}
    fixed = fixes.case_fix_mapping(case=one.case(), by=by, preview_token=shown["token"], **chosen)
    assert (fixed["mapping_state"], fixed["replayed"], fixed["waiting"]) == ("proposed", [], 2)
    bench.settle()
    assert one.bills() == [] == other.bills(), "it has no effect before a second person has confirmed it"
    review(fixed["mapping_id"])
    bench.settle()
    for delivered in (one, other):
        assert bench.cases(delivered.key) == [("TAX-CODE", "resolved")]
        [bill] = delivered.bills()
        assert (bill.tax_treatment, bill.tax_code) == ("out_of_scope", "202")
    ref = one.bills()[0].ref
    acts.approve_prebill(ref, "priya", "helen")
    bench.settle()
    [invoice] = bench.control.records("erp", "invoice", externalId=ref)
    assert {line["taxCode"]["id"] for line in invoice["item"]["items"]} == {"202"}
    assert one.bills()[0].state == "issued"


@pytest.mark.usefixtures("untaxed")
def test_a_tax_code_mapped_elsewhere_releases_whoever_lacks_it(bench: Bench):
    """Not by the fix of a case: no case waits for this mapping, its confirmation wakes the engagements all the same."""
    delivered = Delivered(bench, BillingCountryCode="DE", Tax_Id__c="DE136695976")
    assert bench.cases(delivered.key) == [("TAX-CODE", "open")]
    mapping = governance.mapping_add(
        kind="tax_code",
        legal_entity=organization.entity("MER-UK"),
        source="reverse_charge",
        target="203",
        target_label="GB reverse charge",
        by=acts.person("nadia"),
        reason="From the tax team's list.",
        exposure=Money.of("1", "GBP"),
    )
    assert str(mapping.state) == "proposed"
    bench.settle()
    assert bench.cases(delivered.key) == [("TAX-CODE", "open")]
    review(mapping)
    bench.settle()
    assert bench.cases(delivered.key) == [("TAX-CODE", "resolved")]
    assert [bill.tax_code for bill in delivered.bills()] == ["203"]
