"""What the sandbox emulates of the PSA and the ERP is what their vendors publish: every name, every type, every choice.

The published side is ``apps/sandbox/<vendor>/published/*.json``, facts taken from the vendors' own documents (their heads
name these). What is not published is listed here by name, with the reason, and nothing else may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from apps.sandbox.kantata import fields as psa
from apps.sandbox.kantata import vendor as psa_vendor
from apps.sandbox.netsuite import fields as erp

# ---- Kantata ---------------------------------------------------------------------------------------------------------

PSA_ANSWERED = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "d": "date", "dt": "date-time",
                "o": "object", "l": "array", "id": "string", "ids": "array"}  # fmt: skip
PSA_SENT = {**PSA_ANSWERED, "id": "integer"}
#: Sent as a whole number, answered as a number: both published.
PSA_TWO_TYPES = {("workspaces", "target_margin")}


def _psa_differences(table: Mapping[str, psa.Resource]) -> Iterator[str]:
    for plural, resource in table.items():
        if plural not in psa.PUBLISHED["resources"]:
            yield f"{plural} is not published"
            continue
        published = resource.published
        bodies = [published[verb] for verb in ("create", "update", "create_or_update") if verb in published]
        for name, field in resource.fields.items():
            if name in psa.OWN.get(plural, ()):
                continue
            wanted = PSA_ANSWERED[field.type]
            if psa.PLAIN.get(plural, {}).get(name) is int:
                wanted = "integer"
            if not field.only_sent and published["fields"].get(name) != wanted:
                yield f"{plural}.{name} is answered as {wanted}, published {published['fields'].get(name)}"
            sent = [body[name] for body in bodies if name in body]
            if field.only_sent and not sent:
                yield f"{plural}.{name} is only sent, but no body takes it"
            if field.read_only and sent:
                yield f"{plural}.{name} is read-only, but can be sent"
            if bodies and not field.read_only and not sent:
                yield f"{plural}.{name} can be sent, but no body takes it"
            if (plural, name) not in PSA_TWO_TYPES and any(kind != PSA_SENT[field.type] for kind in sent):
                yield f"{plural}.{name} is sent as {PSA_SENT[field.type]}, published {sent}"
        required = {name for name, field in resource.fields.items() if field.required}
        if bodies and required != set(published.get("required", ())):
            yield f"{plural} requires {sorted(required)}, published {published.get('required')}"
        yield from (
            f"{plural} takes the filter {name}"
            for name in (resource.filters or set()) - published.get("filters", {}).keys()
        )


def test_every_field_and_filter_of_the_psa_is_published_with_its_type():
    assert list(_psa_differences(psa.RESOURCES)) == []


def test_every_filter_of_the_events_feed_is_published():
    assert psa.PUBLISHED["resources"]["subscribed_events"]["filters"].keys() >= psa_vendor.EVENT_FILTERS


def test_what_kantata_does_not_publish_is_found():
    good = psa.RESOURCES["billing_milestones"]
    bad = {"amount_in_cents": psa.Field("amount_in_cents", "n"), "notes": psa.Field("notes", "s")}
    odd = psa.Resource(good.plural, "", "", "", {**good.fields, **bad}, frozenset({"updated_after"}))
    found = list(_psa_differences({"billing_milestones": odd, "budgets": odd}))
    assert [each.split()[0] for each in found[:4]] == [
        "billing_milestones.amount_in_cents", "billing_milestones.amount_in_cents",
        "billing_milestones.notes", "billing_milestones.notes",
    ]  # fmt: skip
    assert found[-2:] == ["billing_milestones takes the filter updated_after", "budgets is not published"]


# ---- NetSuite --------------------------------------------------------------------------------------------------------

ERP_TYPES = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "d": "date", "dt": "date-time",
             "e": "choice", "l": "array", "o": "record"}  # fmt: skip


def _erp_agrees(field: erp.Field, published: str | None) -> bool:
    """Whether a listed type is the published one; ``ref`` alone is a link to a record of any type."""
    if published is None:
        return False
    kind, _, target = published.partition(":")
    if field.type == "ref":
        return kind == "ref" and target in ("", field.target, *erp.STANDS_FOR.get(field.target, ()))
    if field.type == "refs":
        return kind == "refs" and target in ("", field.target)
    return published == ERP_TYPES[field.type]


def _erp_part(where: str, fields: Mapping[str, erp.Field], published: Mapping[str, str]) -> Iterator[str]:
    for name, field in fields.items():
        if not name.startswith(erp.CUSTOM) and not _erp_agrees(field, published.get(name)):
            yield f"{where}.{name} is listed as {field.type}>{field.target}, published {published.get(name)}"


def _erp_differences(kind: str) -> Iterator[str]:
    record = erp.PUBLISHED["records"].get(kind)
    if record is None:
        yield f"{kind} is not published"
        return
    yield from _erp_part(kind, erp.fields_of(kind), record["fields"])
    for name, fields in erp.sublists_of(kind).items():
        if record["fields"].get(name) != "list":
            yield f"{kind}.{name} is no published sublist"
        lines = record.get("lists", {}).get(name)
        if lines is None and (kind, name) in erp.LINES_AS:
            lines = erp.PUBLISHED["records"][erp.LINES_AS[kind, name]]["lists"][name]
        yield from _erp_part(f"{kind}.{name}", fields, lines or {})
        for field in fields.values():
            if field.type == "o":
                yield from _erp_part(
                    f"{kind}.{name}.{field.name}", erp.subrecord(field.name), record["records"][field.name]
                )
    for name, choices in erp.CHOICES.items():
        known = record.get("choices", {}).get(name)
        if name in erp.fields_of(kind) and known is not None and not set(choices) <= set(known):
            yield f"{kind}.{name} has the choices {sorted(choices)}, published {known}"


@pytest.mark.parametrize("kind", sorted(set(erp.RECORDS) - erp.NOT_IN_BROWSER))
def test_every_field_of_the_erp_is_published_with_its_type(kind):
    assert list(_erp_differences(kind)) == []


def test_the_records_that_the_rest_browser_does_not_have_are_these():
    assert set(erp.RECORDS) - erp.PUBLISHED["records"].keys() == erp.NOT_IN_BROWSER
    assert {"billingClass", "billingRateCard", "chargeRule"} == erp.NOT_IN_BROWSER


@pytest.mark.parametrize("kind", sorted(erp.PUBLISHED["records"]))
def test_a_published_list_is_whole_or_says_which_part_it_is(kind):
    record = erp.PUBLISHED["records"][kind]
    if "counted" not in record:
        assert record["part"]
        return
    choices = sum(one == "choice" for one in record["fields"].values())
    assert len(record["fields"]) + 2 * choices + 1 == record["counted"]  # + 1: links


def test_what_netsuite_does_not_publish_is_found():
    fields = {
        "total": erp.Field("total", "s"),
        "subTotal": erp.Field("subTotal", "n"),
        "custbody_x": erp.Field("custbody_x", "s"),
    }
    found = list(_erp_part("invoice", fields, erp.PUBLISHED["records"]["invoice"]["fields"]))
    assert [each.split()[0] for each in found] == ["invoice.total", "invoice.subTotal"]
