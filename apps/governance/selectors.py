"""Reads of the governance room: pure evaluation of mappings and ownership.

Public surface: :class:`ProposedMapping`, :class:`Translation`, :class:`Ownership`, :func:`translate`,
:func:`translations`, :func:`decide`, :func:`ownership_table`, :func:`version`, :func:`mapping`,
:func:`values_of`, :func:`mappings_of`, :func:`awaiting_review`, :class:`ReviewRow`, :func:`mappings_in_use`,
:class:`InUse`.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from apps.approvals.selectors import open_requests
from apps.core import clock
from apps.core.errors import NotFound
from apps.core.scope import EVERYTHING, Scope
from apps.governance.models import ACTIVE, TO_REVIEW, Mapping, MappingState, OwnershipRule, Version


@dataclass(frozen=True)
class ProposedMapping:
    """A mapping that only a preview knows (simulator, fix form). ``legal_entity_id`` None: all entities."""

    kind: str
    legal_entity_id: int | None
    source: str
    target: str
    target_label: str = ""


@dataclass(frozen=True)
class Translation:
    """The partner of a value. ``mapping_id`` is None and ``confirmed`` False when it comes from an overlay."""

    target: str
    label: str
    mapping_id: int | None
    confirmed: bool


@dataclass(frozen=True)
class Ownership:
    """Which kind of system (``crm``, ``psa``, ``erp``, ``billing``) is right, and what to do about another value.

    ``rule_id`` is None when no rule covers the field: then nobody may overwrite anything and a person decides.
    """

    system_kind: str | None
    policy: str
    rule_id: int | None
    version: int


def translate(
    *, kind: str, legal_entity_id: int | None, source: str, overlay: Iterable[ProposedMapping] = ()
) -> Translation | None:
    """The partner of one value, or None when it is unmapped. See :func:`translations`."""
    return translations(kind, legal_entity_id, [source], overlay).get(source)


def translations(
    kind: str, legal_entity_id: int | None, sources: Iterable[str], overlay: Iterable[ProposedMapping] = ()
) -> dict[str, Translation]:
    """The partners of many values in one query; unmapped values are absent.

    The legal entity's own mapping beats the one for all entities; an overlay beats the stored one of the same reach.
    """
    wanted = set(sources)
    if not wanted:
        return {}
    found: dict[tuple[str, bool], Translation] = {}
    stored = Mapping.objects.filter(
        Q(legal_entity_id=legal_entity_id) | Q(legal_entity_id=None),
        kind=kind,
        source__in=wanted,
        state__in=ACTIVE,
    )
    for row in stored.values_list("source", "legal_entity_id", "target", "target_label", "id", "state"):
        source, entity_id, target, label, mapping_id, state = row
        found[source, entity_id is not None] = Translation(target, label, mapping_id, state == "confirmed")
    for proposed in overlay:
        applies = proposed.legal_entity_id in (None, legal_entity_id)
        if applies and proposed.kind == kind and proposed.source in wanted:
            own = proposed.legal_entity_id is not None
            found[proposed.source, own] = Translation(proposed.target, proposed.target_label, None, False)
    answers = ((source, found.get((source, True)) or found.get((source, False))) for source in wanted)
    return {source: answer for source, answer in answers if answer is not None}


def decide(object_type: str, field: str, legal_entity_id: int | None, *, on: date | None = None) -> Ownership:
    """Who is right about one field. For many fields use :func:`ownership_table`."""
    return owner_of(ownership_table(object_type, legal_entity_id, on=on), field)


def ownership_table(
    object_type: str, legal_entity_id: int | None, *, on: date | None = None
) -> MappingType[str, Ownership]:
    """All rules of an object type in force on a day, by field (``*`` for the rest), in one query.

    A legal entity's rule beats the general one, even when the general one names the field: an acquired company's ``*``
    says that its system owns the object whole.
    """
    day = on or clock.today()
    rules = OwnershipRule.objects.filter(
        Q(legal_entity_id=legal_entity_id) | Q(legal_entity_id=None),
        Q(valid_to__isnull=True) | Q(valid_to__gt=day),
        object_type=object_type,
        valid_from__lte=day,
    )
    general: dict[str, Ownership] = {}
    own: dict[str, Ownership] = {}
    for rule in rules:
        side = general if rule.legal_entity_id is None else own
        side[rule.field] = Ownership(rule.system_kind, rule.policy, rule.pk, rule.version)
    if "*" in own:
        return own
    return {**general, **own}


def owner_of(table: MappingType[str, Ownership], field: str) -> Ownership:
    """The owner of ``field`` in a table; without a rule nobody owns it and the policy is ``hold``."""
    return table.get(field) or table.get("*") or Ownership(None, "hold", None, 0)


#: The same as :func:`version`, as an SQL expression for a statement that stores it.
VERSION_SQL = "coalesce((SELECT number FROM governance_version ORDER BY id LIMIT 1), 1)"


def version() -> int:
    """The version of everything that planning reads from this room; 1 before the first change."""
    return Version.objects.values_list("number", flat=True).first() or 1


def mapping(mapping_id: int, *, scope: Scope = EVERYTHING) -> Mapping:
    """One mapping inside the scope (those for all entities need scope over everything); else :class:`NotFound`.

    Screens pass the reader's scope; other rooms, which act for the system, none.
    """
    found = (
        Mapping.objects.within(scope).select_related("legal_entity", "added_by").filter(pk=mapping_id).first()
    )
    if found is None:
        raise NotFound(_("There is no such mapping."))
    return found


def values_of(mapping_ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """``{mapping id: (kind, source)}`` of those that exist, in one query."""
    rows = Mapping.objects.filter(pk__in=set(mapping_ids))
    return {pk: (kind, source) for pk, kind, source in rows.values_list("pk", "kind", "source")}


def mappings_of(kind: str, source: str) -> list[int]:
    """Ids of all mappings of a value, whatever their state and legal entity."""
    rows = Mapping.objects.filter(kind=kind, source=source)
    return list(rows.order_by("pk").values_list("pk", flat=True))


@dataclass(frozen=True)
class InUse:
    """How many mappings are in use: ``confirmed`` by a second person, ``adopted`` at set-up, which nobody reviewed."""

    confirmed: int
    adopted: int


def mappings_in_use(scope: Scope) -> InUse:
    """The mappings of the scope that are in use and wait for nobody, in one query."""
    rows = Mapping.objects.within(scope).filter(state=MappingState.CONFIRMED)
    return InUse(
        **rows.aggregate(confirmed=Count("confirmed_by"), adopted=Count("id", filter=Q(confirmed_by=None)))
    )


@dataclass(frozen=True)
class ReviewRow:
    """A line of the review list: the mapping and the open approval ``request`` (None when it has been withdrawn)."""

    mapping: Mapping
    request: Any
    former: Mapping | None


def awaiting_review(scope: Scope) -> list[ReviewRow]:
    """Mappings that wait for a second person, largest exposure first (unknown on top), in three queries."""
    rows = list(
        Mapping.objects.within(scope).filter(state__in=TO_REVIEW).select_related("legal_entity", "added_by")
    )
    rows.sort(key=lambda row: (row.exposure_amount is not None, -(row.exposure_amount or 0), row.created_at))
    requests = open_requests("mapping", [str(row.pk) for row in rows])
    active = Mapping.objects.filter(
        state__in=ACTIVE, source__in={row.source for row in rows if row.state == "proposed"}
    )
    in_use = {(row.kind, row.legal_entity_id, row.source): row for row in active}
    return [
        ReviewRow(
            mapping=row,
            request=requests.get(str(row.pk)),
            former=in_use.get((row.kind, row.legal_entity_id, row.source))
            if row.state == "proposed"
            else None,
        )
        for row in rows
    ]
