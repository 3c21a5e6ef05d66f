"""Records of one NetSuite account: reading values in, references, duplicates, showing values out.

Public surface: Account (save, load, remove, show, resolve).
"""

import calendar
import re
from datetime import date

from ..core import clock
from ..core.systems import NoSuchRecord, System
from . import fields as meta
from .errors import refuse, rule
from .masters import MasterRules, now_text
from .presentation import Presentation
from .transactions import apply_lines, settle, unapply

CUSTOM = re.compile(r"^cust(?:entity|body|col|record|event|item)_\w+$")
CUSTOM_NAME = {"s": "s", "string": "s", "number": "n", "boolean": "b", "date": "d", "integer": "i"}


class Account(MasterRules, Presentation):
    """Values are kept expanded: references as ``{"id", "refName"}``, sublists as ``{"items": [...]}``."""

    def __init__(self, system: System):
        self.system = system

    # -- schema ----------------------------------------------------------------------------------

    def known(self, kind: str) -> bool:
        return kind in meta.RECORDS

    def fields(self, kind: str) -> dict[str, meta.Field]:
        custom = self.system.store.setting(self.system.name, "schema", {}).get(kind, {})
        found = meta.fields_of(kind)
        return {**found, **meta.parse(" ".join(f"{n}:{t}" for n, t in custom.items()))} if custom else found

    def sublists(self, kind: str) -> dict[str, dict[str, meta.Field]]:
        found = meta.sublists_of(kind)
        custom = self.system.store.setting(self.system.name, "schema", {}).get(f"{kind}.item")
        if custom and "item" in found:
            more = meta.parse(" ".join(f"{n}:{t}" for n, t in custom.items()))
            found = {**found, "item": {**found["item"], **more}}
        return found

    def define(self, schema: dict[str, dict[str, str]]) -> None:
        """Custom fields: ``{"customer": {"custentity_x": "s"}, "invoice.item": {"custcol_y": "n"}}``."""
        kept = {k: dict(v) for k, v in self.system.store.setting(self.system.name, "schema", {}).items()}
        for kind, names in schema.items():
            if kind.partition(".")[0] not in meta.RECORDS:
                raise ValueError(f"no record type {kind}")
            for name, type_ in names.items():
                if not CUSTOM.match(name):
                    raise ValueError(f"{name} is no custom field name (custentity_…, custbody_…, custcol_…)")
                kept.setdefault(kind, {})[name] = CUSTOM_NAME.get(type_, type_)
        self.system.store.set_setting(self.system.name, "schema", kept)

    # -- constants -------------------------------------------------------------------------------

    def install(self) -> None:
        if self.system.all("currency"):
            return
        order = meta.CURRENCIES
        if self.system.account == "OSTREL":
            order = sorted(order, key=lambda c: c[0] != "EUR")
        for number, (symbol, name, places) in enumerate(order, 1):
            self.load(
                "currency",
                {
                    "id": str(number),
                    "name": name,
                    "symbol": symbol,
                    "currencyPrecision": places,
                    "exchangeRate": 1.0,
                    "isBaseCurrency": number == 1,
                },
            )
        for number, (name, days) in enumerate(meta.TERMS, 1):
            self.load("term", {"id": str(number), "name": name, "daysUntilNetDue": days})
        today = clock.now().date()
        for offset in range(-12, 13):
            month = today.month - 1 + offset
            first = date(today.year + month // 12, month % 12 + 1, 1)
            last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
            self.load(
                "accountingPeriod",
                {
                    "id": str(100 + offset + 13),
                    "periodName": f"{first:%b %Y}",
                    "startDate": str(first),
                    "endDate": str(last),
                    "closed": False,
                    "allLocked": False,
                    "arLocked": False,
                    "apLocked": False,
                    "isQuarter": False,
                    "isYear": False,
                    "isAdjust": False,
                },
            )

    # -- looking up ------------------------------------------------------------------------------

    def resolve(self, kind: str, id_: str) -> dict | None:
        """A record by internal id or ``eid:``."""
        if str(id_).startswith("eid:"):
            found = self.system.find(kind, "externalId", id_[4:])
            return found[0] if found else None
        return self.system.get(kind, str(id_))

    def target(self, field: meta.Field, id_: str) -> dict | None:
        for kind in meta.WIDER.get(field.target, (field.target,)):
            found = self.resolve(kind, id_)
            if found:
                return found
        return None

    def symbol(self, currency: dict | None) -> tuple[str, int]:
        """ISO 4217 code and decimal places of a currency reference."""
        doc = self.resolve("currency", currency["id"]) if currency else None
        return (doc["symbol"], int(doc.get("currencyPrecision", 2))) if doc else ("", 2)

    def subsidiaries(self, customer: dict) -> set[str]:
        own = {customer["subsidiary"]["id"]} if customer.get("subsidiary") else set()
        relations = self.system.all("customerSubsidiaryRelationship")
        return own | {r["subsidiary"]["id"] for r in relations if r["entity"]["id"] == customer["id"]}

    def currencies(self, customer: dict) -> set[str]:
        own = {customer["currency"]["id"]} if customer.get("currency") else set()
        listed = customer.get("currencyList", {}).get("items", [])
        return own | {line["currency"]["id"] for line in listed if line.get("currency")}

    # -- writing ---------------------------------------------------------------------------------

    def save(
        self, kind: str, values: dict, *, before: dict | None, replace: set[str], lenient: bool = False
    ) -> dict:
        """Create or change a record as an API call does; raises Refusal."""
        clean = self._read(kind, values, strict=not lenient, seeding=False)
        fields = self.fields(kind)
        if before is None:
            missing = [f.name for f in fields.values() if f.required and clean.get(f.name) in (None, "")]
            if missing:
                refuse(
                    400,
                    "USER_ERROR",
                    f"Error while accessing a resource. Please enter value(s) for: {', '.join(missing)}.",
                    path=missing[0],
                )
            doc = self._blank(kind)
        else:
            doc = dict(before)
        for name, value in clean.items():
            sublist = self.sublists(kind).get(name)
            doc[name] = (
                _merge(before.get(name), value) if sublist and before and name not in replace else value
            )
        self._check_external_id(kind, doc)
        if kind == "customer":
            self._customer(doc, before)
        elif kind == "job":
            self._job(doc, before)
        elif kind == "customerSubsidiaryRelationship":
            self._relationship(doc, before)
        elif kind in meta.TRANSACTIONS:
            settle(self, kind, doc, before, enforce=True)
        elif kind == "timeBill":
            doc.setdefault("tranDate", str(clock.now().date()))
        if "lastModifiedDate" in fields:
            doc["lastModifiedDate"] = now_text()
        doc["refName"] = _ref_name(doc)
        saved = self.system.put(kind, doc["id"], doc)
        if kind == "customer" and before is None:
            self._primary_relationship(saved)
        if kind in meta.TRANSACTIONS:
            apply_lines(self, kind, saved, before, enforce=True)
        return self.system.get(kind, doc["id"])

    def load(self, kind: str, values: dict) -> dict:
        """Take a record as an administrator's import: ids and stamps honoured, no business rules."""
        if not self.known(kind):
            raise ValueError(f"no record type {kind}")
        fields, sublists = self.fields(kind), self.sublists(kind)
        custom = {n: _guess(v) for n, v in values.items() if n not in fields and CUSTOM.match(n)}
        if custom:
            self.define({kind: custom})
            fields = self.fields(kind)
        bad = [n for n in values if n not in fields and n not in sublists and n != "links"]
        if bad:
            raise ValueError(f"{kind} has no field {', '.join(bad)}")
        clean = self._read(kind, values, strict=False, seeding=True)
        id_ = str(values["id"]) if values.get("id") else None
        before = self.system.get(kind, id_) if id_ else None
        doc = dict(before) if before else self._blank(kind, id_)
        doc |= clean
        if "lastModifiedDate" in fields:
            doc["lastModifiedDate"] = clean.get("lastModifiedDate") or now_text()
        if kind in meta.TRANSACTIONS:
            settle(self, kind, doc, before, enforce=False)
        elif kind in ("customer", "job", "employee"):
            doc["entityId"] = (
                doc.get("entityId")
                or doc.get("companyName")
                or " ".join(filter(None, (doc.get("firstName"), doc.get("lastName"))))
            )
        doc["refName"] = _ref_name(doc)
        saved = self.system.put(kind, doc["id"], doc)
        if kind == "customer" and before is None and saved.get("subsidiary"):
            self._primary_relationship(saved)
        if kind in meta.TRANSACTIONS:
            apply_lines(self, kind, saved, before, enforce=False)
        return self.system.get(kind, doc["id"])

    def remove(self, kind: str, id_: str) -> dict:
        doc = self.resolve(kind, id_)
        if doc is None:
            raise NoSuchRecord(f"no {kind} {id_}")
        if kind in ("customerPayment", "creditMemo"):
            unapply(self, doc)
        self.system.delete(kind, doc["id"])
        return doc

    def _blank(self, kind: str, id_: str | None = None) -> dict:
        # Numbers are shared by families of records, as in the vendor's tables.
        family = (
            "transaction"
            if kind in meta.TRANSACTIONS
            else "entity"
            if kind in ("customer", "job", "employee")
            else "item"
            if kind in meta.ITEM_TYPES
            else kind
        )
        if id_ is None:
            id_ = str(self.system.number(f"id:{family}", start=600))
            while self.system.get(kind, id_):
                id_ = str(self.system.number(f"id:{family}", start=600))
        fields = self.fields(kind)
        doc = {"id": id_, **{name: now_text() for name in ("createdDate", "dateCreated") if name in fields}}
        return {**doc, "isInactive": False} if "isInactive" in fields else doc

    # -- values ----------------------------------------------------------------------------------

    def _read(self, kind: str, values, *, strict: bool, seeding: bool) -> dict:
        if not isinstance(values, dict):
            refuse(400, "INVALID_CONTENT", "Error while parsing the request body. A JSON object is required.")
        fields, sublists, clean = self.fields(kind), self.sublists(kind), {}
        for name, value in values.items():
            if name in ("links",) or (name == "id" and not seeding):
                continue
            if name in sublists:
                clean[name] = self._sublist(name, value, sublists[name], strict=strict, seeding=seeding)
            elif name not in fields:
                if strict:
                    refuse(
                        400,
                        "INVALID_CONTENT",
                        f"Unknown property {name} of record type {kind}. Error while "
                        "parsing the request body: the property name is not valid.",
                        path=name,
                    )
            elif fields[name].read_only and not seeding:
                if strict and value != {}:
                    refuse(
                        400,
                        "INVALID_CONTENT",
                        f"Error while accessing a resource. The property {name} is read-only.",
                        path=name,
                    )
            else:
                clean[name] = self._value(fields[name], value, path=name, seeding=seeding)
        return clean

    def _sublist(self, name: str, value, fields: dict, *, strict: bool, seeding: bool) -> dict:
        items = value.get("items") if isinstance(value, dict) else value
        if not isinstance(items, list):
            refuse(
                400,
                "INVALID_CONTENT",
                f"Invalid content in the request body. The sublist {name} must have items.",
                path=f"{name}.items",
            )
        lines = []
        for number, item in enumerate(items):
            line = {}
            for key, inner in item.items():
                path = f"{name}.items[{number}].{key}"
                if key in ("links", "refName"):
                    continue
                if key not in fields:
                    if strict or seeding:
                        refuse(
                            400,
                            "INVALID_CONTENT",
                            f"Unknown property {key} of sublist {name}. Error while "
                            "parsing the request body: the property name is not valid.",
                            path=path,
                        )
                elif fields[key].type == "o":
                    line[key] = self._subrecord(key, inner, path, strict)
                else:
                    line[key] = self._value(fields[key], inner, path=path, seeding=seeding)
            missing = [f.name for f in fields.values() if f.required and line.get(f.name) in (None, "")]
            if missing:
                refuse(
                    400,
                    "USER_ERROR",
                    f"Error while accessing a resource. Please enter value(s) for: {', '.join(missing)}.",
                    path=f"{name}.items[{number}]",
                )
            if "line" in fields:
                line.setdefault("line", number + 1)
            elif "id" in fields and not line.get("id"):
                number_of_line = self.system.number(f"line:{name}")
                line["id"] = number_of_line if fields["id"].type == "i" else str(number_of_line)
            lines.append(line)
        return {"items": lines}

    def _subrecord(self, name: str, value: dict, path: str, strict: bool) -> dict:
        fields = meta.subrecord(name)
        unknown = [key for key in value if key not in fields and key not in ("links", "id", "refName")]
        if unknown and strict:
            refuse(
                400,
                "INVALID_CONTENT",
                f"Unknown property {unknown[0]} of {name}.",
                path=f"{path}.{unknown[0]}",
            )
        return {
            k: self._value(fields[k], v, path=f"{path}.{k}", seeding=False)
            for k, v in value.items()
            if k in fields
        }

    def _value(self, field: meta.Field, value, *, path: str, seeding: bool):
        if value is None:
            return None
        kind = field.type
        if kind == "s":
            if isinstance(value, dict | list):
                _bad_value(path, value)
            return str(value)
        if kind in ("i", "n"):
            try:
                number = float(value) if not isinstance(value, bool) else _bad_value(path, value)
            except (TypeError, ValueError):
                _bad_value(path, value)
            return int(number) if kind == "i" else number
        if kind == "b":
            if not isinstance(value, bool):
                _bad_value(path, value)
            return value
        if kind in ("d", "dt"):
            try:
                moment = clock.parse(str(value))
            except ValueError:
                _bad_value(path, value)
            return f"{moment:%Y-%m-%d}" if kind == "d" else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        if kind == "e":
            return self._choice(field, value, path)
        if kind == "refs":
            items = value.get("items", []) if isinstance(value, dict) else value
            return {"items": [self._reference(field, item, path, seeding) for item in items]}
        return self._reference(field, value, path, seeding)

    def _choice(self, field: meta.Field, value, path: str) -> dict:
        id_ = str(value.get("id") or value.get("refName") or "") if isinstance(value, dict) else str(value)
        allowed = meta.CHOICES.get(field.name)
        if allowed is not None and id_ not in allowed:
            by_name = next((key for key, name in allowed.items() if name == id_), None)
            if by_name is None:
                _bad_value(path, id_)
            id_ = by_name
        return {
            "id": id_,
            "refName": (allowed or {}).get(id_)
            or (value.get("refName") if isinstance(value, dict) else None)
            or id_,
        }

    def _reference(self, field: meta.Field, value, path: str, seeding: bool) -> dict | None:
        if isinstance(value, dict):
            id_ = value.get("id")
            if id_ is None and value.get("externalId"):
                id_ = f"eid:{value['externalId']}"
            if id_ is None:
                if not value:
                    return None
                _bad_value(path, value)
        else:
            id_ = value
            if not seeding and isinstance(value, list):
                _bad_value(path, value)
        found = self.target(field, str(id_))
        if found is None:
            if seeding:
                return {"id": str(id_)}
            rule(
                "INVALID_KEY_OR_REF", f"Invalid Field Value {id_} for the following field: {path}", path=path
            )
        return {"id": found["id"], "refName": found.get("refName")}


def _bad_value(path: str, value):
    refuse(
        400,
        "INVALID_CONTENT",
        f"Invalid value {str(value)[:80]!r} for the field {path}. Provide a valid value.",
        path=path,
    )


def _merge(before: dict | None, after: dict) -> dict:
    """Lines with a known key are changed, the rest is appended (PATCH without ?replace)."""
    lines = [dict(line) for line in (before or {}).get("items", [])]
    for new in after["items"]:
        key = "line" if "line" in new else "id"
        match = next((old for old in lines if key in new and old.get(key) == new[key]), None)
        if match is not None:
            if "amount" not in new and ("rate" in new or "quantity" in new):
                match.pop("amount", None)  # a changed rate or quantity gives a new amount
            match.update(new)
        else:
            lines.append(new)
    return {"items": lines}


def _ref_name(doc: dict) -> str:
    for name in ("tranId", "entityId", "itemId", "periodName", "acctName", "symbol", "name", "title"):
        if doc.get(name):
            return doc["name"] if name == "symbol" and doc.get("name") else doc[name]
    return doc["id"]


def _guess(value) -> str:
    return "b" if isinstance(value, bool) else "n" if isinstance(value, int | float) else "s"
