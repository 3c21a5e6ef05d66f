"""A CRM and a billing platform that bring signed events, as the tests of the doors need them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from django.test import Client
from standardwebhooks import Webhook

from apps.connectors import services as connectors
from apps.core import clock
from apps.organization import services as organization
from apps.organization.models import System

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes !!!").decode()
STRIPE_SECRET = "whsec_test_of_the_doors"


def crm() -> System:
    system = organization.system_set(code="crm", name="Salesforce", kind="crm", vendor="salesforce")
    connectors.connection_set(
        system=system,
        base_url="http://127.0.0.1:23001",
        config={"client_id": "console", "event_schemas": ["known-schema"]},
        secrets={"client_secret": "s", "webhook_secret": SECRET},
    )
    return system


def billing() -> System:
    system = organization.system_set(code="pay", name="Stripe", kind="billing", vendor="stripe")
    connectors.connection_set(
        system=system,
        base_url="http://127.0.0.1:23002",
        config={},
        secrets={"api_key": "sk_test_1", "webhook_secret": STRIPE_SECRET},
    )
    return system


def deal_changed(deal_id: str = "006A", **message: Any) -> dict[str, Any]:
    """A change event of an opportunity."""
    return {
        "schema": "known-schema",
        "payload": {
            "ChangeEventHeader": {
                "entityName": "Opportunity",
                "recordIds": [deal_id],
                "changeType": "UPDATE",
                "commitTimestamp": int(clock.now().timestamp() * 1000),
                "changeOrigin": "",
            },
            "StageName": "Closed Won",
        },
        "event": {"replayId": 1},
        **message,
    }


def signed(body: bytes, *, event_id: str = "", age_seconds: int = 0, secret: str = SECRET) -> dict[str, str]:
    """Standard Webhooks headers; text that is not UTF-8 is signed byte by byte as a sender would."""
    event_id = event_id or f"msg_{uuid.uuid4().hex}"
    sent_at = clock.now().timestamp() - age_seconds
    try:
        signature = Webhook(secret).sign(event_id, datetime.fromtimestamp(sent_at, tz=UTC), body.decode())
    except UnicodeDecodeError:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{event_id}.{int(sent_at)}.".encode() + body
        signature = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(sent_at)),
        "webhook-signature": signature,
    }


def post(client: Client, body: bytes | dict[str, Any], path: str = "/hooks/crm", **headers: str) -> Any:
    """Bring an event; signed unless headers are given."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = headers.pop("sent", None)
    content_type = headers.pop("content_type", "application/json")
    return client.post(
        path,
        raw,
        content_type=content_type,
        headers={**(signed(raw) if sent is None else sent), **headers},
        CONTENT_TYPE=content_type,  # the test client leaves it away from an empty body
    )
