"""What a person does with hands, counted: a click, a key, a field filled in or chosen is one interaction each.

Public surface: :class:`Hands`.
"""

from __future__ import annotations

from playwright.sync_api import Locator, Page


class Hands:
    """One job of one person on ``page``. :attr:`count` is how many interactions it has taken so far."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def click(self, what: Locator) -> None:
        self.count += 1
        what.click()

    def check(self, what: Locator) -> None:
        self.count += 1
        what.check()

    def choose(self, what: Locator, **option: str) -> None:
        self.count += 1
        what.select_option(**option)

    def fill(self, what: Locator, text: str) -> None:
        self.count += 1
        what.fill(text)

    def press(self, key: str) -> None:
        self.count += 1
        self.page.keyboard.press(key)
