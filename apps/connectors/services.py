"""Verbs of this room: set a connection up, and talk to a system through its adapter.

Public surface: :func:`connection_set`, :func:`connection_pause`, :func:`connection_check`, :func:`secrets_rotate`,
:func:`describe`, :func:`fetch`, :func:`find`, :func:`push`, :func:`probe`, :func:`receive`, :func:`write_seconds`,
:func:`guarantee`, :func:`can_wait`; for pumps :func:`start`, :func:`keep`, :func:`leave`, :func:`full`.

What goes over the network refuses to run inside a database transaction: a slow vendor would hold our locks.
Everything that can go wrong outside comes as :class:`~apps.connectors.spi.AdapterError`, also when the connection is
missing, switched off or paused, so that a caller has one kind of failure to sort.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.connectors import allowance, registry, traffic
from apps.connectors.allowance import can_wait as can_wait
from apps.connectors.models import Connection
from apps.connectors.protocols.connect import private_hosts
from apps.connectors.protocols.http import Timeouts, before_each, budget, send_by
from apps.connectors.protocols.oauth import forget_tokens
from apps.connectors.secrets import SecretsUnreadable, decrypt, encrypt, rotate
from apps.connectors.spi import (
    Adapter,
    AdapterError,
    Change,
    Description,
    ErrorKind,
    Health,
    Metered,
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
#: A process that talks without trouble looks so seldom whether there is something to note.
OK_LOOKED = timedelta(seconds=5)
#: A paused connection is asked again after so many seconds.
PAUSE_SECONDS = 60.0
#: How long a process goes on with what it read of a connection: a pause or a new credential is felt everywhere by then.
KNOWN_SECONDS = 1.0
#: A look-up has no deadline of its own but that of each of its calls; it counts as one piece of traffic of this length.
LOOK_SECONDS = 60.0


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
    forget(system.pk)
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
    forget(system_id)


def secrets_rotate(*, by: Any = None) -> int:
    """Bring all stored credentials under the newest key of ``SECRETS_KEYS``; the number of connections."""
    with transaction.atomic():
        rows = list(Connection.objects.select_for_update().exclude(secrets=b"").order_by("pk"))
        for row in rows:
            row.secrets = rotate(row.secrets)
            row.save(update_fields=["secrets"])
            forget(row.system_id)
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
        adapter = _built(_row(system.pk))
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


def guarantee(*, system_id: int, object_type: str, operation: str) -> str:
    """What protects a write against being made twice: ``upsert``, ``key`` or ``search`` (see ``Description.writes``)."""
    known = _known(system_id)
    return str(known.description.writes.get((object_type, operation), "search"))


def start() -> None:
    """This process talks to systems all the time from now on, and calls :func:`keep` once a second."""
    traffic.start()


def keep() -> None:
    """Once a second, by a process that talks to systems all the time: renew its share of what they allow."""
    traffic.keep()


def leave() -> None:
    """Give back what :func:`keep` kept."""
    traffic.leave()


def full() -> list[int]:
    """Ids of systems for which new work would only wait."""
    return traffic.full()


def in_outage(system_id: int) -> bool:
    """Whether the system's circuit is open: it fails for everybody, not for one piece of work."""
    return traffic.is_open(system_id)


# ---- talking ---------------------------------------------------------------------------------------------------------


def describe(system_id: int) -> Description:
    """What the system's adapter can do. Raises ``NotFound`` when there is no connection."""
    row = Connection.objects.select_related("system").filter(system_id=system_id).first()
    if row is None:
        raise NotFound(_("This system has no connection."))
    return registry.describe_vendor(row.system.vendor)


def fetch(*, system_id: int, object_type: str, cursor: str, limit: int = 200) -> Page:
    """Changes since the cursor, oldest first; ``""`` starts at the vendor's safe window. It can wait (:func:`can_wait`)."""
    with can_wait(), _talking(system_id, None, wait=True) as adapter:
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
    """Objects by a criterion. ``deadline``: seconds that the whole look-up may take (a person waits).

    Without a deadline it may be turned away (``HELD_BACK``) when many wait for that system already."""
    with _talking(system_id, deadline, wait=deadline is not None) as adapter:
        return adapter.find(object_type=object_type, by=by, value=value, extra=extra)


def push(*, system_id: int, push: Push, not_after: float | None = None) -> Outcome:
    """One write, at most :func:`write_seconds`. ``UNKNOWN`` means: probe, never send again blindly.

    ``not_after`` (monotonic clock): once it is over the write no longer leaves; it fails as ``TRANSIENT``, unsent."""
    with _talking(system_id, write_seconds(), wait=True) as adapter, send_by(not_after):
        return adapter.push(push)


def probe(*, system_id: int, push: Push) -> Outcome | None:
    """Whether that write happened; None = certainly not there."""
    with _talking(system_id, write_seconds(), wait=True) as adapter:
        return adapter.probe(push)


def receive(*, system_code: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Sequence[Change]]:
    """Verify and parse a webhook of a system: ``(event_id, changes)``. Raises ``WebhookRefused``; no network.

    ``webhook_secret`` may hold several secrets separated by spaces, which is how one is replaced without loss. Raises
    ``NotFound`` for a code that nobody has, and for a system that takes no webhooks.
    """
    system_id = _ids.get(system_code)
    if system_id is None:
        system_id = _ids[system_code] = organization.system(system_code).pk
    try:
        known = _known(system_id)
    except AdapterError as error:
        if error.kind is ErrorKind.PERMISSION:
            raise NotFound(_("This system takes no webhooks.")) from error
        raise WebhookRefused("bad_signature", error.message) from error
    keys = known.settings.secrets.get("webhook_secret", "").split()
    return known.adapter().receive(headers=headers, body=body, secrets=keys, now=clock.now())


# ---- inside ----------------------------------------------------------------------------------------------------------


@dataclass
class _Known:
    """What this process knows of a connection, and when (monotonic clock) it read it."""

    row: Connection
    settings: Settings
    description: Description
    limits: traffic.Limits
    read_at: float
    #: An adapter a thread: instances are used by one thread at a time.
    adapters: threading.local = field(default_factory=threading.local)
    ok_at: datetime | None = None
    error: str = ""

    def adapter(self) -> Adapter:
        found: Adapter | None = getattr(self.adapters, "adapter", None)
        if found is None:
            found = self.adapters.adapter = registry.build(self.row.system.vendor, self.settings)
        return found


_connections: dict[int, _Known] = {}
#: Codes of systems that events came for; a code never changes its system.
_ids: dict[str, int] = {}


def forget(system_id: int | None = None) -> None:
    """Read a connection (None: every one) again at its next use in this process."""
    if system_id is None:
        _connections.clear()
        _ids.clear()
        traffic.forget()
        allowance.forget()
    else:
        _connections.pop(system_id, None)
        allowance.forget(system_id)


@contextmanager
def _talking(system_id: int, seconds: float | None, *, wait: bool) -> Iterator[Adapter]:
    """An adapter for one call that the system's traffic allows, with its outcome noted at the connection."""
    _refuse_transaction()
    known = _known(system_id)
    if known.row.paused:
        raise AdapterError(
            ErrorKind.HELD_BACK,
            _("Traffic to %(system)s is paused by an administrator.") % {"system": known.row.system.name},
            vendor_code="paused",
            retry_after=PAUSE_SECONDS,
            details={"system_id": system_id},
        )
    allowance.leave_room(system_id, known.row.system.name)
    with traffic.passage(known.limits, seconds=seconds or LOOK_SECONDS, wait=wait) as step:
        adapter: Adapter | None = None
        try:
            with budget(seconds), before_each(step):
                adapter = known.adapter()
                yield adapter
        except AdapterError as error:
            if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION, ErrorKind.TRANSIENT, ErrorKind.UNKNOWN):
                error.details.setdefault("system_id", system_id)
                known.error = error.message
                _note_error(system_id, error.message)
            else:
                _ok(known)  # it answered; what it refused is the caller's matter
            raise
        finally:
            if isinstance(adapter, Metered):
                allowance.heard(system_id, adapter.used())
        _ok(known)


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


def _known(system_id: int) -> _Known:
    """The connection as it was at most a second ago; its adapters live until something about it changes."""
    now = time.monotonic()
    held = _connections.get(system_id)
    if held is not None and now - held.read_at < KNOWN_SECONDS:
        return held
    row = _row(system_id)
    if held is not None and held.row.changed_at == row.changed_at and held.row.secrets == row.secrets:
        held.row, held.read_at = row, now
        return held
    known = _Known(row, _settings(row), registry.describe_vendor(row.system.vendor), _limits(row), now)
    _connections[system_id] = known
    return known


def _limits(row: Connection) -> traffic.Limits:
    described = registry.describe_vendor(row.system.vendor)
    return traffic.Limits(
        system_id=row.system_id,
        name=row.system.name,
        concurrency=int(row.config.get("max_concurrency") or described.concurrency),
        per_second=float(row.config.get("calls_per_second") or described.calls_per_second or 0) or None,
    )


def _settings(row: Connection) -> Settings:
    try:
        values = decrypt(row.secrets, system_id=row.system_id)
    except SecretsUnreadable as error:
        raise AdapterError(ErrorKind.AUTH, error.message, code="INT-AUTH") from error
    return Settings(system=row.system.code, base_url=row.base_url, config=row.config, secrets=values)


def _built(row: Connection) -> Adapter:
    return registry.build(row.system.vendor, _settings(row))


def _ok(known: _Known) -> None:
    """Most calls go well: that is written down once in a while, not each time."""
    now = clock.now()
    if known.error or known.ok_at is None or now - known.ok_at >= OK_LOOKED:
        known.ok_at, known.error = now, ""
        _note_ok(known.row.system_id)


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
