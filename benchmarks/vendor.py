"""The bench's vendor: an adapter like any other, over the house's HTTP client, talking to :mod:`benchmarks.stub`.

Public surface: :class:`BenchAdapter`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from apps.connectors.protocols.http import Http, StaticAuth
from apps.connectors.protocols.webhooks import verify_standard
from apps.connectors.spi import (
    Change,
    Description,
    Health,
    Observed,
    Outcome,
    Page,
    Push,
    Settings,
    WebhookRefused,
)

DESCRIPTION = Description(
    vendor="bench",
    title="Bench vendor",
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {"max_concurrency": {"type": "integer", "title": "Calls at once"}},
        "required": [],
    },
    secret_names=("token", "webhook_secret"),
    reads=("deal",),
    writes={("customer", "create"): "key", ("milestone", "create"): "key"},
    pushes_events=True,
    polls=(),
)


class BenchAdapter:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        token = settings.secrets.get("token", "")
        self._http = Http(
            system=settings.system,
            base_url=settings.base_url,
            auth=StaticAuth(f"Bearer {token}"),
            secrets=[value for value in settings.secrets.values() if value],
        )

    def describe(self) -> Description:
        return DESCRIPTION

    def check(self) -> Health:
        return Health(ok=True, message="The bench's stub needs no sign-in.")

    def fetch(self, *, object_type: str, cursor: str, limit: int = 200) -> Page:
        return Page(changes=(), cursor=cursor, more=False)

    def find(
        self, *, object_type: str, by: str, value: str, extra: Mapping[str, Any] | None = None
    ) -> Sequence[Observed]:
        return ()

    def push(self, push: Push) -> Outcome:
        body = push.body.model_dump(mode="json") if push.body is not None else dict(push.values)
        answer = self._http.post(
            f"/w/{push.settings['workflow']}/{push.settings['step']}",
            json={"key": push.key, "refs": dict(push.refs), **body},
            headers={"Idempotency-Key": push.idempotency_key},
        )
        return Outcome(external_id=str(answer.body()["id"]), exchange=answer.exchange)

    def probe(self, push: Push) -> Outcome | None:
        """The stub knows every key it has seen, so sending again is looking: it answers as it did the first time."""
        return self.push(push)

    def receive(
        self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> tuple[str, Sequence[Change]]:
        event_id = verify_standard(headers=headers, body=body, secrets=secrets, now=now)
        try:
            event = json.loads(body)
            entity = str(event.get("entity") or "")
            change = Change(
                "deal", str(event["deal"]), event_id, event_type="deal.won", legal_entity_code=entity
            )
            return event_id, [change]
        except (ValueError, KeyError, TypeError) as error:
            raise WebhookRefused("malformed", "The event names no deal.") from error
