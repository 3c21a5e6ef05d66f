"""The exception catalogue as data: what a code means to a person, who owns the truth, who acts, what fixes it.

Public surface: :func:`entry`, :func:`known`, :func:`codes_for_role`, :data:`CATALOGUE`, :data:`AREAS`, and the types of
:mod:`apps.triage.catalogue.types`. Adding a code touches one of the topic modules beside this file.
"""

from __future__ import annotations

from apps.triage.catalogue import (
    amendments,
    billing,
    customers,
    deals,
    delivery,
    integration,
    projects,
    rates,
    tax,
)
from apps.triage.catalogue.types import (
    GENERIC,
    Area,
    Auto,
    Detected,
    Entry,
    Exposure,
    Fix,
    FixAction,
    Severity,
)

#: Area → its codes, in the order of the desk.
AREAS: dict[Area, tuple[Entry, ...]] = {
    Area.DEALS: deals.ENTRIES,
    Area.AMENDMENTS: amendments.ENTRIES,
    Area.CUSTOMERS: customers.ENTRIES,
    Area.PROJECTS: projects.ENTRIES,
    Area.RATES: rates.ENTRIES,
    Area.DELIVERY: delivery.ENTRIES,
    Area.TAX: tax.ENTRIES,
    Area.BILLING: billing.ENTRIES,
    Area.INTEGRATION: integration.ENTRIES,
}
#: All known codes, in the same order.
CATALOGUE: dict[str, Entry] = {item.code: item for items in AREAS.values() for item in items}


def entry(code: str) -> Entry:
    """The entry of a code; for a code we do not know the generic one that shows the raw code, never an error."""
    return CATALOGUE.get(code) or GENERIC.named(code)


def known(code: str) -> bool:
    return code in CATALOGUE


def codes_for_role(role: str) -> tuple[frozenset[str], bool]:
    """The codes that a role resolves, and whether it also takes those outside the catalogue."""
    codes = frozenset(code for code, item in CATALOGUE.items() if role in item.resolvers)
    return codes, role in GENERIC.resolvers


__all__ = [
    "AREAS",
    "CATALOGUE",
    "GENERIC",
    "Area",
    "Auto",
    "Detected",
    "Entry",
    "Exposure",
    "Fix",
    "FixAction",
    "Severity",
    "codes_for_role",
    "entry",
    "known",
]
