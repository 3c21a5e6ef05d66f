"""Stripe: keys, idempotency, routing, lists, search, events.

Public surface: Stripe (a Vendor).
"""

import hashlib
import hmac
import json
import re
import secrets
import threading
import time

from ..core import auth
from ..core.http import Refusal, Request, Response, Router
from ..core.systems import NoSuchRecord, Vendor
from .errors import ValidationRefusal, error, invalid, refuse
from .fields import API_VERSION
from .forms import check, decode, integer, metadata, need
from .invoices import Invoicing, new_id

KEPT_SECONDS = 86_400
PREFIXES = {"customer": "cus", "invoice": "in", "invoiceitem": "ii", "credit_note": "cn", "tax_rate": "txr"}
PLURALS = {
    "customers": "customer",
    "invoices": "invoice",
    "invoiceitems": "invoiceitem",
    "credit_notes": "credit_note",
    "events": "event",
    "tax_rates": "tax_rate",
}
FAULTS = {
    401: ("invalid_request_error", "Invalid API Key provided", ""),
    402: ("card_error", "Your card was declined.", "card_declined"),
    409: (
        "idempotency_error",
        "There is currently another in-progress request using this key.",
        "idempotency_key_in_use",
    ),
    429: ("invalid_request_error", "Request rate limit exceeded.", "rate_limit"),
}
CLAUSE = re.compile(
    r"""(-?)(\w+)(?:\[['"](\w+)['"]\])?\s*(:|=|~|<=|>=|<|>)\s*(?:'([^']*)'|"([^"]*)"|(\d+))"""
)


class Stripe(Vendor):
    pushes = True

    def __init__(self, system):
        super().__init__(system)
        self._busy: set[str] = set()
        self._gauge = threading.Lock()
        self.invoicing = Invoicing(system, self._emit)
        self._current: Request | None = None
        self._router = self._routes()

    def _routes(self) -> Router:
        router = Router()
        for plural, kind in PLURALS.items():
            router.add("GET", f"/v1/{plural}/search", self._bind(self._search, kind))
            router.add("GET", f"/v1/{plural}", self._bind(self._list, kind))
            router.add("GET", f"/v1/{plural}/{{id}}", self._bind(self._read, kind))
            if kind != "event":
                router.add("POST", f"/v1/{plural}", self._bind(self._create, kind))
                router.add("POST", f"/v1/{plural}/{{id}}", self._bind(self._update, kind))
        for plural in ("customers", "invoices", "invoiceitems"):
            router.add("DELETE", f"/v1/{plural}/{{id}}", self._bind(self._delete, PLURALS[plural]))
        for action in ("finalize", "send", "pay", "void", "mark_uncollectible", "add_lines"):
            router.add("POST", f"/v1/invoices/{{id}}/{action}", self._bind(self._invoice_action, action))
        router.add("GET", "/v1/invoices/{id}/lines", self._lines)
        router.add("POST", "/v1/credit_notes/{id}/void", self._void_credit)
        router.add("GET", "/v1/customers/{id}/tax_ids", self._tax_ids)
        router.add("POST", "/v1/customers/{id}/tax_ids", self._add_tax_id)
        router.add("GET", "/v1/account", self._account)
        return router

    @staticmethod
    def _bind(handler, first):
        return lambda request, **arguments: handler(request, first, **arguments)

    # -- keys and idempotency --------------------------------------------------------------------

    def enter(self, request: Request) -> Response | None:
        """Called before anything else happens to a request: a key already in use answers 409."""
        key = request.header("idempotency-key")
        if request.method != "POST" or not key:
            return None
        with self._gauge:
            if key in self._busy:
                kind, message, code = FAULTS[409]
                return error(409, kind, message, code=code)
            self._busy.add(key)
            request.context["busy"] = key
        return None

    def leave(self, request: Request) -> None:
        with self._gauge:
            self._busy.discard(request.context.get("busy", ""))

    def handle(self, request: Request) -> Response:
        found = auth.basic(request)
        key = found[0] if found else auth.bearer(request)
        if not key:
            return error(
                401,
                "invalid_request_error",
                "You did not provide an API key. You need to provide your API key "
                "in the Authorization header, using Bearer auth.",
            )
        if not secrets.compare_digest(key, self.system.credentials.get("api_key") or secrets.token_hex()):
            return error(401, "invalid_request_error", f"Invalid API Key provided: {key[:8]}****")
        if request.header("idempotency-key") and request.method == "POST":
            return self._idempotent(request)
        return self._route(request)

    def _idempotent(self, request: Request) -> Response:
        key, store, name = request.header("idempotency-key"), self.system.store, self.system.name
        if len(key) > 255:
            return error(400, "idempotency_error", "Idempotency keys may be up to 255 characters.")
        print_ = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.body).hexdigest()
        row = store.execute(
            "SELECT fingerprint, status, headers, body, at FROM idempotency WHERE system=? AND key=?",
            (name, key),
        ).fetchone()
        if row and time.time() - row[4] < KEPT_SECONDS:
            if row[0] != print_:
                return error(
                    400,
                    "idempotency_error",
                    "Keys for idempotent requests can only be used with the same "
                    f"parameters they were first used with. Try using a key other than '{key}' if you meant "
                    "to execute a different request.",
                )
            headers = {**json.loads(row[2]), "Idempotent-Replayed": "true"}
            return Response(row[1], json.loads(row[3]), headers, content_type="application/json")
        try:
            with store.transaction():
                response = self._route(request)
        except ValidationRefusal:
            raise
        except Refusal as refusal:
            response = refusal.response
        response.headers["Request-Id"] = request.context.setdefault(
            "request_id", f"req_{secrets.token_hex(7)}"
        )
        store.execute(
            "INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?,?,?,?)",
            (
                name,
                key,
                print_,
                response.status,
                json.dumps(response.headers),
                json.dumps(response.data),
                time.time(),
            ),
        )
        return response

    def _route(self, request: Request) -> Response:
        handler, arguments, known = self._router.match(request.method, request.path)
        if handler is None:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            return error(405 if known else 404, "invalid_request_error", message)
        self._current = request
        return handler(request, **arguments)

    def finish(self, request: Request, response: Response) -> None:
        response.headers.setdefault(
            "Request-Id", request.context.setdefault("request_id", f"req_{secrets.token_hex(7)}")
        )
        response.headers.setdefault("Stripe-Version", request.header("stripe-version") or API_VERSION)
        if request.header("idempotency-key"):
            response.headers.setdefault("Idempotency-Key", request.header("idempotency-key"))
        if response.content_type.startswith("application/json"):
            response.content_type = "application/json"

    def fault_response(self, status: int) -> Response:
        kind, message, code = FAULTS.get(status, ("api_error", "An unknown error occurred.", ""))
        return error(status, kind, message, code=code)

    def sign(self, secret: str, event_id: str, body: bytes) -> dict[str, str]:
        """docs.stripe.com/webhooks/signatures, scheme v1."""
        moment = int(time.time())
        digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={moment},v1={digest}"}

    def expire(self) -> None:
        self.system.store.set_setting(
            self.system.name, "credentials", {**self.system.credentials, "api_key": None}
        )

    # -- events ----------------------------------------------------------------------------------

    def _emit(self, kind: str, doc: dict, before: dict | None = None) -> None:
        request = self._current
        data: dict = {"object": doc}
        if before is not None:
            data["previous_attributes"] = {k: v for k, v in before.items() if doc.get(k) != v}
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1 if self.system.outgoing.webhook.get("url") else 0,
            "request": {
                "id": request.context.get("request_id") if request else None,
                "idempotency_key": (request.header("idempotency-key") or None) if request else None,
            },
            "type": kind,
        }
        self.system.put("event", event["id"], event)
        self.system.outgoing.enqueue(event["id"], kind, event)

    # -- generic resources -----------------------------------------------------------------------

    def _show(self, request: Request, doc: dict, values: dict) -> Response:
        return Response(200, self._expanded(doc, values.get("expand") or []))

    def _expanded(self, doc: dict, expand: list[str]) -> dict:
        doc = dict(doc)
        for path in expand:
            name = path.split(".")[0]
            if name in ("customer", "invoice") and isinstance(doc.get(name), str):
                doc[name] = self.system.get(name, doc[name]) or doc[name]
        return doc

    def _create(self, request: Request, kind: str) -> Response:
        values = decode(request.form())
        check(f"{kind}.create", values)
        request.context.setdefault("request_id", f"req_{secrets.token_hex(7)}")
        make = {
            "customer": self._new_customer,
            "invoice": self.invoicing.create,
            "invoiceitem": self.invoicing.add_item,
            "credit_note": self.invoicing.credit,
            "tax_rate": self._new_tax_rate,
        }[kind]
        return self._show(request, make(values), values)

    def _read(self, request: Request, kind: str, id: str) -> Response:
        doc = self.system.get(kind, id)
        if doc is None and kind == "customer" and self.system.get("_deleted", id):
            return Response(200, {"id": id, "object": kind, "deleted": True})
        return self._show(request, doc or self.invoicing.get(kind, id), decode(request.query_items))

    def _update(self, request: Request, kind: str, id: str) -> Response:
        values = decode(request.form())
        check(f"{kind}.update" if f"{kind}.update" != "tax_rate.update" else "tax_rate.create", values)
        doc = self.invoicing.get(kind, id)
        if kind == "invoice":
            return self._show(request, self.invoicing.update(doc, values), values)
        if kind == "invoiceitem" and doc.get("invoice"):
            self.invoicing._draft(self.invoicing.get("invoice", doc["invoice"]))
        change = {k: v for k, v in values.items() if k not in ("metadata", "expand")}
        if kind == "customer":
            change = self._customer_values(doc, change)
        if "metadata" in values:
            change["metadata"] = metadata(doc["metadata"], values["metadata"])
        if kind == "invoiceitem" and "amount" in change:
            change["amount"] = integer(change, "amount")
        after = self.system.put(kind, id, {**doc, **change})
        if kind == "invoiceitem" and doc.get("invoice"):
            self._replace_line(after)
        self._emit(f"{kind}.updated", after, doc)
        return self._show(request, after, values)

    def _replace_line(self, item: dict) -> None:
        invoice = self.invoicing.get("invoice", item["invoice"])
        keep = [
            line
            for line in invoice["lines"]["data"]
            if line["parent"]["invoice_item_details"]["invoice_item"] != item["id"]
        ]
        self.invoicing.attach({**invoice, "lines": {**invoice["lines"], "data": keep}}, [item])

    def _delete(self, request: Request, kind: str, id: str) -> Response:
        doc = self.invoicing.get(kind, id)
        if kind == "invoice":
            self.invoicing.discard(doc)
        elif kind == "invoiceitem":
            self.invoicing.detach(doc)
        else:
            self.system.delete(kind, id)
            self.system.put("_deleted", id, {"id": id})
            self._emit("customer.deleted", doc)
        return Response(200, {"id": id, "object": kind, "deleted": True})

    def _list(self, request: Request, kind: str) -> Response:
        values = decode(request.query_items)
        check(f"{kind}.list", values)
        docs = self._filtered(kind, values)
        return Response(200, self._page(request, kind, docs, values))

    def _filtered(self, kind: str, values: dict) -> list[dict]:
        docs = list(reversed(self.system.all(kind)))
        for name in ("email", "customer", "invoice", "status", "collection_method", "type"):
            if name in values:
                docs = [d for d in docs if d.get(name) == values[name]]
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

    # -- customers and rates ---------------------------------------------------------------------

    def _new_customer(self, values: dict) -> dict:
        prefix = values.get("invoice_prefix") or secrets.token_hex(4).upper()
        if not re.fullmatch(r"[A-Z0-9]{3,12}", prefix):
            invalid("Invalid invoice_prefix: 3 to 12 uppercase letters or numbers.", param="invoice_prefix")
        if any(c["invoice_prefix"] == prefix for c in self.system.find("customer", "invoice_prefix", prefix)):
            refuse(400, f"The invoice prefix {prefix} is already used.", param="invoice_prefix")
        doc = {
            "id": new_id("cus"),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": int(time.time()),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "email": None,
            "invoice_prefix": prefix,
            "invoice_settings": {"custom_fields": None, "default_payment_method": None},
            "livemode": False,
            "metadata": metadata({}, values.get("metadata")),
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
        }
        ignored = ("metadata", "expand", "tax_id_data", "invoice_prefix", "payment_method", "test_clock")
        doc |= self._customer_values(doc, {k: v for k, v in values.items() if k not in ignored})
        self.system.put("customer", doc["id"], doc)
        for entry in values.get("tax_id_data") or []:
            self._put_tax_id(doc["id"], entry)
        self._emit("customer.created", doc)
        return doc

    def _customer_values(self, doc: dict, values: dict) -> dict:
        if values.get("email") and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", values["email"]):
            invalid(f"Invalid email address: {values['email']}", code="email_invalid", param="email")
        change = {k: (None if v == "" else v) for k, v in values.items()}
        for name in ("balance", "next_invoice_sequence"):
            if name in change:
                change[name] = integer(values, name)
        if isinstance(change.get("address"), dict):
            names = ("city", "country", "line1", "line2", "postal_code", "state")
            base = doc.get("address") or dict.fromkeys(names)
            bad = set(change["address"]) - set(names)
            if bad:
                invalid(
                    f"Received unknown parameter: address[{min(bad)}]",
                    code="parameter_unknown",
                    param="address",
                )
            change["address"] = {**base, **{k: v or None for k, v in change["address"].items()}}
        return change

    def _new_tax_rate(self, values: dict) -> dict:
        doc = {
            "id": new_id("txr"),
            "object": "tax_rate",
            "active": True,
            "created": int(time.time()),
            "display_name": need(values, "display_name"),
            "percentage": float(need(values, "percentage")),
            "inclusive": need(values, "inclusive") == "true",
            "metadata": metadata({}, values.get("metadata")),
            "livemode": False,
        }
        doc |= {n: values.get(n) for n in ("country", "description", "jurisdiction", "state", "tax_type")}
        return self.system.put("tax_rate", doc["id"], doc)

    def _put_tax_id(self, customer: str, values: dict) -> dict:
        doc = {
            "id": new_id("txi"),
            "object": "tax_id",
            "country": str(values.get("value") or "")[:2] or None,
            "created": int(time.time()),
            "customer": customer,
            "livemode": False,
            "type": need(values, "type"),
            "value": need(values, "value"),
            "verification": {"status": "pending"},
        }
        return self.system.put("tax_id", doc["id"], doc)

    def _tax_ids(self, request: Request, id: str) -> Response:
        self.invoicing.get("customer", id)
        values = decode(request.query_items)
        docs = list(reversed(self.system.find("tax_id", "customer", id)))
        return Response(200, self._page(request, "tax_id", docs, values))

    def _add_tax_id(self, request: Request, id: str) -> Response:
        values = decode(request.form())
        check("tax_id.create", values)
        self.invoicing.get("customer", id)
        return Response(200, self._put_tax_id(id, values))

    def _account(self, request: Request) -> Response:
        return Response(
            200,
            {
                "id": "acct_sandbox",
                "object": "account",
                "charges_enabled": True,
                "country": "GB",
                "default_currency": "gbp",
                "type": "standard",
            },
        )

    # -- invoices --------------------------------------------------------------------------------

    def _invoice_action(self, request: Request, action: str, id: str) -> Response:
        values = decode(request.form())
        check(f"invoice.{action}", values)
        request.context.setdefault("request_id", f"req_{secrets.token_hex(7)}")
        invoice = self.invoicing.get("invoice", id)
        if action == "pay":
            result = self.invoicing.pay(invoice, values)
        elif action == "add_lines":
            result = self._add_lines(invoice, values)
        else:
            result = getattr(self.invoicing, action)(invoice)
        return self._show(request, result, values)

    def _add_lines(self, invoice: dict, values: dict) -> dict:
        for line in need(values, "lines"):
            check("line", line)
            self.invoicing.add_item(
                {
                    **line,
                    "customer": invoice["customer"],
                    "invoice": invoice["id"],
                    "currency": invoice["currency"],
                }
            )
        return self.invoicing.get("invoice", invoice["id"])

    def _lines(self, request: Request, id: str) -> Response:
        values = decode(request.query_items)
        check("invoice.lines", values)
        lines = self.invoicing.get("invoice", id)["lines"]["data"]
        return Response(200, self._page(request, "line_item", lines, values))

    def _void_credit(self, request: Request, id: str) -> Response:
        return Response(200, self.invoicing.void_credit(self.invoicing.get("credit_note", id)))

    # -- control door ----------------------------------------------------------------------------

    def put(self, kind: str, record: dict, *, emit: bool):
        """A record as given, completed with what the vendor would fill in; ids kept."""
        self._current = None
        if kind not in PREFIXES:
            raise ValueError(f"{kind} cannot be seeded; use {', '.join(PREFIXES)}")
        if kind == "customer":
            base = {
                "id": new_id("cus"),
                "object": "customer",
                "created": int(time.time()),
                "metadata": {},
                "invoice_prefix": secrets.token_hex(4).upper(),
                "next_invoice_sequence": 1,
                "livemode": False,
                "address": None,
                "email": None,
                "name": None,
                "currency": None,
                "balance": 0,
            }
            doc = self.system.put(kind, record.get("id") or base["id"], {**base, **record})
        elif kind == "tax_rate":
            base = {
                "id": new_id("txr"),
                "object": kind,
                "active": True,
                "created": int(time.time()),
                "inclusive": False,
                "metadata": {},
                "livemode": False,
            }
            doc = self.system.put(kind, record.get("id") or base["id"], {**base, **record})
        elif kind == "invoice":
            return self._seed_invoice(record)
        else:
            doc = self.invoicing.add_item(record) if kind == "invoiceitem" else self.invoicing.credit(record)
            return doc
        if emit:
            self._emit(f"{kind}.created", doc)
        return doc

    def _seed_invoice(self, record: dict) -> dict:
        known = {"collection_method": "send_invoice", "days_until_due": 30, **record}
        lines, status, id_ = known.pop("lines", []), known.pop("status", "draft"), known.pop("id", None)
        invoice = self.invoicing.create(known)
        if id_:
            self.system.delete("invoice", invoice["id"])
            invoice = self.system.put("invoice", id_, {**invoice, "id": id_})
        for line in lines:
            self.invoicing.add_item(
                {
                    **line,
                    "customer": invoice["customer"],
                    "invoice": invoice["id"],
                    "currency": invoice["currency"],
                }
            )
        invoice = self.invoicing.get("invoice", invoice["id"])
        if status in ("open", "paid"):
            invoice = self.invoicing.finalize(invoice)
        if status == "paid" and invoice["status"] == "open":
            invoice = self.invoicing.settle(invoice, invoice["amount_remaining"])
        return invoice

    def change(self, kind: str, id_: str, fields: dict, *, emit: bool):
        self._current = None
        before = self.system.get(kind, id_)
        if before is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        after = self.system.put(kind, id_, {**before, **fields})
        if kind == "invoice":
            after = self.invoicing.save(after)
        if emit:
            self._emit(f"{kind}.updated", after, before)
        return after

    def remove(self, kind: str, id_: str, *, emit: bool) -> None:
        self._current = None
        doc = self.system.delete(kind, id_)
        if doc is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        if emit:
            self._emit(f"{kind}.deleted", doc)

    def action(self, name: str, body: dict):
        """``pay``: the customer pays on the hosted page; ``dispute`` and ``fail_payment`` announce trouble."""
        self._current = None
        if name not in ("pay", "fail_payment", "dispute", "overdue"):
            return None
        invoice = self.system.get("invoice", str(body.get("invoice")))
        if invoice is None:
            raise NoSuchRecord(f"no invoice {body.get('invoice')}")
        if name == "pay":
            if invoice["status"] not in ("open", "uncollectible"):
                raise ValueError(f"the invoice is {invoice['status']}, not open")
            amount = invoice["amount_remaining"] if body.get("amount") is None else int(body["amount"])
            if not 0 < amount <= invoice["amount_remaining"]:
                raise ValueError(f"amount must be within 1 and {invoice['amount_remaining']}")
            return self.invoicing.settle(invoice, amount)
        if name == "fail_payment":
            self._emit("invoice.payment_failed", invoice)
        elif name == "overdue":
            self._emit("invoice.overdue", invoice)
        else:
            dispute = {
                "id": new_id("dp"),
                "object": "dispute",
                "amount": invoice["amount_paid"] or invoice["total"],
                "charge": new_id("ch"),
                "currency": invoice["currency"],
                "created": int(time.time()),
                "reason": body.get("reason") or "general",
                "status": "needs_response",
                "metadata": {"invoice": invoice["id"]},
            }
            self.system.put("dispute", dispute["id"], dispute)
            self._emit("charge.dispute.created", dispute)
            return dispute
        return invoice


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
