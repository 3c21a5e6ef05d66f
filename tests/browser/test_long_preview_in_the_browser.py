"""A preview that takes several requests: the form says how far it is, goes on by itself, and is found again after leaving."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apps.organization import selectors as organization
from tests.browser.conftest import PHONE, WIDE
from tests.triage.desk import crowd

pytestmark = pytest.mark.needs_chromium
COUNT = 1100
PROGRESS = re.compile(r"Planned ([\d,]+) of 1,100 deals")


@pytest.fixture(autouse=True)
def _rows_beside_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright keeps an event loop in this thread, in which Django would refuse queries that are safe here."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="module")
def address(console: Any, django_db_blocker: Any) -> str:
    """More cases of one cause than a request plans. No CRM answers here, which the preview has to say in the end."""
    with django_db_blocker.unblock():
        belgium = next(row for row in organization.entities() if row.code == "OST-BE")
        cases = crowd(belgium, COUNT, start=20_000, value="AIR-700")
    return f"{console.url}/exceptions/{cases[0].ref}/"


def _planned(page: Any) -> int:
    """What the form says has been planned: 500 from “Planned 500 of 1,100 deals”."""
    said = page.get_by_text(PROGRESS).inner_text()
    return int(PROGRESS.search(said).group(1).replace(",", ""))


@pytest.mark.parametrize(
    ("name", "size", "theme"), [("light", WIDE, "light"), ("dark", WIDE, "dark"), ("phone", PHONE, "light")]
)
def test_a_long_preview_goes_on_by_itself_and_is_found_again(
    address, console, visit, artefacts, name, size, theme
):
    page = visit(address, console.session("ana"), size=size, theme=theme)
    page.locator("#fix-form input[name=target]:not(:checked)").first.check()
    assert 0 < _planned(page) < COUNT
    page.screenshot(path=artefacts / f"long-preview-{name}.png", full_page=True)
    page.locator("#fix-preview .preview-figures").wait_for()
    assert f"{COUNT} could not be checked" in page.locator("#fix-preview").inner_text()
    page.reload()
    assert f"{COUNT} could not be checked" in page.locator("#fix-preview").inner_text()


def test_without_scripts_a_button_plans_the_next_ones(address, console, visit):
    page = visit(f"{address}fix/preview?target=401", console.session("ana"), scripts=False)
    before = _planned(page)
    page.get_by_role("button", name="Plan the next ones").click()
    assert _planned(page) > before
