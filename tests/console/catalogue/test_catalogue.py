"""The catalogue as a screen: honest about what is detected, filtered by address, help texts edited by admins alone."""

from __future__ import annotations

import pytest

from apps.triage.catalogue import CATALOGUE
from apps.triage.help import help_for, help_set
from tests.console.texts import text_of
from tests.people import hire

INDEX, CODE = "/catalogue/", "/catalogue/DEAL-SVC-UNMAPPED/"
NOT_YET = next(code for code, item in CATALOGUE.items() if not item.detected)


def test_every_code_is_listed_and_what_is_not_detected_says_so(world, signed_in):
    page = text_of(signed_in("ana", world.uk).get(INDEX))
    assert [code for code in CATALOGUE if code not in page] == []
    done = sum(1 for item in CATALOGUE.values() if item.detected)
    assert f"{len(CATALOGUE)} of {len(CATALOGUE)} codes, {done} of them detected" in page
    assert page.count("Not yet detected") >= len(CATALOGUE) - done


@pytest.mark.parametrize(
    ("query", "there", "not_there"),
    [
        ("q=billing+code", "DEAL-SVC-UNMAPPED", "INT-AUTH"),
        ("area=tax", "TAX-RC", "DEAL-TOTAL"),
        ("severity=warning", "PAY-SHORT", "DEAL-TOTAL"),
        ("detected=none", NOT_YET, "DEAL-TOTAL"),
        ("detected=any", "DEAL-TOTAL", NOT_YET),
        ("detected=poll", "INT-GAP", "DEAL-TOTAL"),
        ("who=tax", "TAX-CODE", "INT-AUTH"),
    ],
)
def test_the_address_filters(world, signed_in, query, there, not_there):
    page = text_of(signed_in("ana", world.uk).get(f"{INDEX}?{query}"))
    assert there in page
    assert not_there not in page


@pytest.mark.parametrize("query", ["q=zzzz", "area=moon"])
def test_nothing_fits_is_said(world, signed_in, query):
    assert "Nothing matches" in text_of(signed_in("ana", world.uk).get(f"{INDEX}?{query}"))


def test_the_list_asks_the_database_for_nothing_but_the_person(
    world, signed_in, django_assert_max_num_queries
):
    client = signed_in("ana", world.uk)
    with django_assert_max_num_queries(6):
        client.get(INDEX)


def test_a_code_shows_what_it_means_and_when_it_is_raised(world, signed_in):
    page = text_of(signed_in("ana", world.uk).get(CODE))
    item = CATALOGUE["DEAL-SVC-UNMAPPED"]
    for words in (item.title, item.explanation, item.detection, item.help):
        assert str(words) in page
    assert "Not yet detected" in text_of(signed_in("ana", world.uk).get(f"/catalogue/{NOT_YET}/"))


def test_an_unknown_code_is_not_found(world, signed_in):
    assert signed_in("ana", world.uk).get("/catalogue/WEIRD-42/").status_code == 404


def test_who_may_not_edit_is_told_who_may_and_is_refused(world, signed_in):
    hire("ada")
    client = signed_in("ana", world.uk)
    assert "Ada Kovacs" in text_of(client.get(CODE))
    answer = client.post(f"{CODE}help", {"text": "Mine.", "version": 0})
    assert answer.status_code == 403
    assert help_for("DEAL-SVC-UNMAPPED", None) is None


def test_an_admin_writes_a_text_that_the_case_shows_with_its_author(world, signed_in):
    case = world.broken_deal(1)
    admin = signed_in("ada")
    text = "Ask <b>Elif</b> first."
    answer = admin.post(f"{CODE}help", {"text": text, "version": 0, "entity": "OST-BE"}, follow=True)
    assert answer.redirect_chain == [(f"{CODE}?entity=OST-BE", 303)]
    shown = signed_in("ana", world.be).get(f"/exceptions/{case.ref}/")
    page = shown.content.decode()
    assert "Ask &lt;b&gt;Elif&lt;/b&gt; first." in page
    assert "Ada Kovacs" in page
    assert str(CATALOGUE[case.code].help) in text_of(shown)


def test_two_admins_at_one_text_the_second_is_told_and_keeps_what_was_typed(world, signed_in):
    ada = hire("ada")
    client = signed_in("ada")
    help_set(code="DEAL-SVC-UNMAPPED", legal_entity=None, text="Theirs.", version=0, by=ada)
    answer = client.post(f"{CODE}help", {"text": "Mine.", "version": 0})
    page = text_of(answer)
    assert answer.status_code == 409
    assert "Your version was not saved" in page
    assert "Theirs." in page
    assert ">Mine.</textarea>" in answer.content.decode()
    assert client.post(f"{CODE}help", {"text": "Mine.", "version": 1}).status_code == 303
    assert help_for("DEAL-SVC-UNMAPPED", None).text == "Mine."


def test_a_text_of_an_entity_outside_the_scope_is_not_there(world, signed_in):
    ada = hire("ada")
    help_set(code="DEAL-SVC-UNMAPPED", legal_entity=world.be, text="Belgian.", version=0, by=ada)
    assert "Belgian." not in text_of(signed_in("ana", world.uk).get(CODE))
    assert "Belgian." in text_of(signed_in("carla").get(CODE))
    refused = signed_in("ana", world.uk).post(f"{CODE}help", {"text": "x", "version": 0, "entity": "OST-BE"})
    assert refused.status_code == 404


def test_a_text_that_is_too_long_is_refused(world, signed_in):
    answer = signed_in("ada").post(f"{CODE}help", {"text": "x" * 4001, "version": 0})
    assert answer.status_code == 400
