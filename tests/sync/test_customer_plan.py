"""The plan of a customer: each rung of the match ladder, links, creation, several legal entities. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from apps.canonical.objects import Address
from apps.connectors.spi import Observed
from apps.governance.selectors import Ownership
from apps.sync.flows.base import Meta
from apps.sync.flows.customer import CustomerSnapshot, plan
from apps.sync.flows.matching import Candidate, normal_name, push_key
from tests.sync.samples import Entity, customer


def system(number: int, code: str) -> Any:
    return SimpleNamespace(id=number, code=code, name=code.upper())


def record(external_id: str = "77", name: str = "Corvane Insurance Ltd", **facts: Any) -> Observed:
    return Observed(
        "customer", external_id, customer(name=name), url=f"https://erp/{external_id}", facts=facts
    )


def candidate(rung: str, score: float, external_id: str = "77", name: str = "Corvane Ins.") -> Candidate:
    return Candidate(rung, score, external_id, name, "https://erp/77", inactive=False)


def snapshot(**changes: Any) -> CustomerSnapshot:
    values: dict[str, Any] = {
        "key": "crm:001A@erp",
        "as_of": datetime(2026, 11, 23, tzinfo=UTC),
        "meta": Meta(label="Corvane"),
        "customer": customer(),
        "crm": system(1, "crm"),
        "crm_id": "001A",
        "erp": system(2, "erp"),
        "billing_system": system(4, "billing"),
        "entities": (Entity(),),
        "settings": {"MER-UK": {"subsidiary": "1", "terms_id": "2", "currency_id": "1"}},
    }
    return CustomerSnapshot(**values | changes)


def steps(draft: Any) -> list[tuple[str, str]]:
    return [(action.name, action.kind) for action in draft.actions]


def codes(draft: Any) -> list[str]:
    return [problem.code for problem in draft.problems]


def test_a_customer_nobody_knows_is_created_everywhere_and_the_crm_is_told():
    draft = plan(snapshot())
    assert steps(draft) == [
        ("erp.customer", "push"),
        ("billing.customer", "push"),
        ("crm.customer_ref", "push"),
    ]
    assert draft.actions[0].key == "cus-crm-001A"
    assert draft.actions[0].link_key == "crm:001A"


@pytest.mark.parametrize(
    ("rung", "reason"),
    [("key", "external key"), ("claimed_id", "the CRM names"), ("tax_id", "same tax id")],
)
def test_one_exact_match_is_linked_and_says_why(rung, reason):
    draft = plan(snapshot(exact_rung=rung, exact=(record(subsidiaries=["1"]),)))
    first = draft.actions[0]
    assert (first.name, first.kind, first.external_id) == ("erp.customer", "link", "77")
    assert reason in first.why
    assert first.values == {"evidence": rung}
    assert codes(draft) == []


def test_two_records_of_one_tax_id_are_a_duplicate_for_a_person():
    draft = plan(snapshot(exact_rung="tax_id", exact=(record("77"), record("78", "Corvane Group"))))
    assert codes(draft) == ["CUS-DUP"]
    assert steps(draft) == [("erp.customer", "blocked")]
    ids = [one["external_id"] for one in draft.problems[0].params["candidates"]]
    assert ids == ["77", "78"]


def test_two_records_of_one_external_key_are_ambiguous():
    draft = plan(snapshot(exact_rung="key", exact=(record("77"), record("78"))))
    assert codes(draft) == ["CUS-AMBIG-EXTID"]
    found = draft.problems[0].params["candidates"]
    assert [(one["external_id"], one["rung"]) for one in found] == [("77", "key"), ("78", "key")]
    chosen = plan(snapshot(exact_rung="chosen", exact=(record("78"),)))
    assert (chosen.actions[0].kind, chosen.actions[0].external_id) == ("link", "78")


@pytest.mark.parametrize("rung", ["registration", "domain", "name"])
def test_a_similar_record_is_only_suggested(rung):
    draft = plan(snapshot(suggested=(candidate(rung, 93.0), candidate("name", 89.0, "78"))))
    assert codes(draft) == ["CUS-DUP"]
    problem = draft.problems[0]
    assert f"matches by {rung}, similarity 93 %" in problem.reason
    assert len(problem.params["candidates"]) == 2


def test_an_inactive_record_is_neither_used_nor_replaced():
    draft = plan(snapshot(exact_rung="tax_id", exact=(record(inactive=True),)))
    assert codes(draft) == ["CUS-INACTIVE"]
    assert steps(draft) == [("erp.customer", "blocked")]


def test_a_known_customer_has_nothing_to_do():
    draft = plan(
        snapshot(linked_id="77", linked=record(subsidiaries=["1"]), billing_id="cus_1", crm_knows=True)
    )
    assert {kind for _, kind in steps(draft)} == {"unchanged"}


def test_a_second_legal_entity_is_enabled_on_the_same_record():
    other = Entity(id=2, pk=2, code="MER-US", name="Merridane Inc.", currency="USD")
    both = {"MER-UK": {"subsidiary": "1"}, "MER-US": {"subsidiary": "2"}}
    draft = plan(
        snapshot(entities=(Entity(), other), settings=both, linked_id="77", linked=record(subsidiaries=["1"]))
    )
    enabled = [action for action in draft.actions if action.operation == "enable_entity"]
    assert [action.name for action in enabled] == ["erp.customer.MER-US"]
    assert enabled[0].link_key == "crm:001A@MER-US"


def test_a_new_customer_of_two_entities_is_created_for_the_first_and_enabled_for_the_second():
    other = Entity(id=2, pk=2, code="MER-US", name="Merridane Inc.", currency="USD")
    both = {"MER-UK": {"subsidiary": "1"}, "MER-US": {"subsidiary": "2"}}
    draft = plan(snapshot(entities=(Entity(), other), settings=both))
    assert steps(draft)[:2] == [("erp.customer", "push"), ("erp.customer.MER-US", "push")]


def test_a_vanished_account_is_a_case():
    draft = plan(snapshot(customer=None))
    assert codes(draft) == ["DEAL-INCOMPLETE"]
    assert steps(draft) == [("customer", "blocked")]


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("Corvane Insurance Ltd.", "corvane insurance"),
        ("CORVANE  INSURANCE, PLC", "corvane insurance"),
        ("Tolvane GmbH & Co", "tolvane co"),
    ],
)
def test_legal_forms_and_punctuation_do_not_hide_a_match(name, normal):
    assert normal_name(name) == normal


def test_our_key_keeps_to_the_letters_that_every_vendor_takes():
    assert push_key("crm:001/Ä x") == "cus-crm-001---x"


CRM_IS_RIGHT = Ownership("crm", "overwrite", 4, 1)
ERP_IS_RIGHT = Ownership("erp", "hold", 5, 1)
#: As a new installation has it: sales knows name and whereabouts, the ledger knows tax and money.
OWNERS = {
    "name": CRM_IS_RIGHT,
    "tax_id": ERP_IS_RIGHT,
    "registration_number": ERP_IS_RIGHT,
    "email": CRM_IS_RIGHT,
    "phone": CRM_IS_RIGHT,
    "website": CRM_IS_RIGHT,
    "billing_address": CRM_IS_RIGHT,
}
LEEDS = Address(line1="4 Reservoir Row", city="Leeds", postal_code="LS1 4AB", country="GB")


def known(erp: dict[str, Any] | None = None, owners: dict[str, Any] | None = None, **crm: Any) -> Any:
    """A customer known everywhere; ``erp`` is what its record there shows differently, ``crm`` what the CRM says."""
    shown = Observed("customer", "77", customer(**(erp or {})), facts={"subsidiaries": ["1"]})
    return snapshot(
        customer=customer(**crm),
        linked_id="77",
        linked=shown,
        billing_id="cus_1",
        crm_knows=True,
        owners=OWNERS if owners is None else owners,
    )


def updates(draft: Any) -> list[Any]:
    return [action for action in draft.actions if action.operation == "update"]


def test_what_the_crm_owns_and_has_changed_is_written_to_the_known_record():
    draft = plan(known(billing_address=LEEDS, phone="+44 113 496 0000"))
    [update] = updates(draft)
    assert (update.name, update.kind, update.system, update.external_id) == (
        "erp.customer_update",
        "push",
        "erp",
        "77",
    )
    assert update.fields == ("phone", "billing_address")
    phone, address = update.changes
    assert phone == {"field": "phone", "old": "", "new": "+44 113 496 0000"}
    assert (address["old"]["city"], address["new"]["city"]) == ("London", "Leeds")
    assert "customer.billing_address: crm, overwrite (rule 4)" in update.rule
    assert "the telephone number, the billing address of Corvane" in update.why
    assert update.canonical().billing_address == LEEDS


def test_a_record_that_was_just_matched_is_linked_and_corrected():
    seen = record(name="Corvane Insurance (old)", subsidiaries=["1"])
    draft = plan(snapshot(exact_rung="tax_id", exact=(seen,), owners=OWNERS))
    assert steps(draft)[:2] == [("erp.customer", "link"), ("erp.customer_update", "push")]
    assert updates(draft)[0].fields == ("name",)


@pytest.mark.parametrize(
    ("erp", "crm"),
    [
        ({"email": "AP@Corvane.example"}, {"email": "ap@corvane.example"}),
        ({"website": "corvane.example"}, {"website": "https://www.Corvane.example/"}),
        ({"phone": "+44 20 7946 0000"}, {"phone": "+44 (20) 7946-0000"}),
        ({"name": "Corvane  Insurance Ltd "}, {"name": "Corvane Insurance Ltd"}),
        (
            {"billing_address": LEEDS.model_copy(update={"line1": "4 reservoir row, Floor 2"})},
            {"billing_address": LEEDS.model_copy(update={"line2": "Floor 2", "postal_code": "ls14ab"})},
        ),
    ],
)
def test_what_is_only_written_differently_is_no_difference(erp, crm):
    assert {kind for _, kind in steps(plan(known(erp, **crm)))} == {"unchanged"}


@pytest.mark.parametrize(
    "crm",
    [
        {"tax_id": "GB239529827"},
        {"payment_terms": "Net 60"},
        {"currency": "EUR"},
        {"registration_number": "0815"},
        {"status": "inactive"},
    ],
)
def test_what_the_erp_owns_is_left_alone(crm):
    assert updates(plan(known(**crm))) == []


@pytest.mark.parametrize("policy", ["hold", "ask"])
def test_where_a_person_decides_nothing_is_written(policy):
    owners = OWNERS | {"name": Ownership("crm", policy, 6, 1)}
    assert updates(plan(known(owners=owners, name="Corvane Group"))) == []


def test_without_a_rule_nobody_may_overwrite():
    assert updates(plan(known(owners={}, name="Corvane Group"))) == []


def test_terms_stay_the_erps_whatever_the_rules_say():
    owners = OWNERS | {"payment_terms": CRM_IS_RIGHT, "currency": CRM_IS_RIGHT}
    assert updates(plan(known(owners=owners, payment_terms="Net 60", currency="EUR"))) == []


def test_silence_and_half_an_address_take_nothing_away():
    erp = {"email": "ap@corvane.example", "phone": "1", "website": "corvane.example"}
    half = Address(line1="4 Reservoir Row", country="GB")
    assert updates(plan(known(erp, email="", phone="", website="", billing_address=half))) == []


def test_a_tax_id_that_the_crm_owns_is_written_only_if_it_is_one():
    owners = OWNERS | {"tax_id": CRM_IS_RIGHT}
    assert updates(plan(known(owners=owners, tax_id="GB123456789"))) == []
    [update] = updates(plan(known(owners=owners, tax_id="GB239529827")))
    assert update.fields == ("tax_id",)
    assert updates(plan(known({"tax_id": "123 4567 82"}, owners=owners))) == [], "its prefix is no difference"


def test_a_person_decides_about_the_customer_before_anything_of_it_is_written():
    inactive = Observed("customer", "77", customer(), facts={"inactive": True})
    draft = plan(snapshot(linked_id="77", linked=inactive, owners=OWNERS, customer=customer(name="Other")))
    assert codes(draft) == ["CUS-INACTIVE"]
    assert updates(draft) == []
