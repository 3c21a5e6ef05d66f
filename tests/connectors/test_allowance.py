"""Near the end of a day's calls, what can wait is not sent, and nothing else is held back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.connectors import allowance
from apps.connectors.spi import AdapterError, ErrorKind


@pytest.fixture(autouse=True)
def nothing_heard() -> Iterator[None]:
    allowance.forget()
    yield
    allowance.forget()


def held_back(system_id: int) -> bool:
    allowance.leave_room(system_id, "Salesforce")  # what cannot wait passes at any time
    try:
        with allowance.can_wait():
            allowance.leave_room(system_id, "Salesforce")
    except AdapterError as error:
        return error.kind is ErrorKind.HELD_BACK and error.retry_after == allowance.AGAIN_SECONDS
    return False


def test_nothing_is_held_back_before_anything_was_heard():
    assert not held_back(1)


@pytest.mark.parametrize(("used", "held"), [(0.0, False), (0.949, False), (0.95, True), (1.2, True)])
def test_from_a_share_on_what_can_wait_is_held_back(used, held):
    allowance.heard(1, used)
    assert held_back(1) is held
    assert not held_back(2), "another system's allowance is its own"


def test_an_answer_that_tells_nothing_changes_nothing_and_a_better_one_opens_it_again():
    allowance.heard(1, 0.97)
    allowance.heard(1, None)
    assert held_back(1)
    allowance.heard(1, 0.2)
    assert not held_back(1)


def test_what_was_heard_long_ago_is_no_longer_believed(monkeypatch):
    monkeypatch.setattr(allowance, "BELIEVED_SECONDS", 0.0)
    allowance.heard(1, 0.97)
    assert not held_back(1)
