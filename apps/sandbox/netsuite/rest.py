"""Record and query resources of SuiteTalk REST.

Public surface: Resources.
"""

import re

from ..core import clock
from ..core.http import Request, Response
from . import fields as meta
from .errors import answer, refuse
from .records import Account
from .suiteql import SuiteQLError, run

MAX_PAGE = 1000
CONDITION = re.compile(
    r"""\s*([\w.]+)\s+([A-Z_]+)(?:\s+(\[[^\]]*\]|"[^"]*"|'[^']*'|(?!AND\b|OR\b)[^\s]+))?\s*(AND|OR)?""",
    re.VERBOSE,
)
TRANSFORMS = {
    ("salesOrder", "invoice"),
    ("invoice", "creditMemo"),
    ("invoice", "customerPayment"),
    ("customer", "invoice"),
    ("customer", "salesOrder"),
}


class Resources:
    def __init__(self, account: Account):
        self._account = account

    @property
    def _base(self) -> str:
        return f"{self._account.system.base_url}/services/rest/record/v1"

    def _known(self, kind: str) -> str:
        if not self._account.known(kind):
            refuse(404, "INVALID_URL", f"Record type '{kind}' does not exist.")
        return kind

    def _record(self, kind: str, id_: str) -> dict:
        doc = self._account.resolve(self._known(kind), id_)
        if doc is None:
            refuse(
                404,
                "NONEXISTENT_ID",
                "The record instance does not exist. Provide a valid record instance ID.",
            )
        return doc

    def _body(self, request: Request):
        try:
            body = request.json()
        except ValueError as problem:
            refuse(400, "INVALID_CONTENT", f"Invalid content in the request body. {problem}")
        return {} if body is None else body

    def _lenient(self, request: Request) -> bool:
        """Unknown names are only refused when asked to: the vendor's own default is Warning."""
        return request.header("x-netsuite-propertynamevalidation").lower() != "error"

    def _replace(self, request: Request) -> set[str]:
        return {name for name in request.query.get("replace", "").split(",") if name}

    def _done(self, kind: str, doc: dict) -> Response:
        return Response(204, None, {"Location": f"{self._base}/{kind}/{doc['id']}"})

    # -- one record ------------------------------------------------------------------------------

    def create(self, request: Request, kind: str) -> Response:
        self._known(kind)
        doc = self._account.save(
            kind, self._body(request), before=None, replace=set(), lenient=self._lenient(request)
        )
        return self._done(kind, doc)

    def read(self, request: Request, kind: str, id: str) -> Response:
        doc = self._record(kind, id)
        expand = request.query.get("expandSubResources", "").lower() == "true"
        only = [name for name in request.query.get("fields", "").split(",") if name]
        known = {**self._account.fields(kind), **self._account.sublists(kind)}
        bad = [name for name in only if name not in known]
        if bad:
            refuse(
                400,
                "INVALID_PARAMETER",
                f"Invalid value for the query parameter fields: {bad[0]}",
                **{"o:errorQueryParam": "fields"},
            )
        return Response(200, self._account.show(kind, doc, expand=expand, only=only))

    def sublist(self, request: Request, kind: str, id: str, sublist: str) -> Response:
        doc = self._record(kind, id)
        fields = self._account.fields(kind)
        if sublist not in self._account.sublists(kind) and not (
            sublist in fields and fields[sublist].type == "refs"
        ):
            refuse(404, "INVALID_URL", f"The sub-resource '{sublist}' does not exist.")
        shown = self._account.show(
            kind, {"id": doc["id"], sublist: doc.get(sublist) or {"items": []}}, expand=True, only=[]
        )
        value = shown[sublist]
        return Response(200, {**value, "count": len(value["items"]), "hasMore": False, "offset": 0})

    def update(self, request: Request, kind: str, id: str) -> Response:
        before = self._record(kind, id)
        doc = self._account.save(
            kind,
            self._body(request),
            before=before,
            replace=self._replace(request),
            lenient=self._lenient(request),
        )
        return self._done(kind, doc)

    def upsert(self, request: Request, kind: str, id: str) -> Response:
        """PUT works on external ids only, and creates what is not there."""
        self._known(kind)
        if not id.startswith("eid:"):
            refuse(400, "INVALID_ID", "PUT is only allowed with an external ID (eid:).", **{"o:urlPath": id})
        body = self._body(request)
        if isinstance(body, dict) and body.get("externalId") not in (None, id[4:]):
            refuse(
                400, "INVALID_CONTENT", "The external ID in the body differs from the URL.", path="externalId"
            )
        before = self._account.resolve(kind, id)
        doc = self._account.save(
            kind,
            {**body, "externalId": id[4:]},
            before=before,
            replace=self._replace(request),
            lenient=self._lenient(request),
        )
        return self._done(kind, doc)

    def delete(self, request: Request, kind: str, id: str) -> Response:
        doc = self._record(kind, id)
        if kind in ("customer", "job"):
            for other in meta.TRANSACTIONS:
                if any(
                    doc["id"] in ((d.get("entity") or {}).get("id"), (d.get("job") or {}).get("id"))
                    for d in self._account.system.all(other)
                ):
                    refuse(
                        400,
                        "USER_ERROR",
                        "Error while accessing a resource. This record cannot be deleted because "
                        "it has dependent records.",
                    )
        self._account.remove(kind, doc["id"])
        return Response(204)

    def transform(self, request: Request, kind: str, id: str, target: str) -> Response:
        source = self._record(kind, id)
        if (kind, target) not in TRANSFORMS:
            refuse(400, "INVALID_CONTENT", f"The transformation from {kind} to {target} is not supported.")
        values: dict = {}
        if kind == "customer":
            values = {"entity": {"id": source["id"]}}
        elif target == "customerPayment":
            values = {
                "customer": source["entity"],
                "currency": source.get("currency"),
                "payment": source["amountRemaining"],
                "apply": {
                    "items": [
                        {"doc": {"id": source["id"]}, "apply": True, "amount": source["amountRemaining"]}
                    ]
                },
            }
        else:
            lines = [
                {k: v for k, v in line.items() if k not in ("tax1Amt",)}
                for line in source.get("item", {}).get("items", [])
            ]
            names = (
                "entity",
                "currency",
                "subsidiary",
                "job",
                "otherRefNum",
                "memo",
                "class",
                "department",
                "location",
            )
            values = {name: source[name] for name in names if source.get(name)}
            values |= {"item": {"items": lines}, "createdFrom": {"id": source["id"]}}
        body = self._body(request)
        values |= {name: value for name, value in body.items() if name != "item"}
        if "item" in body:
            values["item"] = body["item"]
        doc = self._account.save(target, values, before=None, replace=set(), lenient=self._lenient(request))
        return self._done(target, doc)

    # -- collections -----------------------------------------------------------------------------

    def list(self, request: Request, kind: str) -> Response:
        self._known(kind)
        limit, offset = self._page(request)
        docs = self._account.system.all(kind)
        if request.query.get("q"):
            docs = [d for d in docs if _filter(request.query["q"], d, self._account.fields(kind))]
        page = docs[offset : offset + limit]
        items = [
            {"links": [{"rel": "self", "href": f"{self._base}/{kind}/{d['id']}"}], "id": d["id"]}
            for d in page
        ]
        url = f"{self._base}/{kind}"
        return Response(
            200,
            {
                "links": _links(url, limit, offset, len(docs)),
                "count": len(page),
                "hasMore": offset + limit < len(docs),
                "items": items,
                "offset": offset,
                "totalResults": len(docs),
            },
        )

    def _page(self, request: Request) -> tuple[int, int]:
        try:
            limit, offset = int(request.query.get("limit", MAX_PAGE)), int(request.query.get("offset", 0))
        except ValueError:
            refuse(400, "INVALID_PARAMETER", "limit and offset must be whole numbers.")
        if not 1 <= limit <= MAX_PAGE or offset < 0 or offset % limit:
            refuse(
                400,
                "INVALID_PARAMETER",
                f"Invalid value for limit or offset: limit is 1 to {MAX_PAGE}, offset a multiple of limit.",
                **{"o:errorQueryParam": "limit"},
            )
        return limit, offset

    def suiteql(self, request: Request) -> Response:
        if "transient" not in request.header("prefer").lower():
            refuse(
                400,
                "INVALID_HEADER",
                "The required request header 'Prefer' is missing or not set to 'transient'.",
                **{"o:errorHeader": "Prefer"},
            )
        body = self._body(request)
        if not isinstance(body, dict) or not isinstance(body.get("q"), str):
            refuse(400, "INVALID_CONTENT", "The request body must hold the query as q.", path="q")
        limit, offset = self._page(request)
        try:
            rows = run(self._account, body["q"])
        except SuiteQLError as problem:
            return answer(400, "INVALID_PARAMETER", str(problem))
        page = rows[offset : offset + limit]
        url = f"{self._account.system.base_url}/services/rest/query/v1/suiteql"
        return Response(
            200,
            {
                "links": _links(url, limit, offset, len(rows)),
                "count": len(page),
                "hasMore": offset + limit < len(rows),
                "items": page,
                "offset": offset,
                "totalResults": len(rows),
            },
        )

    # -- metadata --------------------------------------------------------------------------------

    def catalog(self, request: Request) -> Response:
        return Response(200, {"items": [{"name": kind, "links": []} for kind in sorted(meta.RECORDS)]})

    def metadata(self, request: Request, kind: str) -> Response:
        fields = self._account.fields(self._known(kind))
        shapes = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "d": "string", "dt": "string"}
        properties = {
            n: {"type": shapes.get(f.type, "object"), "title": n, "nullable": not f.required}
            for n, f in fields.items()
        }
        properties |= {name: {"type": "object", "title": name} for name in self._account.sublists(kind)}
        return Response(200, {"type": "object", "properties": properties})


def _links(url: str, limit: int, offset: int, total: int) -> list[dict]:
    links = [{"rel": "self", "href": f"{url}?limit={limit}&offset={offset}"}]
    if offset + limit < total:
        links.append({"rel": "next", "href": f"{url}?limit={limit}&offset={offset + limit}"})
        last = (total - 1) // limit * limit
        links.append({"rel": "last", "href": f"{url}?limit={limit}&offset={last}"})
    if offset:
        links.append({"rel": "previous", "href": f"{url}?limit={limit}&offset={max(0, offset - limit)}"})
        links.append({"rel": "first", "href": f"{url}?limit={limit}&offset=0"})
    return links


def _filter(text: str, doc: dict, fields: dict) -> bool:
    """Record collection filtering: ``field OPERATOR value`` joined by AND and OR, AND binding first."""
    position, groups, current = 0, [], []
    while position < len(text):
        found = CONDITION.match(text, position)
        if not found or found.end() == position:
            refuse(
                400,
                "INVALID_PARAMETER",
                f"Invalid filter near '{text[position:]}'.",
                **{"o:errorQueryParam": "q"},
            )
        name, operator, value, joint = found.groups()
        if name.partition(".")[0] not in fields:
            refuse(
                400, "INVALID_PARAMETER", f"The field '{name}' is not valid.", **{"o:errorQueryParam": "q"}
            )
        current.append(_test(doc.get(name.partition(".")[0]), operator, (value or "").strip("\"'")))
        if joint == "OR":
            groups.append(current)
            current = []
        position = found.end()
    groups.append(current)
    return any(all(group) for group in groups)


def _test(value, operator: str, wanted: str) -> bool:
    if isinstance(value, dict):
        value = value.get("id")
    negate = operator.endswith("_NOT")
    operator = operator.removesuffix("_NOT")
    if operator == "EMPTY":
        return (value in (None, "")) != negate
    if value is None:
        return negate
    text, lowered = str(value).casefold(), wanted.casefold()
    if isinstance(value, bool):
        result = value == (lowered in ("true", "t"))
    elif operator in ("IS", "CONTAIN", "START_WITH", "ENDWITH", "END_WITH"):
        result = {
            "IS": text == lowered,
            "CONTAIN": lowered in text,
            "START_WITH": text.startswith(lowered),
            "ENDWITH": text.endswith(lowered),
            "END_WITH": text.endswith(lowered),
        }[operator]
    elif operator == "ANY_OF":
        result = str(value) in [part.strip(" \"'") for part in wanted.strip("[]").split(",")]
    elif operator in ("ON", "BEFORE", "AFTER", "ON_OR_BEFORE", "ON_OR_AFTER"):
        left, right = clock.parse(str(value)).date(), clock.parse(wanted).date()
        result = {
            "ON": left == right,
            "BEFORE": left < right,
            "AFTER": left > right,
            "ON_OR_BEFORE": left <= right,
            "ON_OR_AFTER": left >= right,
        }[operator]
    elif operator in ("EQUAL", "GREATER", "LESS", "GREATER_OR_EQUAL", "LESS_OR_EQUAL"):
        try:
            left, right = float(value), float(wanted)
        except ValueError:
            refuse(400, "INVALID_PARAMETER", f"'{wanted}' is no number.", **{"o:errorQueryParam": "q"})
        result = {
            "EQUAL": left == right,
            "GREATER": left > right,
            "LESS": left < right,
            "GREATER_OR_EQUAL": left >= right,
            "LESS_OR_EQUAL": left <= right,
        }[operator]
    else:
        refuse(
            400, "INVALID_PARAMETER", f"The operator {operator} is not valid.", **{"o:errorQueryParam": "q"}
        )
    return result != negate
