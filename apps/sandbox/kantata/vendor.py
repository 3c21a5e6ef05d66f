"""Kantata OX over HTTP: bearer tokens, list envelope, filters, actions, the subscribed events feed.

Public surface: Kantata (a Vendor).
"""

import hashlib
from collections.abc import Collection, Sequence, Set
from datetime import timedelta

from ..core import auth, clock
from ..core.http import Request, Response, Router
from ..core.systems import NoSuchRecord, Vendor
from .errors import error, refuse
from .fields import PLAIN, PUBLISHED, REFERABLE, RESOURCES, association
from .records import Account

BASE = "/api/v1"
EVENT_DAYS = 9
MAX_PAGE = 200
SUBMISSIONS = {"approve": "approved", "reject": "rejected", "cancel": "cancelled"}
RESOLUTIONS = {"approved": "approval", "rejected": "rejection", "cancelled": "cancellation"}
EVENT_FILTERS = {"page", "per_page", "only", "order", "optional_fields", "created_after", "event_types"}
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
        # An operation exists here when the vendor's description of it was read: fields.PUBLISHED.
        for plural, resource in RESOURCES.items():
            published = resource.published
            if resource.filters is not None:
                router.add("GET", f"{BASE}/{plural}", self._bind(self._list, plural))
            if resource.filters is not None and plural != "external_references":
                router.add("GET", f"{BASE}/{plural}/{{id}}", self._bind(self._show, plural))
            if "create" in published:
                router.add("POST", f"{BASE}/{plural}", self._bind(self._create, plural))
            if "update" in published:
                router.add("PUT", f"{BASE}/{plural}/{{id}}", self._bind(self._update, plural))
            if published.get("delete"):
                router.add("DELETE", f"{BASE}/{plural}/{{id}}", self._bind(self._destroy, plural))
        for action in SUBMISSIONS:
            router.add(
                "PUT", f"{BASE}/timesheet_submissions/{{id}}/{action}", self._bind(self._resolve, action)
            )

    @staticmethod
    def _bind(handler, first):
        return lambda request, **arguments: handler(request, first, **arguments)

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
        resource = RESOURCES[plural]
        most = resource.published.get("many")
        if most and request.body.lstrip().startswith(f'{{"{plural}"'.encode()):
            many = self._body(request, plural)
            if not isinstance(many, list) or not 0 < len(many) <= most:
                refuse(f"Up to {most} {plural.replace('_', ' ')} can be created in one request", plural)
            docs = [self.account.create(plural, values) for values in many]
            return Response(200, self._envelope(request, plural, docs, len(docs), 1, max(len(docs), 1)))
        doc = self.account.create(plural, self._body(request, resource.singular))
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

    def _resolve(self, request: Request, action: str, id: str) -> Response:
        submission, comment = self.account.get("timesheet_submissions", id), ""
        if request.body.strip():
            comment = str((self._body(request, "resolution") or {}).get("description") or "")
        doc = self.account.resolve_submission(submission, SUBMISSIONS[action], comment)
        return self._one(request, "timesheet_submissions", doc)

    def _bulk(self, request: Request, status: str) -> Response:
        resolution = self._body(request, "resolution")
        unknown = resolution.keys() - PUBLISHED["resources"]["timesheet_approvals"]["create"].keys()
        if unknown:
            refuse(f"Unknown attribute: {min(unknown)}", min(unknown))
        if not resolution.get("submission_ids"):
            refuse("Submission ids can't be blank", "submission_ids")
        answers = []
        for id_ in resolution["submission_ids"]:
            comment = resolution.get("description") or ""
            submission = self.account.get("timesheet_submissions", id_)
            doc = self.account.resolve_submission(submission, status, comment)
            answers.append(
                {
                    "id": self.system.number("id:resolutions"),
                    "type": RESOLUTIONS[status],
                    "description": comment,
                    "target_type": "TimesheetSubmission",
                    "target_id": int(doc["id"]),
                    "current": True,
                    "created_at": doc["updated_at"],
                    "updated_at": doc["updated_at"],
                }
            )
        return Response(200, {"resolutions": answers})

    def _refer(self, request: Request) -> Response:
        values = self._body(request, "external_reference")
        published = RESOURCES["external_references"].published
        for name in values:
            if name not in published["create_or_update"]:
                refuse(f"Unknown attribute: {name}", name)
        for name in published["required"]:
            if values.get(name) in (None, ""):
                refuse(f"{name.replace('_', ' ').capitalize()} can't be blank", name)
        about = {name: values[name] for name in values if name not in ("subject_type", "subject_id")}
        doc, _ = self.account.refer(values["subject_type"], str(values["subject_id"]), about)
        return self._one(request, "external_references", doc)

    # -- lists -----------------------------------------------------------------------------------

    def _list(self, request: Request, plural: str) -> Response:
        query, resource = request.query, RESOURCES[plural]
        _known(query, resource.filters or ())
        for name in resource.published.get("required_filters", ()):
            if not query.get(name):
                refuse(f"param is missing or the value is empty: {name}", name, status=400, kind="system")
        docs = self.system.all(plural)
        docs = [doc for doc in docs if self._passes(plural, doc, query)]
        docs = _ordered(docs, query.get("order", ""), resource.published["order"])
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
        if not self._reference_filters(resource.reference_subject, doc, query):
            return False
        if plural == "workspaces" and not _archived(doc, query):
            return False
        if plural == "rate_card_versions" and "effective_on_date" in query:
            version = self.system.get("rate_card_set_versions", doc["rate_card_set_version_id"]) or {}
            doc = {**doc, "effective_date": version.get("effective_date")}
        return all(_matches(plural, doc, name, query[name]) for name in query if name not in GENERAL)

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
        resource = RESOURCES[plural]
        asked = set(request.query.get("optional_fields", "").split(","))
        included = [name for name in request.query.get("include", "").split(",") if name]
        for name in included:
            if name not in resource.published.get("include", ()):
                refuse(f"Invalid include: {name}", "include", status=400, kind="system")
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
                references = self.account.references(resource.reference_subject, doc["id"])
                shown[doc["id"]]["external_reference_ids"] = [r["id"] for r in references]
                found.update({r["id"]: _shown("external_references", r) for r in references})
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
            refuse(f"{name} is not emulated", "include", status=400, kind="system")
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
        _known(query, EVENT_FILTERS)
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
        asked = query.get("optional_fields", "").split(",")
        hidden = {"previous_payload", "current_payload", "payload_changes"} - set(asked)
        page = [{k: v for k, v in event.items() if k not in hidden} for event in events[start : start + size]]
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
        doc, wanted = self.account.get(kind, id_), fields.get("status")
        if kind == "timesheet_submissions" and wanted in SUBMISSIONS.values():
            return self.account.resolve_submission(doc, wanted, fields.get("comment") or "")
        if kind == "invoices" and wanted == "cancelled":
            return self.account.cancel_invoice(doc)
        return self.account.load(kind, {**fields, "id": id_}, emit=emit)

    def remove(self, kind: str, id_: str, *, emit: bool) -> None:
        if kind not in RESOURCES or self.system.get(kind, id_) is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        before = self.system.delete(kind, id_)
        if emit:
            self.account.news(kind, "deleted", before, None)


def _shown(plural: str, doc: dict, asked: Set[str] = frozenset(), included: Sequence[str] = ()) -> dict:
    """A record as it is answered: optional fields when asked for, ids of other records when these are included."""
    resource, plain = RESOURCES[plural], PLAIN.get(plural, {})
    hidden = resource.optional - asked
    hidden |= {
        name
        for name, field in resource.shown.items()
        if field.type in ("id", "ids") and name not in plain and association(field) not in included
    }
    shown = {name: value for name, value in doc.items() if name not in hidden}
    if plural == "external_references":
        shown["subject_id"] = int(doc["subject_id"])
    return shown | {name: kind(doc[name]) for name, kind in plain.items() if doc.get(name)}


def _known(query: dict[str, str], filters: Collection[str]) -> None:
    unknown = [name for name in query if name not in filters]
    if unknown:
        refuse(f"Unknown parameter: {unknown[0]}", unknown[0], status=400, kind="system")


def _archived(doc: dict, query: dict[str, str]) -> bool:
    """Whether a project belongs to the list: archived ones only when they are asked for."""
    wanted = query.get("archived", "include" if query.get("include_archived") == "true" else "exclude")
    if wanted not in ("only", "exclude", "include"):
        refuse("archived must be only, exclude or include", "archived", status=400, kind="system")
    return wanted == "include" or bool(doc["archived"]) == (wanted == "only")


def _window(query: dict[str, str]) -> tuple[int, int]:
    try:
        size = int(query.get("per_page", 20))
        start = (int(query.get("page", 1)) - 1) * size
    except ValueError:
        refuse("page and per_page must be whole numbers", "page", status=400, kind="system")
    if not 1 <= size <= MAX_PAGE or start < 0:
        refuse(f"per_page must be between 1 and {MAX_PAGE}", "per_page", status=400, kind="system")
    return size, start


def _ordered(docs: list[dict], order: str, published: Sequence[str]) -> list[dict]:
    name, _, direction = order.partition(":")
    if order and (name not in published or direction not in ("asc", "desc")):
        refuse(f"Invalid order: {order}", "order", status=400, kind="system")
    key = {"alphabetical": "name", "date": "start_date"}.get(name, name) or "created_at"
    return sorted(
        docs,
        key=lambda d: (str(d.get(key) or ""), int(d["id"]) if d["id"].isdigit() else 0),
        reverse=direction == "desc",
    )


#: Filters that every list has; the others are looked at one by one.
GENERAL = frozenset(
    {"page", "per_page", "only", "order", "include", "optional_fields", "archived", "include_archived",
     "updated_after", "updated_before", "created_after", "created_before",
     "has_external_references", "without_external_reference_service_name"}
)  # fmt: skip
#: Filter → field, where the names differ.
FIELD_OF = {
    "with_role_ids": "role_id", "with_user_ids": "user_id", "user_ids": "user_id", "workspace_ids": "workspace_id",
    "story_ids": "story_id", "with_timesheet_id": "active_submission_id", "currencies": "currency", "statuses": "status",
}  # fmt: skip


def _matches(plural: str, doc: dict, name: str, wanted: str) -> bool:
    if name.startswith("external_reference_"):
        return True
    if name in ("search", "matching"):
        return wanted.casefold() in str(doc.get("title") or doc.get("name") or "").casefold()
    # "this filter is always processed as true"
    if name in ("invoiced", "uninvoiced"):
        return (doc.get("invoice_id") is None) == (name == "uninvoiced")
    if name == "approved":
        return bool(doc.get("approved"))
    if name == "in_active_submission":
        return (doc.get("active_submission_id") is not None) == (wanted.lower() == "true")
    if name == "only_active":
        return wanted.lower() != "true" or doc.get("deleted_at") is None
    if name == "effective_on_date":
        return (doc.get("effective_date") or "") <= wanted
    if name in ("date_performed_between", "date_between"):
        start, _, end = wanted.partition(":")
        day = doc.get("date_performed") or doc.get("date_to_invoice") or ""
        return start <= day <= end
    value, options = doc.get(FIELD_OF.get(name, name)), wanted.split(",")
    if isinstance(value, bool):
        return value == (wanted.lower() in ("true", "1"))
    return str(value if value is not None else "") in options
