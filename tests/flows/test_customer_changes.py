"""A customer changes in the CRM after it was set up: the ERP follows where the CRM is right, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from apps.sync.models import Action, Plan
from apps.triage.models import Case
from tests.flows import acts
from tests.flows.bench import Bench

ACCOUNT = ("crm", "customer")


class Known:
    """A customer that a deal has brought into every system."""

    def __init__(self, bench: Bench, **changes: Any) -> None:
        self.bench = bench
        self.account = bench.account(**changes)
        deal_id = bench.win(acts.SMALL, account=self.account)
        assert bench.provisioning(deal_id).state == "succeeded"

    @property
    def key(self) -> str:
        return f"crm:{self.account}@erp"

    def change(self, **changes: Any) -> None:
        """Somebody edits the account, and the CRM is polled."""
        self.bench.control.patch("crm", "Account", self.account, changes)
        self.bench.poll(ACCOUNT)

    @property
    def record(self) -> dict[str, Any]:
        [found] = self.bench.control.records("erp", "customer", externalId=f"cus-crm-{self.account}")
        return found

    @property
    def address(self) -> dict[str, Any]:
        [line] = self.record["addressBook"]["items"]
        return line["addressBookAddress"]

    def updates(self) -> list[str]:
        """Outcomes of every update of this customer that was sent."""
        rows = Action.objects.filter(name="erp.customer_update", target_key=f"cus-crm-{self.account}")
        return list(rows.order_by("id").values_list("outcome", flat=True))

    def runs(self) -> int:
        return Plan.objects.filter(transaction__subject__key=self.key).count()


def test_an_address_changed_in_the_crm_is_the_erps_too_and_is_written_once(bench: Bench):
    known = Known(bench)
    assert known.updates() == []
    before = bench.objects()
    known.change(BillingStreet="Mill Yard\nUnit 4", BillingCity="Halifax", BillingPostalCode="HX1 1AA")
    assert (known.address["addr1"], known.address["addr2"], known.address["city"]) == (
        "Mill Yard",
        "Unit 4",
        "Halifax",
    )
    assert known.updates() == ["succeeded"]
    [planned] = [
        action
        for action in bench.transaction("customer", known.key, "customer.sync").plans.get().actions
        if action["name"] == "erp.customer_update"
    ]
    assert planned["fields"] == ["billing_address"]
    assert planned["changes"][0]["new"]["city"] == "Halifax"
    assert "crm, overwrite" in planned["rule"]
    assert bench.added(before) == {}

    stamp, runs = known.record["lastModifiedDate"], known.runs()
    known.change(Description="Looked at again.")
    assert known.runs() > runs, "it was planned again"
    assert known.updates() == ["succeeded"]
    assert known.record["lastModifiedDate"] == stamp


def test_every_field_that_the_crm_owns_arrives_and_comes_to_rest(bench: Bench):
    known = Known(bench)
    known.change(
        Name="Renamed Holdings",
        Phone="+44 1422 496 0000",
        Website="https://www.renamed.example",
        Billing_Email__c="AP@renamed.example",
        BillingCountryCode="IE",
        BillingState="Co. Dublin",
        BillingPostalCode="D02 X285",
    )
    record = known.record
    assert (record["companyName"], record["phone"]) == ("Renamed Holdings", "+44 1422 496 0000")
    assert (record["email"], record["url"]) == ("AP@renamed.example", "https://www.renamed.example")
    assert (known.address["country"]["id"], known.address["state"]) == ("IE", "Co. Dublin")
    known.change(Description="Once more.")
    assert known.updates() == ["succeeded"]


def test_what_the_erp_owns_is_not_overwritten(bench: Bench):
    known = Known(bench)
    bench.control.patch("erp", "customer", known.record["id"], {"vatRegNumber": "GB239529827"})
    terms = known.record["terms"]["id"]
    known.change(Tax_Id__c="GB244155576", Payment_Terms__c="Net 60", Phone="+44 1")
    assert known.record["vatRegNumber"] == "GB239529827"
    assert known.record["terms"]["id"] == terms
    assert known.record["phone"] == "+44 1"


def test_a_change_that_somebody_elses_reading_has_seen_first_still_arrives(bench: Bench):
    known = Known(bench)
    bench.control.patch("crm", "Account", known.account, {"BillingCity": "Hebden"})
    bench.win(acts.SMALL, account=known.account)
    bench.poll(ACCOUNT)
    assert known.address["city"] == "Hebden"


def test_an_update_whose_answer_is_lost_is_looked_for_and_not_sent_twice(bench: Bench):
    known = Known(bench)
    bench.control.fault("erp", "reset_after", method="PATCH", path="/customer/", times=1)
    known.change(Phone="+44 2")
    bench.clear_faults()
    assert known.record["phone"] == "+44 2"
    assert known.updates() == ["unknown"], "the next run sees that the record shows it"
    assert bench.transaction("customer", known.key, "customer.sync").state == "succeeded"


LEDGER = ("erp", "customer")


def told(bench: Bench, known: Known, *expected: tuple[str, str]) -> None:
    """The ERP is polled up to two seconds ago: what it has just been told is seen by one of the next polls."""

    def seen() -> bool:
        bench.poll(LEDGER)
        return bench.cases(known.key) == list(expected)

    bench.wait(seen, what=str(expected))


def test_what_the_crm_owns_is_corrected_when_it_is_edited_in_the_erp(bench: Bench):
    known = Known(bench, Phone="+44 3")
    bench.control.patch("erp", "customer", known.record["id"], {"phone": "+44 999"})

    def corrected() -> bool:
        bench.poll(LEDGER)
        return known.record["phone"] == "+44 3"

    bench.wait(corrected, what="the CRM's number")
    assert known.updates() == ["succeeded"]
    assert bench.cases(known.key) == []


@pytest.mark.provokes("AMD-DRIFT")
def test_a_tax_id_edited_in_the_crm_is_told_with_both_values_until_both_say_the_same(bench: Bench):
    known = Known(bench, Tax_Id__c="GB730000020")
    assert bench.cases(known.key) == []
    known.change(Tax_Id__c="GB730001115")
    assert bench.cases(known.key) == [("AMD-DRIFT", "open")]
    [case] = Case.objects.filter(code="AMD-DRIFT", subject_key=known.key)
    assert (case.field, case.severity) == ("tax_id", "warning")
    assert "is “GB730000020” in NetSuite" in case.reason
    assert "“GB730001115” in Salesforce" in case.reason
    assert known.record["vatRegNumber"] == "GB730000020", "nothing is overwritten"
    known.change(Tax_Id__c="GB 730 0000 20")
    assert bench.cases(known.key) == [("AMD-DRIFT", "resolved")], "the same id, written differently"


@pytest.mark.provokes("AMD-DRIFT")
def test_a_tax_id_edited_in_the_erp_is_told_and_settled_there(bench: Bench):
    known = Known(bench, Tax_Id__c="GB730002210")
    bench.control.patch("erp", "customer", known.record["id"], {"vatRegNumber": "GB730003305"})
    told(bench, known, ("AMD-DRIFT", "open"))
    bench.control.patch("erp", "customer", known.record["id"], {"vatRegNumber": "GB730002210"})
    told(bench, known, ("AMD-DRIFT", "resolved"))


@pytest.mark.provokes("CUS-DUP")
def test_a_second_account_with_the_tax_id_of_the_first_is_a_case_and_no_second_customer(bench: Bench):
    known = Known(bench, Tax_Id__c="GB730004400")
    second = bench.account(Tax_Id__c="GB730004400")
    before = bench.objects()
    deal_id = bench.win(acts.SMALL, account=second)
    key = f"crm:{second}@erp"
    assert bench.provisioning(deal_id).state == "waiting"
    assert bench.cases(key) == [("CUS-DUP", "open")]
    [case] = Case.objects.filter(code="CUS-DUP", subject_key=key)
    assert "by the tax id GB730004400" in case.reason
    assert f"(crm:{known.account}) already" in case.reason
    assert bench.added(before) == {}
    bench.control.patch("crm", "Account", second, {"Tax_Id__c": "GB730005537"})
    bench.poll(ACCOUNT)
    assert bench.cases(key) == [("CUS-DUP", "resolved")]
    assert bench.provisioning(deal_id).state == "succeeded"
    assert bench.added(before)["erp customer"] == 1
