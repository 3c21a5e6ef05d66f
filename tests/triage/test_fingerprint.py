"""What makes two problems the same."""

from __future__ import annotations

import pytest

from apps.triage.fingerprint import fingerprint, strip

BASE = {
    "legal_entity_id": 1,
    "flow": "deal.provision",
    "step": "project",
    "code": "DEAL-SVC-UNMAPPED",
    "object_type": "deal",
    "field": "service_code",
    "value": "AIR-510",
}


@pytest.mark.parametrize(
    "value", ["AIR-510", "IMP-200", "Net 30", "GBP", "GB123456789", "S-GB", "Manager", "v2", "PO-7781", ""]
)
def test_business_values_are_kept(value):
    assert strip(value) == value


@pytest.mark.parametrize(
    ("value", "stripped"),
    [
        ("120,000.00 against 119,000.00", "<amount> against <amount>"),
        ("-12.50", "<amount>"),
        ("1250000", "<number>"),
        ("on 2026-11-02", "on <date>"),
        ("2026-11-02T10:00:00Z", "<date>"),
        ("006A00000012345AAA", "<id>"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "<id>"),
        ("  Two   spaces ", "Two spaces"),
    ],
)
def test_ids_amounts_and_dates_are_taken_out(value, stripped):
    assert strip(value) == stripped


@pytest.mark.parametrize("part", sorted(BASE))
def test_every_part_counts(part):
    other = {**BASE, part: 2 if part == "legal_entity_id" else "other"}
    assert fingerprint(**other) != fingerprint(**BASE)
    assert fingerprint(**BASE) == fingerprint(**BASE)


def test_parts_do_not_run_into_each_other():
    assert fingerprint(**{**BASE, "field": "a", "value": "b"}) != fingerprint(
        **{**BASE, "field": "ab", "value": ""}
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [("10001", "10002"), ("4.10", "4.20"), ("ABCDE1234567890", "ABCDE1234567891"), ("1,000", "2,000")],
)
def test_values_that_a_mapping_fixes_are_told_apart_whatever_they_look_like(one, other):
    assert strip(one) == strip(other)
    assert fingerprint(**{**BASE, "value": one}) != fingerprint(**{**BASE, "value": other})
    drifted = {**BASE, "code": "MS-CHANGED"}
    assert fingerprint(**{**drifted, "value": one}) == fingerprint(**{**drifted, "value": other})
