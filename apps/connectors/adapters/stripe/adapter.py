"""The Stripe adapter: customers and invoices out, payment news in.

Public surface: :class:`StripeAdapter`.

Sources: Stripe API reference 2026-10-28.endive (customers, tax ids, invoices, invoice items, invoice payments, disputes,
events, search, idempotent requests),
"Invoicing integration". Writes carry an idempotency key: within 24 hours the first result is replayed, afterwards the probe
finds what was made by its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from apps.connectors.adapters.stripe import compose, events, forms
from apps.connectors.adapters.stripe.errors import sort_error, was_replayed
from apps.connectors.protocols.http import Answer, Http, StaticAuth, default_error
from apps.connectors.protocols.webhooks import verify_stripe
from apps.connectors.spi import (
    AdapterError,
    Change,
    Description,
    ErrorKind,
    Health,
    Observed,
    Outcome,
    Page,
    Push,
    Settings,
)
from apps.core import clock

API_VERSION = "2026-10-28.endive"
#: Search lags about a minute behind; what is younger than this is looked for in the (exact) list.
RECENT = timedelta(hours=1)
#: Two rounds of polling overlap by this much: an event may become visible later than a younger one.
OVERLAP = timedelta(minutes=5)
#: Stripe tries a webhook for three days and keeps events for thirty.
FIRST_WINDOW = timedelta(days=3)
EVENTS_KEPT = timedelta(days=30)
PAGE = 100
POLL_PAGES = 20

DESCRIPTION = Description(
    concurrency=20,
    calls_per_second=25,  # of a test account; live ones allow 100
    vendor="stripe",
    title="Stripe",
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "api_version": {"type": "string", "title": "API version", "default": API_VERSION},
            "account": {"type": "string", "title": "Connected account (acct_…), if any"},
            "dashboard_url": {
                "type": "string",
                "title": "Address of the dashboard",
                "default": "https://dashboard.stripe.com",
            },
        },
        "required": [],
    },
    secret_names=("api_key", "webhook_secret"),
    reads=("invoice", "customer", "dispute"),
    writes={
        ("customer", "create"): "key",
        ("invoice", "create"): "key",
        ("invoice_line", "create"): "key",
        ("invoice", "finalize"): "key",
        ("invoice", "send"): "key",
    },
    pushes_events=True,
    polls=("invoice",),
    record_url="https://dashboard.stripe.com/{object_type}s/{external_id}",
)


class StripeAdapter:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        key = settings.secrets.get("api_key", "")
        headers = {"Stripe-Version": str(settings.config.get("api_version") or API_VERSION)}
        if settings.config.get("account"):
            headers["Stripe-Account"] = str(settings.config["account"])
        self._http = Http(
            system=settings.system,
            base_url=settings.base_url,
            auth=StaticAuth(f"Bearer {key}"),
            headers=headers,
            sort_error=sort_error,
            secrets=[value for value in settings.secrets.values() if value],
        )

    def describe(self) -> Description:
        return DESCRIPTION

    def check(self) -> Health:
        try:
            self._http.get("/v1/customers", params={"limit": 1}).body()
        except AdapterError as error:
            return Health(
                ok=False, message=error.message, details={"kind": str(error.kind), "code": error.code}
            )
        mode = "live" if "_live_" in self.settings.secrets.get("api_key", "") else "test"
        return Health(ok=True, message=f"Signed in ({mode} mode).", details={"mode": mode})

    # ---- reading -------------------------------------------------------------------------------------------------

    def find(
        self, *, object_type: str, by: str, value: str, extra: Mapping[str, Any] | None = None
    ) -> Sequence[Observed]:
        if object_type == "dispute" and by == "id":
            row = self._one(f"/v1/disputes/{quote(value, safe='')}")
            return [] if row is None else [self._dispute(row)]
        if object_type not in ("invoice", "customer") or by not in ("id", "key"):
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT, f"Stripe cannot look for {object_type} by {by}.", code="INT-SCHEMA"
            )
        if by == "id":
            row = self._one(f"/v1/{object_type}s/{quote(value, safe='')}")
            rows = [] if row is None or row.get("deleted") else [row]
        else:
            rows = self._by_key(f"{object_type}s", value, dict(extra or {}).get("customer", ""))
        make = self._invoice if object_type == "invoice" else self._customer
        return [found for row in rows if (found := make(row)) is not None]

    def _invoice(self, row: Mapping[str, Any]) -> Observed | None:
        lines = row.get("lines") or {}
        rows = list(lines.get("data") or [])
        if lines.get("has_more") or not lines:
            rows = list(self._list(f"/v1/invoices/{row['id']}/lines", {}))
        return compose.invoice(row=row, lines=rows, url=self._url("invoices", str(row["id"])))

    def _customer(self, row: Mapping[str, Any]) -> Observed | None:
        if not (row.get("metadata") or {}).get(forms.KEY):
            return None
        tax_ids = list(self._list(f"/v1/customers/{row['id']}/tax_ids", {}))
        return compose.customer(row=row, url=self._url("customers", str(row["id"])), tax_ids=tax_ids)

    def _dispute(self, row: Mapping[str, Any]) -> Observed:
        """A dispute names the payment; which invoice that paid is told by the list of invoice payments."""
        paid = {"payment": {"type": "payment_intent", "payment_intent": str(row.get("payment_intent") or "")}}
        payments = (
            self._list("/v1/invoice_payments", dict(forms.flatten(paid))) if row.get("payment_intent") else ()
        )
        invoice = None
        for payment in payments:
            found = self._one(f"/v1/invoices/{quote(str(payment['invoice']), safe='')}")
            invoice = self._invoice(found) if found is not None else None
            if invoice is not None:
                break
        return compose.dispute(
            row=row,
            invoice=invoice,
            key=f"{self.settings.system}:{row['id']}",
            url=self._url("disputes", str(row["id"])),
        )

    def _one(self, path: str) -> Mapping[str, Any] | None:
        answer = self._http.get(path, expect=(404,))
        return None if answer.status == 404 else answer.body()

    def _list(self, path: str, params: Mapping[str, Any], *, start: str = "") -> Iterator[Mapping[str, Any]]:
        """All rows of a list, newest first, page by page."""
        after = start
        while True:
            query = {"limit": PAGE, **params, **({"starting_after": after} if after else {})}
            body = self._http.get(path, params=query).body()
            rows = body["data"]
            yield from rows
            if not body.get("has_more") or not rows:
                return
            after = str(rows[-1]["id"])

    def _by_key(self, kind: str, key: str, customer: str = "") -> list[Mapping[str, Any]]:
        """Objects that carry our key: the search for what is older, the list for what the search may not know yet."""
        found: dict[str, Mapping[str, Any]] = {}
        since = int((clock.now() - RECENT).timestamp())
        params: dict[str, Any] = {"created[gte]": since}
        if customer and kind == "invoices":
            params["customer"] = customer
        for row in self._list(f"/v1/{kind}", params):
            if (row.get("metadata") or {}).get(forms.KEY) == key:
                found[str(row["id"])] = row
        query = f"metadata['{forms.KEY}']:'{_quoted(key)}'"
        for row in self._http.get(f"/v1/{kind}/search", params={"query": query, "limit": PAGE}).body()[
            "data"
        ]:
            found.setdefault(str(row["id"]), row)
        return [row for row in found.values() if not row.get("deleted")]

    def _url(self, kind: str, external_id: str) -> str:
        base = str(self.settings.config.get("dashboard_url") or "https://dashboard.stripe.com").rstrip("/")
        return f"{base}/{kind}/{external_id}"

    # ---- polling -------------------------------------------------------------------------------------------------

    def fetch(self, *, object_type: str, cursor: str, limit: int = 200) -> Page:
        """Events since the cursor. A round walks the list, newest first, in batches; each batch comes oldest first."""
        if object_type != "invoice":
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT, f"Stripe is not polled for {object_type}.", code="INT-SCHEMA"
            )
        now = clock.now()
        kept = json.loads(cursor) if cursor else {}
        high = int(kept.get("high") or (now - FIRST_WINDOW).timestamp())
        since = int(kept.get("since") or high - OVERLAP.total_seconds())
        changes: list[Change] = []
        if cursor and not kept.get("after") and since < (now - EVENTS_KEPT).timestamp():
            changes.append(
                Change(
                    object_type="invoice",
                    external_id="*",
                    event_id=f"gap:{since}",
                    occurred_at=now,
                    event_type="GAP",
                )
            )
        after, newest, more = str(kept.get("after") or ""), high, False
        listed = self._list("/v1/events", {"created[gte]": since}, start=after)
        for seen, event in enumerate(listed, start=1):
            newest = max(newest, int(event.get("created") or 0))
            after = str(event["id"])
            found = events.change(event)
            if found is not None:
                changes.append(found)
            if seen >= PAGE * POLL_PAGES:
                more = True
                break
        changes.sort(key=lambda change: (change.occurred_at or now, change.event_id))
        state = {"high": newest, "since": since, "after": after} if more else {"high": newest}
        return Page(changes=changes, cursor=json.dumps(state, sort_keys=True), more=more)

    # ---- writing -------------------------------------------------------------------------------------------------

    def push(self, push: Push) -> Outcome:
        path, form = self._request(push)
        pairs = forms.flatten(form)
        key = f"{events.OWN_PREFIX}{push.idempotency_key}"
        answer = self._sent(path, pairs, key)
        if answer.status >= 500 and was_replayed(answer):
            # Stripe keeps the first result of a key, also a failure: asked again it fails for a day. What that first
            # request really did is settled by now, so look, and only then write under a key of its own.
            found = self.probe(push)
            if found is not None:
                return found
            answer = self._sent(path, pairs, f"{key}-again")
        if answer.status >= 400:
            error = sort_error(answer, True) or default_error(answer, True)
            if push.operation == "finalize" and error.kind in (ErrorKind.REJECTED, ErrorKind.CONFLICT):
                done = self.probe(push)  # finalizing twice is refused, and what we wanted is there
                if done is not None:
                    return done
            raise error
        return self._outcome(answer.body(), created=push.operation == "create", answer=answer)

    def _sent(self, path: str, pairs: list[tuple[str, str]], key: str) -> Answer:
        """The answer of a write, errors included, so that a replayed failure can be told from a fresh one."""
        return self._http.post(
            path, form=pairs, headers={"Idempotency-Key": key[:255]}, expect=range(400, 600)
        )

    def _request(self, push: Push) -> tuple[str, dict[str, Any]]:
        match (push.object_type, push.operation):
            case ("customer", "create"):
                return "/v1/customers", forms.customer(push)
            case ("invoice", "create"):
                return "/v1/invoices", forms.invoice(push)
            case ("invoice_line", "create"):
                return "/v1/invoiceitems", forms.invoice_line(push)
            case ("invoice", "finalize"):
                return f"/v1/invoices/{_external_id(push)}/finalize", {"auto_advance": False}
            case ("invoice", "send"):
                return f"/v1/invoices/{_external_id(push)}/send", {}
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            f"Stripe does not take {push.object_type}/{push.operation}.",
            code="INT-SCHEMA",
        )

    def _outcome(self, row: Mapping[str, Any], *, created: bool, answer: Answer | None = None) -> Outcome:
        kind = {"customer": "customers", "invoice": "invoices"}.get(str(row.get("object")), "invoiceitems")
        return Outcome(
            external_id=str(row["id"]),
            created=created and not (answer is not None and was_replayed(answer)),
            url=self._url(kind, str(row["id"])) if kind != "invoiceitems" else "",
            facts=self._facts(row) if kind == "invoices" else {},
            exchange=answer.exchange if answer else None,
        )

    @staticmethod
    def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "status": str(row.get("status") or ""),
            "number": str(row.get("number") or ""),
            "hosted_invoice_url": str(row.get("hosted_invoice_url") or ""),
            "amount_due_minor": int(row.get("amount_due") or 0),
            "currency": str(row.get("currency") or "").upper(),
        }

    def probe(self, push: Push) -> Outcome | None:
        """Whether the write happened: by our key in the metadata, by the invoice's state, or by its ``sent`` event."""
        match (push.object_type, push.operation):
            case ("invoice", "finalize"):
                row = self._one(f"/v1/invoices/{_external_id(push)}")
                return (
                    None if row is None or row.get("status") == "draft" else self._outcome(row, created=False)
                )
            case ("invoice", "send"):
                return self._probe_sent(_external_id(push))
            case ("invoice_line", "create"):
                rows = list(self._list("/v1/invoiceitems", {"invoice": push.refs.get("invoice", "")}))
                rows = [row for row in rows if (row.get("metadata") or {}).get(forms.KEY) == push.key]
            case ("customer", "create") | ("invoice", "create"):
                rows = self._by_key(f"{push.object_type}s", push.key, push.refs.get("customer", ""))
            case _:
                return None
        if not rows:
            return None
        if len(rows) > 1:
            raise AdapterError(
                ErrorKind.REJECTED,
                f"Stripe holds {len(rows)} objects with the key {push.key}.",
                code="INV-DUP" if push.object_type != "customer" else "CUS-DUP",
                field="key",
                value=push.key,
                details={"ids": [str(row["id"]) for row in rows]},
            )
        return self._outcome(rows[0], created=False)

    def _probe_sent(self, invoice_id: str) -> Outcome | None:
        """An invoice does not say whether it was mailed; the event ``invoice.sent`` does."""
        row = self._one(f"/v1/invoices/{invoice_id}")
        if row is None:
            return None
        params = {"type": "invoice.sent", "created[gte]": int(row.get("created") or 0)}
        for event in self._list("/v1/events", params):
            if event["data"]["object"].get("id") == invoice_id:
                return self._outcome(row, created=False)
        return None

    # ---- events --------------------------------------------------------------------------------------------------

    def receive(
        self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> tuple[str, Sequence[Change]]:
        verify_stripe(headers=headers, body=body, secrets=secrets, now=now)
        event = events.parse(body)
        found = events.change(event)
        return str(event["id"]), [found] if found else []


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _external_id(push: Push) -> str:
    if not push.external_id:
        raise AdapterError(ErrorKind.REJECTED, "The invoice has no Stripe id yet.", field="external_id")
    return quote(push.external_id, safe="")
