"""Saved views: own ones, shared ones, one default, and nobody else's to change."""

from __future__ import annotations

import pytest

from apps.core.errors import InvalidInput, NotFound
from apps.organization import savedviews
from apps.organization.models import SavedView
from tests.people import hire

pytestmark = pytest.mark.django_db


def save(owner, name="Mine today", query="view=cases&assignee=me", **more):
    return savedviews.view_save(owner=owner, screen="exceptions", name=name, query=query, **more)


def names(user, *roles):
    return [view.name for view in savedviews.views_for(user, screen="exceptions", roles=roles)]


def test_own_views_come_first_and_shared_ones_by_role_or_to_everyone():
    ana, carla = hire("ana"), hire("carla")
    save(carla, "Controllers", audience="role", role="controller")
    save(carla, "All of us", audience="everyone")
    save(carla, "Hers alone")
    save(ana, "Zulu")
    assert names(ana, "billing_analyst") == ["Zulu", "All of us"]
    assert names(carla, "controller") == ["All of us", "Controllers", "Hers alone"]
    assert names(hire("felix"), "cfo", "controller") == ["All of us", "Controllers"]


def test_the_same_name_replaces_and_there_is_one_default():
    ana = hire("ana")
    save(ana, "A", default=True)
    save(ana, "  A ", query="code=INV-DUP", default=True)
    assert savedviews.default_of(ana, screen="exceptions") == "code=INV-DUP"
    save(ana, "B", query="q=b", default=True)
    assert savedviews.default_of(ana, screen="exceptions") == "q=b"
    assert SavedView.objects.count() == 2
    save(ana, "B", query="q=b")
    assert savedviews.default_of(ana, screen="exceptions") == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"name": "x" * 81},
        {"query": ""},
        {"query": "q=" + "x" * 1000},
        {"audience": "world"},
        {"audience": "role", "role": "cfo"},
    ],
)
def test_wrong_input_keeps_nothing(wrong):
    with pytest.raises(InvalidInput):
        save(hire("ana"), **wrong)
    assert not SavedView.objects.exists()


def test_only_its_owner_deletes_a_view():
    ana, carla = hire("ana"), hire("carla")
    view = save(carla, audience="everyone")
    with pytest.raises(NotFound):
        savedviews.view_delete(owner=ana, view_id=view.pk)
    savedviews.view_delete(owner=carla, view_id=view.pk)
    assert not SavedView.objects.exists()


def test_no_person_hoards_views(monkeypatch):
    monkeypatch.setattr(savedviews, "MOST", 2)
    ana = hire("ana")
    save(ana, "1")
    save(ana, "2")
    save(ana, "2", query="q=again")
    with pytest.raises(InvalidInput, match="delete one first"):
        save(ana, "3")
