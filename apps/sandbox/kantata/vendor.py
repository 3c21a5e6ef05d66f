"""Kantata OX over HTTP: bearer tokens, list envelope, filters, actions, the subscribed events feed.

Public surface: Kantata (a Vendor).
"""

import hashlib
from collections.abc import Sequence, Set
from datetime import timedelta

from ..core import auth, clock
from ..core.http import Request, Response, Router
from ..core.systems import NoSuchRecord, Vendor
from .errors import error, refuse
from .fields import COMMON_FILTERS, OPTIONAL, PLAIN, REFERABLE, RESOURCES, association
from .records import Account

BASE = "/api/v1"
EVENT_DAYS = 9
MAX_PAGE = 200
SUBMISSIONS = {"approve": "approved", "reject": "rejected", "cancel": "cancelled"}
FAULTS = {
    401: ("oauth", "Invalid OAuth 2 Request"),
    403: ("oauth", "Forbidden"),
    404: ("system", "Page not found"),
    429: ("system", "Too many requests"),
    503: ("system", "Service is unavailable"),
}


class Kantata(Vendor):
    def __init__(self, system):
        super().__init__(system)
        self.account = Account(system)
        self._router = router = Router()
        router.add("POST", f"{BASE}/external_references/create_or_update", self._refer)
        router.add("GET", f"{BASE}/subscribed_events", self._events)
        for action, status in (
            ("approvals", "approved"),
            ("rejections", "rejected"),
            ("cancellations", "cancelled"),
        ):
            router.add("POST", f"{BASE}/timesheet_{action}", self._bind(self._bulk, status))
        for plural in RESOURCES:
            router.add("GET", f"{BASE}/{plural}", self._bind(self._list, plural))
            router.add("POST", f"{BASE}/{plural}", self._bind(self._create, plural))
            router.add("GET", f"{BASE}/{plural}/{{id}}", self._bind(self._show, plural))
            router.add("PUT|PATCH", f"{BASE}/{plural}/{{id}}", self._bind(self._update, plural))
            router.add("DELETE", f"{BASE}/{plural}/{{id}}", self._bind(self._destroy, plural))
        for action in SUBMISSIONS:
            for plural in ("timesheet_submissions", "expense_report_submissions"):
                router.add(
                    "PUT|POST",
                    f"{BASE}/{plural}/{{id}}/{action}",
                    self._bind(self._resolve, (plural, action)),
                )
        router.add("PUT|POST", f"{BASE}/invoices/{{id}}/cancel", self._cancel_invoice)

    @staticmethod
    def _bind(handler, first):
        return lambda request, **arguments: handler(request, first, **arguments)

    def install(self) -> None:
        self.account.install()

    def fault_response(self, status: int) -> Response:
        return error(status, *FAULTS.get(status, ("system", "An unexpected error occurred")))

    def expire(self) -> None:
        self.system.store.set_setting(
            self.system.name, "credentials", {**self.system.credentials, "token": None}
        )

    # -- HTTP ------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        token = auth.bearer(request)
        if not token or token != self.system.credentials.get("token"):
            return error(401, "oauth", "Invalid OAuth 2 Request")
        path = request.path.rstrip("/").removesuffix(".json")
        handler, arguments, known = self._router.match(request.method, path)
        if handler is None:
            return error(
                405 if known else 404, "system", "Page not found" if not known else "Method not allowed"
            )
        return handler(request, **arguments)

    def _body(self, request: Request, root: str):
        try:
            body = request.json()
        except ValueError:
            refuse("The request body is no valid JSON", status=400, kind="system")
        if not isinstance(body, dict) or root not in body:
            refuse(f"param is missing or the value is empty: {root}", status=400, kind="system")
        extra = [name for name in body if name not in (root, "include", "optional_fields")]
        if extra:
            refuse(f"Unknown attribute: {extra[0]}", extra[0])
        return body[root]

    # -- resources -------------------------------------------------------------------------------

    def _create(self, request: Request, plural: str) -> Response:
        singular = RESOURCES[plural].singular
        if plural == "external_references":
            doc, _ = self._reference(self._body(request, singular), create_only=True)
            return self._one(request, plural, doc)
        if plural == "billing_milestones" and request.body.lstrip().startswith(b'{"billing_milestones"'):
            many = self._body(request, "billing_milestones")
            if not isinstance(many, list) or not 0 < len(many) <= 100:
                refuse("Up to 100 billing milestones can be created in one request", "billing_milestones")
            docs = [self.account.create(plural, values) for values in many]
            return Response(200, self._envelope(request, plural, docs, len(docs), 1, max(len(docs), 1)))
        doc = self.account.create(plural, self._body(request, singular))
        if plural == "rate_card_set_versions" and request.query.get("clone_id"):
            self.account.clone_version(self.account.get(plural, request.query["clone_id"]), doc)
        return self._one(request, plural, doc)

    def _show(self, request: Request, plural: str, id: str) -> Response:
        return self._one(request, plural, self.account.get(plural, id))

    def _update(self, request: Request, plural: str, id: str) -> Response:
        return self._one(
            request, plural, self.account.update(plural, id, self._body(request, RESOURCES[plural].singular))
        )

    def _destroy(self, request: Request, plural: str, id: str) -> Response:
        self.account.destroy(plural, id)
        return Response(204)

    def _one(self, request: Request, plural: str, doc: dict) -> Response:
        return Response(200, self._envelope(request, plural, [doc], 1, 1, 20))

    def _resolve(self, request: Request, what: tuple[str, str], id: str) -> Response:
        plural, action = what
        submission = self.account.get(plural, id)
        comment = ""
        if request.body.strip():
            comment = str((request.json() or {}).get("resolution", {}).get("description") or "")
        doc = self.account.resolve_submission(plural, submission, SUBMISSIONS[action], comment)
        return self._one(request, plural, doc)

    def _bulk(self, request: Request, status: str) -> Response:
        resolution = self._body(request, "resolution")
        if not resolution.get("submission_ids"):
            refuse("Submission ids can't be blank", "submission_ids")
        answers = []
        for id_ in resolution["submission_ids"]:
            doc = self.account.resolve_submission(
                "timesheet_submissions",
                self.account.get("timesheet_submissions", id_),
                status,
                resolution.get("description") or "",
            )
            answers.append(
                {
                    "id": self.system.number("id:resolutions"),
                    "target_type": "TimesheetSubmission",
                    "target_id": int(doc["id"]),
                    "current": True,
                    **doc["current_resolution"],
                }
            )
        return Response(200, {"resolutions": answers})

    def _cancel_invoice(self, request: Request, id: str) -> Response:
        return self._one(request, "invoices", self.account.cancel_invoice(self.account.get("invoices", id)))

    def _refer(self, request: Request) -> Response:
        doc, _ = self._reference(self._body(request, "external_reference"), create_only=False)
        return self._one(request, "external_references", doc)

    def _reference(self, values: dict, *, create_only: bool) -> tuple[dict, bool]:
        values = dict(values)
        subject, id_ = str(values.pop("subject_type", "") or ""), str(values.pop("subject_id", "") or "")
        if create_only and any(
            r["service_name"] == values.get("service_name") for r in self.account.references(subject, id_)
        ):
            refuse("Service name has already been taken", "service_name")
        return self.account.refer(subject, id_, values)

    # -- lists -----------------------------------------------------------------------------------

    def _list(self, request: Request, plural: str) -> Response:
        query = request.query
        unknown = [name for name in query if name not in RESOURCES[plural].filters and name != "search"]
        if unknown:
            refuse(f"Unknown parameter: {unknown[0]}", unknown[0], status=400, kind="system")
        docs = self.system.all(plural)
        docs = [doc for doc in docs if self._passes(plural, doc, query)]
        docs = _ordered(docs, query.get("order") or "created_at:asc")
        size, start = _window(query)
        page = docs[start : start + size]
        return Response(200, self._envelope(request, plural, page, len(docs), start // size + 1, size))

    def _passes(self, plural: str, doc: dict, query: dict[str, str]) -> bool:
        resource = RESOURCES[plural]
        if "only" in query and doc["id"] not in query["only"].split(","):
            return False
        for name, side in (
            ("updated_after", 1),
            ("created_after", 1),
            ("updated_before", -1),
            ("created_before", -1),
        ):
            if name in query:
                stamp = clock.parse(doc[f"{name.partition('_')[0]}_at"])
                limit = clock.parse(query[name].replace(" ", "+"))
                if (stamp < limit) if side > 0 else (stamp > limit):
                    return False
        if not self._reference_filters(resource.subject, doc, query):
            return False
        if plural == "workspaces" and "archived" not in query and "only" not in query and doc["archived"]:
            return False
        return all(_matches(plural, doc, name, query[name]) for name in query if name not in COMMON_FILTERS)

    def _reference_filters(self, subject: str, doc: dict, query: dict[str, str]) -> bool:
        wanted = {
            n.removeprefix("external_reference_"): v
            for n, v in query.items()
            if n.startswith("external_reference_")
        }
        absent, present = (
            query.get("without_external_reference_service_name"),
            query.get("has_external_references"),
        )
        if not wanted and absent is None and present is None:
            return True
        references = self.account.references(subject, doc["id"])
        if absent is not None and any(r["service_name"] == absent for r in references):
            return False
        if present is not None and bool(references) != (present.lower() == "true"):
            return False

        def fits(reference: dict) -> bool:
            for name, value in wanted.items():
                if name == "service_model_refs":
                    if reference["service_model_ref"] not in value.split(","):
                        return False
                elif reference.get(name) != value:
                    return False
            return True

        return not wanted or any(fits(reference) for reference in references)

    def _envelope(self, request: Request, plural: str, docs: list, total: int, page: int, size: int) -> dict:
        asked = set(request.query.get("optional_fields", "").split(","))
        included = [name for name in request.query.get("include", "").split(",") if name]
        shown = {doc["id"]: _shown(plural, doc, asked, included) for doc in docs}
        answer: dict = {
            "count": total,
            "results": [{"key": plural, "id": doc["id"]} for doc in docs],
            plural: shown,
            "meta": {"count": total, "page_count": -(-total // size), "page_number": page, "page_size": size},
        }
        for name in included:
            self._include(plural, name, docs, shown, answer)
        return answer

    def _include(self, plural: str, name: str, docs: list, shown: dict, answer: dict) -> None:
        resource = RESOURCES[plural]
        if name == "external_references":
            found = answer.setdefault("external_references", {})
            for doc in docs:
                references = self.account.references(resource.subject, doc["id"])
                shown[doc["id"]]["external_reference_ids"] = [r["id"] for r in references]
                found.update({r["id"]: r for r in references})
            return
        linked = (f for f in resource.fields.values() if f.type in ("id", "ids"))
        field = next((f for f in linked if association(f) == name), None)
        if field is not None:
            target = answer.setdefault(field.target, {})
            for doc in docs:
                ids = doc.get(field.name) or []
                for id_ in [ids] if isinstance(ids, str) else ids:
                    other = self.system.get(field.target, id_)
                    if other:
                        target[id_] = _shown(field.target, other)
            return
        child = RESOURCES.get(name)
        back = f"{resource.singular}_id"
        if child is None or back not in child.fields:
            refuse(f"Invalid include: {name}", "include", status=400, kind="system")
        target = answer.setdefault(name, {})
        for doc in docs:
            children = self.system.find(name, back, doc["id"])
            shown[doc["id"]][f"{child.singular}_ids"] = [c["id"] for c in children]
            target.update({c["id"]: _shown(name, c) for c in children})

    # -- subscribed events -----------------------------------------------------------------------

    def _events(self, request: Request) -> Response:
        """Nine days back, in no useful order, some told twice; refused when the add-on is off."""
        if not self.system.setting("subscribed_events", True):
            return error(403, "oauth", "Subscribed events are not enabled for this account")
        query = request.query
        oldest = clock.now() - timedelta(days=EVENT_DAYS)
        after = (
            clock.parse(query["created_after"].replace(" ", "+")) if query.get("created_after") else oldest
        )
        kinds = set(query["event_types"].split(",")) if query.get("event_types") else None
        events = []
        every = int(self.system.setting("duplicate_every", 10))
        withheld = {str(id_) for id_ in self.system.setting("withheld_events", [])}
        for event in self.system.all("subscribed_events"):
            if event["id"] in withheld:
                continue
            if clock.parse(event["created_at"]) < max(after, oldest):
                continue
            if kinds is not None and event["event_type"] not in kinds:
                continue
            events.append(event)
            if every and int(event["id"]) % every == 0:
                events.append({**event, "id": f"{event['id']}0"})
        events.sort(key=lambda e: hashlib.sha256(e["id"].encode()).digest())
        size, start = _window(query)
        page = events[start : start + size]
        return Response(
            200,
            {
                "count": len(events),
                "results": [{"key": "subscribed_events", "id": e["id"]} for e in page],
                "subscribed_events": {e["id"]: e for e in page},
                "meta": {
                    "count": len(events),
                    "page_count": -(-len(events) // size),
                    "page_number": start // size + 1,
                    "page_size": size,
                },
            },
        )

    # -- control door ----------------------------------------------------------------------------

    def put(self, kind: str, record: dict, *, emit: bool):
        if kind == "external_references" and record.get("subject_type") in REFERABLE:
            values = {k: v for k, v in record.items() if k not in ("subject_type", "subject_id", "id")}
            return self.account.refer(record["subject_type"], record["subject_id"], values, quiet=not emit)[0]
        return self.account.load(kind, record, emit=emit)

    def change(self, kind: str, id_: str, fields: dict, *, emit: bool):
        if kind not in RESOURCES or self.system.get(kind, id_) is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        wanted = fields.get("status")
        if kind in ("timesheet_submissions", "expense_report_submissions") and wanted in SUBMISSIONS.values():
            return self.account.resolve_submission(
                kind, self.system.get(kind, id_), wanted, fields.get("comment") or ""
            )
        return self.account.load(kind, {**fields, "id": id_}, emit=emit)

    def remove(self, kind: str, id_: str, *, emit: bool) -> None:
        if kind not in RESOURCES or self.system.get(kind, id_) is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        before = self.system.delete(kind, id_)
        if emit:
            self.account.news(kind, "deleted", before, None)


def _shown(plural: str, doc: dict, asked: Set[str] = frozenset(), included: Sequence[str] = ()) -> dict:
    """A record as it is answered: optional fields when asked for, ids of other records when these are included."""
    fields, plain = RESOURCES[plural].fields, PLAIN.get(plural, ())
    hidden = OPTIONAL.get(plural, set()) - asked
    hidden |= {
        name
        for name, field in fields.items()
        if field.type in ("id", "ids") and name not in plain and association(field) not in included
    }
    shown = {name: value for name, value in doc.items() if name not in hidden}
    # Ids are texts, but for those that are fields of their own.
    return shown | {name: int(doc[name]) for name in plain if (doc.get(name) or "").isdigit()}


def _window(query: dict[str, str]) -> tuple[int, int]:
    try:
        if "limit" in query or "offset" in query:
            size, start = int(query.get("limit", 20)), int(query.get("offset", 0))
        else:
            size = int(query.get("per_page", 20))
            start = (int(query.get("page", 1)) - 1) * size
    except ValueError:
        refuse("page and per_page must be whole numbers", "page", status=400, kind="system")
    if not 1 <= size <= MAX_PAGE or start < 0:
        refuse(f"per_page must be between 1 and {MAX_PAGE}", "per_page", status=400, kind="system")
    return size, start


def _ordered(docs: list[dict], order: str) -> list[dict]:
    name, _, direction = order.partition(":")
    if direction not in ("", "asc", "desc"):
        refuse(f"Invalid order: {order}", "order", status=400, kind="system")
    return sorted(
        docs,
        key=lambda d: (str(d.get(name) or ""), int(d["id"]) if d["id"].isdigit() else 0),
        reverse=direction == "desc",
    )


def _matches(plural: str, doc: dict, name: str, wanted: str) -> bool:
    if name == "search" or name == "matching":
        return wanted.casefold() in str(doc.get("title") or doc.get("name") or "").casefold()
    if name == "uninvoiced":
        return (doc.get("invoice_id") is None) == (wanted.lower() == "true")
    if name == "in_active_submission":
        return (doc.get("active_submission_id") is not None) == (wanted.lower() == "true")
    if name == "effective_on_date":
        return (doc.get("effective_date") or "") <= wanted
    if name in ("date_performed_between", "date_between", "between"):
        start, _, end = wanted.partition(":")
        day = next(
            (doc[n] for n in ("date_performed", "date_to_invoice", "date", "start_date") if doc.get(n)), ""
        )
        return start <= day <= end
    if name == "by_email_address":
        name = "email_address"
    if name == "with_role_ids":
        name = "role_id"
    fields = RESOURCES[plural].fields
    if name not in fields:
        name = name[:-1] if name.endswith("s") and name[:-1] in fields else f"{name}s"
    value = doc.get(name)
    options = wanted.split(",")
    if isinstance(value, list):
        return any(option in value for option in options)
    if isinstance(value, bool):
        return value == (wanted.lower() in ("true", "1"))
    return str(value if value is not None else "") in options
