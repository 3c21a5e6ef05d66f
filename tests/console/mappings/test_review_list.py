"""New mappings: whoever added one does not confirm it; exposure and author are shown; a rejection says why."""

from __future__ import annotations

import pytest

from apps.core.scope import EVERYTHING
from apps.governance import selectors as governance
from apps.governance import services as governing
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of
from tests.people import hire


@pytest.fixture
def mapping(world):
    return world.new_mapping(hire("ana"))


def _digest(mapping) -> str:
    return next(
        row.request.digest for row in governance.awaiting_review(EVERYTHING) if row.mapping.pk == mapping.pk
    )


def _state(mapping) -> str:
    return governance.mapping(mapping_id=mapping.pk, scope=EVERYTHING).state


def test_the_list_says_who_added_what_with_which_exposure(mapping, signed_in):
    page = text_of(signed_in("carla").get("/mappings/"))
    for words in (
        "AIR-510",
        "4010 Fixed-fee reviews",
        "Ana Lindqvist",
        "EUR 500.00",
        "Sold since October",
        "Ostrel Analytics BV",
    ):
        assert words in page


def test_a_controller_confirms_and_the_line_leaves_the_list(mapping, signed_in):
    client = signed_in("carla")
    form = {"decision": "approve", "digest": _digest(mapping)}
    answer = client.post(f"/mappings/{mapping.pk}/decide", form, follow=True)
    assert "AIR-510 is confirmed." in text_of(answer)
    assert _state(mapping) == "confirmed"
    assert "Nothing waits for confirmation" in text_of(client.get("/mappings/"))


def test_rejecting_needs_a_reason(mapping, signed_in):
    client, form = signed_in("carla"), {"decision": "reject", "digest": _digest(mapping), "comment": ""}
    assert client.post(f"/mappings/{mapping.pk}/decide", form).status_code == 400
    assert _state(mapping) == "effective"
    client.post(f"/mappings/{mapping.pk}/decide", {**form, "comment": "It is an advisory service"})
    assert _state(mapping) == "rejected"


def test_whoever_added_it_is_told_that_another_person_must_confirm(mapping, signed_in):
    client = signed_in("ana")
    assert "You added it, so another person must confirm it." in text_of(client.get("/mappings/"))
    form = {"decision": "approve", "digest": _digest(mapping)}
    assert client.post(f"/mappings/{mapping.pk}/decide", form).status_code == 403
    assert _state(mapping) == "effective"


def test_a_mapping_of_another_entity_does_not_exist_here(mapping, world, signed_in):
    client = signed_in("carla", world.uk)
    assert "AIR-510" not in text_of(client.get("/mappings/"))
    form = {"decision": "approve", "digest": _digest(mapping)}
    assert client.post(f"/mappings/{mapping.pk}/decide", form).status_code == 404


@pytest.mark.parametrize("decision", ["", "send_back", "drop table"])
def test_another_decision_is_refused(mapping, signed_in, decision):
    form = {"decision": decision, "digest": _digest(mapping)}
    assert signed_in("carla").post(f"/mappings/{mapping.pk}/decide", form).status_code == 400


def test_more_rows_take_no_more_queries(mapping, world, signed_in):
    client, ana = signed_in("carla"), hire("ana")
    assert_rows_cost_nothing(
        client, "/mappings/", lambda: [world.new_mapping(ana, source=f"SVC-{n}") for n in range(4)]
    )


def test_with_nothing_to_confirm_it_says_who_confirmed_what_is_in_use(world, signed_in):
    client = signed_in("carla")
    assert "No mapping is in use yet." in text_of(client.get("/mappings/"))
    for source in ("IMP-100", "IMP-200"):
        governing.mapping_adopt(
            kind="service_item",
            legal_entity=world.be,
            source=source,
            target="401",
            target_label="",
            why="Go-live.",
        )
    page = text_of(client.get("/mappings/"))
    assert "2 mappings were adopted when this console was set up; nobody reviewed them here." in page
    assert "confirmed by a second person" not in page
    mapping = world.new_mapping(hire("ana"))
    client.post(f"/mappings/{mapping.pk}/decide", {"decision": "approve", "digest": _digest(mapping)})
    assert "1 mapping in use was confirmed by a second person. 2 mappings were adopted" in text_of(
        client.get("/mappings/")
    )
