"""The fix form: candidates, the preview inside it, and that nothing runs that was not shown.

Without a reachable CRM the engine cannot plan, so the first tests see what the form promises then; the later ones write the
plans of their deals. The fix with real systems is a story under ``tests/flows``.
"""

from __future__ import annotations

import re

import pytest

from apps.core.scope import EVERYTHING
from apps.governance import selectors as governance
from apps.governance import services as governing
from apps.triage import selectors as triage
from apps.triage.models import Case
from apps.triage.services import previews
from tests.console.queries import queries_of
from tests.console.texts import text_of
from tests.triage.desk import crowd, opened
from tests.triage.plans import Plans


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


# ---- A preview of several steps --------------------------------------------------------------------------------------
@pytest.fixture
def plans(monkeypatch):
    return Plans(monkeypatch)


@pytest.fixture
def slow(plans, monkeypatch):
    """Each request plans one deal only, as if every read took long."""
    monkeypatch.setattr(previews, "STEP_SECONDS", 0.0)


def _next(answer) -> str:
    return re.search(r'hx-get="([^"]+)"', answer.content.decode()).group(1).replace("&amp;", "&")


def _hidden(answer, name: str) -> str:
    return re.search(rf'name="{name}" value="([^"]+)"', answer.content.decode()).group(1)


def test_a_small_group_is_previewed_in_one_request(world, plans, signed_in):
    first, _second = crowd(world.be, 2)
    answer = signed_in("ana").get(f"/exceptions/{first.ref}/fix/preview?target=402", HTTP_HX_REQUEST="true")
    assert "hx-get" not in answer.content.decode()
    assert "Map and run 2 deals" in text_of(answer)


def test_a_long_preview_shows_how_far_it_is_and_asks_for_its_next_step_by_itself(world, slow, signed_in):
    client, cases = signed_in("ana"), crowd(world.be, 3)
    answer = client.get(f"/exceptions/{cases[0].ref}/fix/preview?target=402", HTTP_HX_REQUEST="true")
    assert "Planned 1 of 3 deals" in text_of(answer)
    assert "Map and run" not in text_of(answer)
    answer = client.get(_next(answer), HTTP_HX_REQUEST="true")
    assert "Planned 2 of 3 deals" in text_of(answer)
    answer = client.get(_next(answer), HTTP_HX_REQUEST="true")
    assert "Map and run 3 deals" in text_of(answer)
    form = {"target": "402", "previewed": _hidden(answer, "previewed"), "token": _hidden(answer, "token")}
    page = client.post(f"/exceptions/{cases[0].ref}/fix", form, follow=True)
    assert "3 transactions run." in text_of(page)
    assert "Running: 0 of 3 settled" in text_of(page)


def test_a_long_preview_goes_on_by_a_button_without_javascript(world, slow, signed_in):
    world.service_items(("4010", "Fixed-fee reviews"))
    client, cases = signed_in("ana"), crowd(world.be, 2)
    page = client.get(f"/exceptions/{cases[0].ref}/fix/preview?target=401")
    assert "Planned 1 of 2 deals" in text_of(page)
    key = re.search(r'<noscript><button[^>]+name="preview" value="([^"]+)"', page.content.decode()).group(1)
    page = client.get(f"/exceptions/{cases[0].ref}/fix/preview?target=401&preview={key}")
    assert "<html" in page.content.decode()
    assert "Map and run 2 deals" in text_of(page)


def test_a_preview_that_was_left_is_in_the_form_of_every_case_of_the_cause(world, slow, signed_in):
    world.service_items(("4010", "Fixed-fee reviews"))
    client, cases = signed_in("ana"), crowd(world.be, 3)
    client.get(f"/exceptions/{cases[0].ref}/fix/preview?target=401", HTTP_HX_REQUEST="true")
    page = client.get(f"/exceptions/{cases[2].ref}/")
    assert "Planned 1 of 3 deals" in text_of(page)
    assert 'value="401" checked' in page.content.decode()
    assert "Planned" not in text_of(signed_in("carla").get(f"/exceptions/{cases[2].ref}/"))
    governing.mapping_adopt(
        kind="service_item",
        legal_entity=world.be,
        source="AIR-510",
        target="9",
        target_label="",
        why="Go-live.",
    )
    assert "Planned" not in text_of(client.get(f"/exceptions/{cases[2].ref}/")), "the value has its partner"


def test_a_step_of_somebody_elses_preview_is_refused_with_a_sentence(world, slow, signed_in):
    cases = crowd(world.be, 2)
    address = f"/exceptions/{cases[0].ref}/fix/preview?target=402"
    others = _next(signed_in("ana").get(address, HTTP_HX_REQUEST="true"))
    answer = signed_in("remy").get(others, HTTP_HX_REQUEST="true")
    assert "another fix or another person" in text_of(answer)


def test_what_came_after_the_preview_is_said_before_and_after_the_run_and_offered(world, plans, signed_in):
    client, cases = signed_in("ana"), crowd(world.be, 2)
    address = f"/exceptions/{cases[0].ref}/fix/preview?target=402"
    answer = client.get(address, HTTP_HX_REQUEST="true")
    late = opened(world.be, number=1)
    token = _hidden(answer, "token")
    again = client.get(f"{address}&preview={token}", HTTP_HX_REQUEST="true")
    assert "1 case came after this preview" in text_of(again)
    form = {"target": "402", "previewed": "402", "token": token}
    page = client.post(f"/exceptions/{cases[0].ref}/fix", form, follow=True)
    assert "1 case came after this preview and was not run. Preview it next." in text_of(page)
    page = client.get(f"/exceptions/{late.ref}/")
    assert "The mapping is in force, but this case was found before" in text_of(page)
    assert 'value="402" checked' in page.content.decode()


def test_a_large_preview_lists_a_bounded_number_of_deals_and_says_how_many_more(
    world, plans, signed_in, monkeypatch
):
    monkeypatch.setattr(previews, "STEP_SECONDS", 600.0)
    cases = crowd(world.be, 130)
    answer = signed_in("ana").get(
        f"/exceptions/{cases[0].ref}/fix/preview?target=402", HTTP_HX_REQUEST="true"
    )
    assert "Map and run 130 deals" in text_of(answer)
    assert "and 30 further deals" in text_of(answer)


def test_the_progress_of_a_run_takes_as_many_queries_for_many_cases_as_for_few(world, plans, signed_in):
    client = signed_in("ana")
    costs = []
    for count, start, value in ((3, 1000, "AIR-510"), (90, 5000, "AIR-520")):
        cases = crowd(world.be, count, start=start, value=value)
        address = f"/exceptions/{cases[0].ref}/"
        answer = client.get(f"{address}fix/preview?target=402", HTTP_HX_REQUEST="true")
        form = {"target": "402", "previewed": "402", "token": _hidden(answer, "token")}
        client.post(f"{address}fix", form)
        assert Case.objects.filter(state="in_progress").count() >= count
        queries_of(client, address)
        costs.append(queries_of(client, address))
    assert costs[0] == costs[1]


# ---- Where the ERP's partners are not read ---------------------------------------------------------------------------
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
