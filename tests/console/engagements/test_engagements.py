"""Engagements: one time line over all rooms, what keeps items from being billed, scope by engagement."""

from __future__ import annotations

from apps.billing import services as billing_services
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of


def test_the_page_tells_the_way_from_signature_to_cash(world, signed_in):
    key = world.engagement()
    bill = world.prebill(key)
    page = text_of(signed_in("carla").get(f"/engagements/{key}/"))
    for words in (
        "Terms 000 accepted",
        "Ready to bill",
        "Submitted for approval",
        bill.ref,
        "GBP 120,000.00",
        "PO-7781",
    ):
        assert words in page


def test_what_keeps_an_item_from_being_billed_is_a_sentence(world, signed_in):
    key = world.engagement()
    billing_services.place_hold(
        engagement_key=key,
        legal_entity_id=world.uk.pk,
        level="billing",
        reason="EX-1: the client asked to wait",
        source_ref="case:EX-1",
    )
    page = text_of(signed_in("carla").get(f"/engagements/{key}/"))
    assert "EX-1: the client asked to wait" in page
    assert "Billing held GBP 120,000.00" in page


def test_an_engagement_before_anything_is_billed_has_a_page_too(world, signed_in):
    key = world.engagement()
    assert "Closed-won" in text_of(signed_in("otto").get(f"/engagements/{key}/"))


def test_a_project_manager_sees_own_engagements_and_no_other_exists(world, signed_in):
    mine, other = world.engagement(), world.engagement(number="B", manager="lena", name="Other programme")
    client = signed_in("pavel")
    page = text_of(client.get("/engagements/"))
    assert mine in page
    assert other not in page
    assert client.get(f"/engagements/{mine}/").status_code == 200
    assert client.get(f"/engagements/{other}/").status_code == 404


def test_an_engagement_of_another_entity_does_not_exist(world, signed_in):
    key = world.engagement()
    client = signed_in("ana", world.be)
    assert client.get(f"/engagements/{key}/").status_code == 404
    assert "No engagements yet" in text_of(client.get("/engagements/"))


def test_search_and_filters_narrow_the_list(world, signed_in):
    one, two = world.engagement(name="Alpha rollout"), world.engagement(number="B", name="Beta rollout")
    page = text_of(signed_in("carla").get("/engagements/?q=beta"))
    assert two in page
    assert one not in page
    assert "Nothing matches" in text_of(signed_in("otto").get("/engagements/?state=closed"))


def test_more_rows_take_no_more_queries(world, signed_in):
    world.engagement()
    client = signed_in("carla")
    assert_rows_cost_nothing(
        client, "/engagements/", lambda: [world.engagement(number=f"C{n}") for n in range(4)]
    )
