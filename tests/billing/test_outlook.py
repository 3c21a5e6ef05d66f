"""The look ahead says before anything is written what readiness says afterwards, and writes nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from apps.billing import services
from apps.billing.models import BillableItem, BillingAccount, Prebill, PrebillLine
from apps.canonical.objects import Address
from apps.commercial import services as commercial
from apps.governance.selectors import ProposedMapping
from tests.billing import world
from tests.commercial.world import capped, deal, lines, money

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("november")]
#: The key of an engagement, and what the project system shows of it then: milestones, time entries, what is gone (if any).
Story = Callable[[], tuple[Any, ...]]


def ready(key: str) -> None:
    """As the engine does it: readiness, then the draft."""
    services.readiness(key)
    services.prebill_draft(engagement_key=key)


def signed(firm: world.Firm, key: str) -> None:
    prebill = Prebill.objects.get(engagement_key=key)
    for person in (firm.pm, firm.controller):
        prebill.refresh_from_db()
        services.prebill_approve(prebill=prebill, by=person, digest=prebill.digest)


def no_evidence() -> tuple[str, list[Any], list[Any]]:
    key = world.engagement(world.firm())
    return key, [world.milestone(key, evidence="")], []


def certified() -> tuple[str, list[Any], list[Any]]:
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key, evidence=""))
    ready(key)
    return key, [world.milestone(key)], []


def other_amount() -> tuple[str, list[Any], list[Any]]:
    key = world.engagement(world.firm())
    return key, [world.milestone(key, amount="51000")], []


def not_in_the_contract() -> tuple[str, list[Any], list[Any]]:
    key = world.engagement(world.firm())
    return key, [world.milestone(key, key="elsewhere", name="A surprise")], []


def found_by_its_name() -> tuple[str, list[Any], list[Any]]:
    key = world.engagement(world.firm())
    return key, [world.milestone(key, key="theirs", evidence="")], []


def signed_and_changed() -> tuple[str, list[Any], list[Any]]:
    firm = world.firm()
    key = world.engagement(firm)
    services.milestone_observe(milestone=world.milestone(key))
    ready(key)
    signed(firm, key)
    return key, [world.milestone(key, amount="51000")], []


def signed_and_changed_back() -> tuple[str, list[Any], list[Any]]:
    key, [changed], _ = signed_and_changed()
    services.milestone_observe(milestone=changed)
    ready(key)
    return key, [world.milestone(key)], []


def no_purchase_order() -> tuple[str, list[Any], list[Any]]:
    firm = world.firm()
    key = world.engagement(firm, po_number="")
    world.customer(firm, po_required=True)
    return key, [world.milestone(key)], []


def no_tax_code() -> tuple[str, list[Any], list[Any]]:
    firm = world.firm()
    key = world.engagement(firm)
    world.customer(firm, billing_address=Address(country="US"))
    return key, [world.milestone(key)], []


def held_elsewhere() -> tuple[str, list[Any], list[Any]]:
    key, milestones, entries = no_evidence()
    entity_id = BillingAccount.objects.get(engagement_key=key).legal_entity_id
    services.place_hold(
        engagement_key=key,
        legal_entity_id=entity_id,
        level="billing",
        reason="A dispute.",
        source_ref="case:1",
    )
    return key, milestones, entries


def nobody_priced_it() -> tuple[str, list[Any], list[Any]]:
    key = world.time_and_materials(world.firm())
    return (
        key,
        [],
        [world.hours(key, 1), world.hours(key, 2, role="Wizard"), world.hours(key, 3, role="Wizard")],
    )


def not_approved() -> tuple[str, list[Any], list[Any]]:
    key = world.time_and_materials(world.firm())
    return key, [], [world.hours(key, n, status="submitted", approved_at=None) for n in (1, 2)]


def approved_meanwhile() -> tuple[str, list[Any], list[Any]]:
    key, _, entries = not_approved()
    for entry in entries:
        services.time_observe(entry=entry)
    ready(key)
    return key, [], [world.hours(key, 1)]


def rejected_meanwhile() -> tuple[str, list[Any], list[Any]]:
    key, _, [entry, other] = not_approved()
    services.time_observe(entry=entry)
    ready(key)
    return key, [], [world.hours(key, 1, status="rejected", approved_at=None), other]


def over_the_cap() -> tuple[str, list[Any], list[Any]]:
    """195 × 7.5 = 1,462.50 an entry: the second one crosses 2,000, the third is above."""
    key = world.time_and_materials(world.firm(), contract=capped("2000"))
    return key, [], [world.hours(key, n, worked_on=date(2026, 10, n)) for n in (1, 2, 3)]


def drafted_up_to_the_cap() -> tuple[str, list[Any], list[Any]]:
    key, _, entries = over_the_cap()
    for entry in entries:
        services.time_observe(entry=entry)
    ready(key)
    return key, [], [world.hours(key, 4)]


def the_entry_cut_at_the_cap_shrinks() -> tuple[str, list[Any], list[Any]]:
    key, _, _ = drafted_up_to_the_cap()
    return key, [], [world.hours(key, 2, amount="1", worked_on=date(2026, 10, 2))]


def a_drafted_entry_leaves_room_under_the_cap() -> tuple[str, list[Any], list[Any]]:
    key, _, _ = drafted_up_to_the_cap()
    return key, [], [world.hours(key, 1, worked_on=date(2026, 10, 1), billable=False)]


def billed_before_go_live() -> tuple[str, list[Any], list[Any]]:
    key, milestones, entries = over_the_cap()
    services.opening_set(engagement_key=key, billed=money("1900"))
    return key, milestones, entries


def signed_time_was_edited() -> tuple[str, list[Any], list[Any]]:
    firm = world.firm()
    key = world.time_and_materials(firm)
    services.time_observe(entry=world.hours(key, 1))
    ready(key)
    signed(firm, key)
    return key, [], [world.hours(key, 1, amount="3"), world.hours(key, 2, role="Wizard")]


def a_milestone_above_the_cap() -> tuple[str, list[Any], list[Any]]:
    key = world.engagement(world.firm(), contract=capped("30000"))
    services.milestone_observe(milestone=world.milestone(key))
    ready(key)
    return key, [world.milestone(key, evidence="CERT-2")], []


def milestone_deleted() -> tuple[Any, ...]:
    key = world.engagement(world.firm())
    services.milestone_observe(milestone=world.milestone(key))
    ready(key)
    return key, [], [], [services.milestone_key(key, "S1")]


def milestone_undeleted() -> tuple[Any, ...]:
    key, _, _, gone = milestone_deleted()
    services.sources_gone(engagement_key=key, keys=gone)
    ready(key)
    return key, [world.milestone(key, evidence="")], []


def milestone_cut_at_the_cap_deleted() -> tuple[Any, ...]:
    key, _, _ = a_milestone_above_the_cap()
    return key, [], [], [services.milestone_key(key, "S1")]


def surprise_deleted() -> tuple[Any, ...]:
    key, milestones, _ = not_in_the_contract()
    return key, milestones, [], ["elsewhere"]


def signed_milestone_deleted() -> tuple[Any, ...]:
    key, _, _ = signed_and_changed()
    return key, [], [], [services.milestone_key(key, "S1")]


def drafted_entry_deleted_under_the_cap() -> tuple[Any, ...]:
    """The entry cut at the cap, and the one above it, get the room that it leaves."""
    key, _, _ = drafted_up_to_the_cap()
    return key, [], [world.hours(key, 4)], ["psa:time:1"]


def entry_cut_at_the_cap_deleted() -> tuple[Any, ...]:
    key, _, _ = drafted_up_to_the_cap()
    return key, [], [], ["psa:time:2", "psa:time:3"]


def signed_time_deleted() -> tuple[Any, ...]:
    key, _, _ = signed_time_was_edited()
    return key, [], [], ["psa:time:1"]


def signed_time_deleted_and_back() -> tuple[Any, ...]:
    key, _, _, gone = signed_time_deleted()
    services.sources_gone(engagement_key=key, keys=gone)
    return key, [], [world.hours(key, 1)]


def from_another_draft_under_the_cap() -> tuple[Any, ...]:
    """Four entries of 1,462.50 fit under 6,000, one of them moved here from another draft; the fifth does not."""
    firm = world.firm()
    former = world.time_and_materials(firm, key="crm:006B", contract=capped("1000"))
    services.time_observe(entry=world.hours(former, 9))
    ready(former)
    key = world.time_and_materials(firm, contract=capped("6000"))
    for number in (1, 2, 3):
        services.time_observe(entry=world.hours(key, number))
    ready(key)
    return key, [], [world.hours(key, 9), world.hours(key, 5)]


def signed_elsewhere() -> tuple[Any, ...]:
    """It stays where it was billed, and counts against no cap here."""
    firm = world.firm()
    former = world.time_and_materials(firm, key="crm:006B")
    services.time_observe(entry=world.hours(former, 9))
    ready(former)
    signed(firm, former)
    key = world.time_and_materials(firm, contract=capped("1500"))
    return key, [], [world.hours(key, 9), world.hours(key, 1)]


def signed_and_moved_away() -> tuple[Any, ...]:
    firm = world.firm()
    former = world.time_and_materials(firm, key="crm:006B")
    services.time_observe(entry=world.hours(former, 9))
    ready(former)
    signed(firm, former)
    services.time_observe(entry=world.hours(world.time_and_materials(firm), 9))
    return former, [], [], ["psa:time:9"]


STORIES: list[tuple[Story, set[str]]] = [
    (no_evidence, {"MS-NO-EVIDENCE"}),
    (certified, set()),
    (other_amount, {"MS-CHANGED"}),
    (not_in_the_contract, {"BILL-RULE-MISSING"}),
    (found_by_its_name, {"MS-NO-EVIDENCE"}),
    (signed_and_changed, {"MS-CHANGED"}),
    (signed_and_changed_back, set()),
    (no_purchase_order, {"CUS-PO-REQUIRED"}),
    (no_tax_code, {"TAX-CODE"}),
    (held_elsewhere, {"MS-NO-EVIDENCE"}),
    (nobody_priced_it, {"RES-ROLE-NO-RATE"}),
    (not_approved, {"TIME-UNAPPROVED"}),
    (approved_meanwhile, {"TIME-UNAPPROVED"}),
    (rejected_meanwhile, {"TIME-UNAPPROVED"}),
    (over_the_cap, {"CAP-EXCEEDED"}),
    (drafted_up_to_the_cap, {"CAP-EXCEEDED"}),
    (the_entry_cut_at_the_cap_shrinks, {"CAP-EXCEEDED"}),
    (a_drafted_entry_leaves_room_under_the_cap, {"CAP-EXCEEDED"}),
    (billed_before_go_live, {"CAP-EXCEEDED"}),
    (signed_time_was_edited, {"TIME-EDITED", "RES-ROLE-NO-RATE"}),
    (a_milestone_above_the_cap, {"CAP-EXCEEDED"}),
    (milestone_deleted, {"MS-CHANGED"}),
    (milestone_undeleted, {"MS-NO-EVIDENCE"}),
    (milestone_cut_at_the_cap_deleted, {"MS-CHANGED", "CAP-EXCEEDED"}),
    (surprise_deleted, set()),
    (signed_milestone_deleted, {"MS-CHANGED"}),
    (drafted_entry_deleted_under_the_cap, {"CAP-EXCEEDED"}),
    (entry_cut_at_the_cap_deleted, set()),
    (signed_time_deleted, {"TIME-EDITED"}),
    (signed_time_deleted_and_back, set()),
    (from_another_draft_under_the_cap, {"CAP-EXCEEDED"}),
    (signed_elsewhere, {"CAP-NEAR"}),
    (signed_and_moved_away, {"TIME-EDITED"}),
]


def everything() -> list[Any]:
    """What a look ahead must leave as it is."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (BillableItem, BillingAccount, Prebill, PrebillLine)
    ]


@pytest.mark.parametrize(("story", "codes"), STORIES, ids=lambda one: getattr(one, "__name__", ""))
def test_the_look_ahead_tells_what_readiness_tells_afterwards(story: Story, codes: set[str]):
    key, milestones, entries, *rest = story()
    gone = [key for keys in rest for key in keys]
    before = everything()
    ahead = services.outlook(key, keys=[entry.key for entry in entries])
    told = ahead.problems(milestones, entries, gone)
    assert ahead.problems(milestones, entries, gone) == told, "the same question has the same answer"
    assert everything() == before
    for milestone in milestones:
        services.milestone_observe(milestone=milestone)
    for entry in entries:
        services.time_observe(entry=entry)
    services.sources_gone(engagement_key=key, keys=gone)
    results = services.readiness(key)
    found = [*services.problems(results), *services.limits(key, results)]
    assert told == found
    assert {problem["code"] for problem in found} == codes


def test_an_engagement_that_nobody_has_looked_at_yet_can_be_looked_ahead_of():
    firm = world.firm()
    world.customer(firm)
    opened = commercial.engagement_open(deal=deal(), legal_entity=firm.entity, lines=lines())
    assert services.outlook(opened.key).problems([], []) == []
    assert not BillingAccount.objects.exists()


def test_a_proposed_tax_code_is_seen_by_the_look_ahead_alone():
    key, milestones, _ = no_tax_code()
    entity = BillingAccount.objects.get(engagement_key=key).legal_entity
    proposed = ProposedMapping("tax_code", entity.pk, "out_of_scope", "77")
    assert services.outlook(key, overlay=[proposed]).problems(milestones, []) == []
    assert [one["code"] for one in services.outlook(key).problems(milestones, [])] == ["TAX-CODE"]
