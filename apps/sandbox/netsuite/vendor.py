"""NetSuite SuiteTalk REST: tokens, governance, asynchronous requests, routing.

Public surface: NetSuite (a Vendor).
"""

import time

from ..core import auth
from ..core.http import Refusal, Request, Response, Router
from ..core.systems import NoSuchRecord, Vendor
from .errors import answer
from .records import Account
from .rest import Resources

TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"
ALGORITHMS = ["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
TOKEN_SECONDS = 3600
MAX_ASSERTION_SECONDS = 3600
ASYNC = "/services/rest/async/v1/job"
FAULTS = {
    401: ("INVALID_LOGIN", "Invalid login attempt."),
    403: ("INSUFFICIENT_PERMISSION", "Permission Violation: you need a higher level of permission."),
    404: ("NONEXISTENT_ID", "The record instance does not exist. Provide a valid record instance ID."),
    429: ("CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked."),
    500: ("UNEXPECTED_ERROR", "An unexpected error occurred. Error ID: sandbox0001"),
    503: ("UNEXPECTED_ERROR", "The service is temporarily unavailable."),
}


class NetSuite(Vendor):
    def __init__(self, system):
        super().__init__(system)
        self.account = Account(system)
        self._router = router = Router()
        resources = Resources(self.account)
        base = "/services/rest/record/v1"
        router.add("POST", "/services/rest/query/v1/suiteql", resources.suiteql)
        router.add("GET", "/services/rest/system/v1/governanceLimits", self._governance)
        router.add("GET", base + "/metadata-catalog/{kind}", resources.metadata)
        router.add("GET", base + "/metadata-catalog", resources.catalog)
        router.add("POST", base + "/{kind}/{id}/!transform/{target}", resources.transform)
        router.add("GET", base + "/{kind}/{id}/{sublist}", resources.sublist)
        router.add("GET", base + "/{kind}/{id}", resources.read)
        router.add("PATCH", base + "/{kind}/{id}", resources.update)
        router.add("PUT", base + "/{kind}/{id}", resources.upsert)
        router.add("DELETE", base + "/{kind}/{id}", resources.delete)
        router.add("GET", base + "/{kind}", resources.list)
        router.add("POST", base + "/{kind}", resources.create)
        router.add("GET", ASYNC + "/{job}", self._job)
        router.add("GET", ASYNC + "/{job}/task", self._tasks)
        router.add("GET", ASYNC + "/{job}/task/{task}", self._task)
        router.add("GET", ASYNC + "/{job}/task/{task}/result", self._result)

    def install(self) -> None:
        self.account.install()

    def fault_response(self, status: int) -> Response:
        code, detail = FAULTS.get(status, ("UNEXPECTED_ERROR", "An unexpected error occurred."))
        return answer(status, code, detail)

    def finish(self, request: Request, response: Response) -> None:
        response.headers.setdefault("NS_RTIMER_COMPOSITE", "sandbox")
        if response.content_type.startswith("application/json") and request.path.startswith(
            "/services/rest/record"
        ):
            response.content_type = "application/vnd.oracle.resource+json; type=singular; charset=UTF-8"

    # -- HTTP ------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        if request.path.rstrip("/") == TOKEN_PATH:
            return (
                self._token(request)
                if request.method == "POST"
                else answer(405, "INVALID_METHOD", "POST only")
            )
        if not auth.check(self.system.store, self.system.name, auth.bearer(request)):
            return answer(
                401,
                "INVALID_LOGIN",
                "Invalid login attempt. For more details, see the Login Audit Trail in "
                "the NetSuite UI at Setup > Users/Roles > User Management > View Login Audit Trail.",
            )
        limit = self.system.setting("concurrency", 15)
        if self.system.in_flight > limit:
            return answer(
                429,
                "CONCURRENCY_LIMIT_EXCEEDED",
                f"Concurrent request limit exceeded ({limit}). Request blocked.",
            )
        if "respond-async" in request.header("prefer") and "/record/" in request.path:
            return self._asynchronous(request)
        return self._route(request)

    def _route(self, request: Request) -> Response:
        handler, arguments, known = self._router.match(request.method, request.path)
        if handler is None and known:
            return answer(
                405, "INVALID_METHOD", f"The method {request.method} is not allowed for this resource."
            )
        if handler is None:
            return answer(404, "INVALID_URL", f"Invalid URL: {request.path}")
        return handler(request, **arguments)

    def _governance(self, request: Request) -> Response:
        limit = self.system.setting("concurrency", 15)
        return Response(
            200,
            {
                "accountConcurrencyLimit": limit,
                "accountUnallocatedConcurrencyLimit": limit,
                "concurrencyLimit": limit,
                "type": "accountSpecific",
                "links": [],
            },
        )

    # -- tokens ----------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        form = dict(request.form())
        if form.get("grant_type") != "client_credentials":
            return Response(400, {"error": "unsupported_grant_type"})
        if form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return Response(400, {"error": "invalid_request"})
        assertion = form.get("client_assertion", "")
        problem = self._check(assertion)
        if problem:
            return Response(problem[0], {"error": problem[1], "error_description": problem[2]})
        seconds = int(self.system.credentials.get("token_seconds", TOKEN_SECONDS))
        token = auth.issue(self.system.store, self.system.name, seconds=seconds)
        return Response(200, {"access_token": token, "expires_in": str(seconds), "token_type": "Bearer"})

    def _check(self, assertion: str) -> tuple[int, str, str] | None:
        credentials = self.system.credentials
        try:
            header = auth.assertion_header(assertion)
        except ValueError:
            return 400, "invalid_request", "client_assertion is malformed"
        if header.get("alg") not in ALGORITHMS:
            return 400, "invalid_request", f"the algorithm {header.get('alg')} is not accepted"
        pem = credentials.get("certificates", {}).get(header.get("kid"))
        if pem is None:
            return 401, "invalid_client", "no certificate is registered for this kid"
        try:
            claims = auth.verify_assertion(assertion, pem=pem, algorithms=ALGORITHMS)
        except (ValueError, TypeError):
            return 401, "invalid_client", "the signature does not verify"
        if claims.get("iss") != credentials.get("client_id"):
            return 401, "invalid_client", "unknown client"
        account = self.system.account.lower()
        hosts = (
            self.system.base_url,
            f"http://localhost:{self.system.port}",
            f"https://{account}.suitetalk.api.netsuite.com",
        )
        audience = claims.get("aud")
        if not set([audience] if isinstance(audience, str) else audience or []) & {
            h + TOKEN_PATH for h in hosts
        }:
            return 400, "invalid_grant", "the audience is not the token endpoint"
        scope = claims.get("scope") or ""
        scopes = scope if isinstance(scope, list) else scope.replace(",", " ").split()
        if "rest_webservices" not in scopes:
            return 400, "invalid_scope", "the scope rest_webservices is missing"
        issued, expires = float(claims.get("iat") or 0), float(claims.get("exp") or 0)
        if (
            not issued
            or expires < time.time()
            or expires - issued > MAX_ASSERTION_SECONDS
            or issued > time.time() + 60
        ):
            return 400, "invalid_grant", "iat or exp is out of range"
        return None

    # -- asynchronous requests -------------------------------------------------------------------

    def _asynchronous(self, request: Request) -> Response:
        """Runs at once and keeps the answer; a used idempotency key answers 400 with the earlier job."""
        key = request.header("x-netsuite-idempotency-key")
        if key:
            earlier = self.system.find("_job", "key", key)
            if earlier:
                refused = answer(
                    400,
                    "IDEMPOTENCY_ERROR",
                    "This request has already been submitted with the same idempotency key.",
                    title="Conflict",
                )
                refused.headers["Location"] = f"{self.system.base_url}{ASYNC}/{earlier[0]['id']}"
                return refused
        try:
            with self.system.store.transaction():
                result = self._route(request)
        except Refusal as refusal:
            result = refusal.response
        job = {
            "id": str(self.system.number("job", start=1000)),
            "key": key,
            "status": result.status,
            "headers": result.headers,
            "data": result.data,
            "ready": time.time() + float(self.system.setting("async_seconds", 0)),
        }
        self.system.put("_job", job["id"], job)
        return Response(
            202,
            None,
            {"Location": f"{self.system.base_url}{ASYNC}/{job['id']}", "Preference-Applied": "respond-async"},
        )

    def _find_job(self, job: str) -> dict:
        found = self.system.get("_job", job)
        if found is None:
            raise Refusal(answer(404, "NONEXISTENT_ID", f"The job {job} does not exist."))
        return found

    def _progress(self, job: dict) -> dict:
        done = time.time() >= job["ready"]
        progress = "processing" if not done else "succeeded" if job["status"] < 400 else "failed"
        return {"completed": done, "progress": progress}

    def _job(self, request: Request, job: str) -> Response:
        found = self._find_job(job)
        href = f"{self.system.base_url}{ASYNC}/{job}"
        return Response(
            200,
            {
                "links": [{"rel": "self", "href": href}],
                "id": job,
                **self._progress(found),
                "task": {"links": [{"rel": "self", "href": f"{href}/task"}]},
            },
        )

    def _tasks(self, request: Request, job: str) -> Response:
        self._find_job(job)
        href = f"{self.system.base_url}{ASYNC}/{job}/task/1"
        return Response(
            200,
            {
                "items": [{"links": [{"rel": "self", "href": href}], "id": "1"}],
                "totalResults": 1,
                "count": 1,
                "hasMore": False,
                "offset": 0,
            },
        )

    def _task(self, request: Request, job: str, task: str) -> Response:
        found = self._find_job(job)
        href = f"{self.system.base_url}{ASYNC}/{job}/task/{task}"
        return Response(
            200,
            {
                "links": [{"rel": "self", "href": href}, {"rel": "result", "href": f"{href}/result"}],
                "id": task,
                **self._progress(found),
            },
        )

    def _result(self, request: Request, job: str, task: str) -> Response:
        found = self._find_job(job)
        if not self._progress(found)["completed"]:
            return answer(404, "NONEXISTENT_ID", "The result is not available yet.")
        return Response(found["status"], found["data"], dict(found["headers"]))

    # -- control door ----------------------------------------------------------------------------

    def put(self, kind: str, record: dict, *, emit: bool):
        return self.account.load(kind, record)

    def change(self, kind: str, id_: str, fields: dict, *, emit: bool):
        doc = self.account.resolve(kind, id_)
        if doc is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        return self.account.load(kind, {**fields, "id": doc["id"]})

    def remove(self, kind: str, id_: str, *, emit: bool) -> None:
        self.account.remove(kind, id_)

    def define(self, schema) -> None:
        self.account.define(schema)
