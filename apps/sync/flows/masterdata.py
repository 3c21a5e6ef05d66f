"""What the ERP's record of a customer must take over from the CRM: the fields that the CRM owns and that differ. Pure.

Public surface: :func:`owners` (for a gather), :func:`corrections`, :class:`Correction`, :func:`drifts`, :data:`HELD`,
:data:`WORDS`. Where the rule leaves a difference to a person, it is told (``AMD-DRIFT``) and nothing is written.

Values are compared in normal form, so that what a system merely writes differently (case, spaces, ``https://www.``) is no
difference and is not written for ever. Three things are never written over what the ERP holds: an empty value, an address
too incomplete for an invoice, a tax id that is none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.canonical import taxids
from apps.canonical.diff import diff
from apps.canonical.objects import Address, Customer
from apps.governance import selectors as governance
from apps.governance.selectors import Ownership
from apps.sync.flows.checks import lacking
from apps.sync.plans import Problem

#: What an ERP's customer record can take over. Terms, currency, status and exemption are the ERP's own in every installation.
HELD = ("name", "tax_id", "registration_number", "email", "phone", "website", "billing_address")

#: What people call these fields.
WORDS = {
    "name": "the name",
    "tax_id": "the tax id",
    "registration_number": "the registration number",
    "email": "the e-mail address",
    "phone": "the telephone number",
    "website": "the website",
    "billing_address": "the billing address",
}


@dataclass(frozen=True)
class Correction:
    """One field: what the ERP shows (``old``), what the CRM says (``new``; plain values), and the ``rule`` that decides."""

    field: str
    old: Any
    new: Any
    rule: str


def owners(legal_entity_ids: Iterable[int]) -> dict[str, Ownership]:
    """Who is right about each field of :data:`HELD`. Entities share the ERP's record: where their rules differ, nobody is."""
    tables = [governance.ownership_table("customer", entity_id) for entity_id in legal_entity_ids]
    found: dict[str, Ownership] = {}
    for name in HELD:
        rules = [governance.owner_of(table, name) for table in tables]
        if len({(rule.system_kind, rule.policy) for rule in rules}) == 1:
            found[name] = rules[0]
    return found


def corrections(*, erp: Customer, crm: Customer, owners: Mapping[str, Ownership]) -> list[Correction]:
    """The fields of the ERP's record that the CRM corrects. Only under the policy ``overwrite``: ``hold`` and ``ask`` are
    for a person to settle."""
    differing = _differing(erp, crm)
    old, new = erp.model_dump(mode="json"), crm.model_dump(mode="json")
    return [
        Correction(name, old[name], new[name], f"customer.{name}: crm, overwrite (rule {rule.rule_id})")
        for name, rule in ((name, owners.get(name)) for name in HELD)
        if rule is not None
        and (rule.system_kind, rule.policy) == ("crm", "overwrite")
        and name in differing
        and _says(crm, erp, name)
    ]


def drifts(
    *, erp: Customer, crm: Customer, owners: Mapping[str, Ownership], systems: Mapping[str, str]
) -> list[Problem]:
    """``AMD-DRIFT`` for each field in which the two differ and that the rules leave to a person (``hold``, ``ask``).

    ``systems``: what the CRM (``crm``) and the ERP (``erp``) are called. A field that one of them leaves empty is no drift."""
    differing, shown = _differing(erp, crm), {"crm": crm, "erp": erp}
    found = []
    for name in HELD:
        rule = owners.get(name)
        if rule is None or rule.policy not in ("hold", "ask") or rule.system_kind not in shown:
            continue
        if name not in differing or not (_shown(erp, name) and _shown(crm, name)):
            continue
        right = str(rule.system_kind)
        other = "crm" if right == "erp" else "erp"
        ours, theirs = _shown(shown[right], name), _shown(shown[other], name)
        reason = (
            f"{WORDS[name].capitalize()} of {crm.name} is “{ours}” in {systems[right]}, which is right about it, and "
            f"“{theirs}” in {systems[other]}."
        )
        params = {
            "owner": right,
            "right": ours,
            "other": theirs,
            "held": "0",
            "rule": f"customer.{name}: {right}, {rule.policy} (rule {rule.rule_id})",
        }
        found.append(Problem("AMD-DRIFT", "customer", "customer", name, theirs, reason, params))
    return found


def _differing(erp: Customer, crm: Customer) -> set[str]:
    country = crm.billing_address.country or ""
    return {one.path.partition(".")[0] for one in diff(_normal(erp, country), _normal(crm, country))}


def _shown(customer: Customer, name: str) -> str:
    """The value as people read it."""
    if name != "billing_address":
        return str(getattr(customer, name)).strip()
    address = customer.billing_address
    parts = (
        address.line1, address.line2, address.postal_code, address.city, address.region, address.country or "",
    )  # fmt: skip
    return ", ".join(part.strip() for part in parts if part.strip())


def _says(crm: Customer, erp: Customer, name: str) -> bool:
    """Whether the CRM's value is one that may take the place of the ERP's."""
    if name == "billing_address":
        return not lacking(crm.billing_address)
    value = str(getattr(crm, name)).strip()
    if name == "tax_id":
        return bool(value) and not taxids.fault(crm.billing_address.country or "", value)
    if name == "registration_number":
        return bool(value and erp.registration_number)  # without one, the ERP may have no field for it at all
    return bool(value)


def _normal(customer: Customer, country: str) -> Customer:
    """The customer as it compares: only the fields of :data:`HELD`, in normal form."""
    return Customer(
        key="-",
        name=_text(customer.name),
        tax_id=_tax_id(customer.tax_id, country),
        registration_number=re.sub(r"[^A-Z0-9]", "", customer.registration_number.upper()),
        email=_text(customer.email).casefold(),
        phone=re.sub(r"[^0-9+]", "", customer.phone),
        website=re.sub(r"^(https?://)?(www\.)?", "", _text(customer.website).casefold()).rstrip("/"),
        billing_address=_address(customer.billing_address),
    )


def _address(address: Address) -> Address:
    """Systems break the street into lines in their own ways, so it compares as one."""
    street = f"{address.line1} {address.line2}".replace(",", " ")
    return Address(
        line1=_text(street).casefold(),
        city=_text(address.city).casefold(),
        region=_text(address.region).casefold(),
        postal_code="".join(address.postal_code.split()).upper(),
        country=address.country,
    )


def _tax_id(value: str, country: str) -> str:
    bare = re.sub(r"[^A-Z0-9]", "", value.upper())
    prefix = "EL" if country == "GR" else country
    return bare.removeprefix(prefix)


def _text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).split())
