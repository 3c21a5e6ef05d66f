"""What a register says of a customer's tax id, as the billing platform asks it: told beside set-up, closed by the answer."""

from __future__ import annotations

from typing import Any

import pytest

from apps.organization import selectors as organization
from apps.records import selectors as records
from tests.flows import acts
from tests.flows.bench import Bench

CRM, NEWS = ("crm", "customer"), ("billing", "invoice")
TAX_ID = "GB980780684"


class Registered:
    """A provisioned customer with a tax id, and what the register answers about it."""

    def __init__(self, bench: Bench, **changes: Any) -> None:
        self.bench = bench
        self.account = bench.account(Tax_Id__c=TAX_ID, **changes)
        self.deal_id = bench.win(acts.SMALL, account=self.account)
        self.name = bench.control.records("crm", "Account", Id=self.account)[0]["Name"]
        self.key = f"crm:{self.account}@billing"
        link = records.find_link("customer", f"crm:{self.account}", organization.system("billing").id)
        assert link is not None
        self.customer = link.external_id

    def answer(self, **told: str) -> None:
        self.bench.control.verify_tax_id(self.customer, **told)
        self.bench.poll(NEWS)

    @property
    def cases(self) -> list[tuple[str, str]]:
        return self.bench.cases(self.key)

    @property
    def reason(self) -> str:
        return str(self.bench.transaction("tax_id", self.key, "taxid.check").reason)


@pytest.fixture
def alone(bench: Bench):
    """One tax id is one customer: what this test has made is taken out of the match ladder's sight afterwards."""
    yield
    for one in bench.control.records("erp", "customer", vatRegNumber=TAX_ID):
        bench.control.patch("erp", "customer", one["id"], {"vatRegNumber": None})


@pytest.mark.provokes("CUS-TAXID-UNVERIFIED")
def test_a_register_that_does_not_answer_is_told_until_it_does(bench: Bench, alone: None):
    customer = Registered(bench)
    assert customer.cases == [], "a register that has just been asked is no trouble"
    customer.answer(status="unavailable")
    assert customer.cases == [("CUS-TAXID-UNVERIFIED", "open")]
    assert f"whether “{TAX_ID}” of {customer.name} is a valid tax id" in customer.reason
    assert bench.provisioning(customer.deal_id).state == "succeeded"
    customer.answer(status="verified", name=f"{customer.name.upper()} LIMITED")
    assert customer.cases == [("CUS-TAXID-UNVERIFIED", "resolved")]


@pytest.mark.provokes("CUS-NAME-MISMATCH")
def test_a_tax_id_that_is_registered_under_another_name_waits_for_the_legal_name(bench: Bench, alone: None):
    customer = Registered(bench)
    customer.answer(status="verified", name="PENDRAGON HOLDINGS 2019 PLC")
    assert customer.cases == [("CUS-NAME-MISMATCH", "open")]
    assert "as “PENDRAGON HOLDINGS 2019 PLC”" in customer.reason
    assert f"the CRM's account is “{customer.name}”" in customer.reason
    bench.control.patch("crm", "Account", customer.account, {"Name": "Pendragon Holdings 2019"})
    bench.poll(CRM)
    assert customer.cases == [("CUS-NAME-MISMATCH", "resolved")]


def test_a_register_that_gives_no_name_and_an_id_that_was_replaced_are_no_trouble(bench: Bench, alone: None):
    customer = Registered(bench)
    customer.answer(status="verified", name="---")
    assert customer.cases == []
    bench.control.patch("crm", "Account", customer.account, {"Tax_Id__c": "GB340804329"})
    bench.poll(CRM)
    customer.answer(status="unverified")
    assert customer.cases == [], "nobody was asked about the new one"


def test_an_id_that_no_register_knows_is_not_valid(bench: Bench, alone: None):
    customer = Registered(bench)
    customer.answer(status="unverified")
    assert customer.cases == [("CUS-TAXID-INVALID", "open")]
    assert f"does not know “{TAX_ID}”" in customer.reason
