"""What a mapping releases stops at draft until a second person has confirmed it, whatever is translated with it.

Terms of payment here: the analyst maps them in place, the project manager signs, finance cannot release before the
controller has confirmed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.approvals import selectors as approvals
from apps.approvals import services as decisions
from apps.billing import selectors as billing
from apps.billing.errors import PostingHeld
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.governance import services as governance
from apps.organization import selectors as organization
from apps.triage import selectors as triage
from apps.triage import services as fixes
from tests.flows import acts
from tests.flows.bench import Bench

CUSTOMER = ("crm", "customer")


class Terms:
    """A customer that pays at terms nobody has heard of, and what the ERP calls the terms that mean the same."""

    def __init__(self, bench: Bench, days: int) -> None:
        self.bench, self.days = bench, days
        self.name = f"Net {days}"
        self.erp_id = str(bench.control.create("erp", "term", {"name": f"{days} days net"})["id"])

    def mapped(self, target: str = "") -> Any:
        """The analyst maps them; a small exposure, so it takes effect at once."""
        return governance.mapping_add(
            kind="payment_terms",
            legal_entity=organization.entity("MER-UK"),
            source=self.name,
            target=target or self.erp_id,
            target_label=self.name,
            by=acts.person("nadia"),
            reason="They mean the same.",
            exposure=Money.of("9000", "GBP"),
        )


class Sold:
    """One deal of a customer with these terms, from closing on; without any, those of the customer count later."""

    def __init__(self, bench: Bench, terms: str) -> None:
        self.bench = bench
        self.account = bench.account(Payment_Terms__c=terms)
        self.title = f"Handover {self.account[-6:]}"
        spec = replace(acts.SMALL, schedule=(deals.Entry(self.title, acts.SMALL.lines[0].amount),))
        self.deal_id = bench.win(spec, account=self.account)

    @property
    def key(self) -> str:
        return commercial.engagement_by_deal(f"crm:{self.deal_id}").key

    @property
    def prebill(self) -> Any:
        [found] = [one for one in acts.prebills() if one.engagement_key == self.key]
        return found

    def accept(self) -> None:
        acts.accept_milestone(self.bench.control, self.title)
        self.bench.poll(("psa", "milestone"))

    def holds(self) -> list[tuple[str, str]]:
        return [(hold.level, hold.source_ref) for hold in billing.engagement_holds(self.key)]

    def erp_draft(self) -> dict[str, Any]:
        [found] = self.bench.control.records("erp", "invoice", externalId=self.prebill.ref)
        return found

    def erp_status(self) -> str:
        """1 is pending approval, 2 approved (posted)."""
        return str(self.erp_draft()["approvalStatus"]["id"])


def review(mapping: Any, decision: str = "approve") -> None:
    """The controller looks at the mapping."""
    request = approvals.open_request("mapping", str(mapping if isinstance(mapping, int) else mapping.pk))
    decisions.decide(
        request=request,
        by=acts.person("helen"),
        decision=decision,  # type: ignore[arg-type]
        digest=request.digest,
        comment="Looked at.",
    )


def refused(sold: Sold) -> None:
    """The project manager has signed and finance cannot."""
    with pytest.raises(PostingHeld):
        acts.approve_prebill(sold.prebill.ref, "helen")
    assert sold.prebill.state == "pm_approved"
    assert sold.erp_status() == "1"


def released(sold: Sold) -> None:
    assert sold.holds() == []
    acts.approve_prebill(sold.prebill.ref, "helen")
    sold.bench.settle()
    assert (sold.prebill.state, sold.erp_status()) == ("issued", "2")


def test_terms_mapped_in_place_hold_the_drafts_of_the_deal_they_release(bench: Bench):
    terms = Terms(bench, 17)
    sold = Sold(bench, terms.name)
    [case] = triage.cases(EVERYTHING).filter(subject_key=f"crm:{sold.deal_id}", state="open")
    assert case.code == "CUS-TERMS"
    by, label = acts.person("nadia"), terms.name
    shown = fixes.fix_preview(case=case, target=terms.erp_id, target_label=label, by=by)
    assert shown["counts"]["clears"] == 1
    fixed = fixes.case_fix_mapping(
        case=case, target=terms.erp_id, target_label=label, by=by, preview_token=shown["token"]
    )
    assert fixed["mapping_state"] == "effective"
    bench.settle()
    assert bench.provisioning(sold.deal_id).state == "succeeded"
    assert sold.holds() == [("posting", f"mapping:{fixed['mapping_id']}")]
    sold.accept()
    acts.approve_prebill(sold.prebill.ref, "priya")
    refused(sold)
    review(fixed["mapping_id"])
    bench.settle()
    released(sold)
    assert sold.erp_draft()["terms"]["id"] == terms.erp_id


def test_terms_that_come_after_the_set_up_hold_the_later_invoice(bench: Bench):
    terms = Terms(bench, 18)
    sold = Sold(bench, "")
    assert sold.holds() == []
    bench.control.patch("crm", "Account", sold.account, {"Payment_Terms__c": terms.name})
    bench.poll(CUSTOMER)
    mapping = terms.mapped()
    assert str(mapping.state) == "effective"
    sold.accept()
    assert sold.prebill.payment_terms == terms.name
    assert sold.holds() == [("posting", f"mapping:{mapping.pk}")]
    acts.approve_prebill(sold.prebill.ref, "priya")
    refused(sold)
    review(mapping)
    bench.settle()
    released(sold)


@pytest.mark.provokes("CUS-TERMS", "MAP-UNCONFIRMED")
def test_terms_mapped_while_the_draft_is_signed_stop_it_before_posting(bench: Bench):
    terms = Terms(bench, 19)
    sold = Sold(bench, "")
    bench.control.patch("crm", "Account", sold.account, {"Payment_Terms__c": terms.name})
    bench.poll(CUSTOMER)
    sold.accept()
    acts.approve_prebill(sold.prebill.ref, "priya", "helen")
    bench.settle()
    ref = sold.prebill.ref
    assert bench.cases(ref) == [("CUS-TERMS", "open")], "it has no partner, so nothing is posted by a guess"
    mapping = terms.mapped()
    acts.retry(triage.cases(EVERYTHING).get(subject_key=ref), "nadia")
    bench.settle()
    assert (sold.prebill.state, sold.erp_status()) == ("approved", "1")
    assert bench.cases(ref) == [("CUS-TERMS", "resolved"), ("MAP-UNCONFIRMED", "open")]
    review(mapping)
    bench.settle()
    assert bench.cases(ref, state="open") == []
    assert (sold.prebill.state, sold.erp_status()) == ("issued", "2")
    assert sold.erp_draft()["terms"]["id"] == terms.erp_id


def test_a_refused_mapping_holds_until_the_value_has_another_partner(bench: Bench):
    terms = Terms(bench, 21)
    sold = Sold(bench, "")
    bench.control.patch("crm", "Account", sold.account, {"Payment_Terms__c": terms.name})
    bench.poll(CUSTOMER)
    wrong = terms.mapped(target="1")
    sold.accept()
    review(wrong, "reject")
    bench.settle()
    assert sold.holds() == [("posting", f"mapping:{wrong.pk}")]
    [hold] = billing.engagement_holds(sold.key)
    assert "refused" in hold.reason
    right = terms.mapped()
    review(right)
    bench.settle()
    acts.approve_prebill(sold.prebill.ref, "priya")
    released(sold)
    assert sold.erp_draft()["terms"]["id"] == terms.erp_id
