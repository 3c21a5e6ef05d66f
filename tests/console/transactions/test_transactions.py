"""Transactions: found by any key, told in steps, run again only as previewed, payloads only for those who may."""

from __future__ import annotations

import pytest

from apps.core.scope import EVERYTHING
from apps.sync import selectors as sync
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of


@pytest.fixture
def row(world):
    """A transaction that belongs to the Belgian entity, as the engine knows after its first look."""
    case = world.broken_deal(1)
    found = sync.transaction_detail(EVERYTHING, case.transaction_ref)
    type(found).objects.filter(pk=found.pk).update(legal_entity=world.be, label="Tolvane Rail: review")
    return sync.transaction_detail(EVERYTHING, case.transaction_ref)


def test_it_is_found_by_reference_business_key_and_correlation_id(row, signed_in):
    client = signed_in("ana")
    for query in (row.ref, row.subject.key, str(row.correlation_id), "Tolvane"):
        assert row.ref in text_of(client.get("/transactions/", {"q": query})), query
    assert "Nothing matches" in text_of(client.get("/transactions/", {"q": "somebody else"}))


def test_the_detail_names_flow_state_and_correlation_id(row, signed_in):
    page = text_of(signed_in("ana").get(f"/transactions/{row.ref}/"))
    for words in ("Set up the deal", "Pending", str(row.correlation_id), "Nothing has been tried yet."):
        assert words in page


def test_while_it_moves_the_page_asks_again_by_itself(row, signed_in):
    page = signed_in("ana").get(f"/transactions/{row.ref}/").content.decode()
    assert 'hx-trigger="every 2s"' in page


def test_the_waterfall_alone_is_answered_to_the_page_that_asks_for_it(row, signed_in):
    answer = signed_in("ana").get(
        f"/transactions/{row.ref}/", HTTP_HX_REQUEST="true", HTTP_HX_TARGET="progress"
    )
    assert "<html" not in answer.content.decode()
    assert str(row.correlation_id) in answer.content.decode()


def test_a_preview_that_reaches_no_system_says_so_and_offers_no_run(row, signed_in):
    page = text_of(signed_in("ana").get(f"/transactions/{row.ref}/preview"))
    assert "could not be reached" in page
    assert "Run exactly this" not in page


def test_running_needs_the_token_of_a_preview(row, signed_in):
    client = signed_in("ana")
    assert client.post(f"/transactions/{row.ref}/run", {"token": "forged"}).status_code == 409
    assert client.post(f"/transactions/{row.ref}/run").status_code == 409


def test_somebody_without_the_verb_is_told_who_could_run_it(row, signed_in):
    signed_in("ana")
    client = signed_in("otto")
    assert "Ask Ana Lindqvist." in text_of(client.get(f"/transactions/{row.ref}/"))
    assert client.post(f"/transactions/{row.ref}/run", {"token": "x"}).status_code == 403


def test_a_transaction_outside_the_scope_does_not_exist(row, world, signed_in):
    client = signed_in("ana", world.uk)
    assert row.ref not in text_of(client.get("/transactions/"))
    for address in ("", "preview"):
        assert client.get(f"/transactions/{row.ref}/{address}").status_code == 404
    assert client.post(f"/transactions/{row.ref}/run", {"token": "x"}).status_code == 404


def test_an_unknown_payload_does_not_exist_and_an_analyst_may_not_look_at_any(row, signed_in):
    assert signed_in("ana").get(f"/transactions/{row.ref}/payload/1").status_code == 403
    assert signed_in("carla").get(f"/transactions/{row.ref}/payload/1").status_code == 404


def test_more_rows_take_no_more_queries(row, world, signed_in):
    assert_rows_cost_nothing(
        signed_in("ana"), "/transactions/", lambda: [world.broken_deal(number) for number in range(2, 7)]
    )
