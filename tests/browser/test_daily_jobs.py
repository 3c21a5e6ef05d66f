"""The daily jobs of the desk in a real browser, from the list of exceptions to the end, with their interactions counted."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.core.scope import EVERYTHING
from apps.demo import deals, situations
from apps.organization.models import LegalEntity
from apps.sync import services as sync
from apps.triage import selectors as triage
from apps.triage import services as triage_services
from apps.triage.job_models import Job, Result
from apps.triage.jobs import work
from apps.triage.models import Case
from tests.browser.hands import Hands
from tests.flows import acts

pytestmark = [pytest.mark.needs_chromium, pytest.mark.slow]
TAX_ID = "GB980780684"


@pytest.fixture(autouse=True)
def _rows_beside_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright keeps an event loop in this thread, in which Django would refuse queries that are safe here."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def session(username: str) -> dict[str, str]:
    client = Client()
    client.force_login(acts.person(username))
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}


def twin(bench: Any, name: str) -> str:
    place = {"addr1": "1 Long Lane", "city": "York", "country": {"id": "GB"}}
    body = {
        "companyName": name,
        "isPerson": False,
        "subsidiary": {"id": "1"},
        "vatRegNumber": TAX_ID,
        "addressBook": {"items": [{"defaultBilling": True, "addressBookAddress": place}]},
    }
    return str(bench.control.create("erp", "customer", body)["id"])


def test_a_value_is_mapped_for_a_whole_group(served_bench, visit):
    bench = served_bench
    for spec in situations.UNMAPPED:
        bench.close(bench.deal(spec, account=deals.account_of(spec.client)))
    bench.poll()
    page = visit(f"{bench.world.web_url}/exceptions/", session("nadia"))
    hands = Hands(page)
    hands.click(page.locator(".row-item a", has_text="has no billing code").first)
    hands.click(page.locator(".row-item a[hx-get]").first)
    hands.check(page.locator("#fix-form input[name=target]").first)
    hands.click(page.get_by_role("button", name="Map and run 6 deals"))
    page.get_by_text("6 transactions run.").wait_for()
    bench.settle()
    page.get_by_text("5 of 6 cleared").wait_for()
    assert hands.count <= 6, "map a value for a whole group"


def test_a_doubled_customer_is_linked(served_bench, visit, artefacts):
    bench = served_bench
    twin(bench, "Pair Holdings")
    right = twin(bench, "Pair Trading")
    account = bench.account(Tax_Id__c=TAX_ID)
    deal_id = bench.win(acts.SMALL, account=account)
    page = visit(f"{bench.world.web_url}/exceptions/", session("marta"))
    hands = Hands(page)
    hands.click(page.locator(".row-item a", has_text="share the tax id").first)
    hands.click(page.locator(".row-item a[hx-get]", has_text="").first)
    hands.check(page.locator(f"#decide-form input[value='{right}']"))
    page.locator("#decide-preview .preview").wait_for()
    page.screenshot(path=artefacts / "decide-preview.png", full_page=True)
    hands.click(page.get_by_role("button", name="Decide and run"))
    page.get_by_text("runs again.").wait_for()
    bench.settle()
    assert Case.objects.get(subject_key=f"crm:{account}@erp").state == "resolved"
    assert bench.provisioning(deal_id).state == "succeeded"
    assert hands.count <= 5, "link a duplicate customer"


def test_chosen_cases_run_as_a_job_by_keyboard_alone(served_bench, visit, artefacts):
    bench = served_bench
    deal_ids = []
    for _ in range(2):
        deal_id = bench.deal(acts.SMALL)
        bench.control.patch("crm", "Opportunity", deal_id, {"Contracting_Entity__c": ""})
        bench.close(deal_id)
        deal_ids.append(deal_id)
    bench.poll(("crm", "deal"))
    for deal_id in deal_ids:  # corrected in the source; nobody has looked since
        bench.control.patch("crm", "Opportunity", deal_id, {"Contracting_Entity__c": "MER-UK"})
    page = visit(f"{bench.world.web_url}/exceptions/?view=cases&code=CUS-LE-MISSING", session("owen"))
    hands = Hands(page)
    for key in ("j", "x", "j", "X", "r"):
        hands.press(key)
    page.get_by_role("heading", name="JOB-").wait_for()
    job = Job.objects.latest("id")
    assert job.total == 2
    while work.work(seconds=1):
        pass
    page.get_by_text("Clears 2, changes the error on 0, leaves 0.").wait_for()
    page.screenshot(path=artefacts / "job-ready.png", full_page=True)
    hands.click(page.get_by_role("button", name="Run 2 cases"))
    page.get_by_role("button", name="Stop").wait_for()
    work.work(seconds=0.5)
    bench.settle()
    Job.objects.filter(pk=job.pk).update(next_at=job.created_at)
    work.work(seconds=0.5)
    page.get_by_text("2 of 2 cases cleared").wait_for()
    page.screenshot(path=artefacts / "job-done.png", full_page=True)
    assert set(job.rows.values_list("result", flat=True)) == {Result.CLEARED}
    assert all(bench.provisioning(deal_id).state == "succeeded" for deal_id in deal_ids)
    assert hands.count <= 6


def more_than_a_page(entity: LegalEntity) -> None:
    """Cases as the engine reports them."""
    for number in range(45):
        key = f"crm:0069{number:05d}"
        row = sync.enqueue(kind="deal", key=key, flow="deal.provision", trigger="event")
        problem = {
            "code": "DEAL-SVC-UNMAPPED",
            "step": "project",
            "field": "service_code",
            "value": "AIR-510",
        }
        problem |= {"object_type": "service_item", "reason": "AIR-510 has no billing code.", "params": {}}
        fact = {
            "transaction_id": row.pk,
            "transaction_ref": row.ref,
            "subject_kind": "deal",
            "subject_key": key,
        }
        fact |= {
            "flow": "deal.provision",
            "legal_entity_id": entity.pk,
            "engagement_key": "",
            "label": f"Deal {number}",
        }
        fact |= {"customer": "", "currency": "EUR", "amount": "1", "correlation_id": str(row.correlation_id)}
        triage_services.cases_reconcile([{**fact, "problems": [problem]}])


def test_cases_are_assigned_by_filter(served_bench, visit):
    bench = served_bench
    more_than_a_page(LegalEntity.objects.get(code="OST-BE"))
    page = visit(f"{bench.world.web_url}/exceptions/?view=cases", session("nadia"))
    hands = Hands(page)
    hands.choose(page.get_by_label("Legal entity"), value="OST-BE")
    page.wait_for_url("**entity=OST-BE**")
    hands.check(page.get_by_label("that match"))
    hands.click(page.locator(".bulk-assign summary", has_text="Assign"))
    hands.choose(page.locator(".bulk-assign").get_by_label("Person or role"), value="role:controller")
    hands.click(page.get_by_role("button", name="Assign them"))
    page.get_by_text("cases assigned.").wait_for()
    queues = set(
        triage.open_cases(EVERYTHING).filter(legal_entity__code="OST-BE").values_list("queue", flat=True)
    )
    assert queues == {"controller"}
    assert hands.count <= 5, "bulk assign by filter"


def test_a_case_is_snoozed_from_the_list_and_from_its_page_by_key(served_bench, visit, artefacts):
    bench = served_bench
    deal_ids = []
    for _ in range(2):
        deal_id = bench.deal(acts.SMALL)
        bench.control.patch("crm", "Opportunity", deal_id, {"Contracting_Entity__c": ""})
        bench.close(deal_id)
        deal_ids.append(deal_id)
    bench.poll(("crm", "deal"))
    cases = list(
        Case.objects.filter(code="CUS-LE-MISSING", subject_key__in=[f"crm:{one}" for one in deal_ids])
    )
    assert len(cases) == 2
    address = f"{bench.world.web_url}/exceptions/?view=cases&code=CUS-LE-MISSING"
    now = timezone.now()
    until = (now + (cases[0].due_at - now) / 2).strftime("%Y-%m-%dT%H:%M")  # never past its run
    page = visit(address, session("owen"))
    hands = Hands(page)
    for key in ("j", "s"):
        hands.press(key)
    field = page.get_by_label("Until")
    assert field.evaluate("item => item === document.activeElement"), "the key leads to the first field"
    page.screenshot(path=artefacts / "snooze-in-the-list.png", full_page=True)
    hands.fill(field, until)
    hands.click(page.get_by_role("button", name="Snooze them"))
    page.get_by_text("1 case snoozed.").wait_for()
    assert [
        case.stance for case in Case.objects.filter(pk__in=[one.pk for one in cases]).order_by("stance")
    ] == ["", "snoozed"]
    hands.click(page.get_by_role("button", name="Undo"))
    page.get_by_text("Taken back for").wait_for()
    assert not Case.objects.filter(stance="snoozed").exists()
    hands.press("j")
    hands.press("Enter")
    page.locator("[data-ref]").wait_for()
    page.locator("[data-ref] h2").focus()
    hands.press("s")
    page.screenshot(path=artefacts / "snooze-on-the-page.png", full_page=True)
    hands.fill(page.locator("#case-until"), until)
    hands.click(page.locator("#stance").get_by_role("button", name="Snooze", exact=True))
    page.get_by_text("Snoozed until").wait_for()
    assert Case.objects.filter(stance="snoozed").count() == 1
