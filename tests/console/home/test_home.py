"""Home: my decisions, my causes, what is held before the next run, the engine's and the systems' health."""

from __future__ import annotations

import time_machine

from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of
from tests.people import hire, stranger


def test_an_approver_finds_what_waits_for_them_and_the_preparer_does_not(world, signed_in):
    world.new_mapping(hire("ana"))
    bill = world.prebill(world.engagement())
    assert "AIR-510 means 4010 Fixed-fee reviews" in text_of(signed_in("carla").get("/"))
    assert bill.ref in text_of(signed_in("pavel").get("/"))
    assert "No prebill or mapping waits for you." in text_of(signed_in("ana").get("/"))


def test_causes_are_shown_to_the_role_that_clears_them(world, signed_in):
    case = world.broken_deal(1)
    assert case.reason in text_of(signed_in("ana").get("/"))
    assert case.reason not in text_of(signed_in("carla").get("/"))


@time_machine.travel("2026-11-23T09:00:00+00:00", tick=True)
def test_billing_held_stands_beside_the_invoice_run_deadline_of_its_entity(world, signed_in):
    world.broken_deal(1, entity=world.uk)
    world.broken_deal(2, entity=world.uk)
    page = text_of(signed_in("ana").get("/"))
    assert "Merridane Consulting Ltd due in 9 days · 2 Dec 2026 16:00" in page
    assert "GBP 24,600.00" in page


def test_amounts_of_other_entities_are_not_told(world, signed_in):
    world.broken_deal(1, entity=world.uk)
    page = text_of(signed_in("ana", world.be).get("/"))
    assert "No billing is held" in page
    assert "Merridane Consulting" not in page


def test_a_person_without_roles_has_an_empty_home_and_no_figures(world, signed_in):
    world.broken_deal(1)
    page = text_of(signed_in(stranger()).get("/"))
    assert "AIR-510" not in page
    assert "Transactions" not in page


def test_my_cases_are_listed_with_their_deadline(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    client.post(f"/exceptions/{case.ref}/take")
    assert "Your cases" in text_of(client.get("/"))


def test_more_rows_take_no_more_queries(world, signed_in):
    world.broken_deal(1)
    assert_rows_cost_nothing(
        signed_in("ana"), "/", lambda: [world.broken_deal(n, value=f"SVC-{n}") for n in range(2, 6)]
    )
