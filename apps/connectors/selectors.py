"""What is known of the connections, without their secrets.

Public surface: :class:`ConnectionState`, :func:`connection_states`, :func:`connection_state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.connectors.models import Connection
from apps.connectors.secrets import SecretsUnreadable, decrypt


@dataclass(frozen=True)
class ConnectionState:
    """``secrets_set`` names the secrets that hold something; ``secrets_readable`` is false under a wrong key."""

    system_id: int
    system_code: str
    system_name: str
    kind: str
    vendor: str
    base_url: str
    config: Mapping[str, Any]
    secrets_set: tuple[str, ...]
    secrets_readable: bool
    enabled: bool
    paused: bool
    last_ok_at: datetime | None
    last_error: str
    last_error_at: datetime | None


def connection_states() -> list[ConnectionState]:
    """All connections by system code."""
    return [_state(row) for row in Connection.objects.select_related("system").order_by("system__code")]


def connection_state(*, system_id: int) -> ConnectionState | None:
    row = Connection.objects.select_related("system").filter(system_id=system_id).first()
    return None if row is None else _state(row)


def _state(row: Connection) -> ConnectionState:
    try:
        names, readable = tuple(sorted(decrypt(row.secrets, system_id=row.system_id))), True
    except SecretsUnreadable:
        names, readable = (), False
    return ConnectionState(
        system_id=row.system_id,
        system_code=row.system.code,
        system_name=row.system.name,
        kind=row.system.kind,
        vendor=row.system.vendor,
        base_url=row.base_url,
        config=row.config,
        secrets_set=names,
        secrets_readable=readable,
        enabled=row.enabled,
        paused=row.paused,
        last_ok_at=row.last_ok_at,
        last_error=row.last_error,
        last_error_at=row.last_error_at,
    )
