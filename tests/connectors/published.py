"""Whatever an adapter sends to NetSuite or Kantata, and reads of their answers, is in the vendors' published lists.

The fixtures of the adapters watch every test: what was sent is taken from the sandbox's request log, what was read from the
records themselves, which note the names that are looked up in them. The lists are ``apps/sandbox/<vendor>/published``.

Public surface: :func:`watched_erp`, :func:`watched_psa` (context managers), :func:`erp_unpublished`,
:func:`unpublished_columns`, :func:`unpublished_in_request`,
:func:`psa_unpublished`, :class:`Noted`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import pytest

from apps.connectors.adapters.kantata import client as psa_client
from apps.connectors.adapters.netsuite.client import Client as ErpClient
from apps.demo.sandbox_client import SystemControl
from apps.sandbox.kantata.fields import OWN
from apps.sandbox.kantata.fields import PUBLISHED as PSA
from apps.sandbox.netsuite.fields import CUSTOM, NOT_IN_BROWSER, SUITEQL
from apps.sandbox.netsuite.fields import PUBLISHED as ERP

#: The schema of a subscribed event was not to be had; these names stand in the description of its list.
EVENT = {
    "event_type",
    "subject_id",
    "subject_changed_at",
    "created_at",
    "current_payload",
    "previous_payload",
}
#: Columns of SuiteQL tables that are no fields of the record.
SUITEQL_ONLY = {"transaction": {"type"}}


class Noted(dict[str, Any]):
    """A record that notes, as ``(where, name)``, what is looked up in it and in its lines."""

    def __init__(self, where: str, record: Mapping[str, Any], notes: set[tuple[str, str]]) -> None:
        super().__init__(
            {name: self._inner(f"{where}.{name}", value, notes) for name, value in record.items()}
        )
        self._where, self._notes = where, notes

    @staticmethod
    def _inner(where: str, value: Any, notes: set[tuple[str, str]]) -> Any:
        if isinstance(value, dict) and isinstance(value.get("items"), list):
            return {**value, "items": [Noted(where, line, notes) for line in value["items"]]}
        return Noted(where, value, notes) if where.endswith(".addressBookAddress") else value

    def get(self, name: str, default: Any = None) -> Any:
        self._notes.add((self._where, name))
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self._notes.add((self._where, name))
        return super().__getitem__(name)


# ---- NetSuite --------------------------------------------------------------------------------------------------------


def _erp_names(where: str) -> Mapping[str, str] | None:
    """The published names at ``invoice``, ``invoice.item`` or ``customer.addressBook.addressBookAddress``."""
    kind, _, inner = where.partition(".")
    record = ERP["records"].get(kind)
    if record is None or not inner:
        return None if record is None else record["fields"]
    sublist, _, subrecord = inner.partition(".")
    # Sublists of reference lists (``subsidiary`` of an item) hold links.
    return (
        record.get("records", {})[subrecord]
        if subrecord
        else record.get("lists", {}).get(sublist, {"id": "string"})
    )


def erp_unpublished(pairs: set[tuple[str, str]]) -> list[str]:
    found = []
    for where, name in sorted(pairs):
        kind = where.partition(".")[0]
        if kind in NOT_IN_BROWSER or name.startswith(CUSTOM):
            continue
        names = _erp_names(where)
        if names is None or name not in names:
            found.append(f"{where}.{name}")
    return found


def _sent_to_erp(kind: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        yield kind, name
        if isinstance(value, dict) and isinstance(value.get("items"), list):
            for line in value["items"]:
                yield from _sent_to_erp(f"{kind}.{name}", line)
        elif name == "addressBookAddress":
            yield from _sent_to_erp(f"{kind}.{name}", value)


def unpublished_columns(statement: str) -> Iterator[str]:
    """``table.column`` for every column of a statement that the table's records do not have."""
    bare = re.sub(r"'(?:[^']|'')*'", "", statement)
    table = re.search(r"\bFROM (\w+)", bare)
    assert table, statement
    kinds = SUITEQL[table[1]]
    if set(kinds) <= NOT_IN_BROWSER:
        return
    names = {name.lower() for kind in kinds for name in ERP["records"][kind]["fields"]}
    for column in re.findall(r"\b[a-z][a-z0-9_]*\b", bare.replace(f"FROM {table[1]}", "")):
        known = column in names | SUITEQL_ONLY.get(table[1], set()) or column.startswith(CUSTOM)
        if not known:
            yield f"{table[1]}.{column}"


@contextmanager
def watched_erp(monkeypatch: pytest.MonkeyPatch, erp: SystemControl) -> Iterator[None]:
    read: set[tuple[str, str]] = set()
    real = ErpClient.get

    def get(self: ErpClient, kind: str, key: str, *, sub_resources: bool = True) -> dict[str, Any] | None:
        found = real(self, kind, key, sub_resources=sub_resources)
        return None if found is None else Noted(kind, found, read)

    monkeypatch.setattr(ErpClient, "get", get)
    yield
    sent: set[tuple[str, str]] = set()
    columns: list[str] = []
    for request in erp.requests():
        record = re.search(r"/record/v1/(\w+)", request["path"])
        if record and isinstance(request["body"], dict):
            sent |= set(_sent_to_erp(record[1], request["body"]))
        elif request["path"].endswith("/suiteql") and isinstance(request["body"], dict):
            columns += unpublished_columns(request["body"]["q"])
    assert erp_unpublished(sent) == [], "sent to NetSuite, but not published"
    assert erp_unpublished(read) == [], f"read from NetSuite, but not published: {erp_unpublished(read)}"
    assert columns == [], "asked of NetSuite, but not published"


# ---- Kantata ---------------------------------------------------------------------------------------------------------


def psa_unpublished(pairs: set[tuple[str, str]]) -> list[str]:
    """Names read in answers."""
    found = []
    for plural, name in sorted(pairs):
        names = EVENT if plural == "subscribed_events" else PSA["resources"][plural]["fields"].keys()
        if name != "id" and name not in names and name not in OWN.get(plural, ()):
            found.append(f"{plural}.{name}")
    return found


def unpublished_in_request(request: Mapping[str, Any]) -> Iterator[str]:
    plural, _, _rest = request["path"].removeprefix("/api/v1/").partition("/")
    published = PSA["resources"][plural]
    query = dict(parse_qsl(request["query"] or ""))
    for name, value in query.items():
        listed = published.get(name) if name in ("include", "optional_fields", "order") else None
        taken = (
            published.get("filters", {})
            if request["method"] == "GET"
            else {"include", *published.get("create_query", ())}
        )
        if name not in taken:
            yield f"{plural}?{name}"
        if listed is not None:
            yield from (
                f"{plural}?{name}={one}" for one in value.split(",") if one.partition(":")[0] not in listed
            )
    if request["method"] in ("POST", "PUT"):
        [body] = request["body"].values()
        taken = published.get("create" if request["method"] == "POST" else "update", {})
        yield from (f"{request['method']} {plural}.{name}" for name in body if name not in taken)
        for name in body.get("external_reference", ()):
            if name not in PSA["external_reference"]:
                yield f"{plural}.external_reference.{name}"


@contextmanager
def watched_psa(monkeypatch: pytest.MonkeyPatch, psa: SystemControl) -> Iterator[None]:
    read: set[tuple[str, str]] = set()
    real, real_included = psa_client.listing, psa_client.Listing.included

    def listing(answer: Any) -> psa_client.Listing:
        found = real(answer)
        keys = [str(result["key"]) for result in found.body["results"]]
        records = tuple(Noted(key, one, read) for key, one in zip(keys, found.records, strict=True))
        return psa_client.Listing(records, found.body, found.pages, found.answer)

    def included(self: psa_client.Listing, key: str, record_id: Any) -> dict[str, Any]:
        return Noted(key, real_included(self, key, record_id), read)

    monkeypatch.setattr(psa_client, "listing", listing)
    monkeypatch.setattr(psa_client.Listing, "included", included)
    yield
    sent = [
        one for request in psa.requests() if not request["fault"] for one in unpublished_in_request(request)
    ]
    assert sent == [], "sent to Kantata, but not published"
    assert psa_unpublished(read) == [], "read from Kantata, but not published"
