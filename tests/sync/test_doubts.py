"""A write whose outcome nobody knows is asked after on its own: nothing is sent, whatever else stands in the way by now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.connectors.spi import AdapterError, ErrorKind, Outcome
from apps.core.errors import Stale, WrongState
from apps.organization import services as organization
from apps.organization.selectors import system
from apps.records import selectors as records
from apps.sync import apply
from apps.sync import services as sync
from apps.sync.models import Action, Subject, Transaction
from apps.sync.plans import Draft, PlannedAction, Problem, blocked
from tests.people import hire
from tests.sync.steps import Steps, now, work

STOP = Problem("DEAL-SVC-UNMAPPED", "write", "deal", "service_code", "X-1", "X-1 has no billing code.")


class Vendor:
    """Swallows the answer of every write; asked after one, it says ``has`` or fails with ``error``."""

    def __init__(self, monkeypatch: Any) -> None:
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.has: Outcome | None = None
        self.error: AdapterError | None = None
        self.then: Callable[[], object] = list
        for name in ("push", "probe"):
            monkeypatch.setattr(apply.connectors, name, getattr(self, name))
        monkeypatch.setattr(apply.connectors, "guarantee", lambda **_asked: "key")
        monkeypatch.setattr(apply.connectors, "in_outage", lambda _system_id: False)

    def push(self, *, system_id: int, push: Any, not_after: float) -> Outcome:
        self.sent.append(push.key)
        self.then()
        raise AdapterError(ErrorKind.UNKNOWN, "No whole answer came back.")

    def probe(self, *, system_id: int, push: Any) -> Outcome | None:
        self.asked.append(push.key)
        if self.error is not None:
            raise self.error
        return self.has


@pytest.fixture
def vendor(monkeypatch: Any) -> Vendor:
    return Vendor(monkeypatch)


@pytest.fixture
def doubted(steps: Steps, vendor: Vendor) -> Transaction:
    """Sent with an unknown outcome; before it was probed, another problem has come to stand before the step."""
    erp = organization.system_set(code="erp", name="NetSuite", kind="erp", vendor="netsuite")
    key = f"doubted-{Subject.objects.count()}"
    row = steps.ask(
        key, PlannedAction("write", "push", "Writes it.", erp.pk, "erp", "milestone", "create", key)
    )
    stopped = Draft((blocked("write", STOP.reason),), (STOP,))
    vendor.then = lambda: steps.plans.__setitem__(key, stopped)
    while now(row).state in ("pending", "retrying"):
        work()
    found = now(row)
    assert (found.state, found.subject.in_doubt, vendor.sent, vendor.asked) == ("held", ["write"], [key], [])
    return found


def look_up(row: Transaction) -> Transaction:
    sync.look_up_doubts(transaction_id=row.pk, by=hire("ada"), why="What became of it?")
    work()
    return now(row)


def test_what_the_system_has_is_linked_and_nothing_is_sent(doubted: Transaction, vendor: Vendor):
    vendor.has = Outcome("M-1", created=False)
    found = look_up(doubted)
    assert (found.state, found.reason, found.subject.in_doubt) == ("held", STOP.reason, [])
    assert (vendor.sent, vendor.asked) == ([doubted.subject.key], [doubted.subject.key])
    link = records.find_link("milestone", doubted.subject.key, system("erp").pk)
    assert (link.external_id, link.linked_by) == ("M-1", "probe")


def test_what_the_system_has_not_is_certain_afterwards_and_waits_for_a_person(
    doubted: Transaction, vendor: Vendor, steps: Steps
):
    steps.plans[doubted.subject.key] = Draft(
        (
            PlannedAction(
                "write",
                "push",
                "Writes it.",
                system("erp").pk,
                "erp",
                "milestone",
                "create",
                doubted.subject.key,
            ),
        )
    )
    found = look_up(doubted)
    assert (found.state, found.subject.in_doubt) == ("held", [])
    assert "has been looked up" in found.reason
    assert vendor.sent == [doubted.subject.key], "although nothing would stop it now"
    told = Action.objects.filter(transaction_id=doubted.pk, message__contains="certainly not there")
    assert told.get().outcome == "failed"


def test_a_system_that_does_not_say_leaves_it_in_doubt(doubted: Transaction, vendor: Vendor):
    vendor.error = AdapterError(ErrorKind.PERMISSION, "Not for you.")
    found = look_up(doubted)
    assert (found.state, found.subject.in_doubt) == ("held", ["write"])
    vendor.error = None
    assert look_up(doubted).subject.in_doubt == []


def test_only_what_is_in_doubt_and_at_rest_is_looked_up(doubted: Transaction, vendor: Vendor):
    ada = hire("ada")
    sync.look_up_doubts(transaction_id=doubted.pk, by=ada, why="Once.")
    with pytest.raises(Stale, match="about to run"):
        sync.look_up_doubts(transaction_id=doubted.pk, by=ada, why="Twice.")
    work()
    with pytest.raises(WrongState, match="in doubt any more"):
        sync.look_up_doubts(transaction_id=doubted.pk, by=ada, why="Late.")
