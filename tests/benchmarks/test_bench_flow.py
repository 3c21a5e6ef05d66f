"""The bench measures the product's own path: an event makes six journaled writes, exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.connectors.registry import VENDORS
from apps.sync import engine
from apps.sync.flows import FLOWS
from apps.sync.models import Action, Transaction
from benchmarks import world
from benchmarks.flow import FLOW
from benchmarks.stub import STEPS, Stub


@pytest.fixture
def stub(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setitem(VENDORS, "bench", "benchmarks.vendor.BenchAdapter")
    monkeypatch.setitem(FLOWS, FLOW.name, FLOW)
    with Stub() as made:
        made.reset(expected=2)
        world.furnish(stub_url=made.url)
        yield made


def test_an_event_becomes_six_writes_each_journaled_once(stub):
    assert world.receive("W1") is True
    assert world.receive("W2") is True
    assert world.receive("W1") is False
    engine.drain()
    found = stub.summary()
    assert (found["effects"], found["finished"], found["repeats"], found["doubles"]) == (2 * STEPS, 2, 0, 0)
    assert [row.state for row in Transaction.objects.all()] == ["succeeded", "succeeded"]
    assert Action.objects.filter(outcome="succeeded").count() == 2 * STEPS


def test_an_event_is_two_kilobytes_and_names_its_deal():
    assert len(world.event("W1")) == world.EVENT_BYTES
    assert b'"deal": "W1"' in world.event("W1")
