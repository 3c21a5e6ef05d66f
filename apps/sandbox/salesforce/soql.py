"""SOQL: the subset that integrations use, run over the org's records.

Public surface: run(org, text, include_deleted) -> (object name, list of records), SoqlError.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..core import clock
from ..core.sql import Call, Column, SqlError, Tokens, holds, like, operands, parse_condition
from .fields import CHILDREN


class SoqlError(Exception):
    """errorCode and message as the vendor gives them."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Query:
    obj: str
    columns: list = field(default_factory=list)
    where: Any = None
    order: list[tuple[str, bool, bool]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


def run(org, text: str, *, include_deleted: bool = False) -> tuple[str, list[dict] | int]:
    """The object's name and its records; for ``SELECT COUNT()`` the number instead of records."""
    try:
        tokens = Tokens(text)
        query = _parse(org, tokens, include_deleted)
        if not tokens.done:
            raise SqlError(f"unexpected token: '{tokens.peek()[1]}'")
    except SqlError as error:
        raise SoqlError("MALFORMED_QUERY", str(error)) from error
    docs = _select(org, query, include_deleted)
    if query.columns == ["COUNT()"]:
        return query.obj, len(docs)
    return query.obj, [_project(org, query, doc, include_deleted) for doc in docs]


def _parse(org, tokens: Tokens, include_deleted: bool, parent: str = "") -> Query:
    tokens.need("SELECT")
    columns: list = []
    while True:
        if tokens.take_if("("):
            columns.append(("sub", tokens))
            # The object of a sub-query is only known once the outer FROM is read: remember where it is.
            columns[-1] = ("sub", _skip_subquery(tokens))
        elif tokens.is_word("COUNT") and tokens.peek(1) == ("op", "("):
            tokens.take(), tokens.take(), tokens.need(")")
            columns.append("COUNT()")
        elif tokens.is_word("FIELDS"):
            tokens.take(), tokens.need("("), tokens.word(), tokens.need(")")
            columns.append("FIELDS()")
        else:
            columns.append(tokens.word())
        if not tokens.take_if(","):
            break
    tokens.need("FROM")
    name = tokens.word()
    if parent:
        if name not in CHILDREN.get(parent, {}):
            raise SoqlError(
                "INVALID_TYPE", f"Didn't understand relationship '{name}' in FROM part of query call."
            )
        name = CHILDREN[parent][name][0]
    obj = org.object_name(name)
    if obj is None:
        raise SoqlError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
    query = Query(obj)
    if tokens.peek()[0] == "word" and not tokens.is_word(
        "WHERE", "ORDER", "LIMIT", "OFFSET", "ALL", "FOR", "USING"
    ):
        tokens.word()  # an alias; columns may carry it as a prefix, which relationship lookup drops
    for column in columns:
        if column == "FIELDS()":
            query.columns.extend(org.fields(obj))
        elif isinstance(column, tuple):
            query.columns.append(
                ("sub", _parse(org, Tokens(column[1]), include_deleted, parent=obj), column[1])
            )
        else:
            query.columns.append(column)
            if column != "COUNT()":
                _check(org, obj, column)
    if tokens.take_if("WHERE"):
        query.where = parse_condition(tokens, lambda t: _subselect(org, t, include_deleted))
        for item in operands(query.where):
            if isinstance(item, Column) and ":" not in item.name and item.name.upper() not in DATE_WORDS:
                _check(org, obj, item.name)
    if tokens.take_if("ORDER"):
        tokens.need("BY")
        while True:
            name = tokens.word()
            _check(org, obj, name)
            descending = tokens.take_if("DESC")
            if not descending:
                tokens.take_if("ASC")
            nulls_last = False
            if tokens.take_if("NULLS"):
                nulls_last = tokens.need("FIRST", "LAST").upper() == "LAST"
            query.order.append((name, descending, nulls_last))
            if not tokens.take_if(","):
                break
    if tokens.take_if("LIMIT"):
        query.limit = tokens.integer()
    if tokens.take_if("OFFSET"):
        query.offset = tokens.integer()
    return query


def _skip_subquery(tokens: Tokens) -> str:
    depth, words = 1, []
    while True:
        kind, text = tokens.take()
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "op" else 0
        if depth == 0:
            return " ".join(words)
        words.append(text)


def _subselect(org, tokens: Tokens, include_deleted: bool) -> list:
    query = _parse(org, tokens, include_deleted)
    return [_value(org, query.obj, doc, query.columns[0]) for doc in _select(org, query, include_deleted)]


def _check(org, obj: str, path: str) -> None:
    """Every part of a dotted path must exist."""
    first, _, rest = path.partition(".")
    if not rest:
        if org.field(obj, first) is None:
            raise SoqlError(
                "INVALID_FIELD",
                f"No such column '{first}' on entity '{obj}'. If you are attempting to "
                "use a custom field, be sure to append the '__c' after the custom field name.",
            )
        return
    reference = org.relationship(obj, first)
    if reference is None:
        if first.lower() == obj.lower():
            return _check(org, obj, rest)
        raise SoqlError("INVALID_FIELD", f"Didn't understand relationship '{first}' in field path.")
    _check(org, reference.target, rest)


def _value(org, obj: str, doc: dict | None, path: str) -> Any:
    if doc is None:
        return None
    first, _, rest = path.partition(".")
    if not rest:
        return doc.get(org.field(obj, first).name)
    reference = org.relationship(obj, first)
    if reference is None:
        return _value(org, obj, doc, rest)
    return _value(org, reference.target, org.record(reference.target, doc.get(reference.name)), rest)


def _select(org, query: Query, include_deleted: bool) -> list[dict]:
    def make(doc):
        def evaluate(item):
            if isinstance(item, Column):
                if ":" in item.name or item.name.upper() in DATE_WORDS:
                    return _range(item.name)
                return _value(org, query.obj, doc, item.name)
            if isinstance(item, Call):
                raise SoqlError("MALFORMED_QUERY", f"function {item.name} is not supported here")
            return _Moment(item.value) if item.kind == "date" else item.value

        return evaluate

    docs = [
        doc
        for doc in org.candidates(query.obj, query.where)
        if (include_deleted or not doc.get("IsDeleted")) and holds(query.where, make(doc), _compare)
    ]
    for name, descending, nulls_last in reversed(query.order):
        nulls_high = nulls_last != descending
        docs.sort(
            key=lambda d, n=name, h=nulls_high: _order_key(_value(org, query.obj, d, n), h),
            reverse=descending,
        )
    end = None if query.limit is None else query.offset + query.limit
    return docs[query.offset : end]


def _order_key(value, nulls_high: bool):
    if value is None:
        return (2 if nulls_high else 0, "")
    if isinstance(value, bool):
        return (1, int(value))
    return (1, value.casefold() if isinstance(value, str) else value)


def _project(org, query: Query, doc: dict, include_deleted: bool) -> dict:
    record = {"attributes": org.attributes(query.obj, doc["Id"])}
    for column in query.columns:
        if isinstance(column, tuple):
            _, inner, _ = column
            relationship = _relationship_of(query.obj, inner.obj)
            reference = CHILDREN[query.obj][relationship][1]
            children = [
                _project(org, inner, d, include_deleted)
                for d in _select(org, inner, include_deleted)
                if d.get(reference) == doc["Id"]
            ]
            record[relationship] = (
                {"totalSize": len(children), "done": True, "records": children} if children else None
            )
            continue
        _put(org, query.obj, doc, column.split("."), record)
    return record


def _put(org, obj: str, doc: dict, parts: list[str], record: dict) -> None:
    if len(parts) == 1:
        name = org.field(obj, parts[0]).name
        record[name] = doc.get(name)
        return
    reference = org.relationship(obj, parts[0])
    if reference is None:
        return _put(org, obj, doc, parts[1:], record)
    other = org.record(reference.target, doc.get(reference.name))
    if other is None:
        record.setdefault(reference.relationship, None)
        return
    nested = record.setdefault(
        reference.relationship, {"attributes": org.attributes(reference.target, other["Id"])}
    )
    _put(org, reference.target, other, parts[1:], nested)


def _relationship_of(parent: str, child: str) -> str:
    return next(name for name, (kind, _) in CHILDREN[parent].items() if kind == child)


class _Moment(str):
    """A date or date-time literal."""


DATE_WORDS = {"TODAY", "YESTERDAY", "TOMORROW", "THIS_MONTH", "LAST_MONTH"}


class _Range:
    def __init__(self, start: datetime, end: datetime):
        self.start, self.end = start, end


def _range(word: str) -> _Range:
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    name, _, number = word.upper().partition(":")
    day = timedelta(days=1)
    if name == "TODAY":
        return _Range(today, today + day)
    if name == "YESTERDAY":
        return _Range(today - day, today)
    if name == "TOMORROW":
        return _Range(today + day, today + 2 * day)
    if name == "LAST_N_DAYS" and number.isdigit():
        return _Range(today - int(number) * day, today + day)
    if name == "NEXT_N_DAYS" and number.isdigit():
        return _Range(today + day, today + (int(number) + 1) * day)
    if name in ("THIS_MONTH", "LAST_MONTH"):
        start = today.replace(day=1)
        if name == "LAST_MONTH":
            return _Range((start - day).replace(day=1), start)
        return _Range(start, (start + 32 * day).replace(day=1))
    raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{word}'")


def _compare(left: Any, op: str, right: Any) -> bool:
    if isinstance(right, _Range):
        return left is not None and _in_range(clock.parse(left), op, right)
    if right is None or left is None:
        same = left is None and right is None
        return same if op == "=" else (not same if op == "!=" else False)
    if isinstance(right, _Moment):
        left, right = clock.parse(str(left)), clock.parse(right).astimezone(UTC)
    elif isinstance(left, bool) or isinstance(right, bool):
        if not (isinstance(left, bool) and isinstance(right, bool)):
            raise SoqlError("INVALID_FIELD", "filter criterion has the wrong type for a boolean field")
    elif isinstance(left, int | float) != isinstance(right, int | float):
        raise SoqlError(
            "INVALID_FIELD",
            f"filter criterion '{right}' has the wrong type for the field; quotes are for text fields only",
        )
    elif isinstance(left, str):
        if op == "LIKE":
            return like(left, right)
        if len(left) == 18 and len(right) == 15 and left.startswith(right):
            right = left
        left, right = left.casefold(), right.casefold()
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }[op]


def _in_range(moment: datetime, op: str, span: _Range) -> bool:
    inside = span.start <= moment < span.end
    return {
        "=": inside,
        "!=": not inside,
        "<": moment < span.start,
        ">": moment >= span.end,
        "<=": moment < span.end,
        ">=": moment >= span.start,
    }[op]
