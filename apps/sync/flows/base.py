"""What a flow is: gather a snapshot, plan it purely. And the readers that every gather uses.

Public surface: :class:`Flow`, :class:`Context`, :class:`Meta`, :func:`read_one`, :func:`read_many`, :func:`seen_many`,
:func:`observe_gone`, :func:`link_id`, :func:`customer_name`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from apps.canonical.objects import OBJECTS
from apps.connectors import services as connectors
from apps.connectors.spi import Observed
from apps.core import clock
from apps.core.errors import WrongState
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.records import services as record_services
from apps.sync.plans import Draft


@dataclass(frozen=True)
class Context:
    """What a gather is asked for. ``overlay`` holds proposed mappings of a simulation; ``live`` false reads records only.

    ``seen`` is filled by the readers: when each record that was read instead of its system had been shown to us."""

    key: str
    params: dict[str, Any] = field(default_factory=dict)
    overlay: tuple[Any, ...] = ()
    live: bool = True
    deadline: float | None = None
    seen: list[datetime] = field(default_factory=list, compare=False)
    #: What people decided about the subject (:mod:`apps.sync.decisions`), proposed decisions of a preview among it.
    decisions: Mapping[str, Any] = field(default_factory=dict)

    def oldest(self, now: datetime) -> datetime:
        """When the oldest of what was read had been seen; ``now`` when everything came from the systems themselves."""
        return min(self.seen, default=now)

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Meta:
    """What people see of a transaction before they open it. ``amount`` None means unknown, never zero.

    ``left_out``: codes of legal entities that this run does not serve, because the others' gate is wider.
    """

    label: str = ""
    customer: str = ""
    customer_key: str = ""
    legal_entity_id: int | None = None
    engagement_key: str = ""
    currency: str = ""
    amount: Decimal | None = None
    left_out: tuple[str, ...] = ()


class Snapshot(Protocol):
    @property
    def meta(self) -> Meta: ...

    @property
    def as_of(self) -> datetime: ...


@dataclass(frozen=True)
class Flow:
    """One flow. ``subject_kind`` is what its subjects are; ``title`` is shown to people."""

    name: str
    subject_kind: str
    title: str
    gather: Callable[[Context], Any]
    plan: Callable[[Any], Draft]


def read_many(
    context: Context,
    *,
    system: Any,
    object_type: str,
    by: str,
    value: str,
    extra: dict[str, Any] | None = None,
) -> Sequence[Observed]:
    """Read from the system itself and keep what it showed. Raises ``AdapterError``."""
    found = connectors.find(
        system_id=system.id,
        object_type=object_type,
        by=by,
        value=value,
        extra=extra,
        deadline=context.seconds_left(),
    )
    for observed in found:
        observe(system=system, observed=observed)
    return found


def read_one(context: Context, *, system: Any, object_type: str, external_id: str) -> Observed | None:
    """One object by the system's own id: live, or (when the context says so) as it was last shown."""
    if context.live:
        found = read_many(context, system=system, object_type=object_type, by="id", value=external_id)
        return found[0] if found else None
    row = records.record(system.id, object_type, external_id)
    return None if row is None or row.deleted else _as_seen(context, row)


#: Rungs of a search → the field of the canonical object that holds the value.
_FIELDS = {"key": "key", "tax_id": "tax_id", "registration": "registration_number", "name": "name"}


def seen_many(context: Context, *, system: Any, object_type: str, by: str, value: str) -> Sequence[Observed]:
    """What :func:`read_many` finds, among the records alone: by id, or equal in the field that ``by`` stands for. What only
    the system can compare (a domain, another spelling) finds nothing here."""
    if by in ("id", "claimed_id"):
        one = records.record(system.id, object_type, value)
        rows = [one] if one is not None and not one.deleted else []
    elif by in _FIELDS:
        rows = records.find(system_id=system.id, object_type=object_type, field=_FIELDS[by], value=value)
    else:
        rows = []
    return [_as_seen(context, row) for row in rows]


def _as_seen(context: Context, row: Any) -> Observed:
    context.seen.append(row.observed_at)
    return Observed(
        object_type=row.object_type,
        external_id=row.external_id,
        body=OBJECTS[row.object_type].model_validate(row.body),
        version=row.version,
        modified_at=row.modified_at,
        url=row.url,
        facts=row.facts,
    )


def observe(*, system: Any, observed: Observed, **owner: Any) -> bool:
    """Keep what a system showed; ``owner`` may carry ``legal_entity_id`` and ``engagement_key``."""
    return record_services.observe(
        system_id=system.id,
        object_type=observed.object_type,
        external_id=observed.external_id,
        body=observed.body,
        version=observed.version,
        modified_at=observed.modified_at,
        url=observed.url,
        facts=dict(observed.facts),
        key=observed.body.key,  # type: ignore[attr-defined]
        **owner,
    )


def observe_gone(*, system: Any, object_type: str, external_id: str) -> bool:
    """Keep that a system no longer has an object."""
    return record_services.observe_gone(system_id=system.id, object_type=object_type, external_id=external_id)


def link_id(object_type: str, key: str, system: Any) -> str:
    """The id under which ``system`` holds our object, or ""."""
    if system is None:
        return ""
    link = records.find_link(object_type, key, system.id)
    return link.external_id if link else ""


def route(legal_entity_id: int, kind: str) -> Any:
    """Which system plays ``kind`` for the entity. Raises :class:`WrongState` when none does."""
    found = organization.route(legal_entity_id, kind)
    if found is None:
        raise WrongState(
            f"This legal entity is not connected to any system of the kind “{kind}”.", code="CUS-LE-MISSING"
        )
    return found


def split_key(key: str) -> tuple[Any, str]:
    """``crm:006A`` → the system ``crm`` and the vendor's id."""
    code, _, external_id = key.partition(":")
    return organization.system(code), external_id


def customer_name(customer_key: str) -> str:
    """What the customer is called in the CRM as we last saw it; "" when it was never seen."""
    system, external_id = split_key(customer_key)
    seen = records.record(system.id, "customer", external_id)
    return str(seen.body.get("name") or "") if seen else ""


def now() -> datetime:
    return clock.now()
