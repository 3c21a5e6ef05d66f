"""The engine's statements past Django's cursor: prepared, watched where somebody listens, with Django's errors."""

from __future__ import annotations

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.core import statements

pytestmark = pytest.mark.django_db


def prepared() -> int:
    return statements.rows(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 41 +%%'", []
    )[0][0]


@pytest.mark.parametrize(("wish", "number"), [(True, 1), (False, 0)])
def test_a_statement_that_comes_again_is_prepared_unless_it_must_not_be(settings, wish, number):
    settings.DATABASE_PREPARE = wish
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    connection.connection._prepared.clear()
    for _ in range(8):
        assert statements.rows("SELECT 41 + %s", [1]) == [(42,)]
    assert prepared() == number


def test_who_listens_to_statements_hears_them():
    with CaptureQueriesContext(connection) as heard:
        statements.rows("SELECT 1 + %s", [1])
    assert [query["sql"] for query in heard.captured_queries] == ["SELECT 1 + 1"]


def test_an_error_is_djangos_and_the_database_transaction_is_as_broken_as_with_its_cursor():
    with pytest.raises(DataError), transaction.atomic():
        statements.rows("SELECT 1 / %s::int", [0])
    assert statements.rows("SELECT 1", []) == [(1,)]
