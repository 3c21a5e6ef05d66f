"""The story's fourth step in a real browser, on the emulated systems over HTTP: a service without a billing code is mapped in
place, the preview says what that does, the run clears every deal of the cause, and nothing is created twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from apps.core.scope import EVERYTHING
from apps.demo import deals, situations
from apps.triage import selectors as triage
from tests.flows import acts

pytestmark = [pytest.mark.needs_chromium, pytest.mark.slow]
CODE = "DEAL-SVC-UNMAPPED"


@pytest.fixture(autouse=True)
def _rows_beside_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright keeps an event loop in this thread, in which Django would refuse queries that are safe here."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def _session(username: str) -> dict[str, str]:
    client = Client()
    client.force_login(acts.person(username))
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}


def _open(code: str) -> list[Any]:
    return list(triage.open_cases(EVERYTHING).filter(code=code).order_by("id"))


def test_an_analyst_maps_the_missing_value_and_every_deal_of_the_cause_clears(served_bench, visit, artefacts):
    bench = served_bench
    before, jobs = bench.objects(), acts.count(bench.control, "erp-be", "job")
    for spec in situations.UNMAPPED:
        bench.close(bench.deal(spec, account=deals.account_of(spec.client)))
    bench.poll()
    cases = _open(CODE)
    assert len(cases) == len(situations.UNMAPPED)
    assert "psa workspaces" not in bench.added(before)

    address = f"{bench.world.web_url}/exceptions/{cases[0].ref}/?group={cases[0].group_id}"
    page = visit(address, _session("nadia"))
    assert "has no billing code for it" in page.locator("#detail h2").first.inner_text()
    page.screenshot(path=artefacts / "fix-1-case.png", full_page=True)

    page.locator("#fix-form input[name=target]").first.check()
    page.locator("#fix-preview .preview").wait_for()
    preview = page.locator("#fix-preview").inner_text()
    page.screenshot(path=artefacts / "fix-2-preview.png", full_page=True)
    assert "5 clear" in preview
    assert "1 turn into another error" in preview
    assert "EUR 72,300.00 released" in " ".join(preview.split())

    page.get_by_role("button", name="Map and run 6 deals").click()
    page.get_by_text("6 transactions run.").wait_for()
    assert "Running: 0 of 6 settled" in page.locator("#progress").inner_text()
    bench.settle()
    page.get_by_text("5 of 6 cleared").wait_for()
    page.locator(".row-item.is-current").get_by_text("Resolved").wait_for()
    page.screenshot(path=artefacts / "fix-3-result.png", full_page=True)

    assert _open(CODE) == []
    assert [case.label for case in _open("CUS-PO-REQUIRED")] != []
    assert bench.added(before)["psa workspaces"] == 5
    assert acts.count(bench.control, "erp-be", "job") == jobs + 5
    for case in cases:
        written = bench.written(bench.provisioning(case.subject_key.removeprefix("crm:")))
        assert set(written.values()) <= {1}, case.label
