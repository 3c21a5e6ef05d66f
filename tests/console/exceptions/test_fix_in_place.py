"""The fix form: candidates, the preview inside it, and that nothing runs that was not shown.

Without a reachable CRM the engine cannot plan, so these tests see what the form promises then; the fix with real systems is
a story under ``tests/flows``.
"""

from __future__ import annotations

import pytest

from apps.core.scope import EVERYTHING
from apps.governance import selectors as governance
from apps.triage import selectors as triage
from tests.console.texts import text_of


@pytest.fixture
def case(world):
    world.service_items(("4010", "Fixed-fee reviews"), ("4030", "Responsible AI assessment"))
    return world.broken_deal(1)


def test_the_likeliest_billing_code_comes_first(case, signed_in):
    page = signed_in("ana").get(f"/exceptions/{case.ref}/").content.decode()
    assert 0 < page.index("4030 Responsible AI assessment") < page.index("4010 Fixed-fee reviews")


def test_what_cannot_be_planned_now_is_said_and_offers_no_run(case, signed_in):
    answer = signed_in("ana").get(f"/exceptions/{case.ref}/fix/preview?target=402", HTTP_HX_REQUEST="true")
    page = text_of(answer)
    assert "1 could not be checked" in page
    assert "No deal could be checked now" in page
    assert "Map and run" not in page


def test_the_preview_works_without_javascript_inside_the_whole_page(case, signed_in):
    page = signed_in("ana").get(f"/exceptions/{case.ref}/fix/preview?target=402").content.decode()
    assert "<html" in page
    assert "could not be checked" in page
    assert 'value="402" checked' in page


def test_a_preview_without_a_choice_asks_for_one(case, signed_in):
    answer = signed_in("ana").get(f"/exceptions/{case.ref}/fix/preview", HTTP_HX_REQUEST="true")
    assert answer.status_code == 200
    assert "Choose what the value means." in text_of(answer)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"target": "402"}, "Look at the preview first"),
        ({"target": "402", "previewed": "401", "token": "x"}, "another value after the preview"),
    ],
)
def test_nothing_runs_without_the_preview_of_exactly_this(case, signed_in, form, sentence):
    answer = signed_in("ana").post(f"/exceptions/{case.ref}/fix", form)
    assert answer.status_code == 400
    assert sentence in text_of(answer)
    assert governance.awaiting_review(EVERYTHING) == []


def test_a_forged_token_is_refused_as_stale_and_changes_nothing(case, signed_in):
    form = {"target": "402", "previewed": "402", "token": "forged"}
    answer = signed_in("ana").post(f"/exceptions/{case.ref}/fix", form)
    assert answer.status_code == 409
    assert governance.awaiting_review(EVERYTHING) == []
    assert triage.case_detail(EVERYTHING, case.ref).case.state == "open"


def test_somebody_who_may_not_add_mappings_is_refused_whatever_the_form_says(case, signed_in):
    form = {"target": "402", "previewed": "402", "token": "x"}
    answer = signed_in("rashid").post(f"/exceptions/{case.ref}/fix", form)
    assert answer.status_code == 403
    assert governance.awaiting_review(EVERYTHING) == []


@pytest.fixture
def terms(world):
    """A value whose partners are not read from the ERP."""
    world.service_items(("4010", "Fixed-fee reviews"))
    return world.broken_deal(
        2, code="CUS-TERMS", value="Net 17", object_type="customer", field="payment_terms"
    )


def test_where_the_partners_are_not_read_the_erps_own_id_is_asked_for(terms, signed_in):
    ana = signed_in("ana")
    page = ana.get(f"/exceptions/{terms.ref}/").content.decode()
    assert 'id="fix-target" name="target"' in page
    assert "Fixed-fee reviews" not in page, "no billing code is a term of payment"
    shown = ana.get(f"/exceptions/{terms.ref}/fix/preview?target=5").content.decode()
    assert 'name="target" value="5"' in shown
    assert "could not be checked" in shown


def test_a_value_that_a_system_refused_has_no_fix_by_mapping(world, signed_in):
    case = world.broken_deal(3, code="CUS-TERMS", value="Net 17", field="payment_terms")
    case.params = {**case.params, "system": "erp"}
    case.save(update_fields=["params"])
    page = signed_in("ana").get(f"/exceptions/{case.ref}/").content.decode()
    assert "fix-form" not in page
    form = {"target": "5", "previewed": "5", "token": "x"}
    assert signed_in("ana").post(f"/exceptions/{case.ref}/fix", form).status_code in (400, 409)
    assert governance.awaiting_review(EVERYTHING) == []
