"""The audit trail: appended freely, refused to change by trigger, sealed in batches (:mod:`apps.journal.seals`).

Public surface: :func:`record`, :func:`record_many`, :func:`recorded_with`, :func:`recorded_from`. Outsiders take them from
:mod:`apps.journal.services`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models

from apps.core import clock, correlation

COLUMNS = (
    "at, verb, object_type, object_ref, actor_id, actor, legal_entity_id, engagement_key,"
    " old, new, why, correlation_id"
)
_INSERT = f"INSERT INTO journal_audit ({COLUMNS}) VALUES "  # noqa: S608
_TYPES = ("timestamptz", "", "", "", "bigint", "", "bigint", "", "jsonb", "jsonb", "", "uuid")
_NAMES = tuple(f"audit_{name.strip()}" for name in COLUMNS.split(","))
_CAST = ", ".join(
    f"%({name})s::{kind}" if kind else f"%({name})s" for name, kind in zip(_NAMES, _TYPES, strict=True)
)
_INTO = f"INSERT INTO journal_audit ({COLUMNS}) SELECT {_CAST}"
_ROW = "(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb, %s, %s)"


class _Encoder(DjangoJSONEncoder):
    """Money and other value objects are written as people read them; rows by their key."""

    def default(self, o: Any) -> Any:
        if isinstance(o, models.Model):
            return o.pk
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def as_json(value: Any) -> str | None:
    """JSON text of an old or new value; None stays NULL. NUL characters are taken out: ``jsonb`` refuses them."""
    if value is None:
        return None
    return json.dumps(value, cls=_Encoder).replace("\\u0000", "")


def _plain(text: object) -> str:
    return str(text or "").replace("\x00", "")


def actor_of(by: Any) -> tuple[int | None, str]:
    """``(id, name)`` of a person; the system is ``(None, "")``. The name is kept as it was then."""
    return (None, "") if by is None else (by.pk, by.get_username())


def record(
    *,
    verb: str,
    object_type: str,
    object_ref: str,
    by: Any = None,
    legal_entity_id: int | None = None,
    engagement_key: str = "",
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    why: str = "",
    correlation_id: str | None = None,
) -> None:
    """Append one audit row in the caller's transaction. ``by`` is a user or None (the system)."""
    record_many(
        rows=[
            {
                "verb": verb,
                "object_type": object_type,
                "object_ref": object_ref,
                "by": by,
                "legal_entity_id": legal_entity_id,
                "engagement_key": engagement_key,
                "old": old,
                "new": new,
                "why": why,
                "correlation_id": correlation_id,
            }
        ]
    )


def record_many(*, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append several rows; each a mapping of :func:`record`'s arguments."""
    now = clock.now()
    values = [_values(now, row) for row in rows]
    if not values:
        return
    # One statement, not executemany: history contexts prepend their own to each statement they see.
    with connection.cursor() as cursor:
        cursor.execute(_INSERT + ", ".join([_ROW] * len(values)), [value for row in values for value in row])


def recorded_with(made: str, **row: Any) -> tuple[str, dict[str, Any]]:
    """The text of a CTE that appends one audit row (arguments of :func:`record`) for each row of the CTE ``made``, and its
    named parameters: where a write and its audit row are to be one statement."""
    return (
        f"audited AS ({_INTO} FROM {made})",
        dict(zip(_NAMES, _values(clock.now(), row), strict=True)),
    )


def recorded_from(rows: str, **columns: str) -> str:
    """The text of a CTE ``audited`` that appends one audit row for each row of ``rows`` (what stands after FROM): for writes
    of many rows in one statement. ``columns`` are SQL expressions over it; ``at``, ``verb``, ``object_type``, ``object_ref``
    and ``correlation_id`` are needed, the others are those of the system where they are not given."""
    told = {"actor_id": "NULL", "actor": "''", "legal_entity_id": "NULL", "engagement_key": "''", "why": "''"}
    told |= {"old": "NULL", "new": "NULL"} | columns
    values = [told[name.strip()] for name in COLUMNS.split(",")]
    cast = [f"({value})::{kind}" if kind else value for value, kind in zip(values, _TYPES, strict=True)]
    return f"audited AS (INSERT INTO journal_audit ({COLUMNS}) SELECT {', '.join(cast)} FROM {rows})"  # noqa: S608


def _values(now: datetime, row: Mapping[str, Any]) -> tuple[Any, ...]:
    actor_id, actor = actor_of(row.get("by"))
    return (
        now,
        row["verb"],
        row["object_type"],
        _plain(row["object_ref"])[:255],
        actor_id,
        actor,
        row.get("legal_entity_id"),
        row.get("engagement_key") or "",
        as_json(row.get("old")),
        as_json(row.get("new")),
        _plain(row.get("why")),
        row.get("correlation_id") or correlation.current(),
    )
