"""HTTP to vendor systems: one client, the same rules for every vendor.

Public surface: :class:`Http`, :class:`Answer`, :class:`Timeouts`, :func:`budget`, :func:`send_by`,
:func:`before_each`, :func:`default_error`, :data:`MISSHAPEN`, :func:`retry_after`, :class:`Authorizer`,
:class:`StaticAuth`.

Rules: connect, read and total time limits; a size limit; redirects stay on the same origin and are never followed on
writes; every call carries ``X-Correlation-Id``; what goes wrong becomes an :class:`~apps.connectors.spi.AdapterError`:

* nothing was sent (no connection) → ``TRANSIENT``;
* a read got no whole answer → ``TRANSIENT``;
* a *write* was sent and no whole answer came back → ``UNKNOWN``: somebody must look before trying again.

A deployment behind a company proxy sets that up at network level: proxy variables of the environment are not read.
"""

from __future__ import annotations

import contextlib
import json as jsonlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import urllib3.exceptions
from django.conf import settings

from apps.connectors.protocols import redact
from apps.connectors.protocols.connect import AddressRefused, Call, pooled_adapter, private_hosts, set_call
from apps.connectors.spi import AdapterError, ErrorKind, Exchange
from apps.core import clock, correlation

USER_AGENT = "pssync-console/1"
MAX_BYTES = 20 * 1024 * 1024
#: Longest answer that an exchange keeps whole: of writes and failures, and of reads.
KEPT_BYTES = 128 * 1024
PAGE_BYTES = 8 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_budget = threading.local()

#: Turns a refused answer into an error of ours; None = leave it to :func:`default_error`.
ErrorSorter = Callable[["Answer", bool], AdapterError | None]


@dataclass(frozen=True)
class Timeouts:
    """Seconds. ``read`` is the longest silence, ``total`` the longest call including all of the answer."""

    connect: float
    read: float
    total: float

    @classmethod
    def configured(cls) -> Timeouts:
        """``HTTP_CONNECT_TIMEOUT`` and ``HTTP_READ_TIMEOUT``; a whole call gets both together, as leases assume."""
        connect = float(getattr(settings, "HTTP_CONNECT_TIMEOUT", 5))
        read = float(getattr(settings, "HTTP_READ_TIMEOUT", 30))
        return cls(connect=connect, read=read, total=connect + read)


@contextlib.contextmanager
def budget(seconds: float | None) -> Iterator[None]:
    """Everything called inside (in this thread) ends within so many seconds altogether; None adds no limit."""
    before = getattr(_budget, "ends_at", None)
    if seconds is not None:
        ends_at = time.monotonic() + seconds
        _budget.ends_at = ends_at if before is None else min(before, ends_at)
    try:
        yield
    finally:
        _budget.ends_at = before


@contextlib.contextmanager
def send_by(moment: float | None) -> Iterator[None]:
    """No write inside (in this thread) puts its first byte on the wire after ``moment`` (monotonic clock); None: no limit.

    A worker that was stopped and wakes up late finds that its lease is over before it sends, not after."""
    before = getattr(_budget, "send_by", None)
    _budget.send_by = moment
    try:
        yield
    finally:
        _budget.send_by = before


@contextlib.contextmanager
def before_each(step: Callable[[], None] | None) -> Iterator[None]:
    """Do ``step`` before each call inside (in this thread) goes out; it may wait, or raise ``AdapterError`` to stop it."""
    before = getattr(_budget, "step", None)
    _budget.step = step
    try:
        yield
    finally:
        _budget.step = before


class Authorizer(Protocol):
    """Signs calls in."""

    def value(self) -> str:
        """The ``Authorization`` header now; may mint a token."""

    def renew(self, refused: str) -> bool:
        """The value was refused by 401. True when there is a fresh one to try once, False when there is none to be had."""


@dataclass(frozen=True)
class StaticAuth:
    """An ``Authorization`` header that never changes (API key, personal token)."""

    header: str

    def value(self) -> str:
        return self.header

    def renew(self, refused: str) -> bool:
        return False


@dataclass(frozen=True)
class Answer:
    """A whole answer. ``data`` is the parsed JSON, or the text when it is none, or None when empty.

    ``exchange`` is made when somebody asks for it: redaction walks all of both bodies, and most reads are never shown."""

    status: int
    headers: Mapping[str, str]
    data: Any
    is_json: bool
    seen: Callable[[], Exchange]

    @cached_property
    def exchange(self) -> Exchange:
        return self.seen()

    def body(self) -> Any:
        """The JSON body. Raises ``CONTRACT_DRIFT`` when the vendor sent something else (an HTML page of a proxy)."""
        if not self.is_json:
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                "The system answered with something that is not JSON.",
                code="INT-SCHEMA",
                exchange=self.exchange,
            )
        return self.data


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of ``Retry-After`` (RFC 9110 §10.2.3: seconds or an HTTP date); None when absent or nonsense."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - clock.now()).total_seconds()
        except (TypeError, ValueError):
            return None
    if seconds != seconds or seconds in (float("inf"), float("-inf")):
        return None
    return max(0.0, seconds)


#: Statuses of a request that the system cannot take as it is built, whatever its data: method, length of the address,
#: media type, size of the headers (RFC 9110 §15.5, RFC 6585 §5).
MISSHAPEN = frozenset({405, 406, 414, 415, 431})
#: HTTP status → (kind, catalogue code, sentence).
_STATUSES: dict[int, tuple[ErrorKind, str, str]] = {
    401: (ErrorKind.AUTH, "INT-AUTH", "The system refused our credentials."),
    403: (ErrorKind.PERMISSION, "INT-PERM", "The system does not allow us to do this."),
    404: (ErrorKind.NOT_FOUND, "", "The system does not have this record."),
    408: (ErrorKind.TRANSIENT, "", "The system is not available right now."),
    409: (ErrorKind.CONFLICT, "INT-LOCK", "The record was changed meanwhile."),
    410: (ErrorKind.NOT_FOUND, "", "The system does not have this record."),
    412: (ErrorKind.CONFLICT, "INT-LOCK", "The record was changed meanwhile."),
    420: (ErrorKind.TRANSIENT, "", "The system could not be reached through its own network."),
    423: (ErrorKind.CONFLICT, "INT-LOCK", "The record is locked by somebody else."),
    428: (ErrorKind.CONFLICT, "INT-LOCK", "The record was changed meanwhile."),
    429: (ErrorKind.RATE_LIMITED, "INT-RATE", "The system asks us to slow down."),
    503: (ErrorKind.TRANSIENT, "", "The system is not available right now."),
}


def default_error(answer: Answer, write: bool) -> AdapterError:
    """What an HTTP status means when the vendor's body says nothing more exact.

    A 5xx other than 503 on a write is ``UNKNOWN``: a gateway may give up while the system behind it goes on.
    """
    status = answer.status
    if status in _STATUSES:
        kind, code, message = _STATUSES[status]
    elif status in MISSHAPEN:
        kind, code = ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA"
        message = f"The system does not take requests of this form (HTTP {status})."
    elif status >= 500 and write:
        kind, code, message = ErrorKind.UNKNOWN, "", "The system failed while it worked on our write."
    elif status >= 500:
        kind, code, message = ErrorKind.TRANSIENT, "", "The system failed while it answered."
    elif status >= 400:
        kind, code, message = ErrorKind.REJECTED, "", f"The system refused the request (HTTP {status})."
    else:
        kind, code, message = ErrorKind.CONTRACT_DRIFT, "INT-SCHEMA", "The system sent us to another address."
    return AdapterError(
        kind,
        message,
        code=code,
        vendor_code=str(status),
        retry_after=retry_after(answer.headers),
        exchange=answer.exchange,
    )


def same_origin(one: str, other: str) -> bool:
    """Same scheme, host and port."""

    def origin(url: str) -> tuple[str, str, int | None]:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), port

    return origin(one) == origin(other)


class Http:
    """A vendor system's HTTP door.

    ``base_url``: origin and optional path prefix; calls name a path under it, or a full URL of the same origin.
    ``auth``: signs calls in; on 401 it is asked once for a fresh value (a refused call had no effect, so writes too).
    ``sort_error``: the vendor's error table. ``secrets``: values to mask in exchanges. ``heard``: is given the headers of
    every answer, refusals too (limits that the vendor tells there).
    """

    def __init__(
        self,
        *,
        system: str,
        base_url: str,
        auth: Authorizer | None = None,
        headers: Mapping[str, str] | None = None,
        sort_error: ErrorSorter | None = None,
        secrets: Sequence[str] = (),
        timeouts: Timeouts | None = None,
        max_bytes: int = MAX_BYTES,
        heard: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        self.system = system
        self.base_url = base_url.rstrip("/")
        self.auth = auth
        self.headers = dict(headers or {})
        self.sort_error = sort_error
        self.secrets = tuple(secrets)
        self.timeouts = timeouts or Timeouts.configured()
        self.max_bytes = max_bytes
        self.heard = heard

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Answer:
        return self.request("PATCH", path, **options)

    def put(self, path: str, **options: Any) -> Answer:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        json: Any = None,
        form: Sequence[tuple[str, str]] | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        write: bool | None = None,
        expect: Collection[int] = (),
    ) -> Answer:
        """One call; 2xx and the statuses in ``expect`` come back as an answer, everything else raises ``AdapterError``.

        ``write`` says whether the call changes anything (default: every method but GET and HEAD); a query sent by POST
        passes False.
        """
        is_write = method not in ("GET", "HEAD") if write is None else write
        url = self._url(path)
        body, content_type = _encode(json, form)
        sent_headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **self.headers}
        if content_type:
            sent_headers["Content-Type"] = content_type
        sent_headers |= dict(headers or {})
        sent_headers["X-Correlation-Id"] = str(correlation.current() or "")
        shown = json if json is not None else form
        answer = self._signed_in(method, url, params, body, shown, sent_headers, is_write)
        hops = 0
        while answer.status in _REDIRECTS and answer.status not in expect and not is_write and hops < 3:
            target = urljoin(url, answer.headers.get("Location", ""))
            if not same_origin(target, url):
                raise AdapterError(
                    ErrorKind.CONTRACT_DRIFT,
                    "The system sent us to another host; we do not follow.",
                    code="INT-SCHEMA",
                    vendor_code=str(answer.status),
                    exchange=answer.exchange,
                )
            url, params, hops = target, None, hops + 1
            answer = self._signed_in(method, url, None, body, shown, sent_headers, is_write)
        if 200 <= answer.status < 300 or answer.status in expect:
            return answer
        sorted_error = self.sort_error(answer, is_write) if self.sort_error else None
        raise sorted_error or default_error(answer, is_write)

    def _signed_in(
        self,
        method: str,
        url: str,
        params: Any,
        body: bytes | None,
        shown: Any,
        headers: dict[str, str],
        write: bool,
    ) -> Answer:
        if self.auth is None:
            return self._exchange(method, url, params, body, shown, headers, write)
        value = self.auth.value()
        answer = self._exchange(method, url, params, body, shown, {**headers, "Authorization": value}, write)
        if answer.status == 401 and self.auth.renew(value):
            fresh = {**headers, "Authorization": self.auth.value()}
            answer = self._exchange(method, url, params, body, shown, fresh, write)
        return answer

    def _url(self, path: str) -> str:
        url = path if "://" in path else f"{self.base_url}/{path.lstrip('/')}"
        parts = urlsplit(url)
        plain = parts.scheme == "http" and (parts.hostname or "").lower() in private_hosts()
        if parts.scheme != "https" and not plain:
            raise AdapterError(
                ErrorKind.PERMISSION,
                f"The address of {self.system} must start with https://.",
                code="INT-PERM",
            )
        if not same_origin(url, self.base_url):
            raise AdapterError(
                ErrorKind.CONTRACT_DRIFT,
                f"{self.system} named an address of another host; we do not go there.",
                code="INT-SCHEMA",
            )
        return url

    def _exchange(
        self,
        method: str,
        url: str,
        params: Any,
        body: bytes | None,
        shown: Any,
        headers: dict[str, str],
        write: bool,
    ) -> Answer:
        """One request on the wire, without following or signing in again."""
        if (step := getattr(_budget, "step", None)) is not None:
            step()
        started = time.monotonic()
        ends_at = started + self.timeouts.total
        limit = getattr(_budget, "ends_at", None)
        if limit is not None:
            ends_at = min(ends_at, limit)
        prepared = _prepared(method, url, params, body, headers)
        call = self._call(ends_at, write)
        status: int | None = None

        def seen(response: Any, elapsed: float) -> Exchange:
            return Exchange(
                method=method,
                url=redact.storable(redact.url(prepared.url or url, known=self.secrets)),
                request=redact.storable(shown, known=self.secrets),
                status=status,
                response=redact.storable(response, known=self.secrets),
                elapsed_ms=int(elapsed * 1000),
                masked=True,
            )

        try:
            try:
                response, content = self._wire(prepared, call)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
                # The other side closed a kept-alive connection just as we used it; a read may simply go again.
                if write or not call.reused or call.received or call.ends_at <= time.monotonic():
                    raise
                call = self._call(ends_at, write)
                response, content = self._wire(prepared, call)
            status = response.status_code
        except _TooLarge as error:
            status = error.status
            told = seen(None, time.monotonic() - started)
            raise self._lost(told, write, "The answer is larger than we accept.") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._failure(error, call, write, seen(None, time.monotonic() - started)) from error
        if self.heard is not None:
            self.heard(response.headers)
        data, is_json = _parse(content)
        kept = _kept(data, content, useful=write or status >= 400)
        elapsed = time.monotonic() - started
        return Answer(
            status=status,
            headers=response.headers,
            data=data,
            is_json=is_json,
            seen=lambda: seen(kept, elapsed),
        )

    def _call(self, ends_at: float, write: bool) -> Call:
        send_by = getattr(_budget, "send_by", None) if write else None
        return Call(ends_at=ends_at, read_seconds=self.timeouts.read, send_by=send_by)

    def _wire(self, prepared: requests.PreparedRequest, call: Call) -> tuple[requests.Response, bytes]:
        """Send, and read all of the answer."""
        set_call(call)
        try:
            left = call.remaining()
            adapter, verify = pooled_adapter(self.system)
            response = adapter.send(
                prepared,
                stream=True,
                timeout=(min(self.timeouts.connect, left), min(self.timeouts.read, left)),
                verify=verify,
            )
            with contextlib.closing(response):
                return response, self._content(response, call)
        finally:
            set_call(None)

    def _content(self, response: requests.Response, call: Call) -> bytes:
        """All of the body within the deadline and the size limit (counted after decompression)."""
        parts: list[bytes] = []
        size = 0
        while True:
            call.remaining()
            part = response.raw.read1(65536, decode_content=True)
            if not part:
                return b"".join(parts)
            size += len(part)
            if size > self.max_bytes:
                raise _TooLarge(response.status_code)
            parts.append(part)

    def _failure(self, error: Exception, call: Call, write: bool, exchange: Exchange) -> AdapterError:
        if _caused_by(error, AddressRefused):
            return AdapterError(
                ErrorKind.PERMISSION,
                f"The address of {self.system} leads into a private network, which is not allowed here.",
                code="INT-PERM",
                exchange=exchange,
            )
        if not call.sent:
            why = "in time" if isinstance(error, TimeoutError | requests.Timeout) else "at all"
            return AdapterError(
                ErrorKind.TRANSIENT, f"{self.system} could not be reached {why}.", exchange=exchange
            )
        timed_out = isinstance(error, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError)
        what = (
            "did not answer in time"
            if timed_out
            else "broke off the connection before its answer was complete"
        )
        return self._lost(exchange, write, f"{self.system} {what}.")

    def _lost(self, exchange: Exchange, write: bool, message: str) -> AdapterError:
        if write:
            return AdapterError(
                ErrorKind.UNKNOWN, f"{message} Whether the write happened is not known.", exchange=exchange
            )
        return AdapterError(ErrorKind.TRANSIENT, message, exchange=exchange)


class _TooLarge(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether ``kind`` hides in requests' nesting: ConnectionError(MaxRetryError(reason=…))."""
    seen: list[BaseException] = [error]
    for item in seen:
        if isinstance(item, kind):
            return True
        inner = [getattr(item, "reason", None), *getattr(item, "args", ()), item.__cause__, item.__context__]
        seen.extend(found for found in inner if isinstance(found, BaseException) and found not in seen)
    return False


def _prepared(
    method: str, url: str, params: Any, body: bytes | None, headers: Mapping[str, str]
) -> requests.PreparedRequest:
    """Prepared without a session: no cookies, no environment, no hooks are merged in; a third of the time of one."""
    prepared = requests.PreparedRequest()
    prepared.prepare(method=method, url=url, params=params, data=body, headers=dict(headers))
    return prepared


def _encode(json: Any, form: Any) -> tuple[bytes | None, str]:
    if json is not None:
        return jsonlib.dumps(
            json, ensure_ascii=False, separators=(",", ":"), default=str
        ).encode(), "application/json"
    if form is not None:
        pairs = list(form.items()) if isinstance(form, Mapping) else list(form)
        return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
    return None, ""


def _parse(content: bytes) -> tuple[Any, bool]:
    """The body as JSON. Numbers with a point come as strings, so that amounts reach ``Decimal`` without a binary float."""
    if not content.strip():
        return None, True
    try:
        return jsonlib.loads(content, parse_float=str), True
    except ValueError:
        return content.decode("utf-8", "replace"), False


def _kept(data: Any, content: bytes, *, useful: bool) -> Any:
    """What of an answer goes into its exchange, before redaction (which walks all of it and costs time by size).

    ``useful`` false: an answer that only told us data; a page of records is no evidence, its size is enough.
    """
    if len(content) <= (KEPT_BYTES if useful else PAGE_BYTES):
        return data
    start = content[:4000].decode("utf-8", "replace") if useful else ""
    return {"shortened": True, "bytes": len(content), "start": start}
