"""Statements of the hot path: bound and prepared by the server, past Django's cursor.

Public surface: :func:`rows`, :func:`count`; :func:`instances`, :func:`columns`, :func:`instance` for rows of a model.

Django's cursor writes the parameters into the text, so PostgreSQL parses and plans each statement anew; for the engine's
statements of several parts that costs more than carrying them out. These are sent with their parameters apart and are
prepared at their first use (https://www.psycopg.org/psycopg3/docs/advanced/prepare.html). Types of parameters must be
clear from the text: cast what may be NULL. ``DATABASE_PREPARE=false`` turns preparing off, for poolers that cannot carry it.

Whoever listens to statements (Django's query log, ``execute_wrapper``) gets Django's cursor instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import connection, models

_Row = TypeVar("_Row", bound=models.Model)


def rows(sql: str, parameters: Any) -> list[tuple[Any, ...]]:
    """Carry the statement out; the rows it returns. Errors are Django's."""
    return _run(sql, parameters)[0]


def count(sql: str, parameters: Any) -> int:
    """Carry the statement out; how many rows it changed."""
    return _run(sql, parameters)[1]


def instances(model: type[_Row], rest: str, parameters: Any) -> list[_Row]:
    """Rows of ``model`` as Django would load them, found by the clauses ``rest`` (WHERE …): no query is compiled."""
    return [instance(model, row) for row in rows(f"{_select(model)} {rest}", parameters)]


def columns(model: type[models.Model], table: str) -> str:
    """The columns of ``model`` in the order in which :func:`instance` takes their values, as those of ``table``."""
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def instance(model: type[_Row], values: Sequence[Any]) -> _Row:
    """A row of ``model`` from the values of :func:`columns`."""
    names, documents = _attributes(model)
    given = list(values)
    for at in documents:
        if isinstance(given[at], str):
            given[at] = json.loads(given[at])  # Django's connections leave JSON as text
    return model.from_db("default", names, given)


@cache
def _select(model: type[models.Model]) -> str:
    table = f'"{model._meta.db_table}"'
    return f"SELECT {columns(model, table)} FROM {table}"  # noqa: S608


@cache
def _attributes(model: type[models.Model]) -> tuple[list[str], list[int]]:
    """The names of the columns' attributes, and at which places JSON stands."""
    fields = model._meta.concrete_fields
    documents = [at for at, field in enumerate(fields) if isinstance(field, models.JSONField)]
    return [field.attname for field in fields], documents


def _run(sql: str, parameters: Any) -> tuple[list[tuple[Any, ...]], int]:
    if connection.queries_logged or connection.execute_wrappers:
        with connection.cursor() as watched:
            watched.execute(sql, parameters)
            return (watched.fetchall() if watched.description else []), watched.rowcount
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    raw: Any = connection.connection
    # Django switches preparing off for the connection; its own statements stay as they are.
    raw.prepare_threshold = 0 if settings.DATABASE_PREPARE else None
    try:
        with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
            cursor.execute(sql, parameters, prepare=settings.DATABASE_PREPARE)
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount
    finally:
        raw.prepare_threshold = None
