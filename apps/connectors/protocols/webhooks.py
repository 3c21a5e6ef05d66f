"""Signed webhooks, incoming.

Public surface: :func:`verify_standard`, :func:`verify_stripe`, :data:`TOLERANCE_SECONDS`.

Sources: Standard Webhooks 1.0.0 (signature by the ``standardwebhooks`` package), Stripe "Verify webhook signatures".
All secrets and all signatures are compared, each in constant time: which one fits tells a caller nothing by its timing.
Several secrets at once allow rotation without losing an event.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from apps.connectors.spi import WebhookRefused

#: Seconds that a signed time may differ from ours, both ways.
TOLERANCE_SECONDS = 300


def verify_standard(*, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> str:
    """The ``webhook-id`` of a genuine and fresh message. Raises :class:`WebhookRefused`."""
    named = {name.lower(): value for name, value in headers.items()}
    message_id = named.get("webhook-id", "")
    sent_at = named.get("webhook-timestamp", "")
    signatures = [part[3:] for part in named.get("webhook-signature", "").split() if part.startswith("v1,")]
    if not (message_id and sent_at and signatures):
        raise WebhookRefused("unsigned", "The webhook carries no signature.")
    at = _instant(sent_at)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise WebhookRefused("bad_signature", "The signed text is not UTF-8.") from None
    expected = [signer.sign(message_id, at, text).removeprefix("v1,") for signer in _signers(secrets)]
    _compare(expected, signatures)
    _fresh(at, now)
    return message_id


def verify_stripe(*, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """``Stripe-Signature: t=<unix>,v1=<hex>[,v1=<hex>…]``; several v1 during a roll. Raises :class:`WebhookRefused`."""
    named = {name.lower(): value for name, value in headers.items()}
    parts = [part.strip().partition("=") for part in named.get("stripe-signature", "").split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if not times or not signatures:
        raise WebhookRefused("unsigned", "The webhook carries no signature.")
    at = _instant(times[0])
    signed = times[0].encode() + b"." + body
    usable = [secret for secret in secrets if secret]
    if not usable:
        raise WebhookRefused("bad_signature", "No webhook secret is configured for this system.")
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in usable]
    _compare(expected, signatures)
    _fresh(at, now)


def _signers(secrets: Sequence[str]) -> list[Webhook]:
    signers = []
    for secret in secrets:
        try:
            signers.append(Webhook(secret))
        except (EmptyWebhookSecretError, binascii.Error, ValueError):
            raise WebhookRefused(
                "bad_signature", "A webhook secret of this system is not in the form whsec_…."
            ) from None
    if not signers:
        raise WebhookRefused("bad_signature", "No webhook secret is configured for this system.")
    return signers


def _instant(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(text), tz=UTC)
    except (ValueError, OverflowError, OSError):
        raise WebhookRefused("malformed", "The webhook's time is not a number of seconds.") from None


def _compare(expected: Sequence[str], given: Sequence[str]) -> None:
    genuine = False
    for one in expected:
        for other in given:
            genuine |= hmac.compare_digest(one.encode(), other.encode())
    if not genuine:
        raise WebhookRefused("bad_signature", "The webhook's signature does not fit.")


def _fresh(at: datetime, now: datetime) -> None:
    if abs((now - at).total_seconds()) > TOLERANCE_SECONDS:
        raise WebhookRefused("stale", "The webhook was signed more than five minutes away from our clock.")
