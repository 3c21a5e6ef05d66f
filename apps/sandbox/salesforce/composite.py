"""Composite, composite batch and sObject collections.

Public surface: routes(router, vendor, base).
"""

import json
import re
from urllib.parse import urlsplit

from ..core.http import Refusal, Request, Response, Router
from .errors import error, refuse

MAX_SUBREQUESTS = 25
MAX_COLLECTION = 200
REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])+)\}")


class _Halt(Exception):
    """Rolls a unit of work back while the answer is kept."""


def routes(router: Router, vendor, base: str) -> None:
    composite = _Composite(vendor)
    router.add("POST", base + "/composite", composite.graphless)
    router.add("POST", base + "/composite/batch", composite.batch)
    router.add("POST", base + "/composite/sobjects", composite.create_many)
    router.add("PATCH", base + "/composite/sobjects", composite.update_many)
    router.add("PATCH", base + "/composite/sobjects/{obj}/{field}", composite.upsert_many)
    router.add("DELETE", base + "/composite/sobjects", composite.delete_many)


class _Composite:
    def __init__(self, vendor):
        self._vendor = vendor

    def _run(self, request: Request, method: str, url: str, body, headers=None) -> Response:
        """One sub-request as a unit of work of its own."""
        parts = urlsplit(url)
        sub = Request(
            method=method.upper(),
            path=parts.path,
            query_string=parts.query,
            port=request.port,
            headers={**request.headers, **{k.lower(): str(v) for k, v in (headers or {}).items()}},
            body=json.dumps(body).encode() if body is not None else b"",
        )
        try:
            with self._vendor.system.store.transaction():
                return self._vendor.route(sub)
        except Refusal as refusal:
            return refusal.response

    def graphless(self, request: Request) -> Response:
        body = _json(request)
        wanted = body.get("compositeRequest")
        if not isinstance(wanted, list) or len(wanted) > MAX_SUBREQUESTS:
            refuse(400, "INVALID_INPUT", f"compositeRequest takes up to {MAX_SUBREQUESTS} subrequests")
        all_or_none = bool(body.get("allOrNone"))
        answers: list[dict] = []
        try:
            with self._vendor.system.store.transaction():
                self._each(request, wanted, all_or_none, answers)
        except _Halt:
            for answer in answers:
                if answer["httpStatusCode"] < 400 or answer.get("halted"):
                    answer["body"] = [
                        error(
                            "PROCESSING_HALTED",
                            "The transaction was rolled back since another "
                            "operation in the same transaction failed.",
                        )
                    ]
                    answer["httpStatusCode"], answer["httpHeaders"] = 400, {}
        for answer in answers:
            answer.pop("halted", None)
        return Response(200, {"compositeResponse": answers})

    def _each(self, request, wanted: list, all_or_none: bool, answers: list) -> None:
        results: dict[str, object] = {}
        failed: set[str] = set()
        broken = False
        for item in wanted:
            reference = item.get("referenceId")
            if not reference:
                refuse(400, "INVALID_INPUT", "referenceId is required in every subrequest")
            needs = set(REFERENCE.findall(item["url"] + json.dumps(item.get("body"))))
            if {name for name, _ in needs} & failed or (broken and all_or_none):
                answer = Response(
                    400,
                    [
                        error(
                            "PROCESSING_HALTED",
                            "Invalid reference specified. No value for dependent request.",
                        )
                    ],
                )
                halted = True
            else:
                url = _resolve(item["url"], results)
                sub_body = _resolve(item.get("body"), results)
                answer = self._run(request, item["method"], url, sub_body, item.get("httpHeaders"))
                halted = False
            if answer.status >= 300 and answer.status != 304:
                failed.add(reference)
                broken = broken or answer.status >= 400 or answer.status == 300
            results[reference] = answer.data
            answers.append(
                {
                    "body": answer.data,
                    "httpHeaders": answer.headers,
                    "httpStatusCode": answer.status,
                    "referenceId": reference,
                    "halted": halted,
                }
            )
        if broken and all_or_none:
            raise _Halt

    def batch(self, request: Request) -> Response:
        body = _json(request)
        halt, results, broken = bool(body.get("haltOnError")), [], False
        for item in body.get("batchRequests", [])[:MAX_SUBREQUESTS]:
            if broken and halt:
                results.append(
                    {
                        "statusCode": 412,
                        "result": [
                            error(
                                "BATCH_PROCESSING_HALTED",
                                "Batch processing halted per request because of error",
                            )
                        ],
                    }
                )
                continue
            url = item["url"]
            if not url.startswith("/"):
                url = f"/services/data/{url}"
            answer = self._run(request, item["method"], url, item.get("richInput"))
            broken = broken or answer.status >= 400
            results.append({"statusCode": answer.status, "result": answer.data})
        return Response(200, {"hasErrors": broken, "results": results})

    # -- collections -----------------------------------------------------------------------------

    def create_many(self, request: Request) -> Response:
        return self._many(request, lambda item: ("POST", _type(item), _without_id(item)))

    def update_many(self, request: Request) -> Response:
        def one(item):
            id_ = item.get("id") or item.get("Id") or ""
            return "PATCH", f"{_type(item)}/{id_}", _without_id(item)

        return self._many(request, one)

    def upsert_many(self, request: Request, obj: str, field: str) -> Response:
        def one(item):
            body = {k: v for k, v in item.items() if k not in (field, "attributes")}
            return "PATCH", f"{obj}/{field}/{item.get(field)}", body

        return self._many(request, one)

    def delete_many(self, request: Request) -> Response:
        ids = [i for i in request.query.get("ids", "").split(",") if i]
        found = []
        for id_ in ids:
            kind = next((o for o in self._vendor.org.objects() if self._vendor.org.record(o, id_)), "Account")
            found.append((id_, kind))
        all_or_none = request.query.get("allOrNone", "").lower() == "true"
        return self._collect(request, [("DELETE", f"{kind}/{id_}", None) for id_, kind in found], all_or_none)

    def _many(self, request: Request, one) -> Response:
        body = _json(request)
        records = body.get("records")
        if not isinstance(records, list) or not 0 < len(records) <= MAX_COLLECTION:
            refuse(400, "INVALID_INPUT", f"records takes 1 to {MAX_COLLECTION} entries")
        return self._collect(request, [one(item) for item in records], bool(body.get("allOrNone")))

    def _collect(self, request: Request, steps: list, all_or_none: bool) -> Response:
        base = "/".join(request.path.split("/")[:4])
        results: list[dict] = []
        try:
            with self._vendor.system.store.transaction():
                for method, path, body in steps:
                    answer = self._run(request, method, f"{base}/sobjects/{path}", body)
                    results.append(_result(answer, path))
                if all_or_none and not all(r["success"] for r in results):
                    raise _Halt
        except _Halt:
            for number, result in enumerate(results):
                if result["success"]:
                    results[number] = {
                        "success": False,
                        "errors": [
                            {
                                "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                                "fields": [],
                                "message": "Record rolled back because not all records were valid and the request was using "
                                "AllOrNone header",
                            }
                        ],
                    }
        return Response(200, results)


def _result(answer: Response, path: str) -> dict:
    if answer.status < 300:
        data = answer.data or {"id": path.rpartition("/")[2], "success": True, "errors": []}
        return dict(data)
    entries = (
        answer.data
        if answer.status != 300
        else [error("DUPLICATE_EXTERNAL_ID", "more than one record found")]
    )
    errors = [
        {"statusCode": e["errorCode"], "message": e["message"], "fields": e.get("fields") or []}
        for e in entries or []
    ]
    return {"success": False, "errors": errors}


def _type(item: dict) -> str:
    kind = (item.get("attributes") or {}).get("type")
    if not kind:
        refuse(400, "INVALID_TYPE", "attributes.type is required")
    return kind


def _without_id(item: dict) -> dict:
    return {k: v for k, v in item.items() if k not in ("attributes", "id", "Id")}


def _json(request: Request) -> dict:
    try:
        body = request.json()
    except ValueError as problem:
        refuse(400, "JSON_PARSER_ERROR", str(problem))
    if not isinstance(body, dict):
        refuse(400, "JSON_PARSER_ERROR", "a JSON object is required")
    return body


def _resolve(value, results: dict):
    """Replace ``@{reference.path}`` by what an earlier sub-request answered."""
    if isinstance(value, dict):
        return {k: _resolve(v, results) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, results) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match):
        found = results.get(match.group(1))
        for part in re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+)\]", match.group(2)):
            found = found.get(part[0]) if part[0] else found[int(part[1])]
        return str(found)

    return REFERENCE.sub(replace, value)
