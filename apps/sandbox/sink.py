"""A receiver of our announcements: takes CloudEvents, checks their Standard Webhooks signature, keeps them.

Public surface: Sink (handle, events).
"""

import base64
import binascii
import hashlib
import hmac
import json
import time

from .core.clock import stamp
from .core.http import Request, Response
from .core.systems import Vendor

TOLERANCE_SECONDS = 300


class Sink(Vendor):
    """Answers 202 to what it can verify (or when no secret is set), 401 otherwise; keeps both."""

    def handle(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(405, {"error": "POST only"}, {"Allow": "POST"})
        try:
            event = json.loads(request.body)
        except ValueError:
            return Response(400, {"error": "the body is no JSON"})
        verified, reason = self._verify(request)
        self.system.store.execute(
            "INSERT INTO sink (id, at, verified, reason, headers, json) VALUES (?,?,?,?,?,?)",
            (
                request.header("webhook-id") or (event.get("id") if isinstance(event, dict) else ""),
                stamp(),
                int(verified),
                reason,
                json.dumps(request.headers),
                json.dumps(event),
            ),
        )
        if not verified and reason != "no secret is set":
            return Response(401, {"error": reason})
        return Response(202, {"accepted": True})

    def _verify(self, request: Request) -> tuple[bool, str]:
        secret = self.system.credentials.get("secret")
        if not secret:
            return False, "no secret is set"
        id_, at = request.header("webhook-id"), request.header("webhook-timestamp")
        if not id_ or not at.isdigit():
            return False, "webhook-id or webhook-timestamp is missing"
        if abs(time.time() - int(at)) > TOLERANCE_SECONDS:
            return False, "webhook-timestamp is out of tolerance"
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"))
        except binascii.Error:
            return False, "the configured secret is no base64"
        expected = base64.b64encode(
            hmac.new(key, f"{id_}.{at}.".encode() + request.body, hashlib.sha256).digest()
        ).decode()
        given = [part.partition(",")[2] for part in request.header("webhook-signature").split()]
        if not any(hmac.compare_digest(expected, signature) for signature in given):
            return False, "no signature matches"
        return True, ""

    def events(self) -> dict:
        rows = self.system.store.query(
            "SELECT id, at, verified, reason, headers, json FROM sink ORDER BY seq"
        )
        events = [
            {
                "id": i,
                "at": a,
                "verified": bool(v),
                "reason": r,
                "headers": json.loads(h),
                "event": json.loads(j),
            }
            for i, a, v, r, h, j in rows
        ]
        return {"count": len(events), "events": events}

    def forget(self) -> None:
        self.system.store.execute("DELETE FROM sink")
