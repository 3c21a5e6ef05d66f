"""What is amiss with a connection itself is a case of its own, and is over when the connection is well again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import time_machine

from apps.core import clock
from apps.demo.install import SINK
from apps.journal import selectors as journal
from apps.journal import services as journal_services
from apps.journal.models import Delivery
from apps.sync.models import PollCursor, Transaction
from tests.flows import acts
from tests.flows.bench import Bench

PSA = ("psa", "milestone")


@pytest.fixture
def bench(served_bench: Bench) -> Iterator[Bench]:
    yield served_bench
    served_bench.clear_faults()


def watched(bench: Bench, key: str) -> list[tuple[str, str]]:
    bench.poll(PSA)
    return bench.cases(key)


@pytest.mark.provokes("INT-GAP")
def test_a_system_that_was_silent_for_longer_than_it_keeps_its_changes_is_told_and_read_again(bench: Bench):
    assert watched(bench, "psa") == []
    long_ago = clock.now() - timedelta(days=10)
    PollCursor.objects.filter(system__code="psa", object_type="time_entry").update(polled_at=long_ago)
    assert watched(bench, "psa") == [("INT-GAP", "open")]
    bench.poll()
    assert watched(bench, "psa") == [("INT-GAP", "resolved")]
    assert PollCursor.objects.get(system__code="psa", object_type="time_entry").polled_at > long_ago


@pytest.mark.provokes("INT-SIG")
def test_forged_messages_are_refused_and_told_for_an_hour(bench: Bench):
    url = f"{bench.world.web_url}/hooks/crm"
    answer = requests.post(url, data=b"{}", headers={"Content-Type": "application/json"}, timeout=10)
    assert answer.status_code == 401
    assert journal.inbox_rejects(source="crm")
    assert watched(bench, "crm") == [("INT-SIG", "open")]
    runs = Transaction.objects.filter(flow="connection.watch").count()
    assert watched(bench, "crm") == [("INT-SIG", "open")]
    assert Transaction.objects.filter(flow="connection.watch").count() == runs, "told once, not at every look"
    with time_machine.travel(clock.now() + timedelta(minutes=61), tick=True):
        assert watched(bench, "crm") == [("INT-SIG", "resolved")]


@pytest.mark.provokes("INT-NOTIFY")
def test_a_receiver_that_says_it_is_gone_is_told_until_it_is_switched_on_again(bench: Bench):
    bench.control.fault("sink", "status", status=410, times=None)
    bench.win(acts.SMALL)
    journal_services.deliver_outbox()
    receiver: Any = journal.subscription(name=SINK)
    assert not receiver.active
    assert watched(bench, "announcements") == [("INT-NOTIFY", "open")]
    bench.control.clear_faults("sink")
    journal_services.subscription_enable(subscription=receiver, active=True)
    assert watched(bench, "announcements") == [("INT-NOTIFY", "open")], "what was given up is still lost"
    lost = Delivery.objects.filter(dead_at__isnull=False)
    journal_services.delivery_retry(ids=list(lost.values_list("id", flat=True)))
    assert watched(bench, "announcements") == [("INT-NOTIFY", "resolved")]


def test_a_well_connection_costs_nothing(bench: Bench):
    before = Transaction.objects.filter(flow="connection.watch").count()
    bench.poll()
    assert Transaction.objects.filter(flow="connection.watch").count() == before
