"""``make screenshots``: the pictures of docs/screenshots, taken of a running demo in a real browser.

Every picture is taken light and wide; those that a maintainer should look at are also taken dark and at phone width into
``test-artefacts/screens``. The run fails when a page reports an error or scrolls sideways.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from apps.demo.firm import PASSWORD

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
WIDE, PHONE = (1280, 860), (390, 844)
ROOT = Path(__file__).resolve().parents[2]
KEPT, LOOKED_AT = ROOT / "docs" / "screenshots", ROOT / "test-artefacts" / "screens"
CASE, TRANSACTION = "a[href^='/exceptions/EX']", "a[href^='/transactions/TX']"
ENGAGEMENT = "a[href^='/engagements/ENG']"


def open_first(page: Page, path: str, link: str) -> None:
    page.goto(path)
    page.goto(page.locator(link).first.get_attribute("href") or path)


def fix_preview(page: Page) -> None:
    open_first(page, "/exceptions/?q=AIR-510&view=cases", CASE)
    page.locator("#fix-form input[name=target]").first.check()
    page.locator("#fix-preview .preview").wait_for()
    page.locator("#fix-form").evaluate("form => form.scrollIntoView()")


SCREENS: dict[str, Callable[[Page], object]] = {
    "home": lambda page: page.goto("/"),
    "exceptions": lambda page: page.goto("/exceptions/"),
    "exceptions-cases": lambda page: page.goto("/exceptions/?view=cases"),
    "exception-fix-preview": fix_preview,
    "case": lambda page: open_first(page, "/exceptions/?view=cases", CASE),
    "transactions": lambda page: page.goto("/transactions/"),
    "transaction": lambda page: open_first(
        page, "/transactions/?flow=deal.provision&state=succeeded", TRANSACTION
    ),
    "engagements": lambda page: page.goto("/engagements/"),
    "engagement": lambda page: open_first(page, "/engagements/?q=Store", ENGAGEMENT),
    "prebills": lambda page: page.goto("/prebills/"),
    "prebill": lambda page: open_first(page, "/prebills/", "a[href^='/prebills/PB']"),
    "mappings": lambda page: page.goto("/mappings/"),
    "catalogue": lambda page: page.goto("/catalogue/"),
    "catalogue-code": lambda page: page.goto("/catalogue/CAP-EXCEEDED/"),
}
"""Name of the picture: how to come to what it shows."""


def signed_in(browser: Browser, url: str, user: str, size: tuple[int, int], theme: str) -> Page:
    context = browser.new_context(
        base_url=url,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto("/accounts/login/")
    page.fill("input[name=login]", user)
    page.fill("input[name=password]", PASSWORD)
    page.locator("main button[type=submit], form button[type=submit]").first.click()
    page.wait_for_load_state("networkidle")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--user", default="nadia")
    parser.add_argument("--only", default="", help="part of a picture's name")
    parser.add_argument("--keep", action="store_true", help="also renew docs/screenshots")
    chosen = parser.parse_args()
    LOOKED_AT.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        for look, size, theme in (("", WIDE, "light"), ("-dark", WIDE, "dark"), ("-phone", PHONE, "light")):
            page = signed_in(browser, chosen.url, chosen.user, size, theme)
            page.on(
                "console",
                lambda message, look=look: message.type == "error" and wrong.append(f"{look} {message.text}"),
            )
            for name, come in SCREENS.items():
                if chosen.only not in name:
                    continue
                come(page)
                page.wait_for_load_state("networkidle")
                page.screenshot(path=LOOKED_AT / f"{name}{look}.png", full_page=True)
                if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                    wrong.append(f"{name}{look} scrolls sideways")
                if chosen.keep and (KEPT / f"{name}{look}.png").exists():
                    page.screenshot(path=KEPT / f"{name}{look}.png")
        browser.close()
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
