"""People with time on an engagement are looked up among the ERPs' employees, by e-mail address; nothing waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core import clock
from apps.demo import psa
from apps.sync import queue
from apps.triage.models import Case
from tests.flows import acts
from tests.flows.bench import Bench
from tests.flows.test_codes_of_delivery import Worked

ADDRESS = psa.address_of(0)


def employees_read(bench: Bench) -> None:
    """What happens by itself every hour."""
    queue.enqueue(kind="catalogue", key="erp", flow="catalogue.read", trigger="hourly")
    bench.settle()


def looked_at_again(bench: Bench, worked: Worked) -> None:
    queue.enqueue(kind="delivery", key=worked.row.key, flow="delivery.sync", trigger="daily reading")
    bench.settle()


def employee(bench: Bench, **fields: Any) -> None:
    [found] = bench.control.records("erp", "employee", email=ADDRESS)
    bench.control.patch("erp", "employee", found["id"], fields)
    employees_read(bench)


def reason(worked: Worked, code: str) -> str:
    [found] = Case.objects.filter(code=code, subject_key=worked.row.key)
    return str(found.reason)


@pytest.fixture
def known(bench: Bench):
    employees_read(bench)
    yield
    employee(bench, email=ADDRESS, isInactive=False)


@pytest.mark.provokes("RES-UNMAPPED")
def test_somebody_whom_no_erp_employs_under_this_address_is_told_and_billed_all_the_same(
    bench: Bench, known: None
):
    worked = Worked(bench)
    worked.book({})
    assert worked.cases == [], "the ERP employs everybody who books time"
    stranger = {"id": "9777", "full_name": "Freya Lind", "email_address": "freya@lind.example"}
    bench.control.seed({"psa": {"users": [stranger]}})
    [first] = bench.control.records("psa", "time_entries", workspace_id=worked.workspace)
    worked.change(first["id"], user_id="9777")
    assert worked.cases == [("RES-UNMAPPED", "open")]
    assert "Freya Lind (freya@lind.example) has booked time" in reason(worked, "RES-UNMAPPED")
    assert worked.row.key in {one.engagement_key for one in acts.prebills()}
    bench.control.create(
        "erp",
        "employee",
        {"firstName": "Freya", "lastName": "Lind", "email": "Freya@Lind.example", "subsidiary": {"id": "1"}},
    )
    employees_read(bench)
    looked_at_again(bench, worked)
    assert worked.cases == [("RES-UNMAPPED", "resolved")]


@pytest.mark.provokes("RES-INACTIVE")
def test_open_time_of_somebody_who_has_left_is_told_until_it_is_approved(bench: Bench, known: None):
    worked = Worked(bench)
    [entry] = worked.book({"approved": False, "date_performed": clock.today().isoformat()})
    employee(bench, isInactive=True)
    looked_at_again(bench, worked)
    assert worked.cases == [("RES-INACTIVE", "open")]
    assert f"({ADDRESS}) has time in" in reason(worked, "RES-INACTIVE")
    worked.change(entry, approved=True)
    assert worked.cases == [("RES-INACTIVE", "resolved")], "what is approved needs nobody any more"
    assert bench.transaction("delivery", worked.row.key, "delivery.sync").state == "succeeded"
