"""The service-provider interface: what every vendor adapter offers, and the words both sides use.

Public surface: the dataclasses, :class:`AdapterError` with its kinds, and :class:`Adapter`.

Everything here is plain data: an adapter sees only this module, ``apps.connectors.protocols`` and canonical objects.
Adapters do network calls and never touch our database.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from apps.canonical.objects import Canonical


class ErrorKind(enum.StrEnum):
    """Outside errors sorted into few kinds at the adapter's edge; what follows from each is decided in sync."""

    TRANSIENT = "transient"  # 5xx, reset before sending, lock: retry
    RATE_LIMITED = "rate_limited"  # retry, honouring retry_after
    AUTH = "auth"  # credentials refused twice: a person
    PERMISSION = "permission"  # 403 that is no limit: a person
    REJECTED = "rejected"  # the data is refused: a person, with catalogue code
    CONFLICT = "conflict"  # changed meanwhile: re-read and plan again
    UNKNOWN = "unknown"  # sent, no trustworthy answer: probe, never resend blindly
    CONTRACT_DRIFT = "contract_drift"  # unknown field or shape: mapping version, a person
    NOT_FOUND = "not_found"  # the addressed object is gone
    HELD_BACK = "held_back"  # not sent: paused, circuit open, or as many calls as the system allows; later, no failed try


@dataclass(frozen=True)
class Exchange:
    """One HTTP exchange for the journal. ``masked``: secrets and personal data have been taken out already; of an exchange
    that does not say so they are taken out before it is stored."""

    method: str
    url: str
    request: Any = None
    status: int | None = None
    response: Any = None
    elapsed_ms: int = 0
    masked: bool = False


class AdapterError(Exception):
    """What went wrong, in our words.

    ``code`` is a catalogue code (``CUS-DUP``, ``INT-AUTH`` …) where the vendor's answer is that specific, else "".
    ``field`` and ``value`` name the canonical field and value it is about; ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str = "",
        vendor_code: str = "",
        field: str = "",
        value: str = "",
        retry_after: float | None = None,
        exchange: Exchange | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code
        self.vendor_code = vendor_code
        self.field = field
        self.value = value
        self.retry_after = retry_after
        self.exchange = exchange
        self.details = dict(details or {})


@dataclass(frozen=True)
class Change:
    """News that an object changed; a hint only, the object is always read again (newest truth wins).

    ``container_id`` is the vendor's id of the project/deal/customer the object hangs on, where the event says it.
    """

    object_type: str
    external_id: str
    event_id: str
    occurred_at: datetime | None = None
    container_id: str = ""
    event_type: str = ""
    own_write: bool = False  # the vendor says that our integration made this change (echo)
    #: Our external key that the object carries, where the system says so.
    key: str = ""
    #: Whose object it is, where the event says so: only for whose turn it is worked on in, never believed otherwise.
    legal_entity_code: str = ""


@dataclass(frozen=True)
class Page:
    """One page of changes since a cursor. ``cursor`` is opaque JSON-able text to store after the page is received."""

    changes: Sequence[Change]
    cursor: str
    more: bool


@dataclass(frozen=True)
class Observed:
    """An object as a system shows it now. ``version`` changes whenever the vendor's record does."""

    object_type: str
    external_id: str
    body: Canonical
    version: str = ""
    modified_at: datetime | None = None
    url: str = ""
    container_id: str = ""
    #: Vendor-side facts that have no canonical field but matter to planning (``inactive``, ``credit_hold``,
    #: ``status``, ``number``, ``legal_entities`` …). Plain JSON values.
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Push:
    """One write. ``key`` is our stable external key of the object in that system (at most 64 of ``[A-Za-z0-9_-]``).

    ``operation``: ``create`` (or upsert by key), ``update`` (needs ``external_id``) or a verb the adapter describes
    (``post``, ``finalize``, ``send``, ``enable_entity``).
    ``refs`` carries ids already resolved through cross-references, by role: ``{"customer": "647"}``.
    ``settings`` carries vendor configuration that routing decided (``{"subsidiary": "2"}``).
    """

    object_type: str
    operation: str
    key: str
    idempotency_key: str
    body: Canonical | None = None
    external_id: str = ""
    refs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Only these canonical fields are written on update; empty = all that the adapter owns.
    fields: Sequence[str] = ()
    #: Version we last saw, for optimistic concurrency where the vendor has it.
    if_version: str = ""
    #: Extra plain values for objects without a canonical class (``deal_status``, ``billing_rule``, ``payment`` …).
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A write that the system confirmed. ``created`` false = updated or already there."""

    external_id: str
    created: bool = True
    url: str = ""
    version: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    exchange: Exchange | None = None


@dataclass(frozen=True)
class Description:
    """What the adapter can do; the console renders ``config_schema`` (JSON Schema) as its form.

    ``writes``: ``{(object_type, operation): guarantee}`` with guarantee ``upsert`` (external key), ``key`` (idempotency
    key) or ``search`` (neither: created with an external reference that is searched before any second try).
    """

    vendor: str
    title: str
    config_schema: Mapping[str, Any]
    secret_names: Sequence[str]
    reads: Sequence[str]
    writes: Mapping[tuple[str, str], str]
    pushes_events: bool
    polls: Sequence[str]
    record_url: str = ""
    #: Calls at once, and calls a second (None: not limited), that an account of the vendor allows at least;
    #: a connection's ``max_concurrency`` and ``calls_per_second`` say what this account allows.
    concurrency: int = 8
    calls_per_second: float | None = None
    #: How long the vendor tells of a change after it happened; None: whatever it holds can be asked for at any time.
    keeps_changes: timedelta | None = None


@dataclass(frozen=True)
class Health:
    ok: bool
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What an adapter instance is given: decrypted secrets live only as long as the instance."""

    system: str
    base_url: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str]


class Adapter(Protocol):
    """One vendor. Instances are cheap, hold no state but their ``http`` session, and are used by one thread at a time."""

    settings: Settings

    def describe(self) -> Description: ...

    def check(self) -> Health:
        """A cheap signed-in call; never raises for an expected failure."""

    def fetch(self, *, object_type: str, cursor: str, limit: int = 200) -> Page:
        """Changes since ``cursor`` ("" = from now minus the vendor's safe window), oldest first."""

    def find(
        self, *, object_type: str, by: str, value: str, extra: Mapping[str, Any] | None = None
    ) -> Sequence[Observed]:
        """Objects with ``by`` one of ``id``, ``key`` (our external key), or an object-specific criterion such as
        ``tax_id``, ``name``, ``claimed_id``, ``domain``, ``code``. Empty when none; several when the system holds several."""

    def push(self, push: Push) -> Outcome:
        """Do the write once. Raises :class:`AdapterError`; ``UNKNOWN`` when it was sent and no answer can be trusted."""

    def probe(self, push: Push) -> Outcome | None:
        """Did this write happen? Looks by external key, never writes. None = certainly not there."""

    def receive(
        self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> tuple[str, Sequence[Change]]:
        """Verify signature and replay window of a webhook, parse it: ``(event_id, changes)``.
        Raises :class:`WebhookRefused`. Pure: no network."""


@runtime_checkable
class Metered(Protocol):
    """An adapter whose vendor tells with each answer how much of a day's calls the account has used."""

    def used(self) -> float | None:
        """The share used (1.0: all), as the answers since the last question told; None when none told."""


class WebhookRefused(Exception):
    """A webhook that is not taken.

    ``reason``: ``unsigned``, ``bad_signature``, ``stale``, ``malformed``, ``unknown_version``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
