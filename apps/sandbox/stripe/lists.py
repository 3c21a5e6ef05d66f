"""Lists with cursors, and the search query language.

Public surface: Lists (a part of the vendor class; needs ``system`` and ``_expanded``).
"""

import re
import time

from ..core.http import Request, Response
from .errors import invalid, refuse
from .forms import check, decode, integer, need

CLAUSE = re.compile(
    r"""(-?)(\w+)(?:\[['"](\w+)['"]\])?\s*(:|=|~|<=|>=|<|>)\s*(?:'([^']*)'|"([^"]*)"|(\d+))"""
)


class Lists:
    def _filtered(self, kind: str, values: dict) -> list[dict]:
        docs = list(reversed(self.system.all(kind)))
        for name in (
            "email",
            "customer",
            "invoice",
            "status",
            "collection_method",
            "type",
            "charge",
            "payment_intent",
        ):
            if name in values:
                docs = [d for d in docs if d.get(name) == values[name]]
        for name, wanted in (values.get("payment") or {}).items():
            docs = [d for d in docs if d["payment"].get(name) == wanted]
        if "types" in values:
            docs = [d for d in docs if d["type"] in values["types"]]
        if "pending" in values:
            docs = [d for d in docs if (d["invoice"] is None) == (values["pending"].lower() == "true")]
        bounds = values.get("created")
        if bounds:
            bounds = bounds if isinstance(bounds, dict) else {"gte": bounds, "lte": bounds}
            tests = {
                "gt": lambda a, b: a > b,
                "gte": lambda a, b: a >= b,
                "lt": lambda a, b: a < b,
                "lte": lambda a, b: a <= b,
            }
            docs = [
                d
                for d in docs
                if all(tests[op](d["created"], int(v)) for op, v in bounds.items() if op in tests)
            ]
        return docs

    def _page(self, request: Request, kind: str, docs: list[dict], values: dict) -> dict:
        limit = integer(values, "limit")
        limit = 10 if limit is None else limit
        if not 1 <= limit <= 100:
            invalid(
                "Invalid limit: must be between 1 and 100.", code="parameter_invalid_integer", param="limit"
            )
        start = 0
        cursor = values.get("starting_after") or values.get("ending_before")
        if cursor:
            places = [n for n, d in enumerate(docs) if d["id"] == cursor]
            if not places:
                refuse(400, f"No such {kind}: '{cursor}'", code="resource_missing", param="starting_after")
            if values.get("starting_after"):
                start = places[0] + 1
            else:
                docs = docs[: places[0]]
                start = max(0, len(docs) - limit)
        more = start + limit < len(docs) if not values.get("ending_before") else start > 0
        expand = [path.removeprefix("data.") for path in values.get("expand") or []]
        page = [self._expanded(d, expand) for d in docs[start : start + limit]]
        return {"object": "list", "url": request.path, "has_more": more, "data": page}

    def _search(self, request: Request, kind: str) -> Response:
        """Searching sees records only some time after they were written (about a minute at the vendor)."""
        values = decode(request.query_items)
        check(f"{kind}.search", values)
        clauses, any_of = _clauses(need(values, "query"))
        lag = float(self.system.setting("search_lag_seconds", 60))
        docs = [d for d in reversed(self.system.all(kind)) if d["created"] <= time.time() - lag]
        docs = [d for d in docs if (any if any_of else all)(_matches(d, clause) for clause in clauses)]
        limit, offset = integer(values, "limit") or 10, int(values.get("page") or 0)
        page = docs[offset : offset + limit]
        more = offset + limit < len(docs)
        return Response(
            200,
            {
                "object": "search_result",
                "url": request.path,
                "has_more": more,
                "data": page,
                "next_page": str(offset + limit) if more else None,
            },
        )


def _clauses(query: str) -> tuple[list[tuple], bool]:
    """Search query language: clauses joined by AND or by OR, not both."""
    clauses = []
    rest = query.strip()
    joints = set()
    while rest:
        found = CLAUSE.match(rest)
        if not found:
            invalid(f"We were unable to parse your search query near '{rest[:30]}'.", param="query")
        minus, name, key, operator, *values = found.groups()
        clauses.append((bool(minus), name, key, operator, next(v for v in values if v is not None)))
        rest = rest[found.end() :].strip()
        joint = re.match(r"(AND|OR)\s+", rest, re.IGNORECASE)
        if joint:
            joints.add(joint.group(1).upper())
            rest = rest[joint.end() :]
        elif rest:
            joints.add("AND")
    if len(joints) > 1:
        invalid("You may not combine AND and OR in a search query.", param="query")
    return clauses, joints == {"OR"}


def _matches(doc: dict, clause: tuple) -> bool:
    minus, name, key, operator, wanted = clause
    value = (doc.get(name) or {}).get(key) if key else doc.get(name)
    if value is None:
        return minus
    if operator in ("<", ">", "<=", ">="):
        result = {
            "<": value < int(wanted),
            ">": value > int(wanted),
            "<=": value <= int(wanted),
            ">=": value >= int(wanted),
        }[operator]
    elif operator == "~":
        result = wanted.casefold() in str(value).casefold()
    else:
        result = str(value).casefold() == wanted.casefold()
    return result != minus
