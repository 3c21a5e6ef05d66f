"""Guarded transitions: the only writer of ``state`` columns in the house.

Public surface: :class:`Arrows`, :func:`move`, :func:`move_many`, :func:`moved_with`, :func:`carry`.

A model declares ``ARROWS = Arrows({from: {to, …}, …})`` or the plain dict. A move is one statement: a
conditional UPDATE that feeds its audit row, so there is no move without a row and no row without a move, and of two
racing moves one wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist
from django.db import connection, connections, models, router, transaction
from django.db.models.sql.subqueries import UpdateQuery

from apps.core import clock, correlation, statements
from apps.core.errors import WrongState
from apps.journal.audit import COLUMNS, actor_of, as_json

_MOVE = """
WITH moved AS ({update} RETURNING {reference} AS ref, {entity} AS entity, {engagement} AS engagement)
INSERT INTO journal_audit ({columns})
SELECT %s, %s, %s, left(ref, 255), %s::bigint, %s, entity, engagement, %s::jsonb, %s::jsonb, %s, %s::uuid FROM moved
"""


class Arrows(dict[str, frozenset[str]]):
    """The legal moves, ``{from: {to, …}}``; a state without entry has none."""

    def __init__(self, arrows: Mapping[str, Iterable[str]]) -> None:
        super().__init__({str(start): frozenset(str(end) for end in ends) for start, ends in arrows.items()})

    def allows(self, start: str, end: str) -> bool:
        return str(end) in self.get(str(start), frozenset())

    def sources(self, end: str) -> list[str]:
        """The states from which ``end`` can be reached in one move."""
        return sorted(start for start, ends in self.items() if str(end) in ends)


def move(
    obj: models.Model, *, to: str, by: Any = None, why: str = "", expect: str | None = None, **fields: Any
) -> bool:
    """Move ``obj`` to state ``to``, setting ``fields`` in the same statement; False if somebody else moved it first.

    ``expect`` is the state it must be in (default: the state ``obj`` was loaded with). Raises :class:`WrongState` for
    a move that has no arrow. On success ``obj`` carries the new values.
    """
    start = str(expect if expect is not None else obj.state)  # type: ignore[attr-defined]
    end = str(to)
    if not _arrows(type(obj)).allows(start, end):
        raise WrongState(
            f"{_label(obj)} is {_state_label(obj, start)} and cannot become {_state_label(obj, end)}."
        )
    values = _with_updated_at(type(obj), fields)
    moved = _move_one(obj, start=start, end=end, values=values, by=by, why=why)
    if moved:
        carry(obj, to=end, **values)
    return bool(moved)


def carry(obj: models.Model, *, to: str, **fields: Any) -> None:
    """Give ``obj`` the values that its row has got by a move (for who used :func:`moved_with`)."""
    for name, value in {"state": str(to), **fields}.items():
        if not hasattr(value, "resolve_expression"):
            setattr(obj, name, value)


def move_many(queryset: models.QuerySet, *, to: str, by: Any = None, why: str = "", **fields: Any) -> int:
    """Move every row of ``queryset`` that has an arrow to ``to``; rows in other states stay. Returns how many moved."""
    model = queryset.model
    values = _with_updated_at(model, fields)
    chosen = queryset.order_by().values("pk")
    moved = 0
    with transaction.atomic():
        for start in _arrows(model).sources(to):
            rows = model._base_manager.filter(pk__in=chosen, state=start)
            moved += _update_and_record(rows, start=start, end=str(to), values=values, by=by, why=why)
    return moved


_MOVED = """
moved AS (
    UPDATE {table} SET "state" = %(move_to)s{columns} FROM {given}
    WHERE {table}.{key} = {given}.id AND {table}."state" = {given}.state AND {given}.state = ANY(%(move_from)s)
    RETURNING {table}.*, {given}.state AS former_state
), move_audited AS (
    INSERT INTO journal_audit ({audit})
    SELECT %(move_at)s::timestamptz, %(move_verb)s, %(move_type)s, left({reference}, 255), %(move_actor_id)s::bigint,
        %(move_actor)s, {entity}, {engagement}, jsonb_build_object('state', {table}.former_state), %(move_new)s::jsonb,
        %(move_why)s, {correlation} FROM moved AS {table}
)"""


def moved_with(
    given: str,
    model: type[models.Model],
    *,
    to: str,
    by: Any = None,
    why: str = "",
    fill: Mapping[str, Any] | None = None,
    correlated: str = "",
    **fields: Any,
) -> tuple[str, dict[str, Any]]:
    """The text of the CTEs ``moved`` (the rows as they are now, with ``former_state``) and of their audit rows, and their
    named parameters: where a move is to be one statement with other things.

    The statement's CTE ``given`` (columns ``id`` and ``state``) says which rows are to move and in which state each must be;
    those that somebody else has moved, or that have no arrow, stay. ``fill`` are values for columns that are empty;
    ``correlated`` is the column with the row's own correlation id, where none is bound yet."""
    values, filled = _with_updated_at(model, fields), fill or {}
    actor_id, actor = actor_of(by)
    parameters: dict[str, Any] = {
        "move_to": str(to),
        "move_from": _arrows(model).sources(str(to)),
        "move_at": clock.now(),
        "move_verb": f"{model._meta.model_name}.{to}",
        "move_type": _audit_type(model),
        "move_actor_id": actor_id,
        "move_actor": actor,
        "move_new": as_json({"state": str(to), **_shown(values)}),
        "move_why": why.replace("\x00", ""),
    }
    if not correlated:
        parameters["move_correlation"] = correlation.current()
    for name, value in {**values, **filled}.items():
        field: Any = model._meta.get_field(name)
        parameters[f"move_set_{name}"] = field.get_db_prep_save(value, connection=connection)
    return _moved_text(given, model, tuple(values), tuple(filled), correlated), parameters


@cache
def _moved_text(
    given: str, model: type[models.Model], values: tuple[str, ...], filled: tuple[str, ...], correlated: str
) -> str:
    def column(name: str) -> str:
        return f'"{_column(model, name)}"'

    table = f'"{model._meta.db_table}"'
    columns = [f"{column(name)} = %(move_set_{name})s" for name in values]
    columns += [f"{column(name)} = coalesce({table}.{column(name)}, %(move_set_{name})s)" for name in filled]
    reference, entity, engagement = _audit_columns(model)
    return _MOVED.format(
        table=table,
        given=given,
        key=f'"{model._meta.pk.column}"',
        columns="".join(f", {text}" for text in columns),
        audit=COLUMNS,
        reference=reference,
        entity=entity,
        engagement=engagement,
        correlation=f"{table}.{column(correlated)}" if correlated else "%(move_correlation)s::uuid",
    )


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """What an audit row tells of the fields that a move has set."""
    plain = {name: value for name, value in values.items() if not hasattr(value, "resolve_expression")}
    plain.pop("updated_at", None)
    return plain


def _arrows(model: type[models.Model]) -> Arrows:
    """The model's arrows; a plain dict of them is as good."""
    declared: Any = model.ARROWS  # type: ignore[attr-defined]
    return declared if isinstance(declared, Arrows) else Arrows(declared)


def _move_one(
    obj: models.Model, *, start: str, end: str, values: Mapping[str, Any], by: Any, why: str
) -> int:
    """One row by its key. Plain values need no query compiler, which costs more than the statement itself."""
    model = type(obj)
    if any(hasattr(value, "resolve_expression") for value in values.values()):
        queryset = model._base_manager.filter(pk=obj.pk, state=start)
        return _update_and_record(queryset, start=start, end=end, values=values, by=by, why=why)
    database = connections[router.db_for_write(model)]
    quote = database.ops.quote_name
    columns, parameters = [], []
    for name, value in {"state": end, **values}.items():
        field: Any = model._meta.get_field(name)
        prepared = value.pk if isinstance(value, models.Model) else value
        columns.append(
            f"{quote(field.column)} = {field.get_placeholder(prepared, None, database)}"
            if hasattr(field, "get_placeholder")
            else f"{quote(field.column)} = %s"
        )
        parameters.append(field.get_db_prep_save(prepared, connection=database))
    key_field: Any = model._meta.pk
    table, key = quote(model._meta.db_table), quote(key_field.column)
    sql = f'UPDATE {table} SET {", ".join(columns)} WHERE {table}.{key} = %s AND {table}."state" = %s'  # noqa: S608
    return _execute(
        model, sql, [*parameters, obj.pk, start], start=start, end=end, values=values, by=by, why=why
    )


def _update_and_record(
    rows: models.QuerySet, *, start: str, end: str, values: Mapping[str, Any], by: Any, why: str
) -> int:
    model = rows.model
    using = router.db_for_write(model)
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values({"state": end, **values})
    try:
        sql, parameters = query.get_compiler(using).as_sql()
    except EmptyResultSet:  # Django knows already that no row can match (``pk__in=[]``)
        return 0
    if not sql:
        return 0
    return _execute(model, sql, parameters, start=start, end=end, values=values, by=by, why=why)


def _execute(
    model: type[models.Model],
    sql: str,
    parameters: Iterable[Any],
    *,
    start: str,
    end: str,
    values: Mapping[str, Any],
    by: Any,
    why: str,
) -> int:
    """The UPDATE and its audit rows as one statement. Names come from model declarations, values are parameters."""
    actor_id, actor = actor_of(by)
    audit: list[Any] = [
        clock.now(),
        f"{model._meta.model_name}.{end}",
        _audit_type(model),
        actor_id,
        actor,
        as_json({"state": start}),
        as_json({"state": end, **_shown(values)}),
        why.replace("\x00", ""),
        correlation.current(),
    ]
    reference, entity, engagement = _audit_columns(model)
    statement = _MOVE.format(
        update=sql, reference=reference, entity=entity, engagement=engagement, columns=COLUMNS
    )
    return statements.count(statement, [*parameters, *audit])


@cache
def _audit_columns(model: type[models.Model]) -> tuple[str, str, str]:
    """SQL of reference, entity and engagement of the updated row. ``AUDIT_REF`` names another reference field."""
    table = f'"{model._meta.db_table}"'
    named = getattr(model, "AUDIT_REF", "")
    reference = next(
        (column for name in (named, "ref", "key") if name and (column := _column(model, name))), ""
    ) or _column(model, "id")
    entity = _column(model, "legal_entity_id") or _column(model, "legal_entity")
    engagement = _column(model, "engagement_key")
    return (
        f'{table}."{reference}"::text',
        f'{table}."{entity}"::bigint' if entity else "NULL::bigint",
        f'{table}."{engagement}"::text' if engagement else "''",
    )


@cache
def _column(model: type[models.Model], name: str) -> str:
    """The column of a field, also by its ``…_id`` name; "" when the model has none."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return ""
    return str(getattr(field, "column", None) or "")


def _with_updated_at(model: type[models.Model], fields: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(fields)
    if "updated_at" not in values and _column(model, "updated_at"):
        values["updated_at"] = clock.now()
    return values


def _audit_type(model: type[models.Model]) -> str:
    return str(getattr(model, "AUDIT_TYPE", "") or model._meta.model_name)


def _label(obj: models.Model) -> str:
    return str(getattr(obj, "ref", "") or getattr(obj, "key", "") or f"{obj._meta.verbose_name} {obj.pk}")


def _state_label(obj: models.Model, state: str) -> str:
    choices = dict(getattr(obj._meta.get_field("state"), "flatchoices", ()))
    return str(choices.get(state, state)).lower()
