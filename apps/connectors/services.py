"""Verbs of this room: set a connection up, and talk to a system through its adapter.

Public surface: :func:`connection_set`, :func:`connection_pause`, :func:`connection_check`, :func:`secrets_rotate`,
:func:`describe`, :func:`fetch`, :func:`find`, :func:`push`, :func:`probe`, :func:`receive`, :func:`write_seconds`.

What goes over the network refuses to run inside a database transaction: a slow vendor would hold our locks.
Everything that can go wrong outside comes as :class:`~apps.connectors.spi.AdapterError`, also when the connection is
missing, switched off or paused, so that a caller has one kind of failure to sort.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.connectors import registry
from apps.connectors.models import Connection
from apps.connectors.protocols.connect import private_hosts
from apps.connectors.protocols.http import Timeouts, budget
from apps.connectors.protocols.oauth import forget_tokens
from apps.connectors.secrets import SecretsUnreadable, decrypt, encrypt, rotate
from apps.connectors.spi import (
    Adapter,
    AdapterError,
    Change,
    Description,
    ErrorKind,
    Health,
    Observed,
    Outcome,
    Page,
    Push,
    Settings,
    WebhookRefused,
)
from apps.core import clock
from apps.core.errors import InvalidInput, NotFound
from apps.journal import services as journal
from apps.organization import selectors as organization

#: ``last_ok_at`` is written at most this often: a hot path should not rewrite one row a thousand times a minute.
OK_EVERY = timedelta(seconds=60)
#: A paused connection is asked again after so many seconds.
PAUSE_SECONDS = 60.0


# ---- setting up ------------------------------------------------------------------------------------------------------


def connection_set(
    *, system: Any, base_url: str, config: Mapping[str, Any], secrets: Mapping[str, str], by: Any = None
) -> Connection:
    """Create or change how a system is reached.

    ``secrets``: by name; an empty value keeps what is stored, so that a form never has to show one. Raises
    ``InvalidInput`` naming each wrong field, ``NotAllowed`` when ``by`` may not manage systems.
    """
    if by is not None:
        organization.require(by, "system.manage")
    description = registry.describe_vendor(system.vendor)
    fields = {**_address_problems(base_url), **_config_problems(description, config)}
    unknown = sorted(set(secrets) - set(description.secret_names))
    fields |= {name: _("This vendor has no such credential.") for name in unknown}
    if fields:
        raise InvalidInput(_("The connection cannot be saved as it is."), fields=fields)
    with transaction.atomic():
        row = Connection.objects.select_for_update().filter(system_id=system.pk).first()
        old = _audited(row) if row else None
        kept = _kept_secrets(row)
        changed = {name: value for name, value in secrets.items() if value and kept.get(name) != value}
        row = row or Connection(system_id=system.pk)
        row.base_url, row.config = base_url.rstrip("/"), dict(config)
        row.secrets = encrypt({**kept, **changed}, system_id=system.pk)
        row.changed_at = clock.now()
        row.save()
        journal.record(
            verb="connection.set",
            object_type="system",
            object_ref=system.code,
            by=by,
            old=old,
            new={**_audited(row), "secrets_changed": sorted(changed)},
        )
    forget_tokens(system.code)
    return row


def connection_pause(*, system_id: int, paused: bool, by: Any, why: str = "") -> None:
    """Stop or resume all traffic to a system; work for it waits meanwhile."""
    if by is not None:
        organization.require(by, "system.manage")
    with transaction.atomic():
        rows = Connection.objects.filter(system_id=system_id).exclude(paused=paused)
        if rows.update(paused=paused, changed_at=clock.now()):
            journal.record(
                verb="connection.pause" if paused else "connection.resume",
                object_type="system",
                object_ref=_row(system_id).system.code,
                by=by,
                old={"paused": not paused},
                new={"paused": paused},
                why=why,
            )


def secrets_rotate(*, by: Any = None) -> int:
    """Bring all stored credentials under the newest key of ``SECRETS_KEYS``; the number of connections."""
    with transaction.atomic():
        rows = list(Connection.objects.select_for_update().exclude(secrets=b"").order_by("pk"))
        for row in rows:
            row.secrets = rotate(row.secrets)
            row.save(update_fields=["secrets"])
        journal.record(
            verb="connection.secrets_rotate",
            object_type="system",
            object_ref="*",
            by=by,
            new={"connections": len(rows)},
        )
    return len(rows)


def connection_check(*, system: Any) -> Health:
    """Sign in and make one cheap call; the result is kept with the connection. Works while paused."""
    _refuse_transaction()
    try:
        adapter = _adapter(system.pk, even_paused=True)
        with budget(20.0):
            health = adapter.check()
    except AdapterError as error:
        health = Health(
            ok=False, message=error.message, details={"kind": str(error.kind), "code": error.code}
        )
    if health.ok:
        _note_ok(system.pk, always=True)
    else:
        _note_error(system.pk, health.message)
    return health


def write_seconds() -> float:
    """No push or probe takes longer than this, in seconds; a lease must outlive it before a write is sent."""
    return Timeouts.configured().total


# ---- talking ---------------------------------------------------------------------------------------------------------


def describe(system_id: int) -> Description:
    """What the system's adapter can do. Raises ``NotFound`` when there is no connection."""
    row = Connection.objects.select_related("system").filter(system_id=system_id).first()
    if row is None:
        raise NotFound(_("This system has no connection."))
    return registry.describe_vendor(row.system.vendor)


def fetch(*, system_id: int, object_type: str, cursor: str, limit: int = 200) -> Page:
    """Changes since the cursor, oldest first; ``""`` starts at the vendor's safe window."""
    with _talking(system_id, None) as adapter:
        return adapter.fetch(object_type=object_type, cursor=cursor, limit=limit)


def find(
    *,
    system_id: int,
    object_type: str,
    by: str,
    value: str,
    extra: Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> Sequence[Observed]:
    """Objects by a criterion. ``deadline``: seconds that the whole look-up may take (a person waits)."""
    with _talking(system_id, deadline) as adapter:
        return adapter.find(object_type=object_type, by=by, value=value, extra=extra)


def push(*, system_id: int, push: Push) -> Outcome:
    """One write, at most :func:`write_seconds`. ``UNKNOWN`` means: probe, never send again blindly."""
    with _talking(system_id, write_seconds()) as adapter:
        return adapter.push(push)


def probe(*, system_id: int, push: Push) -> Outcome | None:
    """Whether that write happened; None = certainly not there."""
    with _talking(system_id, write_seconds()) as adapter:
        return adapter.probe(push)


def receive(*, system: Any, headers: Mapping[str, str], body: bytes) -> tuple[str, Sequence[Change]]:
    """Verify and parse a webhook of a system: ``(event_id, changes)``. Raises ``WebhookRefused``; no network.

    ``webhook_secret`` may hold several secrets separated by spaces, which is how one is replaced without loss.
    """
    row = Connection.objects.select_related("system").filter(system_id=system.pk, enabled=True).first()
    if row is None:
        raise NotFound(_("This system takes no webhooks."))
    try:
        adapter = _built(row)
    except AdapterError as error:
        raise WebhookRefused("bad_signature", error.message) from error
    keys = adapter.settings.secrets.get("webhook_secret", "").split()
    return adapter.receive(headers=headers, body=body, secrets=keys, now=clock.now())


# ---- inside ----------------------------------------------------------------------------------------------------------


@contextmanager
def _talking(system_id: int, seconds: float | None) -> Iterator[Adapter]:
    """An adapter for one call, with its outcome noted at the connection."""
    _refuse_transaction()
    adapter = _adapter(system_id)
    try:
        with budget(seconds):
            yield adapter
    except AdapterError as error:
        if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.TRANSIENT, ErrorKind.UNKNOWN):
            _note_error(system_id, error.message)
        else:
            _note_ok(system_id)  # it answered; what it refused is the caller's matter
        raise
    _note_ok(system_id)


def _refuse_transaction() -> None:
    """As Django's ``durable``: only the transaction that a test case wraps around itself is excepted."""
    if any(not getattr(block, "_from_testcase", False) for block in database.atomic_blocks):
        raise RuntimeError("A vendor system must not be called inside a database transaction.")


def _row(system_id: int) -> Connection:
    row = Connection.objects.select_related("system").filter(system_id=system_id).first()
    if row is None or not row.enabled or not row.system.active:
        raise AdapterError(
            ErrorKind.PERMISSION,
            _("This system is not connected. An administrator can set it up."),
            code="INT-PERM",
        )
    return row


def _adapter(system_id: int, *, even_paused: bool = False) -> Adapter:
    row = _row(system_id)
    if row.paused and not even_paused:
        raise AdapterError(
            ErrorKind.TRANSIENT,
            _("Traffic to %(system)s is paused by an administrator.") % {"system": row.system.name},
            vendor_code="paused",
            retry_after=PAUSE_SECONDS,
        )
    return _built(row)


def _built(row: Connection) -> Adapter:
    try:
        values = decrypt(row.secrets, system_id=row.system_id)
    except SecretsUnreadable as error:
        raise AdapterError(ErrorKind.AUTH, error.message, code="INT-AUTH") from error
    settings = Settings(system=row.system.code, base_url=row.base_url, config=row.config, secrets=values)
    return registry.build(row.system.vendor, settings)


def _note_ok(system_id: int, *, always: bool = False) -> None:
    now = clock.now()
    rows = Connection.objects.filter(system_id=system_id)
    if not always:
        due = Q(last_ok_at__isnull=True) | Q(last_ok_at__lt=now - OK_EVERY) | ~Q(last_error="")
        rows = rows.filter(due)
    rows.update(last_ok_at=now, last_error="", last_error_at=None)


def _note_error(system_id: int, message: str) -> None:
    text = message[:500]
    rows = Connection.objects.filter(system_id=system_id)
    now = clock.now()
    rows.exclude(last_error=text, last_error_at__gt=now - OK_EVERY).update(last_error=text, last_error_at=now)


def _kept_secrets(row: Connection | None) -> dict[str, str]:
    """What is stored already. Under a lost key everything has to be entered again, so nothing is kept."""
    if row is None:
        return {}
    try:
        return decrypt(row.secrets, system_id=row.system_id)
    except SecretsUnreadable:
        return {}


def _audited(row: Connection) -> dict[str, Any]:
    return {"base_url": row.base_url, "config": dict(row.config), "enabled": row.enabled}


def _address_problems(base_url: str) -> dict[str, str]:
    try:
        parts = urlsplit(base_url)
        host, _port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return {"base_url": _("This is not a web address.")}
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        return {"base_url": _("Enter the plain address of the system, without user, query or fragment.")}
    if parts.scheme == "https" or (parts.scheme == "http" and host in private_hosts()):
        return {}
    return {"base_url": _("The address must start with https://.")}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


def _config_problems(description: Description, config: Mapping[str, Any]) -> dict[str, str]:
    """The subset of JSON Schema that adapters use: properties, required, type, enum, closed objects."""
    properties: Mapping[str, Any] = description.config_schema.get("properties", {})
    problems = {name: _("This vendor has no such setting.") for name in config if name not in properties}
    for name in description.config_schema.get("required", ()):
        if config.get(name) in (None, ""):
            problems[name] = _("This setting is needed.")
    for name, value in config.items():
        schema = properties.get(name, {})
        types = _TYPES.get(schema.get("type", ""), (object,))
        if not isinstance(value, types) or (
            isinstance(value, bool) and bool not in types and object not in types
        ):
            problems[name] = _("This setting has the wrong type.")
        elif schema.get("enum") and value not in schema["enum"] and value != "":
            problems[name] = _("Choose one of: %(choices)s") % {
                "choices": ", ".join(map(str, schema["enum"]))
            }
    return problems
