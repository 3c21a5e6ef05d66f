"""One door for every vendor: ``POST /hooks/<system code>``. Public surface: :func:`webhook`.

Anonymous by nature: the signature is the sender's proof. A 2xx is given only after the event is committed; nothing is
published to the broker here (workers poll). Whatever is refused gets a problem document and a row in the inbox's
rejects; no input leads to a 500.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from apps.api.parsing import MAX_BODY, declared_size
from apps.api.problems import problem
from apps.connectors import services as connectors
from apps.connectors.spi import WebhookRefused
from apps.core import correlation
from apps.core.errors import InvalidInput, NotFound
from apps.journal import services as journal

log = structlog.get_logger(__name__)

#: Reason → status, problem type, title.
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "unsigned": (401, "unsigned", "The event is not signed"),
    "bad_signature": (401, "bad-signature", "The signature does not fit"),
    "stale": (401, "stale-event", "The event is too old or too new"),
    "malformed": (400, "malformed-event", "The event cannot be read"),
    "unknown_version": (400, "unknown-version", "The event's version is not known"),
    "unknown_system": (404, "unknown-system", "There is no such door"),
    "wrong_method": (405, "wrong-method", "Only POST is taken here"),
    "too_large": (413, "too-large", "The event is too large"),
    "not_json": (415, "not-json", "Only JSON is taken here"),
}
_HEADERS = {401: {"WWW-Authenticate": "Webhook-Signature"}, 405: {"Allow": "POST"}}


class _Refused(Exception):
    """A refusal on its way out; ``body`` is what was read of the event."""

    def __init__(self, reason: str, message: str, body: bytes = b"") -> None:
        super().__init__(message)
        self.reason, self.message, self.body = reason, message, body


@csrf_exempt
@transaction.non_atomic_requests
def webhook(request: HttpRequest, system_code: str) -> HttpResponse:
    """Take one event of a system: 202 when new, 200 when it was received before."""
    connection.health_check_done = True  # type: ignore[attr-defined]  # one question less; see where it is stored
    try:
        try:
            new = _receive(request, system_code)
        except _Refused as refused:
            return _refuse(request, system_code, refused)
    except (OperationalError, InterfaceError):
        log.exception("webhook_not_stored", system=system_code[:80])
        return problem(
            503,
            type="unavailable",
            title=_("Unavailable"),
            detail=_("The event could not be stored now; send it again."),
            headers={"Retry-After": "10"},
        )
    log.info("event_received", system=system_code, new=new)
    return JsonResponse({"received": True, "duplicate": not new}, status=202 if new else 200)


def _receive(request: HttpRequest, system_code: str) -> bool:
    body = _body(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    event_id, changes = _verified(system_code, headers, body)
    event: dict[str, Any] = {
        "source": system_code,
        "event_id": event_id,
        "headers": headers,
        "body": body,
        "changes": [dict(vars(change)) for change in changes],
        "correlation_id": correlation.current(),
        "pushed_at": max((change.occurred_at for change in changes if change.occurred_at), default=None),
    }
    try:
        try:
            return journal.receive(**event)
        except (OperationalError, InterfaceError):
            # The connection may have died since its last use, which nobody asked it before. Once more on a fresh one: an event
            # is kept once however often it is stored.
            connection.close()
            return journal.receive(**event)
    except InvalidInput as error:
        raise _Refused("malformed", error.message, body) from error


def _body(request: HttpRequest) -> bytes:
    if request.method != "POST":
        raise _Refused("wrong_method", _("Events are sent with POST."))
    if declared_size(request) > MAX_BODY:
        # Only the beginning is read: a flood costs us no memory.
        start = request.read(2048)
        raise _Refused("too_large", _("An event may have %(limit)s bytes.") % {"limit": MAX_BODY}, start)
    try:
        body = request.read(MAX_BODY + 1)
    except (UnreadablePostError, RequestDataTooBig, OSError) as error:
        raise _Refused("malformed", _("The event did not arrive whole.")) from error
    if len(body) > MAX_BODY:
        raise _Refused("too_large", _("An event may have %(limit)s bytes.") % {"limit": MAX_BODY}, body)
    kind = (request.content_type or "").lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise _Refused("not_json", _("The Content-Type must be application/json."), body)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Refused("not_json", _("Compressed events are not taken."), body)
    return body


def _verified(system_code: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Any]:
    # A NUL in the path would reach the database as an error rather than as "no such system".
    if not system_code.isprintable():
        raise _Refused("unknown_system", _("No system is known by this address."), body)
    try:
        return connectors.receive(system_code=system_code, headers=headers, body=body)
    except WebhookRefused as refused:
        raise _Refused(refused.reason, refused.message, body) from refused
    except NotFound as error:
        raise _Refused("unknown_system", _("No system is known by this address."), body) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # An adapter stumbled over input it did not foresee: the sender's fault to fix, and ours to look at.
        log.exception("webhook_adapter_stumbled", system=system_code)
        raise _Refused("malformed", _("The event cannot be read."), body) from error


def _refuse(request: HttpRequest, system_code: str, refused: _Refused) -> JsonResponse:
    status, kind, title = _REFUSALS.get(refused.reason, _REFUSALS["malformed"])
    journal.reject(
        source=system_code,
        reason=refused.reason,
        message=refused.message,
        headers=request.headers,
        body=refused.body,
        size=max(declared_size(request), len(refused.body)),
    )
    log.info("webhook_refused", system=system_code[:80], reason=refused.reason)
    return problem(status, type=kind, title=title, detail=refused.message, headers=_HEADERS.get(status))
