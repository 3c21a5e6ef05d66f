"""Saved views on the list of exceptions."""

from __future__ import annotations

from apps.organization.models import SavedView
from tests.console.texts import text_of

HERE = "/exceptions/?view=cases&code=INV-DUP"


def save(client, **given):
    values = {
        "screen": "exceptions",
        "name": "Doubles",
        "query": "view=cases&code=INV-DUP&page=3&evil=1",
        "audience": "me",
    }
    return client.post("/views/save", {**values, **given})


def test_a_view_is_saved_without_page_and_foreign_words_and_opens_the_same_list(world, signed_in):
    client = signed_in("ana")
    answer = save(client)
    assert answer["Location"] == HERE
    assert SavedView.objects.get().query == "view=cases&code=INV-DUP"
    page = client.get(HERE).content.decode()
    assert 'href="/exceptions/?view=cases&amp;code=INV-DUP" aria-current="true">Doubles</a>' in page


def test_the_default_view_opens_first_and_everything_else_stays_reachable(world, signed_in):
    client = signed_in("ana")
    save(client, default="true")
    assert client.get("/exceptions/")["Location"] == HERE
    assert client.get("/exceptions/?view=groups").status_code == 200
    assert signed_in("carla").get("/exceptions/").status_code == 200


def test_a_shared_view_shows_each_reader_their_own_scope(world, signed_in):
    foreign = world.broken_deal(1, entity=world.uk)
    save(signed_in("carla"), audience="everyone", query="view=cases")
    page = text_of(signed_in("ana", world.be).get("/exceptions/?view=cases"))
    assert "Doubles" in page
    assert foreign.ref not in page


def test_a_view_is_deleted_by_its_owner_only(world, signed_in):
    carla = signed_in("carla")
    save(carla, audience="everyone")
    view = SavedView.objects.get()
    assert signed_in("ana").post(f"/views/{view.pk}/delete").status_code == 404
    assert carla.post(f"/views/{view.pk}/delete").status_code == 303
    assert not SavedView.objects.exists()


def test_a_name_is_text_and_never_markup(world, signed_in):
    client = signed_in("ana")
    save(client, name="<script>alert(1)</script>")
    page = client.get(HERE).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_nothing_to_save_is_said(world, signed_in):
    client = signed_in("ana")
    assert save(client, query="").status_code == 400
    assert save(client, screen="nowhere").status_code == 400
    assert save(client, query="page=2").status_code == 400
    assert not SavedView.objects.exists()
