"""Both sides of a case: the object as every system that holds it last showed it, field by field.

Public surface: :func:`grid_of`, :class:`Grid`, :class:`Column`, :class:`FieldRow`, :class:`Cell`.

Only systems that hold the object get a column, plus the terms last agreed and the system that owns the missing partner. Fields
that differ are marked and come first; the owner's badge comes from the ownership rules in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.commercial import selectors as commercial
from apps.governance import selectors as governance
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.triage import selectors as triage

#: What a person compares, per object type, in the order of reading; other fields are under *Technical*.
FIELDS: Mapping[str, Sequence[tuple[str, Any]]] = {
    "deal": (
        ("name", gettext_lazy("Name")),
        ("amount", gettext_lazy("Amount")),
        ("legal_entity_code", gettext_lazy("Legal entity")),
        ("billing_model", gettext_lazy("Billing")),
        ("payment_terms", gettext_lazy("Payment terms")),
        ("po_number", gettext_lazy("PO")),
        ("po_amount", gettext_lazy("PO amount")),
        ("project_manager", gettext_lazy("Project manager")),
        ("start_on", gettext_lazy("Start")),
        ("end_on", gettext_lazy("End")),
        ("stage", gettext_lazy("Stage")),
    ),
    "customer": (
        ("name", gettext_lazy("Name")),
        ("tax_id", gettext_lazy("Tax id")),
        ("currency", gettext_lazy("Currency")),
        ("payment_terms", gettext_lazy("Payment terms")),
        ("billing_address", gettext_lazy("Address")),
        ("email", gettext_lazy("Invoice e-mail")),
        ("po_required", gettext_lazy("PO required")),
    ),
    "engagement": (
        ("name", gettext_lazy("Name")),
        ("status", gettext_lazy("State")),
        ("budget", gettext_lazy("Amount")),
        ("legal_entity_code", gettext_lazy("Legal entity")),
        ("billing_model", gettext_lazy("Billing")),
        ("currency", gettext_lazy("Currency")),
        ("start_on", gettext_lazy("Start")),
        ("end_on", gettext_lazy("End")),
        ("po_number", gettext_lazy("PO")),
        ("project_manager", gettext_lazy("Project manager")),
    ),
    "milestone": (
        ("name", gettext_lazy("Name")),
        ("amount", gettext_lazy("Amount")),
        ("status", gettext_lazy("State")),
        ("due_on", gettext_lazy("Due")),
        ("accepted_at", gettext_lazy("Accepted")),
        ("evidence", gettext_lazy("Certificate")),
        ("service_code", gettext_lazy("Service")),
    ),
    "time_entry": (
        ("person", gettext_lazy("Person")),
        ("role", gettext_lazy("Role")),
        ("service_code", gettext_lazy("Service")),
        ("worked_on", gettext_lazy("Day")),
        ("hours", gettext_lazy("Hours")),
        ("rate", gettext_lazy("Rate")),
        ("billable", gettext_lazy("Billable")),
        ("status", gettext_lazy("State")),
    ),
    "expense": (
        ("person", gettext_lazy("Person")),
        ("category", gettext_lazy("Category")),
        ("incurred_on", gettext_lazy("Day")),
        ("amount", gettext_lazy("Amount")),
        ("has_receipt", gettext_lazy("Receipt")),
        ("billable", gettext_lazy("Billable")),
        ("status", gettext_lazy("State")),
    ),
    "invoice": (
        ("number", gettext_lazy("Number")),
        ("status", gettext_lazy("State")),
        ("net", gettext_lazy("Net")),
        ("tax", gettext_lazy("Tax")),
        ("total", gettext_lazy("Total")),
        ("balance", gettext_lazy("Open balance")),
        ("due_on", gettext_lazy("Due")),
    ),
    "payment_status": (
        ("status", gettext_lazy("State")),
        ("paid", gettext_lazy("Paid")),
        ("balance", gettext_lazy("Open balance")),
        ("reference", gettext_lazy("Reference")),
        ("paid_at", gettext_lazy("Paid on")),
    ),
}

#: What of a deal the systems of delivery hold themselves, by its names here and there; how it is billed they are not asked.
_TWINS = {
    "name": "name", "amount": "budget", "currency": "currency", "legal_entity_code": "legal_entity_code",
    "po_number": "po_number", "project_manager": "project_manager", "start_on": "start_on", "end_on": "end_on",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One system. ``url`` opens the object there; ``seen`` is when it was last read."""

    name: str
    kind: str
    url: str = ""
    seen: datetime | None = None


@dataclass(frozen=True)
class Cell:
    """One value. ``money`` is set instead of ``text`` for amounts; ``missing`` = the system has nothing there."""

    text: str = ""
    money: Mapping[str, Any] | None = None
    missing: bool = False
    differs: bool = False
    owner: bool = False
    rule: str = ""


@dataclass(frozen=True)
class FieldRow:
    label: str
    cells: list[Cell]
    problem: bool = False


@dataclass(frozen=True)
class Grid:
    columns: list[Column] = field(default_factory=list)
    rows: list[FieldRow] = field(default_factory=list)


def grid_of(case: Any, entry: Any) -> Grid:
    """The grid of a case; empty when no system has shown the object yet. A fixed number of queries.

    A deal has its project beside it, and an engagement its deal: the same thing under its name in the other systems."""
    kind = case.subject_kind if case.subject_kind in FIELDS else case.object_type
    found = [row for row in records.records_for(kind, case.subject_key) if not row.deleted]
    bodies = [row.body for row in found]
    deal_key = ""
    if kind == "deal":
        deal_key = case.subject_key
        twins = _live("engagement", case.engagement_key)
        bodies += [{ours: row.body.get(theirs) for ours, theirs in _TWINS.items()} for row in twins]
        found += twins
    elif kind == "engagement" and case.engagement_key:
        deal_key = commercial.engagement(case.engagement_key).deal_key
        bodies = [{**body, "billing_model": None} for body in bodies]
        twins = _live("deal", deal_key)
        bodies = [{theirs: row.body.get(ours) for ours, theirs in _TWINS.items()} for row in twins] + bodies
        found = twins + found
    columns = [Column(row.system.name, row.system.kind, row.url, row.observed_at) for row in found]
    agreed = commercial.terms_of_deal(deal_key) if deal_key and found else None
    if agreed is not None:
        title = _("Last agreed (%(version)s)") % {"version": agreed.label}
        columns.append(Column(title, "contract", "", agreed.accepted_at))
        own = {
            theirs: agreed.body.get(ours)
            for ours, theirs in {**_TWINS, "billing_model": "billing_model"}.items()
        }
        bodies.append(agreed.body if kind == "deal" else own)
    fixable = bool(triage.mapping_kind_of(case))
    partner = _partner_column(case, entry, columns) if fixable else None
    if partner:
        columns.append(partner)
    owners = governance.ownership_table(kind, case.legal_entity_id)
    rows = [_partner_row(case, entry, columns, has_partner=partner is not None)] if fixable else []
    for name, label in FIELDS.get(kind, ()):
        values = [body.get(name) for body in bodies]
        if any(value not in (None, "", [], {}) for value in values):
            rows.append(_field_row(name, str(label), values, columns, owners, case))
    # What is wrong first, then what differs; the rest as people read it.
    rows.sort(key=lambda row: (not row.problem, not any(cell.differs for cell in row.cells)))
    return Grid(columns, rows)


def _live(kind: str, key: str) -> list[Any]:
    """What every system that still holds the object last showed."""
    return [row for row in records.records_for(kind, key) if not row.deleted] if key else []


def _partner_column(case: Any, entry: Any, columns: Sequence[Column]) -> Column | None:
    """The system that owns the missing partner, unless it has a column already."""
    if any(column.kind == entry.owner for column in columns):
        return None
    route = organization.route(case.legal_entity_id, entry.owner) if case.legal_entity_id else None
    return Column(route.system.name, entry.owner) if route else Column(_("Console"), "console")


def _partner_row(case: Any, entry: Any, columns: Sequence[Column], *, has_partner: bool) -> FieldRow:
    """The value that has no partner on one side, its partner (or the gap) on the other."""
    partner = governance.translate(
        kind=entry.mapping_kind, legal_entity_id=case.legal_entity_id, source=case.value
    )
    name = str(case.params.get("name") or "")
    own = f"{case.value} {name}".strip()
    cells = []
    for number, column in enumerate(columns):
        if column.kind == entry.owner or (has_partner and number == len(columns) - 1):
            text = (partner.label or partner.target) if partner else _("no partner yet")
            cells.append(Cell(text, missing=partner is None, differs=partner is None, owner=True))
        else:
            cells.append(Cell(own))
    return FieldRow(_label(case.field or entry.mapping_kind), cells, problem=True)


def _field_row(
    name: str,
    label: str,
    values: Sequence[Any],
    columns: Sequence[Column],
    owners: Mapping[str, Any],
    case: Any,
) -> FieldRow:
    owner = governance.owner_of(owners, name)
    texts = [_text(value) for value in values]
    known = {text for text in texts if text}
    cells = []
    for number, column in enumerate(columns):
        if number >= len(values):
            cells.append(Cell())
            continue
        value = values[number]
        amount = value if isinstance(value, Mapping) and "currency" in value else None
        cells.append(
            Cell(
                texts[number] or "–",
                amount,
                missing=not texts[number],
                differs=len(known) > 1 or name == case.field,
                owner=len(values) > 1 and owner.system_kind == column.kind,
                rule=_("rule version %(version)s") % {"version": owner.version} if owner.rule_id else "",
            )
        )
    return FieldRow(label, cells, problem=name == case.field)


def _text(value: Any) -> str:
    if value is True or value is False:
        return _("yes") if value else _("no")
    if isinstance(value, Mapping):
        if "currency" in value:
            return f"{value.get('amount')} {value['currency']}"
        return ", ".join(str(part) for part in value.values() if part)
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return "" if value is None else str(value)


def _label(name: str) -> str:
    return {"service_code": _("Service"), "service_item": _("Service")}.get(
        name, name.replace("_", " ").capitalize()
    )
