"""The address book of a NetSuite customer and the canonical billing address.

Public surface: :func:`read_address`, :func:`address_book`, :func:`with_other_addresses`.

Fields: SuiteTalk REST record ``customer``, sublist ``addressBook`` with its subrecord ``addressBookAddress``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apps.canonical.objects import Address
from apps.connectors.adapters.netsuite.client import is_true, items, ref_id, reference

_LINE_FLAGS = ("label", "defaultBilling", "defaultShipping", "isResidential")
_ADDRESS_PARTS = (
    "addr1", "addr2", "addr3", "addressee", "attention", "addrPhone", "city", "state", "zip", "country", "override",
)  # fmt: skip


def read_address(record: Mapping[str, Any]) -> Address:
    """The default billing address, or the first one when none is marked."""
    lines = items(record.get("addressBook"))
    chosen = next((line for line in lines if is_true(line.get("defaultBilling"))), lines[0] if lines else {})
    held = _held_address(chosen)
    country = ref_id(held.get("country")).upper()
    return Address(
        line1=str(held.get("addr1") or ""),
        line2=str(held.get("addr2") or ""),
        city=str(held.get("city") or ""),
        region=str(held.get("state") or ""),
        postal_code=str(held.get("zip") or ""),
        country=country if re.fullmatch(r"[A-Z]{2}", country) else None,
    )


def address_book(address: Address) -> dict[str, Any]:
    """The property of a write with this billing address alone; empty when the address is."""
    parts = {
        "addr1": address.line1,
        "addr2": address.line2,
        "city": address.city,
        "state": address.region,
        "zip": address.postal_code,
    }
    held: dict[str, Any] = {name: text for name, text in parts.items() if text}
    if address.country:
        held["country"] = reference(address.country)
    if not held:
        return {}
    return {"addressBook": {"items": [{"defaultBilling": True, "addressBookAddress": held}]}}


def _held_address(line: Mapping[str, Any]) -> Mapping[str, Any]:
    return line.get("addressBookAddress") or {}


def with_other_addresses(billing: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The record's address book with ``billing`` in the place of its billing address: a customer's other addresses (where
    goods go, branches) are the ERP's own, and a sublist is replaced as a whole."""
    lines = [_line(line) for line in items(record.get("addressBook"))]
    place = next((n for n, line in enumerate(lines) if line.get("defaultBilling")), None)
    if place is None:
        return {"items": [*lines, dict(billing)]}
    lines[place] |= billing
    return {"items": lines}


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line as it is written: what it says, without its ids and what NetSuite makes of it."""
    held = _held_address(line)
    address = {name: held[name] for name in _ADDRESS_PARTS if held.get(name) not in (None, "")}
    if "country" in address:
        address["country"] = reference(ref_id(address["country"]))
    kept = {name: line[name] for name in _LINE_FLAGS if line.get(name) not in (None, "")}
    for name in _LINE_FLAGS[1:]:
        if name in kept:
            kept[name] = is_true(kept[name])
    return kept | {"addressBookAddress": address}
