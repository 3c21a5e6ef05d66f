"""Polled fragments: 204 while nothing has moved, the fragment when something has; what is old or forged is looked at anew."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.console import freshness
from apps.core import clock
from apps.journal import counters
from tests.console.world import World
from tests.journal.together import together

SCREENS = {"/": "home", "/transactions/": "results", "/exceptions/": "list"}


def _question(client: Client, address: str) -> str:
    found = re.search(r'data-fresh="#\w+" hx-get="([^"]+)"', client.get(address).content.decode())
    assert found, f"{address} asks nothing"
    return address + unescape(found.group(1))


def _ask(client: Client, question: str, target: str) -> Any:
    return client.get(question, headers={"HX-Request": "true", "HX-Target": target})


@pytest.mark.parametrize(("address", "target"), SCREENS.items())
def test_while_nothing_moves_the_answer_is_204_from_one_statement(world: World, signed_in, address, target):
    client = signed_in("ana")
    world.broken_deal(1)
    question = _question(client, address)
    with CaptureQueriesContext(connection) as seen:
        answer = _ask(client, question, target)
    assert (answer.status_code, answer.content, answer["Cache-Control"]) == (204, b"", "no-store")
    assert len(seen) == 1


@pytest.mark.parametrize(("address", "target"), SCREENS.items())
def test_once_something_moves_the_fragment_comes_and_asks_on(world: World, signed_in, address, target):
    client = signed_in("ana")
    question = _question(client, address)
    world.broken_deal(1)
    answer = _ask(client, question, target)
    assert answer.status_code == 200
    assert "<html" not in answer.content.decode()
    assert 'data-fresh="#' in answer.content.decode()
    assert _ask(client, _again(answer, address), target).status_code == 204


def _again(answer: Any, address: str) -> str:
    found = re.search(r'hx-get="(\?[^"]*\bv=[^"]+)"', answer.content.decode())
    assert found
    return address + unescape(found.group(1))


def test_the_links_of_a_polled_fragment_carry_no_stamp(world: World, signed_in):
    client = signed_in("ana")
    for number in range(60):
        world.broken_deal(number)
    page = _ask(client, "/transactions/?state=open&v=stale", "results").content.decode()
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', page)]
    assert links
    assert not [link for link in links if "v=" in link]


def test_a_page_further_back_does_not_ask(world: World, signed_in):
    client = signed_in("ana")
    assert "data-fresh" not in client.get("/transactions/?page=n.1").content.decode()


def test_an_old_stamp_is_looked_at_anew(world: World, signed_in, time_machine):
    client, started = signed_in("ana"), clock.now()
    question = _question(client, "/transactions/")
    time_machine.move_to(started + freshness.LONGEST - timedelta(seconds=5))
    assert _ask(client, question, "results").status_code == 204
    time_machine.move_to(started + freshness.LONGEST + timedelta(seconds=5))
    assert _ask(client, question, "results").status_code == 200


@pytest.mark.parametrize("forged", ["1-2-2", "", "1-2-2:abc:def", "x" * 300])
def test_a_forged_stamp_is_looked_at_anew(world: World, signed_in, forged):
    assert _ask(signed_in("ana"), f"/transactions/?v={forged}", "results").status_code == 200


def test_a_stranger_with_a_stamp_learns_nothing_but_that_nothing_moved(world: World, signed_in):
    question = _question(signed_in("ana"), "/transactions/")
    assert _ask(Client(), question, "results").content == b""
    world.broken_deal(1)
    answer = _ask(Client(), question, "results")
    assert "HX-Redirect" in answer.headers


@pytest.mark.parametrize("folded", [0, 1])
def test_what_commits_after_a_stamp_but_began_before_it_is_not_missed(process_database, folded):
    """Numbers are given out before they are visible: a page drawn in between must come again once they are, also when a fold
    has put away by then what would have shown it."""
    given, stamped = Event(), Event()

    def change() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO journal_countdelta (name, keys, n) VALUES ('transaction', '{held,x}', 1)"
            )
            given.set()
            assert stamped.wait(10)

    def look() -> str:
        assert given.wait(10)
        moment = counters.count_moment()
        assert counters.count_moment() == moment, "nothing is visible yet"
        stamped.set()
        return moment

    moment = together(change, look)[1]
    if folded:
        assert counters.fold() == folded
    assert counters.count_moment() != moment


def test_a_fold_of_nothing_changes_nothing(db):
    counters.fold()
    moment = counters.count_moment()
    assert counters.fold() == 0
    assert counters.count_moment() == moment
