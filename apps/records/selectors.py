"""Reads of records: links, what systems last showed, and the snapshot that a plan starts from.

Public surface: :func:`find_link`, :func:`links`, :func:`key_of`, :func:`record`, :func:`modified_at`, :func:`records_for`,
:func:`records_of_engagement`, :func:`distinct_of_engagement`, :func:`find`, :func:`of_type`, :func:`any_of_type`,
:func:`with_values`, :func:`snapshot`, :func:`canonical`, :class:`Snapshot`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q

from apps.canonical.objects import OBJECTS, Canonical
from apps.core import statements
from apps.core.scope import Scope
from apps.records.models import CrossReference, Record

#: ``(object type, key)``
Subject = tuple[str, str]


@dataclass(frozen=True)
class Snapshot:
    """Records and links of several subjects, read in two queries."""

    records: dict[Subject, list[Record]]
    links: dict[tuple[str, str, int], CrossReference]

    def link(self, object_type: str, key: str, system_id: int) -> str:
        """The external id, or "" when there is no link."""
        found = self.links.get((object_type, key, system_id))
        return found.external_id if found else ""

    def record(self, object_type: str, key: str, system_id: int) -> Record | None:
        """What that system last showed under this key, if it still has it."""
        rows = self.records.get((object_type, key), [])
        return next((row for row in rows if row.system_id == system_id and not row.deleted), None)


def find_link(object_type: str, key: str, system_id: int) -> CrossReference | None:
    """The id of our object in one system."""
    wanted = "WHERE object_type = %s AND key = %s AND system_id = %s"
    return next(iter(statements.instances(CrossReference, wanted, [object_type, key, system_id])), None)


def links(object_type: str, key: str) -> list[CrossReference]:
    """Our object's ids in all systems, by system code."""
    rows = CrossReference.objects.filter(object_type=object_type, key=key)
    return list(rows.select_related("system").order_by("system__code"))


def key_of(system_id: int, object_type: str, external_id: str) -> str | None:
    """Our key of a system's object, or None when it is not linked."""
    rows = statements.rows(
        "SELECT key FROM records_crossreference WHERE system_id = %s AND object_type = %s AND external_id = %s",
        [system_id, object_type, external_id],
    )
    return rows[0][0] if rows else None


def record(system_id: int, object_type: str, external_id: str) -> Record | None:
    """The object as that system last showed it, deleted or not."""
    wanted = "WHERE system_id = %s AND object_type = %s AND external_id = %s"
    return next(iter(statements.instances(Record, wanted, [system_id, object_type, external_id])), None)


def modified_at(
    wanted: Iterable[tuple[int, str, str]],
) -> dict[tuple[int, str, str], datetime | None]:
    """When each object (system id, type, the system's id) was last changed by its system's clock, as far as it was shown
    to us; objects that never were are left out. One query for all."""
    at = sorted(set(wanted))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.system_id, r.object_type, r.external_id, r.modified_at FROM records_record r"
            " JOIN unnest(%s::bigint[], %s::text[], %s::text[]) AS wanted(system_id, object_type, external_id)"
            " USING (system_id, object_type, external_id)",
            [[row[0] for row in at], [row[1] for row in at], [row[2] for row in at]],
        )
        return {(row[0], row[1], row[2]): row[3] for row in cursor.fetchall()}


def records_for(object_type: str, key: str) -> list[Record]:
    """The object as every system last showed it: by its key there, or by a link."""
    linked = Q(pk__in=[])
    for reference in CrossReference.objects.filter(object_type=object_type, key=key):
        linked |= Q(system_id=reference.system_id, external_id=reference.external_id)
    rows = Record.objects.filter(Q(key=key) | linked, object_type=object_type)
    return list(rows.select_related("system").order_by("system__code", "id"))


def records_of_engagement(engagement_key: str, *, scope: Scope) -> list[Record]:
    """Everything known of one engagement that the scope allows, by type."""
    rows = Record.objects.within(scope).filter(engagement_key=engagement_key)
    return list(rows.select_related("system").order_by("object_type", "system__code", "id"))


def find(*, system_id: int, object_type: str, field: str, value: str, limit: int = 20) -> list[Record]:
    """Live records of a system whose canonical top-level ``field`` is ``value`` (for matching)."""
    rows = Record.objects.filter(
        system_id=system_id, object_type=object_type, deleted=False, **{f"body__{field}": value}
    )
    return list(rows.order_by("id")[:limit])


def of_type(*, system_id: int, object_type: str, limit: int = 2000) -> list[Record]:
    """Live records of one type as a system last showed them (for choosing among its items), in one query."""
    rows = Record.objects.filter(system_id=system_id, object_type=object_type, deleted=False)
    return list(rows.order_by("external_id")[:limit])


def any_of_type(system_ids: Collection[int], object_type: str) -> bool:
    """Whether one of these systems has shown anything of this type."""
    return Record.objects.filter(system_id__in=system_ids, object_type=object_type, deleted=False).exists()


def with_values(
    system_ids: Collection[int], object_type: str, field: str, values: Collection[str]
) -> list[Record]:
    """Live records of these systems whose canonical top-level ``field`` is one of ``values``, in one query."""
    rows = Record.objects.filter(
        system_id__in=system_ids,
        object_type=object_type,
        deleted=False,
        **{f"body__{field}__in": list(values)},
    )
    return list(rows.order_by("system_id", "id"))


def distinct_of_engagement(
    engagement_key: str, object_type: str, fields: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The different values of ``fields`` (``body__…``, ``facts__…``; None where a record lacks one) among the live records of
    one type of an engagement."""
    rows = Record.objects.filter(engagement_key=engagement_key, object_type=object_type, deleted=False)
    return list(rows.order_by().values_list(*fields).distinct())


def snapshot(subjects: Iterable[Subject]) -> Snapshot:
    """Records and links of all subjects at once, for a plan."""
    at = sorted(set(subjects))
    given = [[object_type for object_type, _ in at], [key for _, key in at]]
    records: dict[Subject, list[Record]] = {}
    for row in statements.instances(Record, f"{_WANTED} ORDER BY id", given):
        records.setdefault((row.object_type, row.key), []).append(row)
    found = {
        (reference.object_type, reference.key, reference.system_id): reference
        for reference in statements.instances(CrossReference, _WANTED, given)
    }
    return Snapshot(records=records, links=found)


_WANTED = "WHERE (object_type, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"


def canonical(row: Record) -> Canonical:
    """The record's body as its canonical object."""
    return OBJECTS[row.object_type].model_validate(row.body)
