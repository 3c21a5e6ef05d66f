"""Two people at one case: every form says what its page showed; the second is told what changed, and nothing runs twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apps.sync.models import Transaction
from apps.triage.models import Case
from tests.console.texts import text_of
from tests.people import hire
from tests.triage.desk import crowd
from tests.triage.plans import Plans


def page_of(client: Any, case: Case, rest: str = "", **headers: Any) -> str:
    return client.get(f"/exceptions/{case.ref}/{rest}", **headers).content.decode()


def seen_in(page: str, action: str) -> str:
    """What the form of this address sends as the place that its page showed."""
    form = page[page.index(f'action="{action}"') :]
    form = form[: form.index("</form>")]
    return re.search(r'name="seen" value="([^"]+)"', form).group(1)


def shown_in(page: str, action: str) -> dict[str, str]:
    """What the form of this address sends by itself: the place, and the token of a preview where it is one."""
    form = page[page.index(f'action="{action}"') :]
    token = re.search(r'name="token" value="([^"]+)"', form[: form.index("</form>")])
    return {"seen": seen_in(page, action), **({"token": token[1]} if token else {})}


def send(client: Any, case: Case, verb: str, page: str, **data: Any) -> str:
    address = f"/exceptions/{case.ref}/{verb}"
    return text_of(client.post(address, {**shown_in(page, address), **data}, follow=True))


def of(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


@pytest.fixture
def plans(monkeypatch):
    return Plans(monkeypatch)


@pytest.fixture
def two(signed_in) -> tuple[Any, Any]:
    return signed_in("ana"), signed_in("carla")


def test_taking_what_was_put_into_a_queue_since_is_told(world, two):
    ana, carla = two
    case = world.broken_deal(1)
    page = page_of(ana, case)
    carla.post(f"/exceptions/{case.ref}/assign", {"to": "role:controller", "seen": of(case).seen})
    told = send(ana, case, "take", page)
    assert f"{case.ref} has changed since you looked: Carla Whitfield" in told
    assert (of(case).assignee, of(case).queue) == (None, "controller")
    assert f"{case.ref} is yours." in send(ana, case, "take", page_of(ana, case))


def test_taking_what_somebody_has_taken_is_told(world, two):
    ana, carla = two
    case = world.broken_deal(1)
    page = page_of(ana, case)
    assert f"{case.ref} is yours." in send(carla, case, "take", page_of(carla, case))
    assert "Carla Whitfield was faster." in send(ana, case, "take", page)
    assert of(case).assignee.username == "carla"


def test_handing_over_what_was_handed_over_since_is_told(world, two):
    ana, carla = two
    case, rashid, remy = world.broken_deal(1), hire("rashid"), hire("remy")
    page = page_of(ana, case)
    send(carla, case, "assign", page_of(carla, case), to=str(rashid.pk), note="Please today.")
    told = send(ana, case, "assign", page, to=str(remy.pk))
    assert f"{case.ref} has changed since you looked: Carla Whitfield" in told
    assert "Please today." in told
    assert of(case).assignee == rashid
    assert case.events.filter(what="moved").count() == 1


def test_fixing_what_somebody_took_since_is_told_and_runs_nothing(world, two, plans):
    ana, carla = two
    world.service_items(("4010", "Fixed-fee reviews"))
    case, _other = crowd(world.be, 2)
    page = page_of(ana, case, "fix/preview?target=401")
    token = re.search(r'name="token" value="([^"]+)"', page).group(1)
    given = {"target": "401", "previewed": "401", "token": token}
    send(carla, case, "take", page_of(carla, case))
    told = send(ana, case, "fix", page, **given)
    assert f"{case.ref} has changed since you looked: Carla Whitfield" in told
    assert of(case).mapping_id is None
    assert set(Transaction.objects.values_list("state", flat=True)) == {"held"}
    assert "2 transactions run." in send(
        ana, case, "fix", page_of(ana, case, "fix/preview?target=401"), **given
    )


def test_a_fix_that_somebody_has_made_since_is_not_made_twice(world, signed_in, plans):
    ana, remy = signed_in("ana"), signed_in("remy")
    world.service_items(("4010", "Fixed-fee reviews"))
    case, _other = crowd(world.be, 2)
    pages = {client: page_of(client, case, "fix/preview?target=401") for client in (ana, remy)}
    answers = []
    for client, page in pages.items():
        token = re.search(r'name="token" value="([^"]+)"', page).group(1)
        given = {"target": "401", "previewed": "401", "token": token}
        answers.append(send(client, case, "fix", page, **given))
    assert "2 transactions run." in answers[0]
    assert "transactions run." not in answers[1]
    assert f"{case.ref} has changed since you looked: Ana Lindqvist" in answers[1]
    assert of(case).fixed_by.username == "ana"
    assert Transaction.objects.count() == 2


def test_running_again_what_somebody_ran_since_is_told_and_nothing_runs_twice(world, two, plans):
    ana, carla = two
    (case,) = crowd(world.be, 1)
    first, second = (page_of(client, case, "retry/preview") for client in (ana, carla))
    assert "runs again." in send(ana, case, "retry", first)
    Transaction.objects.update(state="held")  # it came back with the same
    Case.objects.update(state="open", fixed_by=None)
    told = send(carla, case, "retry", second)
    assert f"{case.ref} has changed since you looked: Ana Lindqvist" in told
    assert "Run again." in told
    assert set(Transaction.objects.values_list("state", flat=True)) == {"held"}
    assert case.events.filter(new="in_progress").count() == 1
    assert "runs again." in send(carla, case, "retry", page_of(carla, case, "retry/preview"))


def test_the_preview_of_a_run_keeps_what_the_page_showed(world, two, plans):
    ana, carla = two
    case = world.broken_deal(1, code="CUS-PO-REQUIRED")
    address = re.search(r'hx-get="([^"]+retry/preview[^"]*)"', page_of(ana, case)).group(1)
    send(carla, case, "take", page_of(carla, case))
    shown = ana.get(address, HTTP_HX_REQUEST="true").content.decode()
    assert "has changed since you looked: Carla Whitfield" in send(ana, case, "retry", shown)
    assert case.events.filter(new="in_progress").count() == 0


def test_a_case_that_has_closed_since_is_neither_taken_nor_run(world, two, plans):
    ana, _carla = two
    case = world.broken_deal(1, code="CUS-PO-REQUIRED")
    page, preview = page_of(ana, case), page_of(ana, case, "retry/preview")
    Case.objects.filter(pk=case.pk).update(state="resolved")
    for verb, shown in (("take", page), ("retry", preview)):
        address = f"/exceptions/{case.ref}/{verb}"
        answer = ana.post(address, shown_in(shown, address))
        assert answer.status_code == 409
        assert "is closed" in text_of(answer)
