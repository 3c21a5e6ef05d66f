"""Help texts in the firm's own words: the more specific one wins, nobody overwrites what they have not seen."""

from __future__ import annotations

import pytest
from django.db import connection

from apps.core.errors import InvalidInput, NotAllowed, NotFound, Stale
from apps.core.scope import EVERYTHING, Scope
from apps.journal import selectors as journal
from apps.triage import help as helping
from tests.commercial import world
from tests.people import hire

CODE = "CAP-EXCEEDED"


@pytest.fixture
def entity(db):
    return world.entity()


def save(by, text: str, *, legal_entity=None, version: int = 0, code: str = CODE):
    return helping.help_set(code=code, legal_entity=legal_entity, text=text, version=version, by=by)


def test_the_text_of_the_entity_wins_and_an_emptied_one_gives_way(entity):
    ada = hire("ada")
    assert helping.help_for(CODE, entity.pk) is None
    save(ada, "Ask the client first.")
    own = save(ada, "In the UK ask Priya.", legal_entity=entity)
    assert helping.help_for(CODE, entity.pk).text == "In the UK ask Priya."
    assert helping.help_for(CODE, None).text == "Ask the client first."
    save(ada, "  ", legal_entity=entity, version=own.version)
    assert helping.help_for(CODE, entity.pk).text == "Ask the client first."


def test_a_second_save_of_the_same_version_is_told_who_was_faster_and_changes_nothing(entity):
    ada = hire("ada")
    shown = save(ada, "First.").version
    save(ada, "Second.", version=shown)
    with pytest.raises(Stale, match="Ada Kovacs changed this text"):
        save(ada, "Third.", version=shown)
    with pytest.raises(Stale):
        save(ada, "Fourth.")
    assert helping.help_for(CODE, None).text == "Second."


def test_only_an_admin_edits_and_only_within_reach(entity):
    with pytest.raises(NotAllowed):
        save(hire("carla"), "No.")
    ada = hire("ada", entity)
    with pytest.raises(NotAllowed):
        save(ada, "For everybody.")
    assert save(ada, "Here.", legal_entity=entity).version == 1


def test_what_cannot_be_saved_says_why(entity):
    ada = hire("ada")
    with pytest.raises(NotFound):
        save(ada, "x", code="WEIRD-42")
    with pytest.raises(InvalidInput):
        save(ada, "x" * (helping.LONGEST + 1))


def test_every_save_leaves_an_audit_row_and_a_row_of_history(entity):
    ada = hire("ada")
    save(ada, "First.", legal_entity=entity)
    save(ada, "Second.", legal_entity=entity, version=1)
    newest, oldest = journal.history("catalogue_code", CODE)
    assert (newest.verb, newest.old, newest.new) == (
        "catalogue.help_set",
        {"text": "First."},
        {"text": "Second."},
    )
    assert (oldest.actor_id, oldest.legal_entity_id) == (ada.pk, entity.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM triage_helptextevent ORDER BY pgh_id")
        assert [row[0] for row in cursor.fetchall()] == ["First.", "Second."]


def test_a_reader_of_one_entity_sees_no_text_of_another(entity):
    ada, other = hire("ada"), world.entity("OST-BE")
    save(ada, "All.")
    save(ada, "Ours.", legal_entity=entity)
    save(ada, "Theirs.", legal_entity=other)
    seen = helping.help_texts(CODE, Scope(entity_ids=frozenset([entity.pk])))
    assert [row.text for row in seen] == ["All.", "Ours."]
    assert len(helping.help_texts(CODE, EVERYTHING)) == 3
