"""Stripe: keys, idempotency, routing, lists, search, events.

Public surface: Stripe (a Vendor).
"""

import hashlib
import hmac
import json
import secrets
import threading
import time

from ..core import auth
from ..core.http import Refusal, Request, Response, Router
from ..core.systems import NoSuchRecord, Vendor
from .customers import Customers
from .disputes import Disputes
from .errors import ValidationRefusal, error
from .fields import API_VERSION
from .forms import check, decode, integer, metadata, need
from .invoices import Invoicing, new_id
from .lists import Lists

KEPT_SECONDS = 86_400
PREFIXES = {"customer": "cus", "invoice": "in", "invoiceitem": "ii", "credit_note": "cn", "tax_rate": "txr"}
PLURALS = {
    "customers": "customer",
    "invoices": "invoice",
    "invoiceitems": "invoiceitem",
    "credit_notes": "credit_note",
    "events": "event",
    "tax_rates": "tax_rate",
    "disputes": "dispute",
    "invoice_payments": "invoice_payment",
}
#: Made by the vendor alone.
READ_ONLY = ("event", "dispute", "invoice_payment")
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


class Stripe(Customers, Disputes, Lists, Vendor):
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
            if kind not in ("dispute", "invoice_payment"):
                router.add("GET", f"/v1/{plural}/search", self._bind(self._search, kind))
            router.add("GET", f"/v1/{plural}", self._bind(self._list, kind))
            router.add("GET", f"/v1/{plural}/{{id}}", self._bind(self._read, kind))
            if kind not in READ_ONLY:
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
        if request.method != "GET":  # writes come one at a time, reads must not disturb their context
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
        """``pay``: the customer pays on the hosted page; ``dispute``, ``close_dispute``, ``verify_tax_id`` and
        ``fail_payment`` are what banks and registers do."""
        self._current = None
        if name == "close_dispute":
            return self._close_dispute(body)
        if name == "verify_tax_id":
            return self._verify_tax_id(body)
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
        if name == "dispute":
            return self._dispute(invoice, body)
        self._emit("invoice.payment_failed" if name == "fail_payment" else "invoice.overdue", invoice)
        return invoice
