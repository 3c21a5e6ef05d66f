"""Who gets in, what the frame of every page promises, and how errors look."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from apps.console import urls
from apps.core.errors import NotAllowed
from tests.people import PASSWORD, stranger

PLACES = {
    "ref": "EX-1", "key": "ENG-1", "mapping_id": 1, "attempt_id": 1, "view_id": 1, "kind": "csv", "code": "DEAL-TOTAL",
    "group_id": 1, "verb": "acknowledge", "token": "3f0c9a52-0000-4000-8000-000000000000",
}  # fmt: skip
WRITES = {
    "case-take", "case-assign", "cases-assign", "case-comment", "case-fix", "case-retry", "case-look-up",
    "case-decide", "case-assert", "case-stand", "cases-snooze",
    "job-plan",
    "job-run", "job-stop", "job-drop", "transaction-run", "view-save", "view-delete",
    "cause", "cause-merge", "cause-unmerge", "undo",
    "mapping-decide", "prebill-approve", "prebill-send-back", "prebill-submit", "catalogue-help",
}  # fmt: skip


def _address(pattern) -> str:
    return reverse(
        f"console:{pattern.name}", kwargs={name: PLACES[name] for name in pattern.pattern.converters}
    )


ADDRESSES = [pytest.param(_address(pattern), pattern.name, id=pattern.name) for pattern in urls.urlpatterns]


@pytest.mark.parametrize(("address", "name"), ADDRESSES)
def test_somebody_who_is_not_signed_in_is_sent_to_the_log_in_page(client, db, address, name):
    answer = client.post(address) if name in WRITES else client.get(address)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize(("address", "name"), ADDRESSES)
def test_a_signed_in_stranger_without_a_role_opens_nothing_but_home(signed_in, world, address, name):
    client = signed_in(stranger())
    answer = client.post(address) if name in WRITES else client.get(address)
    assert answer.status_code == (200 if name == "home" else 403)


@pytest.mark.parametrize(("address", "name"), [place for place in ADDRESSES if place.values[1] in WRITES])
def test_a_write_is_never_done_by_following_a_link(signed_in, world, address, name):
    assert signed_in("ana").get(address).status_code == 405


@pytest.mark.parametrize(("address", "name"), [place for place in ADDRESSES if place.values[1] in WRITES])
def test_a_write_without_the_form_token_is_refused(world, address, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(stranger())
    assert client.post(address).status_code == 403


def test_a_fragment_asked_for_after_the_session_ended_leads_the_whole_page_to_log_in(client, db):
    answer = client.get(
        "/exceptions/EX-1/",
        HTTP_HX_REQUEST="true",
        HTTP_HX_CURRENT_URL="http://testserver/exceptions/?q=rail",
    )
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2Fexceptions%2F%3Fq%3Drail"


def test_logging_in_opens_home(client, world, signed_in):
    signed_in("ana", world.uk)
    answer = client.post("/accounts/login/", {"login": "ana", "password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == "/"
    assert "Ana Lindqvist" in answer.content.decode()


def test_the_log_in_page_says_what_the_product_is_for(client, db):
    page = client.get("/accounts/login/").content.decode()
    assert "PS Sync Console" in page
    assert "From the signed deal to the paid invoice" in page


def test_the_navigation_holds_only_what_a_person_may_open(world, signed_in):
    ana = signed_in("ana", world.uk).get("/").content.decode()
    otto = signed_in("otto").get("/").content.decode()
    assert 'href="/prebills/"' in ana
    assert 'href="/audit/"' not in ana
    assert 'href="/audit/"' in otto


def test_the_top_bar_names_the_entities_that_a_person_sees(world, signed_in):
    assert "MER-UK" in signed_in("ana", world.uk).get("/").content.decode()
    assert "All entities" in signed_in("carla").get("/").content.decode()


def test_pages_obey_a_strict_policy_and_configure_htmx_accordingly(world, signed_in):
    answer = signed_in("ana", world.uk).get("/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    page = answer.content.decode()
    for promise in (
        '"allowEval":false',
        '"allowScriptTags":false',
        '"selfRequestsOnly":true',
        '"historyCacheSize":0',
    ):
        assert promise in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\sstyle=", page)
    assert answer["Cache-Control"] == "no-store"


def test_the_frame_lets_a_keyboard_reach_the_content_first(world, signed_in):
    page = signed_in("ana", world.uk).get("/").content.decode()
    assert page.index('class="skip-link" href="#main"') < page.index('id="rail"')
    assert '<main id="main"' in page


def test_an_unknown_address_gets_the_designed_page(client, db):
    answer = client.get("/no-such-page")
    assert answer.status_code == 404
    assert "There is nothing here for you" in answer.content.decode()


def test_a_refusal_says_who_could_act_instead(world, signed_in):
    signed_in("otto")
    answer = signed_in("ana", world.uk).get("/audit/")
    assert answer.status_code == NotAllowed.status
    assert "Otto Reiss" in answer.content.decode()


def test_a_refused_fragment_is_a_notice_and_not_a_page(world, signed_in):
    answer = signed_in("ana", world.uk).get("/audit/", HTTP_HX_REQUEST="true")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "<html" not in page
    assert 'role="alert"' in page


@pytest.mark.parametrize("address", ["/accounts/password/change/", "/accounts/logout/", "/accounts/2fa/"])
def test_account_pages_have_the_look_of_the_console(world, signed_in, address):
    answer = signed_in("ana", world.uk).get(address, follow=True)
    assert answer.status_code == 200
    assert "console/console.css" in answer.content.decode()
