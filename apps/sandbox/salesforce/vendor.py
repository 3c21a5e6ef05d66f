"""Salesforce: token endpoint, REST resources, change events.

Public surface: Salesforce (a Vendor).
"""

import secrets
import time

from ..core import auth
from ..core.clock import now, stamp
from ..core.http import Refusal, Request, Response
from ..core.systems import Vendor
from . import rest
from .errors import error
from .org import RUN_AS_USER, Org, missing, to_18

TOKEN_SECONDS = 7200
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
MAX_ASSERTION_SECONDS = 300
FAULTS = {
    401: ("INVALID_SESSION_ID", "Session expired or invalid"),
    403: ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    429: ("REQUEST_LIMIT_EXCEEDED", "Too many requests"),
    500: (
        "UNKNOWN_EXCEPTION",
        "An unexpected error occurred. Please include this ErrorId if you contact support",
    ),
    503: ("SERVER_UNAVAILABLE", "The server is temporarily unavailable"),
    504: ("QUERY_TIMEOUT", "Your query request was running for too long."),
}


class Salesforce(Vendor):
    pushes = True

    def __init__(self, system):
        super().__init__(system)
        self.org = Org(system)
        self.cursors: dict[str, tuple[str, list, float]] = {}
        self._usage = 0
        self._router = rest.router(self)

    # -- HTTP ------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        if request.path == "/services/oauth2/token":
            if request.method != "POST":
                return Response(405, {"error": "invalid_request", "error_description": "must use HTTP POST"})
            return self._token(request)
        if request.path.rstrip("/") == "/services/data":
            return Response(200, rest.versions())
        if not auth.check(self.system.store, self.system.name, auth.bearer(request)):
            return Response(401, [error("INVALID_SESSION_ID", "Session expired or invalid")])
        self._usage += 1
        if self._usage + self.system.setting("api_used", 0) > self.system.setting("api_limit", 100_000):
            return Response(403, [error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")])
        if len(request.path) + len(request.query_string) > 16_384:
            return Response(414, [error("URI_TOO_LONG", "URI too long")])
        return self.route(request)

    def route(self, request: Request) -> Response:
        """One resource call; also what composite sub-requests go through."""
        handler, arguments, known = self._router.match(request.method, request.path)
        if handler is None and known:
            message = f"HTTP Method '{request.method}' not allowed. Allowed are HEAD,GET,POST,PATCH,DELETE"
            return Response(405, [error("METHOD_NOT_ALLOWED", message)])
        if handler is None:
            return Response(404, [error("NOT_FOUND", "The requested resource does not exist")])
        arguments.pop("version", None)
        return handler(request, **arguments)

    def finish(self, request: Request, response: Response) -> None:
        if request.path.startswith("/services/data/"):
            used = self._usage + self.system.setting("api_used", 0)
            limit = self.system.setting("api_limit", 100_000)
            response.headers.setdefault("Sforce-Limit-Info", f"api-usage={used}/{limit}")

    def limits(self) -> dict:
        used = self._usage + self.system.setting("api_used", 0)
        limit = self.system.setting("api_limit", 100_000)
        return {
            "DailyApiRequests": {"Max": limit, "Remaining": max(0, limit - used)},
            "DailyBulkApiBatches": {"Max": 15000, "Remaining": 15000},
            "HourlyPublishedPlatformEvents": {"Max": 50000, "Remaining": 50000},
        }

    def forget(self) -> None:
        self.cursors.clear()
        self._usage = 0
        self.org = Org(self.system)

    def fault_response(self, status: int) -> Response:
        code, message = FAULTS.get(status, ("UNKNOWN_EXCEPTION", "An unexpected error occurred."))
        return Response(status, [error(code, message)])

    # -- tokens ----------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        form = dict(request.form())
        credentials = self.system.credentials
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            client_id, secret = auth.basic(request) or (
                form.get("client_id", ""),
                form.get("client_secret", ""),
            )
            if not client_id or client_id != credentials.get("client_id"):
                return _oauth_error("invalid_client_id", "client identifier invalid")
            if not secrets.compare_digest(secret, credentials.get("client_secret") or secrets.token_hex()):
                return _oauth_error("invalid_client", "invalid client credentials")
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            problem = self._check_assertion(form.get("assertion", ""), credentials)
            if problem:
                return _oauth_error(*problem)
        else:
            return _oauth_error("unsupported_grant_type", "grant type not supported")
        seconds = credentials.get("token_seconds", TOKEN_SECONDS)
        token = auth.issue(self.system.store, self.system.name, seconds=seconds, prefix="00D5g0000000001!")
        return Response(
            200,
            {
                "access_token": token,
                "signature": secrets.token_urlsafe(32),
                "scope": "api",
                "token_format": "opaque",
                "instance_url": self.system.base_url,
                "id": f"https://login.salesforce.com/id/00D5g0000000001EAA/{RUN_AS_USER}",
                "token_type": "Bearer",
                "issued_at": str(int(time.time() * 1000)),
            },
        )

    def _check_assertion(self, assertion: str, credentials: dict) -> tuple[str, str] | None:
        pem = credentials.get("certificate") or credentials.get("public_key")
        if not pem:
            return "invalid_grant", "user hasn't approved this consumer"
        try:
            claims = auth.verify_assertion(assertion, pem=pem, algorithms=["RS256"])
        except ValueError:
            return "invalid_grant", "invalid assertion"
        if claims.get("iss") != credentials.get("client_id"):
            return "invalid_client_id", "client identifier invalid"
        if claims.get("aud") not in (*AUDIENCES, self.system.base_url):
            return "invalid_grant", "audience is invalid"
        if credentials.get("username") and claims.get("sub") != credentials["username"]:
            return "invalid_grant", "user hasn't approved this consumer"
        expires = float(claims.get("exp") or 0)
        if expires < time.time():
            return "invalid_grant", "expired authorization code"
        if expires > time.time() + MAX_ASSERTION_SECONDS:
            return "invalid_grant", "invalid assertion"
        return None

    # -- change data capture ---------------------------------------------------------------------

    def changed(
        self, kind: str, obj: str, before: dict | None, after: dict | None, *, client: str = ""
    ) -> None:
        """Publish one change event (Change Data Capture Developer Guide, event message structure)."""
        doc = after or before
        replay = self.system.number("replay", start=1000)
        changed, body = [], {}
        if kind == "CREATE":
            body = {
                k: v
                for k, v in doc.items()
                if v is not None and k not in ("Id", "SystemModstamp", "IsDeleted")
            }
        elif kind == "UPDATE":
            changed = [k for k in after if after[k] != before.get(k) and k not in ("SystemModstamp", "Id")]
            body = {k: after[k] for k in changed if after[k] is not None}
        origin = "com/salesforce/api/rest/68.0" + (f";client={client}" if client else "")
        header = {
            "entityName": obj,
            "recordIds": [doc["Id"]],
            "changeType": kind,
            "changeOrigin": origin,
            "transactionKey": f"{replay:08x}-{secrets.token_hex(4)}",
            "sequenceNumber": 1,
            "commitTimestamp": int(now().timestamp() * 1000),
            "commitNumber": 10_000_000 + replay,
            "commitUser": doc.get("LastModifiedById") or RUN_AS_USER,
            "changedFields": changed,
            "nulledFields": [k for k in changed if after[k] is None],
            "diffFields": [],
        }
        name = f"{obj[:-3]}__ChangeEvent" if obj.endswith("__c") else f"{obj}ChangeEvent"
        message = {
            "schema": f"sandbox-{name}-68",
            "channel": f"/data/{name}",
            "payload": {"ChangeEventHeader": header, **body},
            "event": {"replayId": replay},
        }
        self.system.outgoing.enqueue(f"evt_{replay}", obj, message)

    def written(self, obj: str, before: dict | None, after: dict, *, client: str = "") -> None:
        """After an API or screen write: publish it, and let an opportunity's amount follow its lines."""
        self.changed("UPDATE" if before else "CREATE", obj, before, after, client=client)
        if obj == "OpportunityLineItem":
            moved = self.org.roll_up(after["OpportunityId"])
            if moved:
                self.changed("UPDATE", "Opportunity", *moved, client=client)

    # -- control door ----------------------------------------------------------------------------

    def put(self, kind: str, record: dict, *, emit: bool):
        if kind in ("DuplicateRule", "ValidationRule"):
            id_ = record.get("id") or f"rule{self.system.number('rule')}"
            return self.system.put(kind, id_, {**record, "id": id_})
        id_ = to_18(str(record.get("Id") or ""))
        before = self.system.get(kind, id_) if id_ else None
        after = self.org.load(kind, record)
        if emit:
            self.written(kind, before, after)
        return after

    def change(self, kind: str, id_: str, fields: dict, *, emit: bool):
        before = self.org.record(kind, id_)
        if before is None:
            raise missing(kind, id_)
        values = {k: v for k, v in fields.items() if k not in ("LastModifiedDate", "SystemModstamp")}
        at = fields.get("LastModifiedDate") or fields.get("SystemModstamp") or stamp()
        after = self.org.load(kind, {**values, "Id": before["Id"], "LastModifiedDate": at})
        if emit:
            self.written(kind, before, after)
        return after

    def remove(self, kind: str, id_: str, *, emit: bool) -> None:
        try:
            before = self.org.delete(kind, id_)
        except Refusal as refusal:
            raise missing(kind, id_) from refusal
        if emit:
            self.changed("DELETE", kind, before, None)

    def define(self, schema) -> None:
        self.org.define(schema)


def _oauth_error(code: str, description: str) -> Response:
    return Response(400, {"error": code, "error_description": description})
