"""Counting queries: a page must not ask more of the database because it shows more rows."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


def queries_of(client: Client, address: str) -> int:
    """How many queries one successful GET takes."""
    with CaptureQueriesContext(connection) as seen:
        answer = client.get(address)
    assert answer.status_code == 200, address
    return len(seen)


def assert_rows_cost_nothing(client: Client, address: str, add: Callable[[], object]) -> None:
    """The page takes as many queries after ``add`` as before; the first call warms caches (sessions, icons, holidays)."""
    queries_of(client, address)
    before = queries_of(client, address)
    add()
    after = queries_of(client, address)
    assert after <= before, f"{address}: {before} queries, then {after} with more rows"
