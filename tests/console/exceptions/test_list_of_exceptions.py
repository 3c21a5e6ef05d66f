"""The list on the left: groups by cause, cases, filters, scope."""

from __future__ import annotations

from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of


def test_equal_problems_are_one_row_with_count_money_deadline_and_who_must_act(world, signed_in):
    for number in range(3):
        world.broken_deal(number)
    page = text_of(signed_in("ana").get("/exceptions/"))
    assert page.count("Service AIR-510 was sold, but Ostrel Analytics BV has no billing code for it.") == 1
    assert "EUR 36,900.00" in page
    assert "Billing analyst" in page
    assert "due in" in page


def test_an_unknown_amount_is_counted_and_not_shown_as_zero(world, signed_in):
    world.broken_deal(1, amount=None)
    page = text_of(signed_in("ana").get("/exceptions/"))
    assert "1 amount unknown" in page
    assert "EUR 0.00" not in page


def test_a_group_opens_to_its_cases(world, signed_in):
    case = world.broken_deal(1)
    other = world.broken_deal(2, value="ANA-220")
    page = text_of(signed_in("ana").get(f"/exceptions/?group={case.group_id}"))
    assert case.ref in page
    assert other.ref not in page
    assert "One fix clears all of them" in page
    alone = world.broken_deal(3, code="TIME-UNAPPROVED", value="")
    page = text_of(signed_in("ana").get(f"/exceptions/?group={alone.group_id}"))
    assert alone.ref in page
    assert "One fix clears all of them" not in page


def test_cases_of_other_entities_are_not_in_the_list(world, signed_in):
    here, there = world.broken_deal(1), world.broken_deal(2, entity=world.uk)
    page = text_of(signed_in("ana", world.be).get("/exceptions/?view=cases"))
    assert here.ref in page
    assert there.ref not in page


def test_the_query_string_narrows_the_list(world, signed_in):
    rail = world.broken_deal(1, customer="Tolvane Rail")
    bank = world.broken_deal(2, customer="Thornmere Bank", entity=world.uk)
    client = signed_in("ana")
    by_word = text_of(client.get("/exceptions/?view=cases&q=thornmere"))
    assert bank.ref in by_word
    assert rail.ref not in by_word
    assert "OST-BE (0)" in by_word  # the choices count what the words find
    assert f"{world.uk.code} (1)" in by_word
    by_entity = text_of(client.get("/exceptions/?view=cases&entity=OST-BE"))
    assert rail.ref in by_entity
    assert bank.ref not in by_entity


def test_nothing_broken_and_nothing_found_are_told_apart(world, signed_in):
    client = signed_in("ana")
    assert "All is well" in text_of(client.get("/exceptions/"))
    world.broken_deal(1)
    assert "Nothing matches" in text_of(client.get("/exceptions/?view=cases&q=nobody"))


def test_nonsense_in_the_address_shows_the_list_and_never_fails(world, signed_in):
    world.broken_deal(1)
    client = signed_in("ana")
    for query in ("group=x", "page=x", "page=99", "order=x", "state=x", "view=x", "q=%00", "q=%27%22%3B"):
        assert client.get(f"/exceptions/?{query}").status_code == 200, query
    assert client.get("/exceptions/?group=999999").status_code == 404


def test_more_rows_take_no_more_queries(world, signed_in):
    client = signed_in("ana")
    world.broken_deal(1)

    def more() -> None:
        for number in range(2, 8):
            world.broken_deal(number)
            world.broken_deal(number + 100, value=f"SVC-{number}")

    for address in ("/exceptions/", "/exceptions/?view=cases"):
        assert_rows_cost_nothing(
            client, address, more if address.endswith("/") else lambda: world.broken_deal(99)
        )


def test_columns_are_added_by_the_address_and_kept_with_a_view(world, signed_in):
    case = world.broken_deal(1)
    client = signed_in("ana")
    assert case.transaction_ref not in text_of(client.get("/exceptions/?view=cases"))
    answer = client.get("/exceptions/?view=cases&cols=code&cols=transaction_ref&cols=nonsense")
    page = text_of(answer)
    assert case.transaction_ref in page
    assert "DEAL-SVC-UNMAPPED" in page
    assert 'value="code" form="filters" checked' in answer.content.decode()
    sent = {
        "screen": "exceptions",
        "name": "With codes",
        "audience": "me",
        "query": "view=cases&cols=code&cols=opened_at",
    }
    assert client.post("/views/save", sent)["Location"] == "/exceptions/?view=cases&cols=code&cols=opened_at"
