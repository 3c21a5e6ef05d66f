"""A list that is open asks whether it is still what is: unchanged it stays untouched, changed it is swapped in place."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from apps.sync import services as sync

pytestmark = pytest.mark.needs_chromium


@pytest.fixture(autouse=True)
def _rows_beside_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright keeps an event loop in this thread, in which Django would refuse queries that are safe here."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def _ask(page: Any) -> int:
    """Let the page ask as it does when somebody comes back to its tab; the status of the answer."""
    with page.expect_response(lambda answer: "v=" in answer.url) as answered:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    return answered.value.status


@pytest.mark.parametrize("address", ["/", "/transactions/", "/exceptions/"])
def test_an_open_page_renews_itself_only_when_something_has_moved(console, visit, address, django_db_blocker):
    page = visit(console.url + address, console.session("ana"))
    page.evaluate("document.querySelector('[data-fresh]').dataset.mine = 'yes'")
    assert _ask(page) == 204
    assert page.locator("[data-fresh][data-mine]").count() == 1
    with django_db_blocker.unblock():
        connections.close_all()  # beside Playwright's loop Django has a connection of its own, perhaps of an earlier module
        sync.enqueue(kind="deal", key=f"crm:polled{address}", flow="deal.provision", trigger="event")
    assert _ask(page) == 200
    page.locator("[data-fresh]:not([data-mine])").wait_for(state="attached")
    assert page.url == console.url + address
    assert _ask(page) == 204


def test_what_somebody_has_a_hand_on_is_left_alone(console, visit, django_db_blocker):
    page = visit(f"{console.url}/transactions/", console.session("ana"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "v=" in request.url else None)
    page.locator("#results a.row-link").first.focus()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate("new Promise(done => setTimeout(done, 0))")
    assert asked == []
    page.locator("#results a.row-link").first.evaluate("link => link.blur()")
    assert _ask(page) == 204
