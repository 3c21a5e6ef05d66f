"""References that people can say on the phone are unique under concurrency."""

from __future__ import annotations

import re

import pytest
import time_machine

from apps.journal import services
from tests.journal.together import together


@pytest.mark.django_db
def test_references_look_as_they_are_said():
    assert re.fullmatch(r"EX-1\d{4}", services.next_ref("EX", year=False))
    with time_machine.travel("2026-12-31T23:59:00Z", tick=False):
        assert re.fullmatch(r"TX-2026-\d{6}", services.next_ref("TX", year=True))


@pytest.mark.django_db
@pytest.mark.parametrize("prefix", ["TX", "EX", "ENG", "PB", "AP"])
def test_every_prefix_of_the_house_counts_up(prefix):
    first, second = services.next_refs(prefix, year=False, count=2)
    assert int(second.partition("-")[2]) == int(first.partition("-")[2]) + 1


@pytest.mark.django_db
def test_an_unknown_prefix_is_a_lookup_error():
    with pytest.raises(LookupError):
        services.next_ref("NOPE", year=False)


@pytest.mark.parametrize("prefix", ["tx", "", "A;B"])
def test_a_prefix_is_never_sql(prefix):
    with pytest.raises(ValueError, match="prefix"):
        services.next_ref(prefix, year=False)


def test_eight_askers_get_different_references(process_database):
    results = together(*[lambda: services.next_refs("TX", year=True, count=50)] * 8)
    given = [ref for refs in results for ref in refs]
    assert len(set(given)) == 400
