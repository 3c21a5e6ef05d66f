"""A person decides where the sources leave it open: previewed, run, and kept as long as the source does not say otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.core.errors import InvalidInput, NotAllowed, Stale, Unavailable, WrongState
from apps.journal.models import Audit
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.models import Subject
from apps.triage import selectors as triage
from apps.triage import services as triage_services
from apps.triage.errors import PreviewExpired
from apps.triage.models import Case
from tests.flows import acts
from tests.flows.bench import Bench

TAX_ID = "GB980780684"
TAX_ID_3 = "GB220430231"


@pytest.fixture(autouse=True)
def mended(bench: Bench) -> Iterator[None]:
    yield
    bench.clear_faults()


def customer(bench: Bench, name: str, *, tax_id: str = "") -> str:
    """A customer that stands in the ERP already."""
    place = {"addr1": "1 Long Lane", "city": "York", "country": {"id": "GB"}}
    body: dict[str, Any] = {
        "companyName": name,
        "isPerson": False,
        "subsidiary": {"id": "1"},
        "addressBook": {"items": [{"defaultBilling": True, "addressBookAddress": place}]},
    }
    if tax_id:
        body["vatRegNumber"] = tax_id
    return str(bench.control.create("erp", "customer", body)["id"])


def without_entity(bench: Bench) -> str:
    """A won deal that does not say which of our companies contracts. Returns the CRM's id."""
    deal_id = bench.deal(acts.SMALL)
    bench.control.patch("crm", "Opportunity", deal_id, {"Contracting_Entity__c": ""})
    bench.close(deal_id)
    bench.poll(("crm", "deal"))
    return deal_id


def case_of(key: str) -> Case:
    return Case.objects.filter(subject_key=key).latest("id")


def decide(case: Case, value: str, who: str, *, why: str = "") -> dict[str, Any]:
    person = acts.person(who)
    shown = triage_services.decision_preview(case=case, value=value, by=person)
    triage_services.case_decide(case=case, token=shown["token"], by=person, why=why)
    return shown


def test_of_two_records_with_one_tax_id_the_chosen_one_is_linked(bench: Bench):
    wrong, right = (
        customer(bench, "Duo Holdings", tax_id=TAX_ID),
        customer(bench, "Duo Trading", tax_id=TAX_ID),
    )
    before = bench.objects()
    account = bench.account(Tax_Id__c=TAX_ID)
    deal_id = bench.win(acts.SMALL, account=account)
    key = f"crm:{account}@erp"
    case = case_of(key)
    assert {one["external_id"] for one in triage.customer_candidates(case)} == {wrong, right}
    with pytest.raises(InvalidInput, match="would be a third"):
        triage_services.decision_preview(case=case, value="", by=acts.person("marta"))
    with pytest.raises(InvalidInput, match="Choose one of the records"):
        triage_services.decision_preview(case=case, value="999999", by=acts.person("marta"))
    shown = decide(case, right, "marta")
    assert shown["results"][0]["outcome"] == "clears"
    assert any("a person has chosen it" in action["why"] for action in shown["results"][0]["actions"])
    bench.settle()
    assert bench.cases(key) == [("CUS-DUP", "resolved")]
    assert bench.provisioning(deal_id).state == "succeeded", "who waited for the customer goes on"
    link = records.find_link("customer", f"crm:{account}", organization.system("erp").pk)
    assert (link.external_id, link.evidence["matched_by"]) == (right, "chosen")
    assert bench.objects()["erp customer"] == before["erp customer"], "linked, not created"
    case.refresh_from_db()
    assert (case.how, case.fixed_by) == ("manual", acts.person("marta"))
    said = Audit.objects.filter(verb="subject.decided", object_ref=key).latest("id")
    assert said.new["customer"] == {"external_id": right, "rejected": [wrong]}


def test_none_of_the_similar_ones_is_a_new_customer_with_a_reason(bench: Bench):
    account = bench.account(Name="Quillmark Advisory Services Ltd")
    customer(bench, "Quillmark Advisory Service Ltd")
    before = bench.objects()
    bench.win(acts.SMALL, account=account)
    key = f"crm:{account}@erp"
    case = case_of(key)
    assert (case.code, case.state) == ("CUS-DUP", "open")
    with pytest.raises(InvalidInput, match="Say why"):
        decide(case, "", "marta")
    assert Subject.objects.get(key=key).decisions == {}
    shown = decide(case, "", "marta", why="Another firm of nearly the same name.")
    assert any(action["operation"] == "create" for action in shown["results"][0]["actions"])
    bench.settle()
    assert bench.cases(key) == [("CUS-DUP", "resolved")]
    assert bench.objects()["erp customer"] == before["erp customer"] + 1


def test_a_missing_legal_entity_is_filled_in_until_the_source_says_another(bench: Bench):
    deal_id = without_entity(bench)
    key = f"crm:{deal_id}"
    case = case_of(key)
    assert (case.code, triage.editable_field(case)) == ("CUS-LE-MISSING", "legal_entity_code")
    with pytest.raises(InvalidInput, match="no active legal entity"):
        triage_services.decision_preview(case=case, value="NOWHERE", by=acts.person("owen"))
    shown = decide(case, "MER-UK", "owen", why="Agreed with sales by phone.")
    assert shown["wanted"]
    bench.settle()
    assert bench.cases(key) == [("CUS-LE-MISSING", "resolved")]
    assert bench.provisioning(deal_id).state == "succeeded"
    [edit] = triage.edits_of(case)
    assert (edit.old, edit.new, edit.by, edit.counts) == (
        "",
        "MER-UK",
        acts.person("owen").display_name,
        True,
    )
    bench.control.patch("crm", "Opportunity", deal_id, {"Contracting_Entity__c": "MER-US"})
    bench.poll(("crm", "deal"))
    assert not triage.edits_of(case)[0].counts, "the source is right"
    assert ("AMD-UNAPPROVED", "open") in bench.cases(key), "its own word is held like any change of terms"


def test_what_is_said_to_be_fixed_is_looked_up_before_it_counts(bench: Bench):
    deal_id = without_entity(bench)
    case, owen = case_of(f"crm:{deal_id}"), acts.person("owen")
    with pytest.raises(InvalidInput, match="has no deal with the id"):
        triage_services.case_assert(case=case, external_id="006000000000000", by=owen)
    with pytest.raises(WrongState, match="would still stop"):
        triage_services.case_assert(case=case, external_id=deal_id, by=owen)
    case.refresh_from_db()
    assert (case.state, case.fixed_by) == ("open", None)
    bench.control.patch("crm", "Opportunity", deal_id, {"Contracting_Entity__c": "MER-UK"})
    foreign = bench.deal(acts.SMALL)
    with pytest.raises(InvalidInput, match=f"{foreign} of .* is not what {case.ref} is about"):
        triage_services.case_assert(case=case, external_id=foreign, by=owen, why="Another client's.")
    case.refresh_from_db()
    assert (case.state, case.fixed_by) == ("open", None), "although the plan would clear by now"
    triage_services.case_assert(case=case, external_id=deal_id, by=owen, why="Sales has corrected it.")
    bench.settle()
    assert bench.cases(f"crm:{deal_id}") == [("CUS-LE-MISSING", "resolved")]
    assert bench.provisioning(deal_id).state == "succeeded"
    case.refresh_from_db()
    assert (case.how, case.fixed_by) == ("manual", owen)
    assert case.events.filter(note__contains=f"record {deal_id}. Sales has corrected it.").exists()


def test_of_a_customer_the_erp_record_that_the_plan_would_link_counts_and_no_other(bench: Bench):
    wrong, right = (
        customer(bench, "Trio Holdings", tax_id=TAX_ID_3),
        customer(bench, "Trio Trading", tax_id=TAX_ID_3),
    )
    account = bench.account(Tax_Id__c=TAX_ID_3)
    bench.win(acts.SMALL, account=account)
    case, marta = case_of(f"crm:{account}@erp"), acts.person("marta")
    bench.control.patch("erp", "customer", wrong, {"vatRegNumber": ""})
    foreign = customer(bench, "Quite Another Ltd")
    for other in (foreign, wrong):
        with pytest.raises(InvalidInput, match="is not what"):
            triage_services.case_assert(case=case, external_id=other, by=marta)
    triage_services.case_assert(case=case, external_id=right, by=marta, why="The other was a mistake.")
    bench.settle()
    assert bench.cases(f"crm:{account}@erp") == [("CUS-DUP", "resolved")]


def test_a_system_that_does_not_answer_proves_nothing(bench: Bench):
    deal_id = without_entity(bench)
    case = case_of(f"crm:{deal_id}")
    bench.control.fault("crm", "status", status=503, times=20)
    with pytest.raises(Unavailable, match="could not be asked"):
        triage_services.case_assert(case=case, external_id=deal_id, by=acts.person("owen"))
    assert case_of(f"crm:{deal_id}").state == "open"


def test_who_may_not_fix_may_not_decide_and_a_preview_is_one_persons(bench: Bench):
    deal_id = without_entity(bench)
    case = case_of(f"crm:{deal_id}")
    with pytest.raises(NotAllowed):
        triage_services.decision_preview(case=case, value="MER-UK", by=acts.person("anneke"))
    shown = triage_services.decision_preview(case=case, value="MER-UK", by=acts.person("owen"))
    with pytest.raises(PreviewExpired):
        triage_services.case_decide(case=case, token=shown["token"], by=acts.person("sofia"), why="Mine now.")
    decide(case, "MER-UK", "owen", why="First.")
    with pytest.raises(Stale):
        triage_services.case_decide(case=case, token=shown["token"], by=acts.person("owen"), why="Twice.")
