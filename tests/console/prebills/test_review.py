"""Prebill: the project manager signs what was shown, then finance; sending back says why; disabled says why."""

from __future__ import annotations

import pytest

from apps.billing import selectors as billing
from apps.billing import services as billing_services
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of
from tests.people import hire


@pytest.fixture
def bill(world):
    return world.prebill(world.engagement())


def _state(bill) -> str:
    return billing.prebill(bill.ref).state


def test_the_page_shows_lines_with_their_source_and_the_totals(bill, signed_in):
    page = text_of(signed_in("carla").get(f"/prebills/{bill.ref}/"))
    for words in (
        "Design",
        "Milestone",
        "Kick-off fee",
        "Instalment",
        "GBP 120,000.00",
        "Total as expected",
        "GBP 144,000.00",
    ):
        assert words in page


def test_what_waits_for_me_comes_first(bill, signed_in):
    assert "Waiting for you" in text_of(signed_in("pavel").get("/prebills/"))
    assert "Waiting for you" not in text_of(signed_in("carla").get("/prebills/"))


def test_project_manager_then_finance_approve_and_it_is_released(bill, signed_in):
    answer = signed_in("pavel").post(
        f"/prebills/{bill.ref}/approve", {"digest": bill.digest, "comment": "ok"}, follow=True
    )
    assert "now waits for finance" in text_of(answer)
    assert _state(bill) == "pm_approved"
    answer = signed_in("carla").post(f"/prebills/{bill.ref}/approve", {"digest": bill.digest}, follow=True)
    assert "is approved and will be posted" in text_of(answer)
    assert _state(bill) == "approved"


def test_finance_cannot_sign_in_the_place_of_the_project_manager(bill, signed_in):
    client = signed_in("carla")
    assert client.post(f"/prebills/{bill.ref}/approve", {"digest": bill.digest}).status_code == 403
    page = text_of(client.get(f"/prebills/{bill.ref}/"))
    assert "You may not approve prebills for delivery here. Ask Pavel Horak." in page
    assert _state(bill) == "draft"


def test_lines_that_changed_since_they_were_shown_are_not_signed(bill, signed_in):
    answer = signed_in("pavel").post(f"/prebills/{bill.ref}/approve", {"digest": "0" * 64})
    assert answer.status_code == 409
    assert "changed after you opened it" in text_of(answer)
    assert _state(bill) == "draft"


def test_a_hold_keeps_finance_from_releasing_and_says_why(bill, world, signed_in):
    signed_in("pavel").post(f"/prebills/{bill.ref}/approve", {"digest": bill.digest})
    billing_services.place_hold(
        engagement_key=bill.engagement_key,
        legal_entity_id=world.uk.pk,
        level="posting",
        reason="AIR-510 means 4010: the mapping is not confirmed.",
        source_ref="mapping:1",
    )
    client = signed_in("carla")
    page = client.get(f"/prebills/{bill.ref}/").content.decode()
    assert "the mapping is not confirmed." in page
    assert 'disabled aria-describedby="why-approve"' in page
    assert client.post(f"/prebills/{bill.ref}/approve", {"digest": bill.digest}).status_code == 409
    assert _state(bill) == "pm_approved"


def test_sending_back_needs_a_reason_and_submitting_again_an_answer(bill, signed_in):
    pavel, ana = signed_in("pavel"), signed_in("ana")
    assert pavel.post(f"/prebills/{bill.ref}/send-back", {"reason": ""}).status_code == 400
    pavel.post(f"/prebills/{bill.ref}/send-back", {"reason": "Client wants two invoices"})
    assert _state(bill) == "sent_back"
    assert "Client wants two invoices" in text_of(ana.get(f"/prebills/{bill.ref}/"))
    assert ana.post(f"/prebills/{bill.ref}/submit", {"reason": ""}).status_code == 400
    ana.post(f"/prebills/{bill.ref}/submit", {"reason": "Agreed on one"})
    assert _state(bill) == "draft"


def test_a_prebill_outside_the_scope_does_not_exist(bill, world, signed_in):
    elsewhere = signed_in("ana", world.be)
    hire("lena", world.be)
    assert elsewhere.get(f"/prebills/{bill.ref}/").status_code == 404
    for address in ("approve", "send-back", "submit"):
        form = {"digest": bill.digest, "reason": "x"}
        assert elsewhere.post(f"/prebills/{bill.ref}/{address}", form).status_code == 404
    assert bill.ref not in text_of(elsewhere.get("/prebills/"))


def test_a_project_manager_sees_only_the_prebills_of_own_engagements(bill, world, signed_in):
    other = world.prebill(world.engagement(number="B", manager="lena"))
    page = text_of(signed_in("pavel").get("/prebills/"))
    assert bill.ref in page
    assert other.ref not in page


def test_more_rows_take_no_more_queries(bill, world, signed_in):
    client = signed_in("carla")
    assert_rows_cost_nothing(
        client, "/prebills/", lambda: [world.prebill(world.engagement(number=f"C{n}")) for n in range(3)]
    )
