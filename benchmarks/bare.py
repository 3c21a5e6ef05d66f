"""The bare door: Django without the product's middleware, rooms or models; the same signature check, the same one statement.

A WSGI application for gunicorn (``benchmarks.bare:application``); ``BARE_DATABASE_URL`` names its database.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from typing import Any

import environ
from django.conf import settings

TABLES = """
CREATE TABLE bare_key (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source text NOT NULL, event_id text NOT NULL,
    created_at timestamptz NOT NULL, UNIQUE (source, event_id));
CREATE TABLE bare_inbox (
    id bigint PRIMARY KEY, received_at timestamptz NOT NULL, not_before timestamptz NOT NULL, source text NOT NULL,
    event_id text NOT NULL, headers jsonb NOT NULL, body bytea NOT NULL, changes jsonb NOT NULL, correlation_id uuid NOT NULL,
    done_at timestamptz, dead_at timestamptz);
CREATE INDEX bare_inbox_pending ON bare_inbox (id) WHERE done_at IS NULL AND dead_at IS NULL;
"""
RECEIVE = """
WITH fresh AS (
    INSERT INTO bare_key (source, event_id, created_at) VALUES (%(source)s, %(event_id)s, %(now)s)
    ON CONFLICT (source, event_id) DO NOTHING RETURNING id
)
INSERT INTO bare_inbox (id, received_at, not_before, source, event_id, headers, body, changes, correlation_id)
SELECT id, %(now)s, %(now)s, %(source)s, %(event_id)s, %(headers)s::jsonb, %(body)s, %(changes)s::jsonb, %(correlation_id)s
FROM fresh
"""


def parameters(event_id: str, body: bytes) -> dict[str, Any]:
    return {
        "source": "crm",
        "event_id": event_id,
        "now": datetime.now(UTC),
        "headers": json.dumps({"content-type": "application/json", "webhook-id": event_id}),
        "body": body,
        "changes": json.dumps([{"object_type": "deal", "external_id": json.loads(body)["deal"]}]),
        "correlation_id": str(uuid.uuid4()),
    }


if url := os.environ.get("BARE_DATABASE_URL", ""):
    database = dict(environ.Env.db_url_config(url)) | {"ENGINE": "django.db.backends.postgresql"}
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": database | {"CONN_MAX_AGE": 60}},
        MIDDLEWARE=[],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only-for-the-bench",
        USE_TZ=True,
    )
    import django

    django.setup()

    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from django.http import HttpRequest, JsonResponse
    from django.urls import re_path

    from apps.connectors.protocols.webhooks import verify_standard
    from benchmarks.load import SECRET

    def door(request: HttpRequest) -> JsonResponse:
        body = request.body
        event_id = verify_standard(
            headers=request.headers, body=body, secrets=[SECRET], now=datetime.now(UTC)
        )
        with connection.cursor() as cursor:
            cursor.execute(RECEIVE, parameters(event_id, body))
            new = cursor.rowcount == 1
        answer = JsonResponse({"received": True, "duplicate": not new}, status=202 if new else 200)
        # What CommonMiddleware would add; without it the server answers in chunks.
        answer["Content-Length"] = len(answer.content)
        return answer

    urlpatterns = [re_path(".*", door)]
    application = get_wsgi_application()
