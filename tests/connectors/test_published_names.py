"""The watch over the adapters' names finds what is not published, and misses nothing that an adapter writes."""

from __future__ import annotations

import pytest

from tests.connectors.published import (
    Noted,
    erp_unpublished,
    psa_unpublished,
    unpublished_columns,
    unpublished_in_request,
)


def test_a_record_notes_what_is_looked_up_in_it_and_in_its_lines():
    notes: set[tuple[str, str]] = set()
    address = {"addr1": "1 High Street"}
    held = {"id": "7", "addressBook": {"items": [{"label": "Home", "addressBookAddress": address}]}}
    record = Noted("customer", held, notes)
    assert record == held
    line = record["addressBook"]["items"][0]
    assert (record.get("nickname"), line["label"]) == (None, "Home")
    assert line["addressBookAddress"].get("addr1") == "1 High Street"
    assert notes == {
        ("customer", "addressBook"),
        ("customer", "nickname"),
        ("customer.addressBook", "label"),
        ("customer.addressBook", "addressBookAddress"),
        ("customer.addressBook.addressBookAddress", "addr1"),
    }


def test_names_that_netsuite_does_not_publish_are_found():
    good = {
        ("invoice", "subtotal"),
        ("invoice.item", "taxCode"),
        ("customer", "custentity_x"),
        ("chargeRule", "any"),
    }
    assert erp_unpublished(good) == []
    bad = {("invoice", "subTotal"), ("invoice.item", "projectTask"), ("bill", "total"),
           ("customer.addressBook.addressBookAddress", "line1")}  # fmt: skip
    assert set(erp_unpublished(good | bad)) == {f"{where}.{name}" for where, name in bad}


def test_columns_that_netsuite_does_not_publish_are_found():
    statement = "SELECT id, vatno FROM customer WHERE UPPER(vatregnumber) IN ('GB 1 for me') ORDER BY id"
    assert list(unpublished_columns(statement)) == ["customer.vatno"]
    assert (
        list(unpublished_columns("SELECT id FROM transaction WHERE type = 'CustInvc' AND tranid = 'x'")) == []
    )


def test_names_that_kantata_does_not_publish_are_found():
    good = {("workspaces", "id"), ("workspaces", "price_in_cents"), ("billing_milestones", "accepted_at")}
    assert psa_unpublished(good) == []
    bad = {("workspaces", "budget"), ("subscribed_events", "workspace_id"), ("invoices", "total_in_cents")}
    assert psa_unpublished(good | bad) == sorted(f"{where}.{name}" for where, name in bad)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "found"),
    [
        ("GET", "workspaces", "only=1&archived=only&page=1", None, []),
        ("GET", "billing_milestones", "updated_after=x&order=updated_at:asc", None, 2),
        ("GET", "roles", "name=Consultant", None, ["roles?name"]),
        ("GET", "time_entries", "include=story,rate_card", None, ["time_entries?include=rate_card"]),
        ("POST", "workspaces", "", {"workspace": {"title": "x", "price": 1}}, []),
        ("POST", "workspaces", "", {"workspace": {"archived": True}}, ["POST workspaces.archived"]),
        ("PUT", "workspaces/7", "", {"workspace": {"archived": True}}, []),
        ("POST", "rate_card_sets", "", {"rate_card_set": {"external_reference": {}}},
         ["POST rate_card_sets.external_reference"]),
        ("POST", "roles", "", {"role": {"external_reference": {"last_synced_at": "x"}}},
         ["roles.external_reference.last_synced_at"]),
    ],
)  # fmt: skip
def test_requests_that_kantata_does_not_publish_are_found(method, path, query, body, found):
    request = {"method": method, "path": f"/api/v1/{path}", "query": query, "body": body}
    told = list(unpublished_in_request(request))
    assert len(told) == found if isinstance(found, int) else told == found
