"""Answers of the ERP and the PSA carry the listed fields, in the listed types, and nothing else.

Every record type is created (or, where the vendor makes it itself, found) and read over HTTP, with every writable field
filled; what a read answers is compared with ``fields.py`` key by key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from apps.sandbox.kantata.fields import OWN, PLAIN, RESOURCES, association
from apps.sandbox.kantata.fields import Field as PsaField
from apps.sandbox.netsuite import fields as erp_fields
from apps.sandbox.netsuite.fields import RECORDS
from apps.sandbox.netsuite.fields import Field as ErpField

from .test_kantata import Psa
from .test_netsuite import Erp

DAY = re.compile(r"\d{4}-\d\d-\d\d")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(kind: str, value: Any) -> bool:
    """Whether a value has the JSON shape of a type that both vendors share."""
    return {
        "s": lambda: isinstance(value, str),
        "i": lambda: _is_whole(value),
        "n": lambda: _is_whole(value) or isinstance(value, float),
        "b": lambda: isinstance(value, bool),
        "d": lambda: isinstance(value, str) and bool(DAY.fullmatch(value)),
        "dt": lambda: isinstance(value, str) and bool(INSTANT.fullmatch(value)),
    }[kind]()


# ---- NetSuite --------------------------------------------------------------------------------------------------------


def _self_link(value: dict) -> bool:
    links = value.get("links")
    return isinstance(links, list) and links[0]["rel"] == "self" and links[0]["href"].startswith("http")


def _erp_value(field: ErpField, value: Any) -> bool:
    if field.type == "e":
        return isinstance(value, dict) and set(value) == {"id", "refName"} and _plain("s", value["id"])
    if field.type == "ref":
        linked = isinstance(value, dict) and _self_link(value) and set(value) <= {"links", "id", "refName"}
        return linked and f"/{field.target}/{value['id']}" in value["links"][0]["href"]
    if field.type == "refs":
        return _self_link(value) and all(set(each) >= {"id", "refName"} for each in value["items"])
    return _plain(field.type, value)


def _erp_differences(where: str, shown: dict, fields: dict[str, ErpField]) -> Iterator[str]:
    for name, value in shown.items():
        if name == "links":
            continue
        if name not in fields:
            yield f"{where}.{name} is not listed"
        elif fields[name].type == "o":
            yield from _erp_differences(f"{where}.{name}", value, erp_fields.subrecord(name))
        elif not _erp_value(fields[name], value):
            yield f"{where}.{name} is listed as {fields[name].type}, not {value!r}"


def _record_differences(kind: str, shown: dict) -> list[str]:
    sublists = erp_fields.sublists_of(kind)
    found = list(
        _erp_differences(
            kind, {n: v for n, v in shown.items() if n not in sublists}, erp_fields.fields_of(kind)
        )
    )
    for name in sublists.keys() & shown.keys():
        if not _self_link(shown[name]) or shown[name]["totalResults"] != len(shown[name]["items"]):
            found.append(f"{kind}.{name} is no list with links and totalResults")
        for line in shown[name]["items"]:
            found += _erp_differences(f"{kind}.{name}", line, sublists[name])
    return found


#: Kept as they are in the emptied account or seeded by ``Erp``: others of their type would break a rule.
ERP_KEPT = {"subsidiary": "1", "currency": "1", "term": "1", "serviceSaleItem": "50", "salesTaxItem": "9"}
ERP_FIRST = (
    "account", "classification", "department", "location", "customerCategory", "billingClass", "employee", "customer",
    "billingSchedule", "billingRateCard", "job", "projectTask", "salesOrder", "invoice",
)  # fmt: skip
ERP_CHOICES = {
    "approvalStatus": "2",
    "jobBillingType": "1",
    "emailPreference": "PDF",
    "priority": "LOW",
    "timeType": "A",
    "orderStatus": "A",
    "recurrencePattern": "FIXED_BILL_DATE",
    "creditHoldOverride": "AUTO",
}
#: Values that a rule of the account narrows.
ERP_VALUES: dict[str, dict[str, Any]] = {
    "customer": {"isPerson": False},
    "customerSubsidiaryRelationship": {"subsidiary": {"id": "2"}},
    "customerPayment": {"payment": 40.0},
}


class ErpFiller:
    """Makes records with every writable field that the lists name and that has something to point at."""

    def __init__(self, erp: Erp, period: dict[str, Any]):
        self.erp, self.day = erp, period["startDate"]
        self.kept = {**ERP_KEPT, "accountingPeriod": period["id"]}
        self.made = dict(self.kept)
        self.number = 0

    def make(self, kind: str) -> tuple[set[str], dict[str, Any]]:
        """The names that were sent, and the record as it is answered."""
        self.number += 1
        body = self._filled(erp_fields.fields_of(kind), {"id", "isInactive", "externalId"})
        for name, fields in erp_fields.sublists_of(kind).items():
            line = self._filled(fields, {"id", "internalId", "line"})
            # Two transactions share what is due on one invoice.
            body[name] = {"items": [line | ({"amount": 1.0} if name == "apply" else {})]}
        body |= ERP_VALUES.get(kind, {})
        answer = self.erp.call("PUT", f"/{kind}/eid:{kind}-{self.number}", body)
        assert answer.status_code == 204, f"{kind}: {answer.text}"
        id_ = answer.headers["Location"].rpartition("/")[2]
        self.made[kind] = self.kept.get(kind, id_)
        return set(body), self.erp.call("GET", f"/{kind}/{id_}?expandSubResources=true").json()

    def _filled(self, fields: dict[str, ErpField], skipped: set[str]) -> dict[str, Any]:
        found = {n: self._value(f) for n, f in fields.items() if n not in skipped and not f.read_only}
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, field: ErpField) -> Any:
        if field.type in ("ref", "refs"):
            id_ = self.made.get(field.target)
            if id_ is None:
                return None
            return {"id": id_} if field.type == "ref" else {"items": [{"id": id_}]}
        if field.type == "e":
            return {"id": ERP_CHOICES.get(field.name, "1")}
        if field.type == "o":
            return self._filled(erp_fields.subrecord(field.name), set())
        plain = {"s": f"{field.name}-{self.number}", "i": 3, "n": 12.5, "b": True}
        return (plain | {"d": self.day, "dt": f"{self.day}T10:00:00Z"})[field.type]


@pytest.fixture
def erp(sandbox, keys) -> Erp:
    return Erp(sandbox, keys)


def test_every_record_of_the_erp_answers_what_is_listed(erp, sandbox):
    filler = ErpFiller(erp, sandbox.control.records("erp", "accountingPeriod")[12])
    differences, silent = [], []
    # The second round finds a record of every type to point at, its own included.
    for _ in range(2):
        silent.clear()
        for kind in (*ERP_FIRST, *(kind for kind in RECORDS if kind not in ERP_FIRST)):
            sent, shown = filler.make(kind)
            differences += _record_differences(kind, shown)
            silent += [f"{kind}.{name}" for name in sent - shown.keys()]
    targets = {f.target for kind in RECORDS for f in erp_fields.fields_of(kind).values() if f.type == "ref"}
    assert targets <= filler.made.keys()
    assert differences == []
    assert silent == []


def test_a_field_of_the_erp_that_differs_is_found():
    link = {"links": [{"rel": "self", "href": "http://127.0.0.1/record/v1/currency/2"}]}
    fine = {
        "links": link["links"],
        "id": "7",
        "name": "Ostrel",
        "currency": {**link, "id": "2", "refName": "EUR"},
    }
    assert _record_differences("subsidiary", fine) == []
    bad = {"id": 7, "nickname": "x", "currency": {"id": "2"}, "isElimination": "F"}
    assert [found.split()[0] for found in _record_differences("subsidiary", bad)] == [
        "subsidiary.id",
        "subsidiary.nickname",
        "subsidiary.currency",
        "subsidiary.isElimination",
    ]


# ---- Kantata ---------------------------------------------------------------------------------------------------------

ALWAYS = ("id", "created_at", "updated_at")
PSA_ORDER = (
    "users", "roles", "rate_card_sets", "rate_cards", "workspaces", "stories", "time_entries", "billing_milestones",
    "timesheet_submissions", "rate_card_set_versions", "rate_card_versions", "rate_card_roles", "invoices",
    "external_references",
)  # fmt: skip
#: Over the API with all that the vendor takes; the others come by the control door (no published body was read).
PSA_CREATED = tuple(plural for plural in PSA_ORDER if "create" in RESOURCES[plural].published)
PSA_VALUES: dict[str, dict[str, Any]] = {
    "workspaces": {"creator_role": "consultant"},
    "stories": {"story_type": "task", "state": "started"},
    "billing_milestones": {"billing_type": "fixed_date"},
    "external_references": {"subject_type": "Workspace", "status": "pending"},
}
#: What people set in the vendor's screens, and what a reference never says by itself.
PSA_SCREENS: dict[str, dict[str, Any]] = {
    "billing_milestones": {"state": "planned", "accepted_at": None, "acceptance_reference": "CERT-1"},
}


def _psa_differences(plural: str, shown: dict[str, Any], expected: set[str]) -> list[str]:
    fields = RESOURCES[plural].fields
    found = [f"{plural}.{name} is missing" for name in expected - shown.keys()]
    found += [f"{plural}.{name} is not to be answered" for name in shown.keys() - expected]
    for name, value in shown.items():
        field = fields.get(name)
        kind = "s" if name == "id" else "dt" if field is None else field.type
        if value is not None and not _psa_value(kind, value, PLAIN.get(plural, {}).get(name, str)):
            found.append(f"{plural}.{name} is listed as {kind}, not {value!r}")
    return sorted(found)


def _psa_value(kind: str, value: Any, of_id: type) -> bool:
    if kind == "id":
        return _is_whole(value) if of_id is int else isinstance(value, str) and value.isdigit()
    if kind == "ids":
        return isinstance(value, list) and all(isinstance(each, str) and each.isdigit() for each in value)
    if kind in ("o", "l"):
        return isinstance(value, dict if kind == "o" else list)
    return _plain(kind, value)


class PsaFiller:
    """Makes records with every writable field that the lists name and that has something to point at."""

    def __init__(self, psa: Psa, sandbox):
        self.psa, self.control = psa, sandbox.control.system("psa")
        self.made: dict[str, str] = {}

    def make(self, plural: str) -> tuple[str, set[str]]:
        """The record's id and the names that were sent and are answered."""
        if plural == "rate_card_versions":  # the vendor makes these itself
            self.made[plural] = self.psa.ids(f"/{plural}")[0]
            return self.made[plural], set()
        resource = RESOURCES[plural]
        sent = resource.published.get("create") or resource.published.get("create_or_update")
        names = set(sent) & resource.fields.keys() if sent else {n for n, f in resource.fields.items()}
        body = {name: self._value(resource.fields[name]) for name in names}
        body = {name: value for name, value in body.items() if value is not None} | PSA_VALUES.get(plural, {})
        if plural == "external_references":
            body["subject_id"] = int(self.made["workspaces"])
            made = self.psa.make(
                "external_references", "external_reference", path="/create_or_update", **body
            )
        elif plural in PSA_CREATED:
            made = self.psa.make(plural, resource.singular, **body)
        else:
            made = self.control.create(plural, body)
        self.made[plural] = str(made["id"])
        if plural in PSA_SCREENS:
            self.control.patch(plural, self.made[plural], PSA_SCREENS[plural])
        return self.made[plural], {name for name in body if name in resource.shown}

    def _value(self, field: PsaField) -> Any:
        if field.type in ("id", "ids"):
            id_ = self.made.get(field.target)
            return [id_] if id_ and field.type == "ids" else id_
        if field.name == "currency":
            return "EUR"
        plain = {"s": f"{field.name} 1", "i": 3, "n": 12.5, "b": True, "d": "2026-11-02", "l": []}
        return (plain | {"dt": "2026-11-02T10:00:00Z", "o": {}})[field.type]


@pytest.fixture
def psa(sandbox) -> Psa:
    return Psa(sandbox)


def _associations(plural: str) -> dict[str, str]:
    """``{id field: the name that includes it}``."""
    return {n: association(f) for n, f in RESOURCES[plural].shown.items() if f.type in ("id", "ids")}


def _expected(plural: str, asked: set[str] = frozenset(), optional: bool = False) -> set[str]:
    """The names to be answered when the associations of the fields ``asked`` are included."""
    resource = RESOURCES[plural]
    hidden = _associations(plural).keys() - PLAIN.get(plural, {}).keys() - asked
    return {*resource.shown, *ALWAYS} - hidden - (set() if optional else resource.optional)


def test_every_record_of_the_psa_answers_what_is_listed(psa, sandbox):
    filler, differences, silent = PsaFiller(psa, sandbox), [], []
    assert set(PSA_ORDER) == set(RESOURCES)
    for plural in PSA_ORDER:
        resource = RESOURCES[plural]
        id_, sent = filler.make(plural)
        if resource.filters is None:  # answered only where another record includes it
            continue
        about = "&subject_type=Workspace" if plural == "external_references" else ""
        bare = psa.call("GET", f"/{plural}?only={id_}{about}").json()[plural][id_]
        differences += _psa_differences(plural, bare, _expected(plural))
        included = {
            name: one for name, one in _associations(plural).items() if one in resource.published["include"]
        }
        asked = {"include": included.values(), "optional_fields": resource.optional}
        query = "".join(f"&{name}={','.join(sorted(values))}" for name, values in asked.items() if values)
        full = psa.call("GET", f"/{plural}?only={id_}{about}{query}").json()[plural][id_]
        differences += _psa_differences(plural, full, _expected(plural, set(included), optional=True))
        silent += [f"{plural}.{name}" for name in sent if full.get(name) is None]
    assert differences == []
    assert silent == []


def test_included_records_keep_to_the_lists_too(psa, sandbox):
    filler = PsaFiller(psa, sandbox)
    for plural in PSA_ORDER:
        filler.make(plural)
    entry, every = filler.made["time_entries"], RESOURCES["time_entries"].published["include"]
    sandbox.control.system("psa").patch("time_entries", entry, {"invoice_id": filler.made["invoices"]})
    emulated = [name for name in every if name != "recent_submission"]
    found = psa.call("GET", f"/time_entries?only={entry}&include={','.join(emulated)}").json()
    seen = {}
    for plural in found.keys() & RESOURCES.keys() - {"time_entries"}:
        for shown in found[plural].values():
            seen[plural] = _psa_differences(plural, shown, _expected(plural))
    assert set(seen) >= {"stories", "users", "roles", "invoices", "workspaces", "timesheet_submissions"}
    assert {plural: found for plural, found in seen.items() if found} == {}


def test_what_is_of_the_account_alone_is_not_taken_over_the_api(psa):
    workspace = psa.workspace()
    sent = {"title": "Design", "workspace_id": workspace, "amount_in_cents": 1}
    for name in OWN["billing_milestones"]:
        answer = psa.call("POST", "/billing_milestones", {"billing_milestone": {**sent, name: "x"}})
        assert answer.json()["errors"][0]["field"] == name


def test_a_field_of_the_psa_that_differs_is_found():
    shown = {"id": "1", "created_at": "yesterday", "name": 5, "nickname": "x"}
    assert _psa_differences("roles", shown, {"id", "created_at", "name", "updated_at"}) == [
        "roles.created_at is listed as dt, not 'yesterday'",
        "roles.name is listed as s, not 5",
        "roles.nickname is listed as dt, not 'x'",
        "roles.nickname is not to be answered",
        "roles.updated_at is missing",
    ]
