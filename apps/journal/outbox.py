"""The outbox: what we announce, as CloudEvents 1.0, written in the transaction that made it true.

Public surface: :func:`publish`, :func:`subscription_add`, :func:`subscription_enable`, :func:`cloud_event`.
Outsiders take them from :mod:`apps.journal.services`. Delivery is in :mod:`apps.journal.delivery`.

Sources: CloudEvents 1.0.2 (required attributes, structured mode) · Standard Webhooks 1.0.0 (secrets ``whsec_``).
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.core import clock, correlation
from apps.core.errors import InvalidInput, Unavailable
from apps.journal.audit import record
from apps.journal.models import Outbox, Subscription

_TYPE = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$")


def publish(
    *,
    type: str,
    subject: str,
    data: Mapping[str, Any],
    legal_entity_id: int | None,
    correlation_id: str | None = None,
    key: str | None = None,
) -> Outbox:
    """Announce in the caller's transaction: ``type`` like ``psasync.invoice.posted.v1``, ``subject`` a business key.

    With ``key`` the same announcement is made once; a second call returns the first row.
    """
    if not _TYPE.match(type):
        raise ValueError(f"{type!r} is not an event type like psasync.invoice.posted.v1")
    values = {
        "type": type,
        "subject": subject[:255],
        "data": dict(data),
        "legal_entity_id": legal_entity_id,
        "correlation_id": uuid.UUID(correlation_id or correlation.current()),
    }
    if key is None:
        return Outbox.objects.create(**values)
    return Outbox.objects.get_or_create(key=key[:255], defaults=values)[0]


def cloud_event(event: Outbox) -> dict[str, Any]:
    """The event as a structured-mode CloudEvent; the same bytes-worth of data at every attempt."""
    return {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": settings.PUBLIC_URL,
        "type": event.type,
        "subject": event.subject,
        "time": event.created_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "correlationid": str(event.correlation_id),
        "partitionkey": event.subject,
        "data": event.data,
    }


def _ring() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRETS_KEYS])


def unsealed_secret(subscription: Subscription) -> str:
    """The signing secret in plain; :class:`Unavailable` when no key of the ring opens it."""
    try:
        return _ring().decrypt(bytes(subscription.secret)).decode()
    except InvalidToken as error:
        raise Unavailable(
            _("The secret of this subscription cannot be opened with the present keys.")
        ) from error


def subscription_add(
    *,
    name: str,
    url: str,
    types: Sequence[str] = (),
    legal_entity_id: int | None = None,
    secret: str = "",
    by: Any = None,
) -> tuple[Subscription, str]:
    """Add a receiver; returns it with its signing secret, which is shown once and stored encrypted.

    ``types`` are prefixes (``psasync.invoice.``), none means all. A given ``secret`` is ``whsec_`` and 24 to 64 bytes
    in base64; without one it is minted.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        message = _("The address must be an http or https URL without credentials.")
        raise InvalidInput(message, fields={"url": message})
    secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except binascii.Error:
        size = 0
    if not secret.startswith("whsec_") or not 24 <= size <= 64:
        raise InvalidInput(_("The secret must be whsec_ followed by 24 to 64 bytes in base64."))
    try:
        with transaction.atomic():
            subscription = Subscription.objects.create(
                name=name,
                url=url,
                types=list(types),
                legal_entity_id=legal_entity_id,
                secret=_ring().encrypt(secret.encode()),
            )
            record(
                verb="subscription.added",
                object_type="subscription",
                object_ref=name,
                by=by,
                legal_entity_id=legal_entity_id,
                new={"url": url, "types": list(types)},
            )
    except IntegrityError as error:
        message = _("There is a subscription of this name.")
        raise InvalidInput(message, fields={"name": message}) from error
    return subscription, secret


def subscription_enable(
    *, subscription: Subscription, active: bool, reason: str = "", by: Any = None
) -> bool:
    """Switch a receiver on or off (with the reason); False when it already was so."""
    with transaction.atomic():
        changed = Subscription.objects.filter(pk=subscription.pk, active=not active).update(
            active=active, disabled_reason="" if active else reason[:255]
        )
        if changed:
            record(
                verb="subscription.enabled" if active else "subscription.disabled",
                object_type="subscription",
                object_ref=subscription.name,
                by=by,
                legal_entity_id=subscription.legal_entity_id,
                why=reason,
                new={"active": active, "at": clock.now()},
            )
    return bool(changed)
