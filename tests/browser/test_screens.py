"""Every screen in a real browser: accessible, not wider than a phone, without a complaint of the policy, by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.needs_chromium

AXE = (Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def _addresses(console) -> dict[str, str]:
    firm = console.firm
    case = firm.cases[0]
    return {
        "home": "/",
        "exceptions": "/exceptions/",
        "cause": f"/exceptions/?group={case.group_id}",
        "case": f"/exceptions/{case.ref}/?group={case.group_id}",
        "case-fix-preview": f"/exceptions/{case.ref}/fix/preview?target=401",
        "case-decide-preview": f"/exceptions/{firm.doubled}/decide/preview?kind=customer&choice=71",
        "case-retry-preview": f"/exceptions/{case.ref}/retry/preview",
        "nothing-found": "/exceptions/?view=cases&q=nobody",
        "not-there": "/exceptions/EX-1/",
        "cases": "/exceptions/?view=cases",
        "case-decide": f"/exceptions/{firm.doubled}/",
        "jobs": "/jobs/",
        "job": f"/jobs/{firm.job}/",
        "case-technical": f"/exceptions/{case.ref}/?tab=technical",
        "transactions": "/transactions/",
        "transaction": f"/transactions/{firm.transaction}/",
        "engagements": "/engagements/",
        "engagement": f"/engagements/{firm.engagement}/",
        "prebills": "/prebills/",
        "prebill": f"/prebills/{firm.prebill.ref}/",
        "mappings": "/mappings/",
        "catalogue": "/catalogue/",
        "catalogue-code": "/catalogue/DEAL-SVC-UNMAPPED/",
        "audit": "/audit/",
    }


SCREENS = [
    "home", "exceptions", "cause", "cases", "case", "case-fix-preview", "case-decide", "case-decide-preview",
    "case-retry-preview", "nothing-found", "not-there", "jobs", "job", "case-technical",
    "transactions", "transaction", "engagements", "engagement", "prebills", "prebill", "mappings",
    "catalogue", "catalogue-code", "audit",
]  # fmt: skip
#: Who looks, where the desk's analyst may not.
VIEWER = {"audit": "ada"}
STATUS = {"not-there": 404}


def _violations(page) -> list[str]:
    # Evaluated by the debugger, so that the page's own policy stays as strict as it is.
    page.evaluate(AXE)
    found = page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", RULES)
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in found["violations"]]


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_accessible_in_light_dark_and_on_a_phone(console, visit, artefacts, name):
    page = visit(
        console.url + _addresses(console)[name],
        console.session(VIEWER.get(name, "ana")),
        status=STATUS.get(name, 200),
    )
    for theme in ("light", "dark"):
        assert page.locator("html").get_attribute("data-bs-theme") == theme
        page.screenshot(path=artefacts / f"{name}-{theme}.png")
        assert _violations(page) == [], theme
        if theme == "light":
            page.get_by_role("button", name="Switch between light and dark").click()
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.screenshot(path=artefacts / f"{name}-phone.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert _violations(page) == [], "on a phone"


def test_what_opens_on_the_list_has_no_accessibility_violation(console, visit, artefacts):
    """The bar of several cases, the views, the columns and the help of the keys, all open."""
    page = visit(console.url + "/exceptions/?view=cases&entity=OST-BE", console.session("ana"))
    page.get_by_label("This page").check()
    for details in page.locator("#list details").all():
        details.evaluate("element => element.open = true")
    page.screenshot(path=artefacts / "cases-open.png")
    assert _violations(page) == []
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    assert _violations(page) == []


def test_the_log_in_page_is_accessible(console, visit, artefacts):
    page = visit(console.url + "/accounts/login/")
    page.screenshot(path=artefacts / "login-light.png")
    assert _violations(page) == []


def test_the_navigation_opens_on_a_phone(console, visit):
    page = visit(console.url + "/", console.session("ana"), size=PHONE)
    assert not page.get_by_role("link", name="Transactions", exact=True).is_visible()
    page.get_by_role("button", name="Open navigation").click()
    page.get_by_role("link", name="Transactions", exact=True).click()
    page.wait_for_url("**/transactions/")


def test_the_chosen_light_outlives_a_reload(console, visit):
    page = visit(console.url + "/", console.session("ana"), theme="light")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_a_case_opens_beside_its_list_and_back_restores(console, visit):
    first, second = console.firm.cases[:2]
    page = visit(f"{console.url}/exceptions/?group={first.group_id}", console.session("ana"), size=WIDE)
    page.locator(f'[data-row="{second.ref}"] a').click()
    page.wait_for_url(f"**/exceptions/{second.ref}/**")
    assert page.locator("#detail [data-ref]").get_attribute("data-ref") == second.ref
    assert "is-current" in page.locator(f'[data-row="{second.ref}"]').get_attribute("class")
    page.go_back()
    page.get_by_role("link", name="Open the first case").wait_for()


def test_the_keyboard_moves_opens_goes_and_helps(console, visit):
    case = console.firm.cases[0]
    page = visit(f"{console.url}/exceptions/?group={case.group_id}", console.session("ana"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    reference = page.evaluate("document.activeElement.closest('[data-row]').dataset.row")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/exceptions/{reference}/**")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/transactions/")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_single_key_shortcuts_can_be_switched_off(console, visit):
    page = visit(console.url + "/", console.session("ana"))
    page.keyboard.press("?")
    page.get_by_label("Use single-key shortcuts in this browser").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("g")
    page.keyboard.press("t")
    assert page.url == console.url + "/"


def test_a_filter_narrows_the_list_and_stays_in_the_address(console, visit):
    page = visit(console.url + "/transactions/", console.session("ana"))
    page.get_by_label("Search transactions").fill(console.firm.transaction)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**q={console.firm.transaction}**")
    assert page.locator("#results tbody tr").count() == 1


def test_reading_and_single_actions_work_without_javascript(console, visit):
    case = console.firm.cases[3]
    page = visit(f"{console.url}/exceptions/{case.ref}/", console.session("ana"), scripts=False)
    page.get_by_role("button", name="Take it").click()
    page.wait_for_url(f"**/exceptions/{case.ref}/")
    assert page.get_by_text(f"{case.ref} is yours.").is_visible()
    page.get_by_label("Comment", exact=True).fill("Asked the client")
    page.get_by_role("button", name="Comment", exact=True).click()
    assert page.get_by_text("Asked the client").is_visible()


def test_project_manager_and_finance_approve_a_prebill(console, visit):
    address = f"{console.url}/prebills/{console.firm.prebill.ref}/"
    page = visit(address, console.session("pavel"))
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("now waits for finance").wait_for()
    page = visit(address, console.session("carla"))
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("is approved and will be posted").wait_for()


def test_a_cause_is_decided_about_on_a_phone_too(console, visit):
    group = console.firm.cases[0].group_id
    page = visit(f"{console.url}/exceptions/?group={group}", console.session("ana"), size=PHONE)
    assert page.get_by_role("button", name="Acknowledge").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
