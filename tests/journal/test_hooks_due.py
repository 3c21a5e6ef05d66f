"""News that a receiver fails to take is kept and handed over again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from apps.core import correlation, hooks
from apps.journal import selectors, services
from apps.journal.models import HookDue
from tests.journal.together import together


@pytest.fixture
def news():
    """A hook of this test alone."""
    hook = hooks.Hook("test.news", "n")
    yield hook
    del hooks._hooks["test.news"]


@pytest.mark.django_db
def test_a_failing_receiver_undoes_only_itself_and_leaves_a_due_row(news):
    taken: list[int] = []
    state = {"broken": True}

    def good(facts):
        taken.extend(fact["n"] for fact in facts)

    def bad(facts):
        HookDue.objects.create(hook="half", receiver="done", facts=[], correlation_id="0" * 32)
        if state["broken"]:
            raise ValueError("not today")
        taken.extend(-fact["n"] for fact in facts)

    news.connect(bad)
    news.connect(good)
    with (
        time_machine.travel("2026-11-23T08:00:00Z", tick=False) as traveller,
        correlation.bind() as correlation_id,
    ):
        news.fire([{"n": 1}])
        assert taken == [1]
        due = HookDue.objects.get()
        assert (due.hook, due.error) == ("test.news", "ValueError: not today")
        assert str(due.correlation_id) == correlation_id
        assert services.sweep_hooks() == 0  # not due yet
        traveller.shift(timedelta(seconds=6))
        assert services.sweep_hooks() == 0
        assert HookDue.objects.get().attempts == 2
        state["broken"] = False
        traveller.shift(timedelta(seconds=11))
        assert services.sweep_hooks() == 1
    assert taken == [1, -1]
    assert [row.hook for row in selectors.hooks_waiting()] == ["half"]


@pytest.mark.django_db
def test_news_for_a_receiver_that_no_longer_exists_stays_visible(news):
    HookDue.objects.create(hook="test.news", receiver="gone.away", facts=[{}], correlation_id="0" * 32)
    assert services.sweep_hooks() == 0
    assert selectors.hooks_waiting()[0].error.startswith("KeyError")


def test_two_sweepers_hand_each_piece_of_news_over_once(process_database, news):
    taken: list[int] = []

    def receiver(facts):
        taken.append(facts[0]["n"])

    news.connect(receiver)
    for number in range(20):
        HookDue.objects.create(
            hook="test.news",
            receiver=next(iter(news.receivers)),
            facts=[{"n": number}],
            correlation_id="0" * 32,
        )
    assert sum(together(*[services.sweep_hooks] * 3)) == 20
    assert sorted(taken) == list(range(20))
