"""Several cases are given away at once: the chosen ones or all that match, and what was moved meanwhile is left alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import QueryDict

from apps.console.exceptions.board import scope_words
from apps.triage.models import Case
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of
from tests.people import hire


def boxes(client: Any, address: str = "/exceptions/?view=cases") -> list[str]:
    return re.findall(r'name="case" value="([^"]+)"', client.get(address).content.decode())


def shown(client: Any, address: str = "/exceptions/?view=cases") -> str:
    """When the list was shown, as its form says it."""
    found = re.search(r'name="shown" value="([^"]+)"', client.get(address).content.decode())
    assert found is not None
    return found[1]


def give(client: Any, **sent: Any) -> Any:
    return client.post("/exceptions/assign", {"address": "/exceptions/?view=cases", "to": "me", **sent})


def test_chosen_cases_go_to_a_person_and_can_be_taken_back(world, signed_in):
    first, second, third = (world.broken_deal(number) for number in (1, 2, 3))
    ana, carla = signed_in("ana"), hire("carla")
    chosen = [box for box in boxes(ana) if not box.startswith(third.ref)]
    answer = give(ana, case=chosen, to=str(carla.pk), note="Please before noon")
    assert answer["Location"] == "/exceptions/?view=cases"
    assert set(Case.objects.filter(assignee=carla)) == {first, second}
    page = ana.get("/exceptions/?view=cases")
    assert "2 cases assigned." in text_of(page)
    undo = re.search(r'action="(/exceptions/undo/[^"]+)"', page.content.decode())
    assert undo is not None
    ana.post(undo[1])
    assert not Case.objects.filter(assignee=carla).exists()


def test_all_that_match_go_into_the_queue_of_a_role(world, signed_in):
    here, there = world.broken_deal(1), world.broken_deal(2, entity=world.uk)
    hire("rashid")
    client = signed_in("ana", world.be)
    at = shown(client)
    give(
        client, every="true", shown=at, to="role:receivables", address="/exceptions/?view=cases&entity=OST-BE"
    )
    here.refresh_from_db()
    there.refresh_from_db()
    assert (here.queue, there.queue) == ("receivables", "")


def test_what_was_moved_since_it_was_shown_is_told_and_left_alone(world, signed_in):
    first, second = world.broken_deal(1), world.broken_deal(2)
    ana, carla = signed_in("ana"), signed_in("carla")
    old = boxes(ana)
    carla.post(f"/exceptions/{first.ref}/take")
    give(ana, case=old)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.assignee.username, second.assignee.username) == ("carla", "ana")
    page = text_of(ana.get("/exceptions/?view=cases"))
    assert "1 case assigned." in page
    assert f"{first.ref}:" in page
    assert "Carla Whitfield" in page


def test_of_all_that_match_what_was_moved_or_came_since_is_told_and_left_alone(world, signed_in):
    first, second = world.broken_deal(1), world.broken_deal(2)
    ana, carla = signed_in("ana"), signed_in("carla")
    at = shown(ana)
    carla.post(f"/exceptions/{first.ref}/take")
    third = world.broken_deal(3)
    give(ana, every="true", shown=at)
    for case in (first, second, third):
        case.refresh_from_db()
    assert (first.assignee.username, second.assignee.username, third.assignee) == ("carla", "ana", None)
    page = text_of(ana.get("/exceptions/?view=cases"))
    assert "1 case assigned." in page
    assert f"{first.ref}: {first.ref} has changed since you looked: Carla Whitfield" in page
    assert f"{third.ref}:" in page
    give(ana, every="true", shown=shown(ana))
    third.refresh_from_db()
    assert third.assignee.username == "ana", "what one was shown, and one's own moves, stand in nobody's way"


def test_a_list_that_does_not_say_what_was_seen_gives_nothing(world, signed_in):
    case, client = world.broken_deal(1), signed_in("ana")
    for sent in ({"every": "true"}, {"every": "true", "shown": "2026-11-30T10:00:00"}, {"case": [case.ref]}):
        assert give(client, **sent).status_code == 400, sent
    case.refresh_from_db()
    assert case.assignee is None


def test_nobody_gets_what_they_may_not_fix_and_readers_give_nothing(world, signed_in):
    case = world.broken_deal(1, entity=world.uk)
    outsider = hire("rashid", world.be)
    ana = signed_in("ana")
    give(ana, case=boxes(ana), to=str(outsider.pk))
    case.refresh_from_db()
    assert case.assignee is None
    assert case.ref in text_of(ana.get("/exceptions/?view=cases"))
    assert give(signed_in("otto"), case=[f"{case.ref}~open.."]).status_code == 403
    assert give(ana, case=[]).status_code == 400
    assert give(ana, case=boxes(ana), to="role:nobody").status_code in (302, 400)
    case.refresh_from_db()
    assert (case.assignee, case.queue) == (None, "")


def test_more_rows_take_no_more_queries(world, signed_in):
    world.broken_deal(1)
    client = signed_in("ana")
    assert_rows_cost_nothing(
        client, "/exceptions/?view=cases", lambda: [world.broken_deal(number) for number in range(2, 9)]
    )


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "All open cases"),
        ("view=cases&state=open_all", "All open cases"),
        ("state=closed_all", "All that match: Closed"),
        ("age=14", "All that match: over 14 business days"),
        ("assignee=role:tax", "All that match: Queue: Tax"),
        ("assignee=carla&entity=OST-BE", "All that match: OST-BE, carla"),
        ("assignee=me&role=controller&status=snoozed", "All that match: Controller, Me, Snoozed"),
        ("q=rail&severity=warning", "All that match: rail, Warning"),
    ],
)
def test_what_is_chosen_is_said_in_words(address, words):
    assert scope_words(QueryDict(address)).lower() == words.lower()
