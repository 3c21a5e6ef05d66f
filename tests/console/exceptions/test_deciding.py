"""The fix by a decision on the screen: candidates with their evidence, a missing value, the preview in the form."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apps.core.errors import InvalidInput
from apps.journal import transitions
from apps.sync.models import Subject, Transaction
from apps.triage import services
from apps.triage.models import Case
from tests.console.texts import text_of
from tests.people import hire
from tests.triage.plans import Plans

HTMX = {"HX-Request": "true", "HX-Target": "decide-preview"}


@pytest.fixture
def plans(world: Any, monkeypatch: pytest.MonkeyPatch) -> Plans:
    made = Plans(monkeypatch, carried_out=True)
    made.entity_id = world.be.pk
    return made


def rest(case: Case) -> Case:
    row = Transaction.objects.get(pk=case.transaction_id)
    transitions.move(row, to="running")
    transitions.move(row, to="held")
    return case


def without_po(world: Any) -> Case:
    return rest(world.broken_deal(1, code="CUS-PO-REQUIRED", field="po_number", value="", object_type="deal"))


def doubled(world: Any, **more: Any) -> Case:
    case = world.broken_deal(1, code="CUS-DUP", field="name", value="", object_type="customer")
    found = {
        "external_id": "77",
        "name": "Tolvane Rail NV",
        "rung": "name",
        "score": 93.5,
        "inactive": False,
        "url": "",
    }
    candidates = [
        {**found, **more},
        {**found, "external_id": "78", "name": "<b>Tolvane</b>", "inactive": True},
    ]
    Case.objects.filter(pk=case.pk).update(subject_kind="customer", params={"candidates": candidates})
    return Case.objects.get(pk=case.pk)


def token_of(answer: Any) -> str:
    found = re.search(r'name="token" value="([^"]+)"', answer.content.decode())
    assert found is not None
    return found[1]


def test_a_missing_value_is_filled_in_with_its_preview_inside_the_form(world, signed_in, plans):
    case, client = without_po(world), signed_in("ana")
    page = text_of(client.get(f"/exceptions/{case.ref}/"))
    assert "Fill it in here" in page
    assert "The source stays right" in page
    shown = client.get(f"/exceptions/{case.ref}/decide/preview?value=PO-7781", headers=HTMX)
    assert "It would go through" in text_of(shown)
    assert "<html" not in shown.content.decode()
    assert Subject.objects.get(key=case.subject_key).decisions == {}, "a preview keeps nothing"
    sent = client.post(
        f"/exceptions/{case.ref}/decide", {"token": token_of(shown), "why": "By e-mail of today"}
    )
    assert sent.status_code == 302
    case.refresh_from_db()
    assert (case.state, case.fixed_by.username) == ("in_progress", "ana")
    edit = Subject.objects.get(key=case.subject_key).decisions["edits"]["po_number"]
    assert (edit["old"], edit["new"], edit["by"], edit["why"]) == (
        "",
        "PO-7781",
        "Ana Lindqvist",
        "By e-mail of today",
    )
    page = text_of(client.get(f"/exceptions/{case.ref}/"))
    assert "Filled in here" in page
    assert "By e-mail of today" in page


def test_without_javascript_the_preview_is_the_page(world, signed_in, plans):
    case, client = without_po(world), signed_in("ana")
    page = client.get(f"/exceptions/{case.ref}/decide/preview?value=PO-7781")
    assert "It would go through" in text_of(page)
    assert 'value="PO-7781"' in page.content.decode()


def test_a_reason_is_wanted_and_nothing_is_kept_without_one(world, signed_in, plans):
    case, client = without_po(world), signed_in("ana")
    shown = client.get(f"/exceptions/{case.ref}/decide/preview?value=PO-7781", headers=HTMX)
    answer = client.post(f"/exceptions/{case.ref}/decide", {"token": token_of(shown), "why": " "})
    assert answer.status_code == 400
    assert "Say why" in text_of(answer)
    case.refresh_from_db()
    assert case.state == "open"
    assert (
        client.post(f"/exceptions/{case.ref}/decide", {"token": "x" * 20, "why": "because"}).status_code
        == 409
    )
    assert client.post(f"/exceptions/{case.ref}/decide", {}).status_code == 400


def test_nothing_chosen_is_said_inside_the_form(world, signed_in, plans):
    case = without_po(world)
    answer = signed_in("ana").get(f"/exceptions/{case.ref}/decide/preview?value=", headers=HTMX)
    assert answer.status_code == 200
    assert "Choose or enter something first." in text_of(answer)


def test_candidates_are_shown_with_their_evidence_and_as_text(world, signed_in):
    case = doubled(world)
    answer = signed_in("ana").get(f"/exceptions/{case.ref}/")
    page = text_of(answer)
    assert "Tolvane Rail NV" in page
    assert "similar name, 93.5 % alike" in page
    assert "None of these: a new customer" in page
    html = answer.content.decode()
    assert "<b>Tolvane" not in html
    assert re.search(r'value="78" disabled', html), "an inactive one cannot be chosen"


def test_of_two_records_with_one_key_a_person_chooses_too(world, signed_in, plans):
    case = rest(doubled(world, rung="key"))
    Case.objects.filter(pk=case.pk).update(code="CUS-AMBIG-EXTID")
    page = text_of(signed_in("ana").get(f"/exceptions/{case.ref}/"))
    assert "Which record is" in page
    assert "carries our key, 93.5 % alike" in page
    assert "a new customer" not in page
    with pytest.raises(InvalidInput, match="a new one would be a third"):
        services.decision_preview(case=Case.objects.get(pk=case.pk), value="", by=hire("ana"))
    shown = signed_in("ana").get(f"/exceptions/{case.ref}/decide/preview?value=77", headers=HTMX)
    signed_in("ana").post(f"/exceptions/{case.ref}/decide", {"token": token_of(shown)})
    case.refresh_from_db()
    assert case.state == "in_progress"
    chosen = Subject.objects.get(key=case.subject_key).decisions["customer"]
    assert (chosen["external_id"], chosen["rejected"], chosen["by"]) == ("77", ["78"], "Ana Lindqvist")


def test_records_of_one_tax_id_are_never_joined_by_a_third(world, signed_in):
    case = doubled(world, rung="tax_id")
    assert "a new customer" not in text_of(signed_in("ana").get(f"/exceptions/{case.ref}/"))


def test_who_may_only_read_is_told_who_could_decide(world, signed_in):
    case = doubled(world)
    page = text_of(signed_in("otto").get(f"/exceptions/{case.ref}/"))
    assert "may not" in page
    answer = signed_in("otto").get(f"/exceptions/{case.ref}/decide/preview?value=77", headers=HTMX)
    assert "may not" in text_of(answer)


def test_a_case_of_another_entity_is_not_found(world, signed_in):
    foreign = world.broken_deal(5, entity=world.uk, code="CUS-PO-REQUIRED", field="po_number", value="")
    client = signed_in("ana", world.be)
    assert client.get(f"/exceptions/{foreign.ref}/decide/preview?value=1", headers=HTMX).status_code == 404
    assert client.post(f"/exceptions/{foreign.ref}/decide", {"token": "x", "why": "y"}).status_code == 404


def test_a_second_person_with_an_older_page_is_told_and_nothing_runs_twice(world, signed_in, plans):
    case, ana, carla = without_po(world), signed_in("ana"), signed_in("carla")
    first = ana.get(f"/exceptions/{case.ref}/decide/preview?value=PO-1", headers=HTMX)
    second = carla.get(f"/exceptions/{case.ref}/decide/preview?value=PO-2", headers=HTMX)
    assert (
        ana.post(f"/exceptions/{case.ref}/decide", {"token": token_of(first), "why": "mine"}).status_code
        == 302
    )
    answer = carla.post(f"/exceptions/{case.ref}/decide", {"token": token_of(second), "why": "mine"})
    assert answer.status_code == 409
    assert "Another fix of it is under way" in text_of(answer)
    assert Subject.objects.get(key=case.subject_key).decisions["edits"]["po_number"]["new"] == "PO-1"
