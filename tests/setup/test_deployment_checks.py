"""What ``check --deploy`` says of a pooler from the settings alone.

What it sees for itself is tried in tests/flows/test_through_pgbouncer.py.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from apps.core import checks

BEHIND = {"PORT": "6432"}


@pytest.mark.parametrize(
    ("pooling", "entry", "found"),
    [
        ("none", {"PORT": "5432"}, []),
        ("none", BEHIND, ["core.W001"]),
        ("transaction", BEHIND, []),
        ("transaction", BEHIND | {"OPTIONS": {"options": "-c lock_timeout=5s"}}, ["core.W002"]),
        ("none", {"OPTIONS": {"options": "-c lock_timeout=5s"}}, []),
    ],
)
def test_settings_that_do_not_fit_a_pooler_are_named(monkeypatch, pooling, entry, found):
    told = SimpleNamespace(DATABASE_POOLING=pooling, DATABASES={"default": entry})
    monkeypatch.setattr(checks, "settings", told)
    assert [one.id for one in checks.pooling_as_told(None)] == found


def test_the_database_is_not_asked_unless_it_is_named(settings: Any):
    settings.DATABASE_POOLING = "transaction"
    assert checks.pooling_as_found(None, databases=None) == []
