"""REST resources below ``/services/data/vNN.N``.

Public surface: router(vendor), versions().
"""

import hashlib
import json
import secrets
import time
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

from ..core import clock
from ..core.http import Refusal, Request, Response, Router
from . import composite, describe
from .errors import error, refuse
from .soql import SoqlError, run

CURSOR_SECONDS = 900
MAX_CURSORS = 200
BASE = "/services/data/{version}"


def versions() -> list[dict]:
    return [
        {"label": label, "url": f"/services/data/v{number}", "version": number}
        for label, number in (("Spring '26", "66.0"), ("Summer '26", "67.0"), ("Winter '27", "68.0"))
    ]


def router(vendor) -> Router:
    routes = Router()
    resources = Resources(vendor)
    routes.add("GET", BASE, resources.root)
    routes.add("GET", BASE + "/limits", lambda request: Response(200, vendor.limits()))
    routes.add("GET", BASE + "/query", resources.query)
    routes.add("GET", BASE + "/queryAll", resources.query_all)
    routes.add("GET", BASE + "/query/{locator}", resources.query_more)
    routes.add("GET", BASE + "/sobjects", resources.objects)
    routes.add("GET", BASE + "/sobjects/{obj}/describe", resources.describe)
    routes.add("GET", BASE + "/sobjects/{obj}/updated", resources.updated)
    routes.add("GET", BASE + "/sobjects/{obj}/deleted", resources.deleted)
    routes.add("GET", BASE + "/sobjects/{obj}", resources.basic)
    routes.add("POST", BASE + "/sobjects/{obj}", resources.create)
    routes.add("GET", BASE + "/sobjects/{obj}/{id}", resources.read)
    routes.add("PATCH", BASE + "/sobjects/{obj}/{id}", resources.update)
    routes.add("DELETE", BASE + "/sobjects/{obj}/{id}", resources.delete)
    routes.add("GET", BASE + "/sobjects/{obj}/{field}/{value}", resources.read_by_key)
    routes.add("PATCH", BASE + "/sobjects/{obj}/{field}/{value}", resources.upsert)
    routes.add("DELETE", BASE + "/sobjects/{obj}/{field}/{value}", resources.delete_by_key)
    composite.routes(routes, vendor, BASE)
    return routes


class Resources:
    def __init__(self, vendor):
        self._vendor = vendor

    @property
    def _org(self):
        return self._vendor.org

    def root(self, request: Request) -> Response:
        base = request.path.rstrip("/")
        return Response(
            200, {name: f"{base}/{name}" for name in ("sobjects", "query", "queryAll", "limits", "composite")}
        )

    # -- query -----------------------------------------------------------------------------------

    def query(self, request: Request) -> Response:
        return self._query(request, include_deleted=False)

    def query_all(self, request: Request) -> Response:
        return self._query(request, include_deleted=True)

    def _query(self, request: Request, *, include_deleted: bool) -> Response:
        text = request.query.get("q")
        if not text:
            refuse(400, "MALFORMED_QUERY", "A query string has to be specified")
        try:
            _, records = run(self._org, text, include_deleted=include_deleted)
        except SoqlError as problem:
            refuse(400, problem.code, problem.message)
        if isinstance(records, int):
            return Response(200, {"totalSize": records, "done": True, "records": []})
        size = _batch_size(request)
        if len(records) <= size:
            return Response(200, {"totalSize": len(records), "done": True, "records": records})
        cursors = self._vendor.cursors
        while len(cursors) >= MAX_CURSORS:
            cursors.pop(next(iter(cursors)))
        cursor = f"01g5g{secrets.token_hex(5)}"
        cursors[cursor] = (text, records, time.monotonic())
        return self._page(request, cursor, records, 0, size)

    def query_more(self, request: Request, locator: str) -> Response:
        cursor, _, offset = locator.rpartition("-")
        kept = self._vendor.cursors.get(cursor)
        if kept is None or not offset.isdigit() or time.monotonic() - kept[2] > CURSOR_SECONDS:
            refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(request, cursor, kept[1], int(offset), _batch_size(request))

    def _page(self, request: Request, cursor: str, records: list, offset: int, size: int) -> Response:
        page = records[offset : offset + size]
        done = offset + size >= len(records)
        answer = {"totalSize": len(records), "done": done}
        if not done:
            version = request.path.split("/")[3]
            answer["nextRecordsUrl"] = f"/services/data/{version}/query/{cursor}-{offset + size}"
        return Response(200, {**answer, "records": page})

    # -- describe --------------------------------------------------------------------------------

    def objects(self, request: Request) -> Response:
        return Response(200, describe.all_objects(self._org))

    def describe(self, request: Request, obj: str) -> Response:
        return Response(200, describe.one(self._org, self._object(obj)))

    def basic(self, request: Request, obj: str) -> Response:
        name = self._object(obj)
        recent = [d for d in self._vendor.system.all(name) if not d.get("IsDeleted")][-10:]
        items = [{"attributes": self._org.attributes(name, d["Id"]), "Id": d["Id"]} for d in reversed(recent)]
        return Response(200, {"objectDescribe": describe.summary(name), "recentItems": items})

    # -- rows ------------------------------------------------------------------------------------

    def _object(self, name: str) -> str:
        found = self._org.object_name(name)
        if found is None:
            refuse(404, "NOT_FOUND", "The requested resource does not exist")
        return found

    def _options(self, request: Request) -> dict:
        allow = "allowsave=true" in request.header("sforce-duplicate-rule-header").lower().replace(" ", "")
        return {"allow_duplicates": allow}

    def _client(self, request: Request) -> str:
        for part in request.header("sforce-call-options").split(","):
            name, _, value = part.strip().partition("=")
            if name == "client":
                return value
        return ""

    def _body(self, request: Request) -> dict:
        try:
            body = request.json()
        except ValueError as problem:
            refuse(400, "JSON_PARSER_ERROR", f"Unexpected character: {problem}")
        return body if body is not None else {}

    def create(self, request: Request, obj: str) -> Response:
        name = self._object(obj)
        doc = self._org.create(name, self._body(request), **self._options(request))
        self._vendor.written(name, None, doc, client=self._client(request))
        return Response(
            201,
            {"id": doc["Id"], "success": True, "errors": []},
            {"Location": f"{request.path.rstrip('/')}/{doc['Id']}"},
        )

    def read(self, request: Request, obj: str, id: str) -> Response:
        name = self._object(obj)
        doc = self._org.record(name, id)
        if doc is None:
            refuse(
                404,
                "NOT_FOUND",
                "Provided external ID field does not exist or is not accessible: " + id
                if len(id) not in (15, 18)
                else "The requested resource does not exist",
            )
        return self._show(request, name, doc)

    def _show(self, request: Request, obj: str, doc: dict) -> Response:
        blocked = self._preconditions(request, obj, doc)
        if blocked:
            return blocked
        wanted = [n for n in request.query.get("fields", "").split(",") if n.strip()]
        record = {"attributes": self._org.attributes(obj, doc["Id"])}
        for name in wanted or list(self._org.fields(obj)):
            field = self._org.field(obj, name.strip())
            if field is None:
                refuse(400, "INVALID_FIELD", f"No such column '{name.strip()}' on entity '{obj}'")
            record[field.name] = doc.get(field.name)
        headers = {"Last-Modified": format_datetime(clock.parse(doc["LastModifiedDate"]), usegmt=True)}
        if obj == "Account":
            headers["ETag"] = etag(doc)
        return Response(200, record, headers)

    def update(self, request: Request, obj: str, id: str) -> Response:
        name = self._object(obj)
        doc = self._org.record(name, id)
        if doc is not None:
            blocked = self._preconditions(request, name, doc)
            if blocked:
                return blocked
        before, after = self._org.update(name, id, self._body(request), **self._options(request))
        self._vendor.written(name, before, after, client=self._client(request))
        return Response(204)

    def delete(self, request: Request, obj: str, id: str) -> Response:
        name = self._object(obj)
        before = self._org.delete(name, id)
        self._vendor.changed("DELETE", name, before, None, client=self._client(request))
        return Response(204)

    # -- external ids ----------------------------------------------------------------------------

    def _matches(self, obj: str, field: str, value: str) -> tuple[str, str, list[dict]]:
        name = self._object(obj)
        known = self._org.field(name, field)
        if known is None or not (known.external_id or known.name == "Id"):
            refuse(
                404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field}"
            )
        if known.name == "Id":
            doc = self._org.record(name, value)
            return name, known.name, [doc] if doc else []
        return name, known.name, self._org.matching(name, known.name, value)

    def _one(self, obj: str, field: str, value: str) -> tuple[str, dict]:
        name, _, found = self._matches(obj, field, value)
        if not found:
            refuse(404, "NOT_FOUND", "The requested resource does not exist")
        if len(found) > 1:
            raise Refusal(_ambiguous(name, found))
        return name, found[0]

    def read_by_key(self, request: Request, obj: str, field: str, value: str) -> Response:
        return self._show(request, *self._one(obj, field, value))

    def delete_by_key(self, request: Request, obj: str, field: str, value: str) -> Response:
        name, doc = self._one(obj, field, value)
        self._org.delete(name, doc["Id"])
        self._vendor.changed("DELETE", name, doc, None, client=self._client(request))
        return Response(204)

    def upsert(self, request: Request, obj: str, field: str, value: str) -> Response:
        """Insert or update by external id: 201, 200, or 300 when several match (then nothing is written)."""
        name, key, found = self._matches(obj, field, value)
        body = self._body(request)
        if key in body or "Id" in body:
            refuse(
                400,
                "INVALID_FIELD",
                f"The {key if key in body else 'Id'} field should not be specified in the sobject data.",
                [key],
            )
        if len(found) > 1:
            return _ambiguous(name, found)
        if not found:
            if request.query.get("updateOnly", "").lower() == "true" or key == "Id":
                refuse(404, "NOT_FOUND", "The requested resource does not exist")
            doc = self._org.create(name, {**body, key: value}, **self._options(request))
            self._vendor.written(name, None, doc, client=self._client(request))
            location = f"{request.path.split('/sobjects/')[0]}/sobjects/{name}/{doc['Id']}"
            return Response(
                201, {"id": doc["Id"], "success": True, "errors": [], "created": True}, {"Location": location}
            )
        blocked = self._preconditions(request, name, found[0])
        if blocked:
            return blocked
        before, after = self._org.update(name, found[0]["Id"], body, **self._options(request))
        self._vendor.written(name, before, after, client=self._client(request))
        return Response(200, {"id": after["Id"], "success": True, "errors": [], "created": False})

    # -- what moved ------------------------------------------------------------------------------

    def updated(self, request: Request, obj: str) -> Response:
        docs, end = self._between(request, obj)
        return Response(200, {"ids": [d["Id"] for d in docs if not d["IsDeleted"]], "latestDateCovered": end})

    def deleted(self, request: Request, obj: str) -> Response:
        docs, end = self._between(request, obj)
        records = [{"id": d["Id"], "deletedDate": d["SystemModstamp"]} for d in docs if d["IsDeleted"]]
        return Response(
            200,
            {
                "deletedRecords": records,
                "earliestDateAvailable": request.query["start"],
                "latestDateCovered": end,
            },
        )

    def _between(self, request: Request, obj: str) -> tuple[list[dict], str]:
        name = self._object(obj)
        try:
            start, end = (clock.parse(request.query[key].replace(" ", "+")) for key in ("start", "end"))
        except (KeyError, ValueError):
            refuse(400, "INVALID_REPLICATION_DATE", "start and end are required date-times")
        if (clock.now() - start).days >= 30:
            refuse(400, "INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
        docs = [d for d in self._vendor.system.all(name) if start <= clock.parse(d["SystemModstamp"]) < end]
        return docs, request.query["end"]

    # -- conditional requests --------------------------------------------------------------------

    def _preconditions(self, request: Request, obj: str, doc: dict) -> Response | None:
        """Conditional requests: entity tags for Account only, dates for every row, one-second granularity."""
        if obj == "Account":
            match, none_match = request.header("if-match"), request.header("if-none-match")
            if match and match != "*" and etag(doc) not in _tags(match):
                return Response(412, None)
            if none_match and etag(doc) in _tags(none_match):
                return Response(304 if request.method == "GET" else 412, None)
        modified = clock.parse(doc["LastModifiedDate"]).replace(microsecond=0)
        since = _date(request, "if-modified-since")
        if since and modified <= since:
            return Response(304 if request.method == "GET" else 412, None)
        unmodified = _date(request, "if-unmodified-since")
        if unmodified and modified > unmodified:
            return Response(412, [error("PRECONDITION_FAILED", "The record was modified")])
        return None


def _date(request: Request, name: str):
    text = request.header(name)
    if not text:
        return None
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        if request.method in ("PATCH", "POST"):
            refuse(400, "INVALID_HEADER", f"invalid date in {name}: {text}")
        return None


def etag(doc: dict) -> str:
    digest = hashlib.sha256(json.dumps(doc, sort_keys=True).encode()).hexdigest()[:32]
    return f'"{digest}"'


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _batch_size(request: Request) -> int:
    for part in request.header("sforce-query-options").split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "batchsize" and value.isdigit():
            return min(2000, max(200, int(value)))
    return 2000


def _ambiguous(obj: str, found: list[dict]) -> Response:
    return Response(300, [f"/services/data/v68.0/sobjects/{obj}/{quote(doc['Id'])}" for doc in found])
