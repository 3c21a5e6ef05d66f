"""What the plan of a closed deal says: pure, no database, no network."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from apps.canonical.money import Money
from apps.canonical.objects import Address, Contract, DealLine, ScheduleEntry
from apps.commercial.services import terms_digest
from apps.sync.flows.deal import plan
from tests.sync.samples import Entity, customer, deal, gbp, snapshot

EURO_LINE = DealLine(
    key="L1", service_code="IMP-200", quantity=1, unit_price=Money.of(1, "EUR"), amount=Money.of(1, "EUR")
)
STATELESS = Address(line1="1 Road", city="Boston", postal_code="02110", country="US")


def codes(draft):
    return [problem.code for problem in draft.problems]


def test_a_healthy_deal_becomes_customer_engagement_rates_project_announcement_and_status():
    draft = plan(snapshot())
    assert codes(draft) == []
    assert [action.name for action in draft.actions] == [
        "customer", "engagement", "rate_card", "project", "announce", "crm.status",
    ]  # fmt: skip


def test_the_same_snapshot_gives_the_same_digest():
    assert plan(snapshot()).digest == plan(snapshot()).digest


def test_another_billing_code_gives_another_digest():
    other = {"IMP-200": SimpleNamespace(target="999", label="", mapping_id=7, confirmed=True)}
    assert plan(snapshot()).digest != plan(snapshot(services=other)).digest


def test_a_preview_with_a_proposed_mapping_has_the_digest_of_the_run_with_the_added_one():
    proposed = {"IMP-200": SimpleNamespace(target="503", label="", mapping_id=None, confirmed=False)}
    assert plan(snapshot(services=proposed)).digest == plan(snapshot()).digest


def test_a_deal_that_is_not_won_plans_nothing():
    draft = plan(snapshot(deal=deal(is_won=False, is_closed=False, stage="Negotiation")))
    assert (draft.actions, draft.problems) == ((), ())
    assert "Negotiation" in draft.summary


def test_an_unmapped_service_blocks_the_project_but_not_the_customer():
    draft = plan(snapshot(services={}))
    assert codes(draft) == ["DEAL-SVC-UNMAPPED"]
    assert draft.problems[0].value == "IMP-200"
    assert draft.problems[0].reason == (
        "Service IMP-200 “ERP implementation” was sold, but Merridane Consulting Ltd has no billing code for it."
    )
    assert [(action.name, action.kind) for action in draft.actions] == [
        ("customer", "child"),
        ("project", "blocked"),
    ]


def test_a_missing_purchase_order_is_said_only_once_the_services_are_mapped():
    needs_po = customer(po_required=True)
    assert codes(plan(snapshot(services={}, customer=needs_po))) == ["DEAL-SVC-UNMAPPED"]
    assert codes(plan(snapshot(customer=needs_po))) == ["CUS-PO-REQUIRED"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"start_on": None}, "DEAL-INCOMPLETE"),
        ({"schedule": ()}, "DEAL-INCOMPLETE"),
        ({"lines": ()}, "DEAL-INCOMPLETE"),
        ({"legal_entity_code": ""}, "CUS-LE-MISSING"),
        ({"amount": gbp("90100")}, "DEAL-TOTAL"),
        (
            {"contract": Contract(key="c", kind="SOW", status="draft", customer_key="crm:001A")},
            "DEAL-UNSIGNED",
        ),
        ({"lines": (EURO_LINE,)}, "DEAL-LINE-CCY"),
    ],
)
def test_a_faulty_deal_writes_nothing_at_all(change, code):
    draft = plan(snapshot(deal=deal(**change)))
    assert code in codes(draft)
    assert all(action.kind == "blocked" for action in draft.actions)


def test_a_closed_legal_entity_names_its_successor():
    closed = Entity(active=False, successor_id=2, successor=SimpleNamespace(name="Merridane Europe"))
    draft = plan(snapshot(entity=closed))
    assert codes(draft) == ["CUS-LE-INACTIVE"]
    assert "Merridane Europe" in draft.problems[0].reason


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tax_id": "GB123456789"}, "CUS-TAXID-INVALID"),
        ({"billing_address": Address(line1="1 Road", city="Leeds", country="GB")}, "CUS-ADDRESS"),
        ({"billing_address": STATELESS, "tax_id": ""}, "CUS-ADDRESS"),
    ],
)
def test_a_customer_that_cannot_be_billed_is_held_before_it_is_created(change, code):
    draft = plan(snapshot(customer=customer(**change)))
    assert codes(draft) == [code]
    assert [action.kind for action in draft.actions] == ["blocked"]


def test_a_vat_id_of_another_member_state_is_said_with_both_countries():
    berlin = Address(line1="1 Allee", city="Berlin", postal_code="10115", country="DE")
    draft = plan(snapshot(customer=customer(tax_id="FR40303265045", billing_address=berlin)))
    assert codes(draft) == ["CUS-TAXID-INVALID"]
    assert draft.problems[0].reason == (
        "“FR40303265045” of Corvane Insurance Ltd is no valid tax id of DE: "
        "a VAT id of DE begins with DE, not with FR."
    )


def test_a_greek_vat_id_begins_with_el():
    athens = Address(line1="1 Odos", city="Athens", postal_code="10431", country="GR")
    assert codes(plan(snapshot(customer=customer(tax_id="EL094259216", billing_address=athens)))) == []


def test_a_wrong_tax_id_of_our_own_entity_stops_its_deals():
    draft = plan(snapshot(entity=Entity(tax_id="GB123456789")))
    assert codes(draft) == ["CUS-TAXID-INVALID"]
    problem = draft.problems[0]
    assert (problem.step, problem.object_type, problem.value) == ("deal", "legal_entity", "GB123456789")
    assert "Merridane Consulting Ltd" in problem.reason


def test_terms_and_currency_unknown_to_the_erp_are_two_problems():
    draft = plan(snapshot(terms_known=False, currency_known=False))
    assert codes(draft) == ["CUS-CURRENCY", "CUS-TERMS"]


def test_a_schedule_that_does_not_add_up_says_both_sums():
    short = (ScheduleEntry(key="m1", label="Design", amount=gbp("30000"), trigger="acceptance"),)
    draft = plan(snapshot(deal=deal(schedule=short)))
    assert codes(draft) == ["BILL-SCHED-SUM"]
    assert "GBP 30,000.00" in draft.problems[0].reason
    assert "GBP 90,000.00" in draft.problems[0].reason


def test_time_without_any_rate_is_held():
    line = DealLine(
        key="L1", service_code="IMP-200", quantity=1, unit_price=gbp("90000"), amount=gbp("90000")
    )
    timed = deal(billing_model="time_and_materials", rates=(), schedule=(), lines=(line,))
    assert codes(plan(snapshot(deal=timed, rates_known=False))) == ["RES-ROLE-NO-RATE"]


def provisioned(**changes):
    engagement = SimpleNamespace(
        key="ENG-2026-000001", value=90000, state="active", po_number=deal().po_number, po_amount=None
    )
    values = {
        "engagement": engagement,
        "known_digest": terms_digest(deal()),
        "customer_linked": True,
        "project_linked": True,
        "status_sent": True,
    }
    return snapshot(**values | changes)


def test_the_same_deal_again_has_nothing_to_do():
    draft = plan(provisioned())
    assert {action.kind for action in draft.actions} == {"unchanged"}


def test_a_purchase_order_that_comes_or_is_raised_later_is_taken_over_without_a_change_order():
    ordered = deal(po_number="PO-9", po_amount=gbp("5000"))
    draft = plan(provisioned(deal=ordered))
    [step] = [action for action in draft.actions if action.kind != "unchanged"]
    assert step.name == "engagement.po"
    assert step.why == "The purchase order is PO-9 over GBP 5,000.00."
    same = SimpleNamespace(key="ENG-2026-000001", value=90000, po_number="PO-9", po_amount=gbp("5000").amount)
    again = plan(provisioned(deal=ordered, engagement=same))
    assert {action.kind for action in again.actions} == {"unchanged"}


def test_changed_terms_after_provisioning_are_held_and_never_overwritten():
    draft = plan(provisioned(known_digest="something else"))
    assert codes(draft) == ["AMD-UNAPPROVED"]
    assert [action.kind for action in draft.actions] == ["blocked"]


def test_a_deal_reopened_after_provisioning_is_a_case():
    reopened = replace(provisioned(), deal=deal(is_won=False, is_closed=False, stage="Negotiation"))
    assert codes(plan(reopened)) == ["DEAL-REOPENED"]


def test_a_deal_deleted_before_anything_was_made_of_it_is_no_case():
    assert plan(snapshot(deal=None)).problems == ()


def test_an_entity_without_systems_is_a_case_not_a_crash():
    draft = plan(snapshot(psa=None, billing_system=None))
    assert codes(draft) == ["CUS-LE-MISSING"]
    assert "a PSA, a billing platform" in draft.problems[0].reason
