"""A move needs an arrow, leaves a row, and of two racing moves one wins."""

from __future__ import annotations

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext, isolate_apps

from apps.core.errors import WrongState
from apps.journal import selectors
from apps.journal.models import Audit
from apps.journal.transitions import Arrows, move, move_many
from tests.journal.together import outcomes, together

with isolate_apps("apps.journal"):

    class Parcel(models.Model):
        ARROWS = Arrows({"packed": {"sent", "lost"}, "sent": {"arrived", "lost"}})

        ref = models.CharField(max_length=20)
        state = models.CharField(max_length=20, default="packed")
        legal_entity_id = models.BigIntegerField(null=True)
        engagement_key = models.CharField(max_length=20, default="")
        weight = models.DecimalField(max_digits=8, decimal_places=2, default=1)
        updated_at = models.DateTimeField(null=True)

        class Meta:
            app_label = "journal"

        def __str__(self) -> str:
            return self.ref


@pytest.fixture
def parcels(request):
    """The table of parcels, in whichever database the test works on."""
    with connection.schema_editor() as editor:
        editor.create_model(Parcel)
    yield
    if "process_database" not in request.fixturenames:
        with connection.schema_editor() as editor:
            editor.delete_model(Parcel)


@pytest.fixture
def committed_parcels(process_database, parcels):
    return process_database


@pytest.mark.django_db
def test_a_move_sets_state_and_fields_and_leaves_who_when_from_to_why(parcels, django_user_model):
    ana = django_user_model.objects.create(username="ana")
    parcel = Parcel.objects.create(ref="P-1", legal_entity_id=7, engagement_key="ENG-1")
    with CaptureQueriesContext(connection) as queries:
        assert move(parcel, to="sent", by=ana, why="the van came", weight="2.50") is True
    assert len(queries) == 1
    stored = Parcel.objects.get()
    assert (stored.state, str(stored.weight), parcel.state) == ("sent", "2.50", "sent")
    assert stored.updated_at is not None
    row = Audit.objects.get()
    assert (row.verb, row.object_type, row.object_ref) == ("parcel.sent", "parcel", "P-1")
    assert (row.old, row.new) == ({"state": "packed"}, {"state": "sent", "weight": "2.50"})
    assert (row.actor_id, row.actor, row.why) == (ana.pk, "ana", "the van came")
    assert (row.legal_entity_id, row.engagement_key) == (7, "ENG-1")
    assert selectors.history("parcel", "P-1") == [row]


@pytest.mark.django_db
def test_a_move_without_an_arrow_is_refused_in_words(parcels):
    parcel = Parcel.objects.create(ref="P-1")
    with pytest.raises(WrongState, match="P-1 is packed and cannot become arrived"):
        move(parcel, to="arrived")
    assert not Audit.objects.exists()


@pytest.mark.django_db
def test_losing_a_race_is_a_plain_false_and_leaves_no_row(parcels):
    parcel = Parcel.objects.create(ref="P-1")
    stale = Parcel.objects.get()
    assert move(parcel, to="sent")
    assert move(stale, to="lost") is False
    assert (stale.state, Parcel.objects.get().state, Audit.objects.count()) == ("packed", "sent", 1)


@pytest.mark.django_db
def test_expect_overrides_what_was_loaded(parcels):
    parcel = Parcel.objects.create(ref="P-1")
    assert move(parcel, to="arrived", expect="sent") is False
    assert move(parcel, to="sent", expect="packed") is True


def test_of_eight_racing_moves_one_wins_and_one_row_is_left(committed_parcels):
    Parcel.objects.create(ref="P-1")
    copies = [Parcel.objects.get() for _ in range(8)]
    results = together(*[lambda copy=copy: move(copy, to="sent") for copy in copies])
    assert outcomes(results) == {"True": 1, "False": 7}
    assert Audit.objects.filter(object_type="parcel").count() == 1


@pytest.mark.django_db
def test_many_move_together_and_rows_without_an_arrow_stay(parcels):
    for ref, state in [("P-1", "packed"), ("P-2", "sent"), ("P-3", "arrived"), ("Q-1", "packed")]:
        Parcel.objects.create(ref=ref, state=state)
    assert move_many(Parcel.objects.filter(ref__startswith="P"), to="lost", why="the ship sank") == 2
    assert dict(Parcel.objects.values_list("ref", "state")) == {
        "P-1": "lost",
        "P-2": "lost",
        "P-3": "arrived",
        "Q-1": "packed",
    }
    assert {(row.object_ref, row.old["state"]) for row in Audit.objects.all()} == {
        ("P-1", "packed"),
        ("P-2", "sent"),
    }
