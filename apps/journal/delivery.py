"""Delivery of the outbox: fan out, claim by lease, POST, journal the answer. No network inside a transaction.

Public surface: :func:`deliver_outbox`, :func:`delivery_retry`, :data:`SCHEDULE`.

Standard Webhooks 1.0.0: ``webhook-id`` stays the same over retries, ``webhook-timestamp`` is the attempt's,
``webhook-signature`` is ``v1,<HMAC-SHA256>``; only 2xx is success, redirects are failures, 410 switches the receiver
off, Retry-After is honoured. Body: a structured CloudEvent (``application/cloudevents+json``).
"""

from __future__ import annotations

import ipaddress
import json
import random
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
import structlog
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Q
from standardwebhooks import Webhook

from apps.core import clock, correlation
from apps.core.errors import Unavailable
from apps.journal.models import Delivery, Outbox, Subscription
from apps.journal.outbox import cloud_event, subscription_enable, unsealed_secret

log = structlog.get_logger(__name__)

#: Waits after each failed attempt, in seconds (Standard Webhooks' example schedule); then the delivery is dead.
SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_CONNECT, _READ = 5, 15
_CLAIM = 10
#: A claimed batch is worked off one by one; the lease of all that is left is renewed before each. It outlives one call,
#: resolution of names included, and what a killed worker held is taken up soon.
_LEASE_SECONDS = _CONNECT + _READ + 5


@dataclass(frozen=True)
class _Answer:
    status: int | None
    error: str
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def deliver_outbox(*, limit: int = 200) -> int:
    """Fan out new events and deliver what is due; returns how many deliveries succeeded. Safe to run twice at once."""
    _fan_out(limit)
    delivered = tried = 0
    with requests.Session() as session:
        session.trust_env = False
        while tried < limit:
            token = uuid.uuid4()
            claimed = _claim(token)
            if not claimed:
                break
            for delivery in claimed:
                tried += 1
                if not _keep(delivery.pk, token):
                    return delivered
                delivered += _deliver(session, delivery, token)
    return delivered


def _fan_out(limit: int) -> None:
    """One delivery row for each active subscription that wants the event."""
    with transaction.atomic():
        events = list(
            Outbox.objects.select_for_update(skip_locked=True)
            .filter(fanned_out_at=None)
            .order_by("id")[:limit]
        )
        if not events:
            return
        subscriptions = list(Subscription.objects.filter(active=True))
        Delivery.objects.bulk_create(
            [
                Delivery(outbox=event, subscription=subscription)
                for event in events
                for subscription in subscriptions
                if _wants(subscription, event)
            ],
            ignore_conflicts=True,
        )
        Outbox.objects.filter(pk__in=[event.pk for event in events]).update(fanned_out_at=clock.now())


def _wants(subscription: Subscription, event: Outbox) -> bool:
    if subscription.legal_entity_id not in (None, event.legal_entity_id):
        return False
    return not subscription.types or any(event.type.startswith(prefix) for prefix in subscription.types)


def _keep(delivery_id: int, token: uuid.UUID) -> bool:
    """Renew what this worker still holds. False when this delivery is no longer its own (it was thought dead)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE journal_delivery SET lease_until = now() + make_interval(secs => %s)"
            " WHERE lease_token = %s AND delivered_at IS NULL AND dead_at IS NULL RETURNING id",
            [_LEASE_SECONDS, token],
        )
        return delivery_id in {row[0] for row in cursor.fetchall()}


def _claim(token: uuid.UUID) -> list[Delivery]:
    """Lease a few due deliveries by the database's clock; one conditional UPDATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE journal_delivery SET lease_until = now() + make_interval(secs => %s), lease_token = %s,"
            "  attempts = attempts + 1"
            " WHERE id IN (SELECT d.id FROM journal_delivery d"
            "  JOIN journal_subscription s ON s.id = d.subscription_id AND s.active"
            "  WHERE d.delivered_at IS NULL AND d.dead_at IS NULL AND d.not_before <= %s"
            "  AND (d.lease_until IS NULL OR d.lease_until < now())"
            "  ORDER BY d.not_before, d.id LIMIT %s FOR UPDATE OF d SKIP LOCKED) RETURNING id",
            [_LEASE_SECONDS, token, clock.now(), _CLAIM],
        )
        ids = [row[0] for row in cursor.fetchall()]
    return list(
        Delivery.objects.filter(pk__in=ids)
        .select_related("outbox", "subscription")
        .order_by("outbox_id", "id")
    )


def _deliver(session: requests.Session, delivery: Delivery, token: uuid.UUID) -> bool:
    with correlation.bind(delivery.outbox.correlation_id):
        answer = _post(session, delivery)
        _journal(delivery, token, answer)
        if not answer.ok:
            log.warning(
                "outbox_delivery_failed",
                subscription=delivery.subscription.name,
                status=answer.status,
                error=answer.error,
                attempts=delivery.attempts,
            )
        return answer.ok


def _post(session: requests.Session, delivery: Delivery) -> _Answer:
    event, subscription = delivery.outbox, delivery.subscription
    body = json.dumps(cloud_event(event), cls=DjangoJSONEncoder, separators=(",", ":"))
    sent_at = clock.now()
    try:
        _check_host(subscription.url)
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "pssync-console",
            "webhook-id": str(event.event_id),
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": Webhook(unsealed_secret(subscription)).sign(
                str(event.event_id), sent_at, body
            ),
            correlation.HEADER: str(event.correlation_id),
        }
        with session.post(
            subscription.url,
            data=body.encode(),
            headers=headers,
            timeout=(_CONNECT, _READ),
            allow_redirects=False,
            stream=True,  # the answer's body is of no interest and may be endless
        ) as response:
            return _Answer(response.status_code, _status_text(response), _retry_after(response))
    except (requests.RequestException, Unavailable) as error:
        return _Answer(None, f"{type(error).__name__}: {error}"[:500])


def _status_text(response: requests.Response) -> str:
    return "" if response.ok else f"HTTP {response.status_code} {response.reason or ''}"[:500]


def _retry_after(response: requests.Response) -> float | None:
    """Seconds from Retry-After (RFC 9110 §10.2.3), as a number or a date; capped at a day."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return min(float(value), 86_400)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - clock.now()).total_seconds(), 0), 86_400)


def _check_host(url: str) -> None:
    """Refuse addresses inside private networks unless settings name the host (no SSRF by subscription)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in settings.OUTBOUND_ALLOW_PRIVATE:
        return
    try:
        found = socket.getaddrinfo(host, parts.port or (443 if parts.scheme == "https" else 80))
    except OSError as error:
        raise Unavailable(f"The host {host} has no address.") from error
    for entry in found:
        address = ipaddress.ip_address(str(entry[4][0]).split("%")[0])
        if not address.is_global:
            raise Unavailable(
                f"The host {host} is inside a private network, which the settings do not allow."
            )


def _journal(delivery: Delivery, token: uuid.UUID, answer: _Answer) -> None:
    """Write the outcome, only while the lease is ours (somebody else may have taken over an expired one)."""
    now = clock.now()
    values: dict[str, object] = {
        "last_status": answer.status,
        "last_error": answer.error,
        "lease_until": None,
        "lease_token": None,
    }
    gone = answer.status == 410
    if answer.ok:
        values["delivered_at"] = now
    elif gone or delivery.attempts > len(SCHEDULE):
        values["dead_at"] = now
    else:
        wait = SCHEDULE[delivery.attempts - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, no secret
        values["not_before"] = now + timedelta(seconds=max(wait, answer.retry_after or 0))
    Delivery.objects.filter(pk=delivery.pk, lease_token=token).update(**values)
    if gone:
        subscription_enable(
            subscription=delivery.subscription, active=False, reason="The receiver answered 410 Gone."
        )


def delivery_retry(*, ids: Sequence[int]) -> int:
    """Give dead or waiting deliveries a fresh budget, due at once; returns how many."""
    open_or_dead = Delivery.objects.filter(Q(pk__in=list(ids)), delivered_at=None)
    return open_or_dead.update(attempts=0, dead_at=None, not_before=clock.now(), last_error="")
