"""The plan of a customer: each rung of the match ladder, links, creation, several legal entities. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from apps.connectors.spi import Observed
from apps.sync.flows.base import Meta
from apps.sync.flows.customer import Candidate, CustomerSnapshot, normal_name, plan, push_key
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


@pytest.mark.parametrize("rung", ["registration", "domain", "name"])
def test_a_similar_record_is_only_suggested(rung):
    draft = plan(snapshot(suggested=(candidate(rung, 93.0), candidate("name", 89.0, "78"))))
    assert codes(draft) == ["CUS-DUP"]
    problem = draft.problems[0]
    assert f"matches by {rung}, similarity 93 %" in problem.reason
    assert len(problem.params["candidates"]) == 2


def test_what_a_person_chose_is_linked():
    draft = plan(snapshot(linked=record(subsidiaries=["1"])))
    assert draft.actions[0].kind == "link"
    assert "a person chose it" in draft.actions[0].why


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
