"""One case is acknowledged, snoozed and taken up again on its page, or several of them in the list; with undo and keys."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.triage.models import Case
from tests.console.queries import assert_rows_cost_nothing
from tests.console.texts import text_of
from tests.people import hire

LIST = "/exceptions/?view=cases"


def soon() -> str:
    """A day from now, whatever the zone of the person."""
    return (timezone.now() + timedelta(days=1, hours=14)).strftime("%Y-%m-%dT%H:%M")


def of(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)


def stand(client: Any, case: Case, verb: str, **sent: Any) -> Any:
    sent.setdefault("seen", of(case).seen)
    return client.post(f"/exceptions/{case.ref}/stand/{verb}", sent, follow=True)


def undo_of(page: Any) -> str:
    return re.search(r'action="(/exceptions/undo/[^"]+)"', page.content.decode()).group(1)


def test_a_case_is_acknowledged_and_the_notice_takes_it_back(world, signed_in):
    case, ana = world.broken_deal(1), signed_in("ana")
    page = stand(ana, case, "acknowledge", why="Asked.")
    assert f"{case.ref} is Acknowledged now." in text_of(page)
    assert of(case).stance == "acknowledged"
    assert "Take up again" in text_of(page)
    ana.post(undo_of(page))
    assert of(case).stance == ""


def test_a_snoozed_case_leaves_the_list_and_is_found_by_its_filter(world, signed_in):
    case, other, ana = world.broken_deal(1), world.broken_deal(2), signed_in("ana")
    Case.objects.update(due_at=timezone.now() + timedelta(days=4))
    page = stand(ana, case, "snooze", until=soon(), why="Item comes.")
    assert "Snoozed until" in text_of(page)
    listed = ana.get(LIST).content.decode()
    assert (case.ref in listed, other.ref in listed) == (False, True)
    assert "All 1 that match" not in listed
    snoozed = ana.get(f"{LIST}&state=snoozed").content.decode()
    assert (case.ref in snoozed, other.ref in snoozed) == (True, False)
    assert case.ref in ana.get(f"/exceptions/?group={case.group_id}").content.decode(), (
        "its cause shows all of it"
    )
    assert "OST-BE 1" in text_of(ana.get(LIST)) or "OST-BE (1)" in text_of(ana.get(LIST))
    stand(ana, case, "reopen")
    assert case.ref in ana.get(LIST).content.decode()


def test_billing_past_its_run_is_refused_with_the_deadline(world, signed_in):
    case, ana = world.broken_deal(1), signed_in("ana")
    Case.objects.update(due_at=timezone.now() + timedelta(minutes=5))
    page = text_of(stand(ana, case, "snooze", until=soon()))
    assert f"{case.ref} keeps billing from the invoice run that closes on" in page
    assert of(case).stance == ""


def test_nonsense_and_who_may_not_are_refused(world, signed_in):
    case, ana, otto = world.broken_deal(1), signed_in("ana"), signed_in("otto")
    assert stand(ana, case, "forget").status_code == 404
    assert stand(ana, case, "snooze").status_code == 400
    assert stand(ana, case, "snooze", until="tomorrow-ish").status_code == 400
    assert stand(otto, case, "acknowledge").status_code == 403
    assert stand(signed_in("rashid", world.uk), case, "acknowledge").status_code == 404
    assert ana.get(f"/exceptions/{case.ref}/stand/acknowledge").status_code == 405
    assert "Snooze this case" not in text_of(otto.get(f"/exceptions/{case.ref}/"))
    assert of(case).stance == ""


def test_chosen_cases_are_snoozed_and_taken_back_what_was_moved_is_left_alone(world, signed_in):
    first, second, third = (world.broken_deal(number) for number in (1, 2, 3))
    Case.objects.update(due_at=timezone.now() + timedelta(days=4))
    ana, carla = signed_in("ana"), signed_in("carla")
    boxes = re.findall(r'name="case" value="([^"]+)"', ana.get(LIST).content.decode())
    assert len(boxes) == 3
    carla.post(f"/exceptions/{first.ref}/take")
    page = ana.post("/exceptions/snooze", {"address": LIST, "case": boxes, "until": soon()}, follow=True)
    assert "2 cases snoozed." in text_of(page)
    assert "Carla Whitfield" in text_of(page)
    assert {of(case).stance for case in (second, third)} == {"snoozed"}
    again = re.findall(r'name="case" value="([^"]+)"', ana.get(f"{LIST}&state=snoozed").content.decode())
    given = {"address": LIST, "case": again, "to": str(hire("rashid").pk)}
    assert "2 cases assigned." in text_of(ana.post("/exceptions/assign", given, follow=True))
    assert of(first).stance == ""


def test_the_undo_of_several_is_one_notice(world, signed_in):
    cases = [world.broken_deal(number) for number in (1, 2)]
    Case.objects.update(due_at=timezone.now() + timedelta(days=4))
    ana = signed_in("ana")
    at = re.search(r'name="shown" value="([^"]+)"', ana.get(LIST).content.decode())[1]
    sent = {"address": LIST, "every": "true", "shown": at, "until": soon()}
    page = ana.post("/exceptions/snooze", sent, follow=True)
    assert {of(case).stance for case in cases} == {"snoozed"}
    ana.post(undo_of(page))
    assert {of(case).stance for case in cases} == {""}


def test_s_is_the_key_on_the_page_and_in_the_list(world, signed_in):
    case, ana = world.broken_deal(1), signed_in("ana")
    assert '<summary class="btn" data-key="s" data-needs-choice>' in ana.get(LIST).content.decode()
    assert '<summary data-key="s">' in ana.get(f"/exceptions/{case.ref}/").content.decode()
    assert "snooze the row, what is chosen, or the open case" in text_of(ana.get(LIST))


def test_my_queue_leaves_out_what_is_snoozed(world, signed_in):
    case, ana = world.broken_deal(1), signed_in("ana")
    Case.objects.update(due_at=timezone.now() + timedelta(days=4))
    ana.post(f"/exceptions/{case.ref}/take")
    assert case.ref in ana.get("/").content.decode()
    stand(ana, case, "snooze", until=soon())
    assert case.ref not in ana.get("/").content.decode()


def test_more_snoozed_cases_take_no_more_queries(world, signed_in):
    ana = signed_in("ana")

    def more() -> None:
        for number in range(40, 46):
            world.broken_deal(number)
        Case.objects.update(stance="snoozed", until=timezone.now() + timedelta(hours=1))

    case = world.broken_deal(1)
    Case.objects.update(stance="snoozed", until=timezone.now() + timedelta(hours=1))
    assert_rows_cost_nothing(ana, f"{LIST}&state=snoozed", more)
    assert of(case).stance == "snoozed"
