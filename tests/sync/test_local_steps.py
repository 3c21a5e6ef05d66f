"""Steps on our own records: each may run again after a crash and then changes nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import time_machine

from apps.billing import selectors as billing
from apps.commercial import selectors as commercial
from apps.core import clock, hooks
from apps.core.errors import NotFound
from apps.governance.models import Mapping
from apps.journal import selectors as journal
from apps.sync import locals, mappings, queue
from tests.billing import world
from tests.commercial import world as deals
from tests.people import hire

pytestmark = pytest.mark.django_db
TYPE = "psasync.engagement.provisioned.v1"


@pytest.fixture(autouse=True)
def november() -> Iterator[None]:
    """Monday the 23rd, nine in the morning: the dated instalment is due."""
    with time_machine.travel(datetime(2026, 11, 23, 9, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def transaction():
    return queue.enqueue(kind="deal", key="crm:006A", flow="deal.provision", trigger="test")


def opened(transaction, firm) -> str:
    world.customer(firm)
    locals.run(
        transaction,
        "engagement_open",
        {
            "deal": deals.deal().model_dump(mode="json"),
            "legal_entity_id": firm.entity.id,
            "lines": deals.lines(),
        },
    )
    return commercial.engagement_by_deal("crm:006A").key


def test_an_engagement_is_opened_once_and_known_to_its_transaction(transaction):
    firm = world.firm()
    key = opened(transaction, firm)
    assert opened(transaction, firm) == key
    transaction.refresh_from_db()
    assert transaction.engagement_key == key
    assert commercial.current_terms(key).number == 0


def test_opening_for_billing_asks_for_what_was_delivered(transaction):
    key = opened(transaction, world.firm())
    result = locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": []})
    assert result.follow == (("delivery", key, "delivery.sync"),)
    assert commercial.engagement(key).state == "active"
    locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": []})
    assert commercial.engagement(key).state == "active"


def test_a_mapping_that_awaits_confirmation_holds_posting_once(transaction):
    key = opened(transaction, world.firm())
    for _ in range(2):
        locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": [7]})
    holds = billing.engagement_holds(key)
    assert [(hold.level, hold.source_ref) for hold in holds] == [("posting", "mapping:7")]


def test_an_engagement_is_announced_once_however_often_the_step_runs(transaction):
    key = opened(transaction, world.firm())
    for _ in range(3):
        locals.run(transaction, "announce_engagement", {"deal_key": "crm:006A", "event_type": TYPE})
    announced = journal.announced(subject=key, type=TYPE)
    assert len(announced) == 1


def test_readiness_tells_its_problems_beside_the_run_and_drafts_once(transaction):
    key = world.engagement(world.firm())

    def look(evidence: str) -> locals.Result:
        body = world.milestone(key, evidence=evidence).model_dump(mode="json")
        seen = {"engagement_key": key, "milestones": [body], "entries": [], "gone": [], "full": False}
        locals.run(transaction, "billing_observe", seen)
        return locals.run(transaction, "billing_ready", {"engagement_key": key})

    assert [problem.code for problem in look("").problems] == ["MS-NO-EVIDENCE"]
    fixed = look("CERT-1")
    assert fixed.problems == ()
    assert fixed.message.startswith("Drafted on PB-")
    assert look("CERT-1").message == "Nothing new to bill."


def test_a_full_reading_takes_away_what_is_gone_and_is_remembered_with_its_beginning(transaction):
    key = world.time_and_materials(world.firm())
    entry = world.hours(key, 1, "8").model_dump(mode="json")
    seen = {"engagement_key": key, "milestones": [], "entries": [entry], "gone": [], "full": False}
    locals.run(transaction, "billing_observe", seen)
    assert billing.source_read_at(key) is None
    transaction.started_at = clock.now()
    locals.run(transaction, "billing_observe", seen | {"entries": [], "gone": ["psa:time:1"], "full": True})
    assert billing.sources_in_use(key)["time_entry"] == set()
    assert billing.source_read_at(key) == transaction.started_at


def test_an_unknown_step_is_a_mistake_of_ours(transaction):
    with pytest.raises(KeyError):
        locals.run(transaction, "no_such_step", {})


def test_a_step_for_an_engagement_that_is_not_there_is_refused(transaction):
    with pytest.raises(NotFound):
        locals.run(transaction, "engagement_activate", {"engagement_key": "ENG-0", "unconfirmed": []})


def mapping(
    state: str, *, kind: str = "service_item", source: str = "AIR-510", target: str = "77"
) -> Mapping:
    return Mapping.objects.create(
        kind=kind,
        source=source,
        target=target,
        state=state,
        confirmed_by=hire("carla") if state == "confirmed" else None,
        created_at=clock.now(),
    )


def test_a_mapping_confirmed_before_the_engagement_opens_for_billing_holds_nothing(transaction):
    """Its review ended between the plan and this step: nobody would ever lift the hold again."""
    key = opened(transaction, world.firm())
    done = mapping("confirmed")
    locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": [done.pk]})
    assert not billing.engagement_holds(key)


@pytest.mark.parametrize("state", ["rejected", "retired"])
def test_a_mapping_refused_before_the_engagement_opens_for_billing_keeps_its_drafts(transaction, state):
    key = opened(transaction, world.firm())
    refused = mapping(state)
    locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": [refused.pk]})
    [hold] = billing.engagement_holds(key)
    assert (hold.level, "refused or replaced" in hold.reason) == ("posting", True)


def test_a_refusal_after_provisioning_keeps_the_hold_and_says_so(transaction):
    key = opened(transaction, world.firm())
    waiting = mapping("effective")
    locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": [waiting.pk]})
    assert "awaits the controller" in billing.engagement_holds(key)[0].reason
    hooks.mappings_settled.deliver(
        "apps.billing.receivers.on_mappings_settled", [{"mapping_id": waiting.pk, "state": "rejected"}]
    )
    [hold] = billing.engagement_holds(key)
    assert (hold.lifted_at, "refused or replaced" in hold.reason) == (None, True)


@pytest.mark.parametrize(("kind", "source"), [("currency", "GBP"), ("payment_terms", "Net 30")])
def test_whatever_is_translated_with_an_unconfirmed_mapping_waits(transaction, kind, source):
    """Not only billing codes: the deal's currency and terms go into customer, project and invoice."""
    key = opened(transaction, world.firm())
    waiting = mapping("effective", kind=kind, source=source)
    locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": []})
    assert held_by(key) == [("posting", f"mapping:{waiting.pk}")]


def held_by(key: str) -> list[tuple[str, str]]:
    return [(hold.level, hold.source_ref) for hold in billing.engagement_holds(key)]


def test_the_customers_own_terms_and_currency_count_too(transaction):
    firm = world.firm()
    key = opened(transaction, firm)
    world.customer(firm, payment_terms="Net 45", currency="EUR")
    used = [
        mapping("effective", kind="payment_terms", source="Net 45"),
        mapping("effective", kind="currency", source="EUR"),
    ]
    mapping("effective", kind="currency", source="USD")
    assert mappings.in_use(key).unconfirmed == tuple(sorted(one.pk for one in used))


def test_a_mapping_that_comes_into_use_later_holds_the_next_draft_until_it_is_out_of_use_again(transaction):
    firm = world.firm()
    key = world.engagement(firm)
    later = mapping("effective", kind="payment_terms", source="Net 45")

    def look() -> list[tuple[str, str]]:
        locals.run(transaction, "billing_ready", {"engagement_key": key})
        return held_by(key)

    assert look() == []
    world.customer(firm, payment_terms="Net 45")
    assert look() == [("posting", f"mapping:{later.pk}")]
    assert look() == [("posting", f"mapping:{later.pk}")], "once"
    world.customer(firm, payment_terms="Net 30")
    assert look() == []


def test_a_refused_mapping_holds_until_its_value_has_another_partner(transaction):
    firm = world.firm()
    key = world.engagement(firm)
    world.customer(firm, payment_terms="Net 45")
    wrong = mapping("effective", kind="payment_terms", source="Net 45")
    locals.run(transaction, "billing_ready", {"engagement_key": key})
    Mapping.objects.filter(pk=wrong.pk).update(state="rejected")
    for _ in range(2):
        locals.run(transaction, "billing_ready", {"engagement_key": key})
        assert held_by(key) == [("posting", f"mapping:{wrong.pk}")]
    mapping("confirmed", kind="payment_terms", source="Net 45", target="78")
    locals.run(transaction, "billing_ready", {"engagement_key": key})
    assert held_by(key) == []


def test_a_refused_billing_code_keeps_its_drafts_whatever_is_mapped_later(transaction):
    """It was copied into the terms: another mapping of the service does not change what is billed."""
    firm = world.firm()
    world.customer(firm)
    refused = mapping("rejected")
    lines = deals.lines()
    lines[0] |= {"mapping_id": refused.pk, "mapping_confirmed": False}
    body = {"deal": deals.deal().model_dump(mode="json"), "legal_entity_id": firm.entity.id, "lines": lines}
    locals.run(transaction, "engagement_open", body)
    key = commercial.engagement_by_deal("crm:006A").key
    mapping("confirmed", target="78")
    locals.run(transaction, "engagement_activate", {"engagement_key": key, "unconfirmed": []})
    locals.run(transaction, "billing_ready", {"engagement_key": key})
    assert held_by(key) == [("posting", f"mapping:{refused.pk}")]
