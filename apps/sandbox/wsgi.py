"""The WSGI application of the sandbox: port → system → faults → vendor → request log.

Public surface: Sandbox (application, close).
"""

import contextlib
import errno
import json
import logging
import time
from http.client import responses
from pathlib import Path

from .control.door import ControlDoor
from .core import faults as faults_module
from .core.clock import stamp
from .core.faults import Fault, FaultBook
from .core.http import Refusal, Request, Response
from .core.outgoing import post
from .core.requestlog import RequestLog
from .core.store import Store
from .core.systems import System, Vendor
from .kantata.vendor import Kantata
from .netsuite.vendor import NetSuite
from .salesforce.vendor import Salesforce
from .sink import Sink
from .stripe.vendor import Stripe

LOG = logging.getLogger("sandbox")
SLOW_PIECES = 10
#: name, vendor, offset of its port from the block's base, account shown in its data
SYSTEMS: tuple[tuple[str, type[Vendor], int, str], ...] = (
    ("crm", Salesforce, 1, "MERRIDANE"),
    ("erp", NetSuite, 2, "MERRIDANE"),
    ("erp-be", NetSuite, 3, "OSTREL"),
    ("psa", Kantata, 4, "MERRIDANE"),
    ("billing", Stripe, 5, "MERRIDANE"),
    ("sink", Sink, 6, "MERRIDANE"),
)


class ConnectionDropped(OSError):
    """We closed the client's socket on purpose; gunicorn takes ECONNRESET quietly."""

    def __init__(self):
        super().__init__(errno.ECONNRESET, "connection dropped on purpose")


class Sandbox:
    """Everything behind the block of ports that starts at ``base_port``."""

    def __init__(self, *, base_port: int, data_dir: Path, fresh: bool = False):
        self.base_port = base_port
        self.store = Store(Path(data_dir) / "sandbox.sqlite3", fresh=fresh)
        self.faults = FaultBook(self.store)
        self.log = RequestLog(self.store)
        self.systems: dict[str, System] = {}
        self.by_port: dict[int, System] = {}
        for name, vendor, offset, account in SYSTEMS:
            system = System(self.store, name, vendor, base_port + offset, account)
            self.systems[name] = self.by_port[system.port] = system
            with self.store.transaction():
                system.vendor.install()
            if system.vendor.pushes:
                system.outgoing.start()
        self.door = ControlDoor(self)
        self.closing = False

    def close(self) -> None:
        """Let go of hanging requests and stop sending."""
        self.closing = True
        for system in self.systems.values():
            system.outgoing.stop()

    # -- WSGI ------------------------------------------------------------------------------------

    def application(self, environ, start_response):
        request = _request(environ)
        connection = environ.get("gunicorn.socket")
        if request.port == self.base_port:
            response = self.door.handle(request)
        else:
            system = self.by_port[request.port]
            response = self._serve(system, request, connection, start_response)
            if not isinstance(response, Response):
                return response
        return _send(response, start_response)

    def _serve(self, system: System, request: Request, connection, start_response):
        at = stamp()
        with system.gauge:
            system.in_flight += 1
            request.context["running"] = True
        try:
            refused = system.vendor.enter(request)
            if refused is not None:
                system.vendor.finish(request, refused)
                self.log.record(system.name, request, refused, at=at)
                return refused
            hit = self.faults.take(system.name, request.method, request.path)
            if not hit:
                response = self._answer(system, request)
                self.log.record(system.name, request, response, at=at)
                return response
            return self._serve_faulty(system, request, connection, start_response, hit, at)
        finally:
            _leave(system, request)

    def _serve_faulty(self, system, request, connection, start_response, hit: list[Fault], at: str):
        by_kind = {fault.kind: fault for fault in hit}
        names = ",".join(by_kind)
        if fault := by_kind.get("latency"):
            self._pause(fault.seconds)
        if fault := by_kind.get("callback_before"):
            _call_back(fault, system, request)
        if "reset_before" in by_kind or "hang_before" in by_kind:
            self.log.record(system.name, request, None, at=at, fault=names)
            self._drop(system, request, connection, by_kind.get("hang_before"))
        if fault := by_kind.get("status"):
            response = _fault_response(fault, system)
        else:
            response = self._answer(system, request)
        if fault := by_kind.get("status_after"):
            response = _fault_response(fault, system)
        if fault := by_kind.get("callback_after"):
            _call_back(fault, system, request)
        if "reset_after" in by_kind or "hang_after" in by_kind:
            self.log.record(system.name, request, None, at=at, fault=names)
            self._drop(system, request, connection, by_kind.get("hang_after"))
        if "status" in by_kind or "status_after" in by_kind:
            system.vendor.finish(request, response)
        self.log.record(system.name, request, response, at=at, fault=names)
        if "truncate" in by_kind:
            _leave(system, request)
            _truncate(connection, response)
        if fault := by_kind.get("slow_body"):
            return _send_slowly(response, start_response, fault.seconds)
        return response

    def _answer(self, system: System, request: Request) -> Response:
        vendor = system.vendor
        try:
            if request.method in ("GET", "HEAD"):
                response = vendor.handle(request)
            else:
                with self.store.transaction():
                    response = vendor.handle(request)
        except Refusal as refusal:
            response = refusal.response
        vendor.finish(request, response)
        return response

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.closing and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _drop(self, system: System, request: Request, connection, hanging: Fault | None):
        if hanging is not None:
            faults_module.hang(
                connection, hanging.seconds, lambda: not self.closing and self.faults.active(hanging)
            )
        _leave(system, request)
        faults_module.rst(connection)
        raise ConnectionDropped


def _leave(system: System, request: Request) -> None:
    """The request no longer counts as running; before the client can know, so that its retry meets no ghost."""
    if request.context.pop("running", False):
        system.vendor.leave(request)
        with system.gauge:
            system.in_flight -= 1


def _request(environ) -> Request:
    headers = {
        key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")[0],
        query_string=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=environ["wsgi.input"].read(),
        port=int(environ["SERVER_PORT"]),
    )


def _headers(response: Response, body: bytes) -> list[tuple[str, str]]:
    headers = {**response.headers}
    if body:
        headers.setdefault("Content-Type", response.content_type)
    if response.status not in (204, 304):
        headers["Content-Length"] = str(len(body))
    return list(headers.items())


def _send(response: Response, start_response):
    body = response.encoded()
    start_response(f"{response.status} {responses.get(response.status, 'Unknown')}", _headers(response, body))
    return [body] if body else []


def _send_slowly(response: Response, start_response, seconds: float):
    body = response.encoded()
    start_response(f"{response.status} {responses.get(response.status, 'Unknown')}", _headers(response, body))
    size = max(1, -(-len(body) // SLOW_PIECES))
    pieces = [body[i : i + size] for i in range(0, len(body), size)]

    def trickle():
        for piece in pieces:
            time.sleep(seconds / len(pieces))
            yield piece

    return trickle()


def _truncate(connection, response: Response):
    """Promise the whole body, send half of it and end the connection in an orderly way."""
    body = response.encoded()
    lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in _headers(response, body)]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    with contextlib.suppress(OSError):  # a client that left early has what it wanted
        connection.sendall(head + body[: len(body) // 2] if body else head[: len(head) // 2])
        connection.shutdown(2)
    connection.close()
    raise ConnectionDropped


def _fault_response(fault: Fault, system: System) -> Response:
    if fault.has_body:
        data = fault.body.encode() if isinstance(fault.body, str) else fault.body
        response = Response(fault.status, data)
    else:
        response = system.vendor.fault_response(fault.status)
    response.headers = {**response.headers, **{k: str(v) for k, v in fault.headers.items()}}
    return response


def _call_back(fault: Fault, system: System, request: Request) -> None:
    body = {"system": system.name, "method": request.method, "path": request.path, "fault": fault.id}
    try:
        post(fault.url, json.dumps(body).encode(), {"Content-Type": "application/json"}, timeout=60)
    except OSError as error:
        # The listener may die in answering: that is what such a fault is for. The request goes on.
        LOG.warning("callback %s did not answer: %s", fault.url, error)
