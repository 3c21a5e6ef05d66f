"""Audit: filtered by reference, verb, day; paged by key; only what the scope holds."""

from __future__ import annotations

import pytest

from apps.console.audit import views
from apps.journal import services as journal
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of


def _record(number: int, entity=None, verb: str = "case.opened") -> None:
    journal.record(
        verb=verb,
        object_type="case",
        object_ref=f"EX-{number}",
        legal_entity_id=entity.pk if entity else None,
    )


def test_rows_are_found_by_reference_and_by_verb(world, signed_in):
    _record(1, world.uk)
    _record(2, world.uk, verb="prebill.moved")
    client = signed_in("otto")
    by_reference = text_of(client.get("/audit/?q=EX-1"))
    assert "EX-1" in by_reference
    assert "EX-2" not in by_reference
    assert "EX-2" in text_of(client.get("/audit/?verb=prebill."))


def test_an_auditor_of_one_entity_sees_only_its_rows(world, signed_in):
    _record(1, world.uk)
    _record(2, world.be)
    page = text_of(signed_in("otto", world.be).get("/audit/"))
    assert "EX-2" in page
    assert "EX-1" not in page


def test_older_rows_come_on_the_next_page(world, signed_in, monkeypatch):
    monkeypatch.setattr(views, "PER_PAGE", 2)
    for number in range(1, 6):
        _record(number, world.uk)
    client = signed_in("otto", world.uk)
    first = client.get("/audit/", {"verb": "case."})
    assert "EX-5" in text_of(first)
    assert "EX-3" not in text_of(first)
    second = client.get("/audit/", {"verb": "case.", "before": first.context["next"]})
    assert "EX-3" in text_of(second)
    assert "EX-4" not in text_of(second)


@pytest.mark.parametrize("query", ["before=x", "since=never", "until=2026-02-31"])
def test_nonsense_is_said_and_shows_no_rows(world, signed_in, query):
    _record(1, world.uk)
    answer = signed_in("otto").get(f"/audit/?{query}")
    assert answer.status_code == 200
    assert "EX-1" not in text_of(answer)
    assert 'role="alert"' in answer.content.decode()


def test_more_rows_take_no_more_queries(world, signed_in):
    _record(0, world.uk)
    assert_rows_cost_nothing(
        signed_in("otto"), "/audit/", lambda: [_record(n, world.uk) for n in range(1, 9)]
    )
