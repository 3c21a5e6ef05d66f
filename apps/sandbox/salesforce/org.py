"""The org: objects, fields, records, and the rules that a write must pass.

Public surface: Org (create, update, delete, upsert matching, reading helpers).
"""

import itertools
import re
from datetime import UTC

from ..core import clock
from ..core.systems import NoSuchRecord, System
from .errors import refuse
from .fields import OBJECTS, PREFIXES, STAGES, SYSTEM, Field, parse_fields

CHECK_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RUN_AS_USER = "005000000000001AAA"
STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")


def to_18(id_: str) -> str:
    """Append the three case-check characters to a 15-character id."""
    if len(id_) != 15:
        return id_
    suffix = ""
    for block in (id_[0:5], id_[5:10], id_[10:15]):
        suffix += CHECK_CHARS[sum(1 << i for i, c in enumerate(block) if c.isupper())]
    return id_ + suffix


def moment(value=None) -> str:
    """Date-time as the REST API writes it: ``2026-11-23T04:00:00.000+0000``, stamps in whole seconds."""
    value = clock.now() if value is None else clock.parse(str(value))
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


class Org:
    """Records of one org. Writes raise Refusal with the vendor's error."""

    def __init__(self, system: System):
        self.system = system
        self._fields: dict[str, dict[str, Field]] = {}
        self._lower: dict[str, dict[str, str]] = {}
        self.load_schema()

    # -- schema ----------------------------------------------------------------------------------

    def load_schema(self) -> None:
        custom = self.system.store.setting(self.system.name, "schema", {})
        for obj in {**OBJECTS, **custom}:
            fields = parse_fields(SYSTEM + " " + OBJECTS.get(obj, "Name:string(80)"))
            fields |= parse_fields(" ".join(f"{n}:{t}" for n, t in custom.get(obj, {}).items()))
            self._fields[obj] = fields
            self._lower[obj] = {name.lower(): name for name in fields}

    def define(self, schema: dict[str, dict[str, str]]) -> None:
        """Add objects and fields, notation of fields.py; kept over restarts."""
        kept = {k: dict(v) for k, v in self.system.store.setting(self.system.name, "schema", {}).items()}
        for obj, fields in schema.items():
            kept.setdefault(obj, {}).update(fields)
        self.system.store.set_setting(self.system.name, "schema", kept)
        self.load_schema()

    def object_name(self, name: str) -> str | None:
        if name in self._fields:
            return name
        return next((obj for obj in self._fields if obj.lower() == name.lower()), None)

    def objects(self) -> list[str]:
        return list(self._fields)

    def fields(self, obj: str) -> dict[str, Field]:
        return self._fields[obj]

    def field(self, obj: str, name: str) -> Field | None:
        real = self._lower[obj].get(name.lower())
        return self._fields[obj][real] if real else None

    def relationship(self, obj: str, name: str) -> Field | None:
        lowered = name.lower()
        for field in self._fields[obj].values():
            if field.target and field.relationship.lower() == lowered:
                return field
        return None

    def attributes(self, obj: str, id_: str) -> dict:
        return {"type": obj, "url": f"/services/data/v68.0/sobjects/{obj}/{id_}"}

    # -- reading ---------------------------------------------------------------------------------

    def record(self, obj: str, id_: str | None) -> dict | None:
        doc = self.system.get(obj, to_18(id_)) if id_ else None
        return None if doc is None or doc.get("IsDeleted") else doc

    def candidates(self, obj: str, where) -> list[dict]:
        """Records worth testing: an equality on one indexed column at the top of an AND narrows them."""
        for column, value in _equalities(where):
            field = self.field(obj, column) if "." not in column else None
            if field and field.type in ("id", "reference"):
                return self.system.find(obj, field.name, to_18(str(value)))
        return self.system.all(obj)

    def matching(self, obj: str, field: str, value: str) -> list[dict]:
        """Live records whose external id equals the value; text matches without regard to case."""
        found = self.system.find(obj, field, value)
        if not found:
            wanted = str(value).casefold()
            found = [d for d in self.system.all(obj) if str(d.get(field) or "").casefold() == wanted]
        return [doc for doc in found if not doc.get("IsDeleted")]

    # -- writing ---------------------------------------------------------------------------------

    def new_id(self, obj: str) -> str:
        prefix = PREFIXES.get(obj)
        if prefix is None:
            customs = sorted(set(self._fields) - set(PREFIXES))
            prefix = f"b{DIGITS[customs.index(obj) // 62]}{DIGITS[customs.index(obj) % 62]}"
        number, text = self.system.number(f"id:{obj}"), ""
        while number:
            number, digit = divmod(number, 62)
            text = DIGITS[digit] + text
        return to_18(f"{prefix}5g{text.rjust(10, '0')}")

    def create(self, obj: str, values: dict, *, allow_duplicates: bool = False) -> dict:
        clean = self._clean(obj, values, creating=True)
        missing = [
            f.name for f in self._fields[obj].values() if f.required and clean.get(f.name) in (None, "")
        ]
        if missing:
            refuse(
                400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing
            )
        now = moment()
        doc = dict.fromkeys(self._fields[obj])
        doc.update({f.name: False for f in self._fields[obj].values() if f.type == "boolean"})
        doc |= {"CurrencyIsoCode": self.system.setting("corporate_currency", "GBP"), "OwnerId": RUN_AS_USER}
        if obj in ("Product2", "PricebookEntry", "Pricebook2", "User"):
            doc["IsActive"] = True
        doc |= clean
        doc |= {"Id": self.new_id(obj), "CreatedById": RUN_AS_USER, "LastModifiedById": RUN_AS_USER}
        doc |= dict.fromkeys(STAMPS, now)
        self._check_unique(obj, doc, clean)
        if not allow_duplicates:
            self._check_duplicates(obj, doc)
        self._check_rules(obj, doc)
        return self._store(obj, self._derive(obj, doc))

    def update(
        self, obj: str, id_: str, values: dict, *, allow_duplicates: bool = False
    ) -> tuple[dict, dict]:
        """Before and after. Raises Refusal 404 when there is no such live record."""
        before = self.record(obj, id_)
        if before is None:
            gone = self.system.get(obj, to_18(id_))
            if gone:
                refuse(404, "ENTITY_IS_DELETED", "entity is deleted", [])
            refuse(404, "NOT_FOUND", "The requested resource does not exist")
        clean = self._clean(obj, values, creating=False)
        cleared = [n for n, v in clean.items() if v in (None, "") and self._fields[obj][n].required]
        if cleared:
            refuse(
                400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(cleared)}]", cleared
            )
        doc = {**before, **clean, "LastModifiedDate": moment(), "SystemModstamp": moment()}
        doc["LastModifiedById"] = RUN_AS_USER
        self._check_unique(obj, doc, clean)
        if not allow_duplicates and set(clean) & self._rule_fields(obj):
            self._check_duplicates(obj, doc)
        self._check_rules(obj, doc)
        return before, self._store(obj, self._derive(obj, doc, touched=set(clean)))

    def delete(self, obj: str, id_: str) -> dict:
        before = self.record(obj, id_)
        if before is None:
            refuse(404, "NOT_FOUND", "The requested resource does not exist")
        now = moment()
        self._store(obj, {**before, "IsDeleted": True, "LastModifiedDate": now, "SystemModstamp": now})
        return before

    def load(self, obj: str, values: dict) -> dict:
        """Take a record as an administrator's import does: ids and stamps honoured, unknown custom fields
        created, no rules run. Updates when the id exists."""
        if self.object_name(obj) is None:
            self.define({obj: {}})
        unknown = {
            n: _guess(v) for n, v in values.items() if n.endswith("__c") and self.field(obj, n) is None
        }
        if unknown:
            self.define({obj: unknown})
        bad = [n for n in values if n != "attributes" and self.field(obj, n) is None]
        if bad:
            raise ValueError(f"{obj} has no field {', '.join(bad)}")
        values = {self.field(obj, n).name: v for n, v in values.items() if n != "attributes"}
        id_ = to_18(values["Id"]) if values.get("Id") else self.new_id(obj)
        before = self.system.get(obj, id_)
        doc = dict(before or dict.fromkeys(self._fields[obj]))
        if before is None:
            doc.update({f.name: False for f in self._fields[obj].values() if f.type == "boolean"})
            doc |= {
                "CurrencyIsoCode": self.system.setting("corporate_currency", "GBP"),
                "OwnerId": RUN_AS_USER,
            }
            doc |= {"IsActive": True} if "IsActive" in doc else {}
            doc |= {"CreatedById": RUN_AS_USER, "LastModifiedById": RUN_AS_USER}
            doc |= {name: moment() for name in STAMPS}
        doc |= values
        for name, field in self._fields[obj].items():
            if field.type == "datetime" and doc.get(name):
                doc[name] = moment(doc[name])
        if "LastModifiedDate" in values and "SystemModstamp" not in values:
            doc["SystemModstamp"] = doc["LastModifiedDate"]
        doc["Id"] = id_
        return self._store(obj, self._derive(obj, doc, touched=set(values)))

    def _store(self, obj: str, doc: dict) -> dict:
        return self.system.put(obj, doc["Id"], doc)

    def _derive(self, obj: str, doc: dict, touched: set[str] | None = None) -> dict:
        """Fields that the platform computes."""
        if obj == "Opportunity":
            closed, won, probability = STAGES.get(doc.get("StageName") or "", (False, False, None))
            doc["IsClosed"], doc["IsWon"] = closed, won
            if probability is not None and (touched is None or "StageName" in touched):
                doc["Probability"] = (
                    doc["Probability"] if touched is None and doc["Probability"] else probability
                )
            doc["FiscalYear"] = int(doc["CloseDate"][:4]) if doc.get("CloseDate") else None
        elif obj == "OpportunityLineItem":
            entry = self.record("PricebookEntry", doc.get("PricebookEntryId"))
            if entry and not doc.get("Product2Id"):
                doc["Product2Id"] = entry.get("Product2Id")
            product = self.record("Product2", doc.get("Product2Id"))
            if product:
                doc["ProductCode"], doc["Name"] = product.get("ProductCode"), product.get("Name")
            quantity, price = doc.get("Quantity"), doc.get("UnitPrice")
            recompute = touched is None or touched & {"Quantity", "UnitPrice", "Discount"}
            stale = doc.get("TotalPrice") is None or (recompute and "TotalPrice" not in (touched or ()))
            if stale and quantity is not None and price is not None:
                doc["TotalPrice"] = round(quantity * price * (1 - (doc.get("Discount") or 0) / 100), 2)
            self._flag_parent(doc)
        elif obj in ("Contract", "Order"):
            name = f"{obj}Number"
            doc[name] = doc.get(name) or f"{self.system.number(name, start=100):08d}"
        elif obj == "PricebookEntry":
            product = self.record("Product2", doc.get("Product2Id"))
            if product:
                doc["ProductCode"], doc["Name"] = product.get("ProductCode"), product.get("Name")
        elif obj == "User":
            doc["Name"] = " ".join(filter(None, (doc.get("FirstName"), doc.get("LastName"))))
        return doc

    def _flag_parent(self, line: dict) -> None:
        parent = self.record("Opportunity", line.get("OpportunityId"))
        if parent and not parent.get("HasOpportunityLineItem"):
            self._store("Opportunity", {**parent, "HasOpportunityLineItem": True})

    def roll_up(self, opportunity_id: str) -> tuple[dict, dict] | None:
        """Amount of an opportunity follows its lines; before and after when it moved."""
        parent = self.record("Opportunity", opportunity_id)
        if parent is None:
            return None
        lines = [
            d
            for d in self.system.find("OpportunityLineItem", "OpportunityId", parent["Id"])
            if not d["IsDeleted"]
        ]
        amount = round(sum(d.get("TotalPrice") or 0 for d in lines), 2)
        if not lines or amount == parent.get("Amount"):
            return None
        now = moment()
        after = {**parent, "Amount": amount, "LastModifiedDate": now, "SystemModstamp": now}
        return parent, self._store("Opportunity", after)

    # -- rules -----------------------------------------------------------------------------------

    def _clean(self, obj: str, values: dict, *, creating: bool) -> dict:
        if not isinstance(values, dict):
            refuse(400, "JSON_PARSER_ERROR", "The HTTP entity body is required to be a JSON object")
        clean = {}
        for name, value in values.items():
            if name == "attributes":
                continue
            field = self.field(obj, name)
            if field is None:
                value = self._by_external_id(obj, name, value)
                field = self.relationship(obj, name)
            elif field.read_only or (not creating and name == "Id"):
                refuse(
                    400,
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to create/update fields: {field.name}. Please check the security settings of this "
                    "field and verify that it is read/write for your profile or permission set.",
                    [field.name],
                )
            clean[field.name] = self._typed(field, value)
        return clean

    def _by_external_id(self, obj: str, name: str, value) -> str:
        """``"Account": {"ERP_Id__c": "1"}`` names a parent by its external id."""
        field = self.relationship(obj, name)
        if field is None or not isinstance(value, dict):
            refuse(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {obj}")
        keys = [key for key in value if key != "attributes"]
        found = self.matching(field.target, keys[0], value[keys[0]]) if len(keys) == 1 else []
        if len(found) != 1:
            refuse(
                400,
                "INVALID_FIELD",
                f"Foreign key external ID: {value.get(keys[0]) if keys else ''} not found "
                f"for field {keys[0] if keys else ''} in entity {field.target}",
            )
        return found[0]["Id"]

    def _typed(self, field: Field, value):
        if value is None or value == "":
            return False if field.type == "boolean" else None
        kind = field.type
        if kind == "boolean":
            if not isinstance(value, bool) and str(value).lower() not in ("true", "false"):
                _cannot_read("boolean", value)
            return value if isinstance(value, bool) else str(value).lower() == "true"
        if kind in ("double", "currency", "int"):
            try:
                number = float(value) if not isinstance(value, bool) else _cannot_read(kind, value)
            except (TypeError, ValueError):
                _cannot_read(kind, value)
            return int(number) if kind == "int" else number
        if kind in ("date", "datetime"):
            try:
                parsed = clock.parse(str(value))
            except ValueError:
                _cannot_read(kind, value)
            return str(value)[:10] if kind == "date" else moment(parsed.isoformat())
        if isinstance(value, dict | list):
            _cannot_read("string", value)
        value = str(value)
        if kind == "reference":
            return self._reference(field, value)
        if field.length and len(value) > field.length:
            refuse(
                400,
                "STRING_TOO_LONG",
                f"{field.name}: data value too large: {value[:60]} (max length={field.length})",
                [field.name],
            )
        allowed = list(STAGES) if field.name == "StageName" else None
        allowed = self.system.setting("picklists", {}).get(field.name, allowed)
        if allowed is not None and value not in allowed:
            refuse(
                400,
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{field.name}: bad value for restricted picklist field: {value}",
                [field.name],
            )
        return value

    def _reference(self, field: Field, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", value):
            refuse(400, "MALFORMED_ID", f"{field.name}: id value of incorrect type: {value}", [field.name])
        value = to_18(value)
        if field.target != "User" and self.record(field.target, value) is None:
            refuse(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [field.name])
        return value

    def _check_unique(self, obj: str, doc: dict, written: dict) -> None:
        for field in self._fields[obj].values():
            if not field.unique or written.get(field.name) in (None, ""):
                continue
            other = [d for d in self.matching(obj, field.name, doc[field.name]) if d["Id"] != doc["Id"]]
            if other:
                refuse(
                    400,
                    "DUPLICATE_VALUE",
                    f"duplicate value found: {field.name} duplicates value on record "
                    f"with id: {other[0]['Id'][:15]}",
                    [],
                )

    def _rule_fields(self, obj: str) -> set[str]:
        return set(itertools.chain(*(r["fields"] for r in self.system.find("DuplicateRule", "sobject", obj))))

    def _check_duplicates(self, obj: str, doc: dict) -> None:
        for rule in self.system.find("DuplicateRule", "sobject", obj):
            keys = [str(doc.get(name) or "").casefold().strip() for name in rule["fields"]]
            if not all(keys):
                continue
            matches = [
                d
                for d in self.system.all(obj)
                if d["Id"] != doc["Id"]
                and not d.get("IsDeleted")
                and [str(d.get(name) or "").casefold().strip() for name in rule["fields"]] == keys
            ]
            if not matches:
                continue
            message = rule.get("message") or "Use one of these records?"
            records = [
                {
                    "additionalInformation": [],
                    "fieldDiffs": [],
                    "matchConfidence": 100.0,
                    "record": {"attributes": self.attributes(obj, d["Id"]), "Id": d["Id"]},
                }
                for d in matches
            ]
            refuse(
                400,
                "DUPLICATES_DETECTED",
                message,
                duplicateResult={
                    "allowSave": rule.get("allowSave", True),
                    "duplicateRule": rule.get("name", f"Standard_{obj}_Rule"),
                    "duplicateRuleEntityType": obj,
                    "errorMessage": message,
                    "matchResults": [
                        {
                            "entityType": obj,
                            "errors": [],
                            "matchEngine": "ExactMatchEngine",
                            "matchRecords": records,
                            "rule": rule.get("name", f"Standard_{obj}_Match"),
                            "size": len(matches),
                            "success": True,
                        }
                    ],
                },
            )

    def _check_rules(self, obj: str, doc: dict) -> None:
        for rule in self.system.find("ValidationRule", "sobject", obj):
            if all(doc.get(name) == value for name, value in rule["when"].items()):
                refuse(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", rule["message"], rule.get("fields", []))


def _cannot_read(kind: str, value):
    refuse(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {kind} from VALUE_STRING value {value}")


def _equalities(tree) -> list[tuple[str, object]]:
    from ..core.sql import Column, Literal

    if tree is None:
        return []
    if tree[0] == "and":
        return _equalities(tree[1]) + _equalities(tree[2])
    if tree[0] == "cmp" and tree[2] == "=" and isinstance(tree[1], Column) and isinstance(tree[3], Literal):
        return [(tree[1].name, tree[3].value)] if tree[3].value is not None else []
    return []


def _guess(value) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "double"
    text = str(value or "")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return "date"
    return "text" if len(text) > 255 else "string(255)"


def missing(obj: str, id_: str) -> NoSuchRecord:
    return NoSuchRecord(f"no {obj} {id_}")
