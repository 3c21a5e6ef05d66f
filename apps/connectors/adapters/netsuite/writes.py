"""What one write looks like before it is sent, and whether a record already holds it.

Public surface: :class:`Write`, :func:`holds`, :func:`check_version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.connectors.adapters.netsuite.client import Client, decimal, is_true
from apps.connectors.spi import AdapterError, ErrorKind, Push


@dataclass(frozen=True)
class Write:
    """One write of a record: an upsert by our external id, or a change of an internal id.

    ``replace``: the sublists to replace. ``loose``: properties NetSuite derives or rounds, not compared afterwards.
    """

    kind: str
    body: Mapping[str, Any]
    external_id: str = ""
    internal_id: str = ""
    replace: str = ""
    loose: frozenset[str] = field(default_factory=frozenset)

    @property
    def key(self) -> str:
        return self.internal_id or f"eid:{self.external_id}"


def holds(wanted: Any, found: Any) -> bool:
    """Whether a record read back contains everything of a request body.

    References are compared by id, numbers by value, empty by empty, sublists line by line.
    """
    if isinstance(wanted, Mapping):
        if set(wanted) == {"id"}:
            actual = found.get("id") if isinstance(found, Mapping) else found
            return actual is not None and str(actual) == str(wanted["id"])
        if set(wanted) == {"items"}:
            lines = found.get("items") if isinstance(found, Mapping) else None
            return (
                isinstance(lines, list)
                and len(lines) == len(wanted["items"])
                and all(holds(one, other) for one, other in zip(wanted["items"], lines, strict=True))
            )
        return isinstance(found, Mapping) and all(
            holds(value, found.get(name)) for name, value in wanted.items()
        )
    if wanted in (None, ""):
        return found in (None, "")
    if isinstance(wanted, bool):
        return is_true(found) is wanted
    if isinstance(wanted, int | float):
        return decimal(found) == decimal(wanted)
    return str(found) == str(wanted) or (
        found is not None and str(found)[:10] == str(wanted) and str(wanted)[4:5] == "-"
    )


#: Records that do not say when they were changed.
UNDATED = frozenset({"billingSchedule"})


def version_of(kind: str, record: Mapping[str, Any]) -> str:
    """When the record was last changed, as NetSuite writes it; "" for one that does not say."""
    return "" if kind in UNDATED else str(record.get("lastModifiedDate") or "")


def check_version(client: Client, write: Write, push: Push) -> None:
    """NetSuite has no ETag: compare ``lastModifiedDate`` right before the write. Raises ``CONFLICT``.

    A change inside the short time between remains possible; NetSuite then answers RCRD_HAS_BEEN_CHANGED.
    """
    if not push.if_version:
        return
    record = client.get(write.kind, write.key, sub_resources=False)
    if record is not None and str(record.get("lastModifiedDate") or "") != push.if_version:
        raise AdapterError(
            ErrorKind.CONFLICT,
            "The record was changed in NetSuite since we last read it.",
            code="INT-LOCK",
            value=str(record.get("lastModifiedDate") or ""),
        )
