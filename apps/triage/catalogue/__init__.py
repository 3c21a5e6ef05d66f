"""The exception catalogue as data: what a code means to a person, who owns the truth, who acts, what fixes it.

Public surface: :func:`entry`, :func:`known`, :func:`codes_for_role`, :data:`CATALOGUE`, and the types of
:mod:`apps.triage.catalogue.types`. Adding a code touches one of the topic modules beside this file.
"""

from __future__ import annotations

from apps.triage.catalogue import billing, customers, deals, delivery, integration
from apps.triage.catalogue.types import GENERIC, Auto, Entry, Exposure, Fix, FixAction, Severity

#: All known codes, in the order of the desk: deal, customer, delivery, invoice and payment, integration.
CATALOGUE: dict[str, Entry] = {
    item.code: item
    for module in (deals, customers, delivery, billing, integration)
    for item in module.ENTRIES
}


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
    "CATALOGUE",
    "GENERIC",
    "Auto",
    "Entry",
    "Exposure",
    "Fix",
    "FixAction",
    "Severity",
    "codes_for_role",
    "entry",
    "known",
]
