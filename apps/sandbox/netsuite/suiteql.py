"""SuiteQL: SELECT with joins on equality, WHERE, ORDER BY over the tables of fields.SUITEQL.

Public surface: run(account, text) -> list of rows with text values, SuiteQLError.
"""

import re
from datetime import datetime
from typing import Any

from ..core import clock
from ..core.sql import Call, Column, Literal, SqlError, Tokens, holds, like, operand, parse_condition
from . import fields as meta

MAX_ROWS = 100_000
ORACLE = {
    "YYYY": "%Y",
    "MM": "%m",
    "DD": "%d",
    "HH24": "%H",
    "MI": "%M",
    "SS": "%S",
    "MON": "%b",
    "FF3": "000",
}
ORACLE_TOKEN = re.compile(r'"([^"]*)"|(YYYY|HH24|MON|MM|DD|MI|SS|FF3)', re.IGNORECASE)


class SuiteQLError(Exception):
    """The message goes into the detail of a 400 INVALID_PARAMETER."""


class _Named(str):
    """An id that knows its display name, for BUILTIN.DF."""

    name: str = ""


def _named(id_: str, name: str | None) -> _Named:
    value = _Named(id_)
    value.name = name or id_
    return value


def run(account, text: str) -> list[dict[str, str]]:
    try:
        return _run(account, Tokens(text))
    except SqlError as error:
        raise SuiteQLError(
            f"Invalid search query. Detailed unprocessed description follows. {error}"
        ) from error


def _run(account, tokens: Tokens) -> list[dict[str, str]]:
    tokens.need("SELECT")
    distinct = tokens.take_if("DISTINCT")
    selected = _selection(tokens)
    tokens.need("FROM")
    sources = [_source(tokens)]
    rows = [{sources[0][1]: row} for row in table(account, sources[0][0])]
    while tokens.is_word("JOIN", "INNER", "LEFT"):
        left = tokens.take_if("LEFT")
        tokens.take_if("INNER"), tokens.take_if("OUTER")
        tokens.need("JOIN")
        sources.append(_source(tokens))
        tokens.need("ON")
        condition = parse_condition(tokens)
        rows = _join(account, rows, sources[-1], condition, left)
    where = parse_condition(tokens) if tokens.take_if("WHERE") else None
    order = []
    if tokens.take_if("ORDER"):
        tokens.need("BY")
        while True:
            item = operand(tokens)
            descending = tokens.take_if("DESC")
            if not descending:
                tokens.take_if("ASC")
            order.append((item, descending))
            if not tokens.take_if(","):
                break
    if tokens.take_if("FETCH"):
        tokens.need("FIRST", "NEXT")
        limit = tokens.integer()
        tokens.need("ROWS", "ROW"), tokens.need("ONLY")
    else:
        limit = None
    if not tokens.done:
        raise SqlError(f"unexpected token: '{tokens.peek()[1]}'")
    columns = _check(account, sources, selected, rows)
    kept = [row for row in rows if holds(where, _evaluator(row, columns), _compare)]
    for item, descending in reversed(order):
        kept.sort(key=lambda row, i=item: _sort_key(_evaluator(row, columns)(i)), reverse=descending)
    if len(selected) == 1 and isinstance(selected[0][0], Call) and selected[0][0].name == "COUNT":
        return [{"links": [], (selected[0][1] or "expr1"): str(len(kept))}]
    result = [_output(account, row, selected, columns) for row in kept[: min(limit or MAX_ROWS, MAX_ROWS)]]
    if distinct:
        seen = {tuple(sorted((k, v) for k, v in row.items() if k != "links")): row for row in result}
        return list(seen.values())
    return result


def _selection(tokens: Tokens) -> list[tuple[Any, str]]:
    selected = []
    while True:
        item = Literal("*", "word") if tokens.take_if("*") else operand(tokens)
        name = ""
        if tokens.take_if("AS") or (tokens.peek()[0] == "word" and not tokens.is_word("FROM")):
            name = tokens.word()
        selected.append((item, name.lower()))
        if not tokens.take_if(","):
            return selected


def _source(tokens: Tokens) -> tuple[str, str]:
    name = tokens.word().lower()
    if name not in meta.SUITEQL:
        raise SuiteQLError(f"Invalid search query. Search error occurred: Record '{name}' was not found.")
    if tokens.take_if("AS") or (
        tokens.peek()[0] == "word"
        and not tokens.is_word("WHERE", "ORDER", "JOIN", "INNER", "LEFT", "ON", "FETCH", "GROUP")
    ):
        return name, tokens.word().lower()
    return name, name


def _join(account, rows: list[dict], source: tuple[str, str], condition, left: bool) -> list[dict]:
    name, alias = source
    others = table(account, name)
    index: dict[str, list[dict]] = {}
    pair = _equality(condition, alias)
    if pair:
        for other in others:
            index.setdefault(str(other.get(pair[0])), []).append(other)
    joined = []
    for row in rows:
        if pair:
            candidates = index.get(str(_evaluator(row, None)(pair[1])), [])
        else:
            candidates = others
        matches = [o for o in candidates if holds(condition, _evaluator({**row, alias: o}, None), _compare)]
        joined += [{**row, alias: match} for match in matches]
        if left and not matches:
            joined.append({**row, alias: {}})
    return joined


def _equality(condition, alias: str):
    """The joined table's column and the other side, when the condition is a single equality."""
    if condition[0] != "cmp" or condition[2] != "=":
        return None
    for mine, other in ((condition[1], condition[3]), (condition[3], condition[1])):
        if (
            isinstance(mine, Column)
            and isinstance(other, Column)
            and mine.name.lower().startswith(f"{alias}.")
        ):
            return mine.name.lower().partition(".")[2], other
    return None


def _check(account, sources, selected, rows) -> set[str]:
    """Columns are known by the table's fields, so that a wrong name is refused also on an empty table."""
    known: set[str] = set()
    for name, alias in sources:
        names = columns_of(account, name)
        known |= names | {f"{alias}.{n}" for n in names}

    def walk(item):
        if isinstance(item, Column) and item.name.lower() not in known and item.name.lower() != "sysdate":
            raise SuiteQLError(
                "Invalid search query. Search error occurred: Field "
                f"'{item.name}' for record '{sources[0][0]}' was not found."
            )
        for argument in getattr(item, "arguments", ()):
            walk(argument)

    for item, _ in selected:
        walk(item)
    return known


def _evaluator(row: dict[str, dict], known: set[str] | None):
    def evaluate(item):
        if isinstance(item, Literal):
            return item.value
        if isinstance(item, Call):
            return _call(item, evaluate)
        name = item.name.lower()
        if name == "sysdate":
            return clock.now()
        if known is not None and name not in known:
            raise SuiteQLError(
                f"Invalid search query. Search error occurred: Field '{item.name}' was not found."
            )
        alias, _, column = name.rpartition(".")
        if alias:
            return row.get(alias, {}).get(column)
        for source in row.values():
            if column in source:
                return source[column]
        return None

    return evaluate


def _call(call: Call, evaluate) -> Any:
    values = [evaluate(argument) for argument in call.arguments]
    name = call.name
    if name in ("UPPER", "LOWER", "TRIM"):
        return (
            None
            if values[0] is None
            else getattr(_text(values[0]), "strip" if name == "TRIM" else name.lower())()
        )
    if name in ("TO_DATE", "TO_TIMESTAMP", "TO_TIMESTAMP_TZ"):
        return _to_date(values[0], values[1] if len(values) > 1 else "YYYY-MM-DD")
    if name == "TO_CHAR":
        if isinstance(values[0], datetime) and len(values) > 1:
            return _format(values[0], values[1])
        return None if values[0] is None else _text(values[0])
    if name in ("NVL", "COALESCE"):
        return next((v for v in values if v is not None), None)
    if name == "BUILTIN.DF":
        return values[0].name if isinstance(values[0], _Named) else values[0]
    if name == "TRUNC" and isinstance(values[0], datetime):
        return values[0].replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "COUNT":
        return None
    raise SuiteQLError(f"Invalid search query. Search error occurred: Unknown identifier '{name}'.")


def _to_date(text: str, pattern: str) -> datetime:
    text = str(text)
    try:
        return clock.parse(text)
    except ValueError:
        shape = ORACLE_TOKEN.sub(lambda m: m.group(1) or ORACLE[m.group(2).upper()], pattern).replace(
            "000", "%f"
        )
        try:
            return datetime.strptime(text, shape).replace(tzinfo=clock.now().tzinfo)
        except ValueError as error:
            raise SuiteQLError(f"Invalid search query. Date '{text}' does not match '{pattern}'.") from error


def _format(moment: datetime, pattern: str) -> str:
    def one(match):
        return (
            match.group(1) if match.group(1) is not None else moment.strftime(ORACLE[match.group(2).upper()])
        )

    return ORACLE_TOKEN.sub(one, pattern)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _compare(left: Any, op: str, right: Any) -> bool:
    if left is None or right is None:
        return op == "=" and left is None and right is None
    if isinstance(left, datetime) or isinstance(right, datetime):
        left, right = (v if isinstance(v, datetime) else _to_date(v, "YYYY-MM-DD") for v in (left, right))
    elif isinstance(left, int | float) and not isinstance(left, bool):
        right = float(right) if re.fullmatch(r"-?\d+(\.\d+)?", str(right)) else right
    else:
        left, right = _text(left), _text(right)
        if op == "LIKE":
            return like(left, right)
        if left.lstrip("-").isdigit() and right.lstrip("-").isdigit():
            left, right = int(left), int(right)
    if op == "LIKE":
        return like(_text(left), _text(right))
    try:
        return (
            {"=": left == right, "!=": left != right}[op]
            if op in ("=", "!=")
            else {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[op]
        )
    except TypeError as error:
        raise SuiteQLError("Invalid search query. The operands have different types.") from error


def _sort_key(value: Any):
    if value is None:
        return (2, "")
    if isinstance(value, str):
        return (0, int(value), "") if value.isdigit() else (1, 0, value.casefold())
    return (0, value.timestamp(), "") if isinstance(value, datetime) else (0, float(value), "")


def _output(account, row: dict[str, dict], selected: list, columns: set[str]) -> dict[str, str]:
    result: dict = {"links": []}
    evaluate = _evaluator(row, columns)
    for number, (item, name) in enumerate(selected, 1):
        if isinstance(item, Literal) and item.value == "*":
            pairs = [(key, value) for source in row.values() for key, value in source.items()]
        else:
            label = name or (
                item.name.lower().rpartition(".")[2] if isinstance(item, Column) else f"expr{number}"
            )
            pairs = [(label, evaluate(item))]
        for key, value in pairs:
            if value is None:
                continue  # null columns are left out, as in the vendor's answers
            if isinstance(value, datetime):
                value = _format(value, account.system.setting("date_format", "MM/DD/YYYY"))
            result[key] = _text(value)
    return result


# -- tables ----------------------------------------------------------------------------------------


def columns_of(account, name: str) -> set[str]:
    if name == "transactionline":
        return {
            "id",
            "transaction",
            "linesequencenumber",
            "mainline",
            "item",
            "quantity",
            "rate",
            "foreignamount",
            "netamount",
            "memo",
            "subsidiary",
            "department",
            "class",
            "location",
            "entity",
            "taxline",
        }
    names = {n.lower() for kind in meta.SUITEQL[name] for n in account.fields(kind)}
    if name == "transaction":
        names |= {
            "type",
            "foreigntotal",
            "foreignamountunpaid",
            "foreignamountpaid",
            "recordtype",
            "voided",
            "posting",
        }
    if name == "item":
        names |= {"itemtype"}
    if name == "accountingperiod":
        names |= {"alllocked", "arlocked"}
    return names


def table(account, name: str) -> list[dict[str, Any]]:
    """All rows of a table with column names in lower case, dates as date-times, references as ids."""
    rows = []
    for kind in meta.SUITEQL[name]:
        fields = account.fields(kind)
        for doc in account.system.all(kind):
            if name == "transactionline":
                rows += _line_rows(doc)
                continue
            row = {
                key.lower(): _column(fields.get(key), value) for key, value in doc.items() if key in fields
            }
            if name == "transaction":
                _transaction_row(kind, doc, row)
            elif name == "item":
                row["itemtype"] = "Service"
            rows.append(row)
    return rows


def _column(field, value: Any) -> Any:
    if value is None or field is None:
        return value
    if field.type in ("ref", "e") and isinstance(value, dict):
        return _named(value.get("id", ""), value.get("refName"))
    if field.type == "refs":
        return ", ".join(item["id"] for item in value.get("items", []))
    if field.type in ("d", "dt"):
        return clock.parse(value)
    return value


def _transaction_row(kind: str, doc: dict, row: dict) -> None:
    code, label, _ = meta.TRANSACTIONS[kind]
    held = doc.get("status") or {}
    status = held.get("refName") or ""
    row["type"], row["recordtype"] = _named(code, label), kind.lower()
    row["status"] = _named(held.get("id") or "", f"{label} : {status}")
    row["entity"] = row.get("entity") or row.get("customer")
    row["foreigntotal"] = doc.get("total")
    row["foreignamountunpaid"], row["foreignamountpaid"] = doc.get("amountRemaining"), doc.get("amountPaid")
    row["voided"], row["posting"] = status == "Voided", status not in ("Pending Approval", "Rejected")


def _line_rows(doc: dict) -> list[dict]:
    """The main line carries the total, revenue lines are negative (credits), as the ledger has them."""
    total = doc.get("total") or 0.0
    subsidiary = (doc.get("subsidiary") or {}).get("id")
    entity = (doc.get("entity") or doc.get("customer") or {}).get("id")
    rows = [
        {
            "id": "0",
            "transaction": doc["id"],
            "linesequencenumber": 0,
            "mainline": True,
            "foreignamount": total,
            "netamount": total,
            "subsidiary": subsidiary,
            "entity": entity,
            "taxline": False,
        }
    ]
    for number, line in enumerate(doc.get("item", {}).get("items", []), 1):
        amount, quantity = line.get("amount") or 0.0, line.get("quantity")
        row = {
            "id": str(number),
            "transaction": doc["id"],
            "linesequencenumber": number,
            "mainline": False,
            "foreignamount": -amount,
            "netamount": -amount,
            "subsidiary": subsidiary,
            "entity": entity,
            "quantity": -quantity if quantity is not None else None,
            "rate": line.get("rate"),
            "memo": line.get("description"),
            "taxline": False,
        }
        for name in ("item", "department", "class", "location"):
            if line.get(name):
                row[name] = _named(line[name]["id"], line[name].get("refName"))
        rows.append(row)
    return rows
