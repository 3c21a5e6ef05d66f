"""Canonical objects are closed, frozen, exact, and survive the trip through JSON."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from apps.canonical.objects import OBJECTS, Milestone, RateLine, TimeEntry
from apps.canonical.schema import object_schema
from tests.canonical.samples import EUR_100, SAMPLES

every_object = pytest.mark.parametrize("object_type", sorted(OBJECTS))


def test_there_is_a_sample_of_every_object():
    assert set(SAMPLES) == set(OBJECTS)


@every_object
def test_an_object_survives_the_trip_through_json(object_type):
    cls = OBJECTS[object_type]
    value = cls.model_validate(SAMPLES[object_type])
    assert cls.model_validate_json(value.model_dump_json()) == value


@every_object
def test_what_an_object_writes_is_valid_by_its_own_schema(object_type):
    cls = OBJECTS[object_type]
    value = cls.model_validate(SAMPLES[object_type])
    Draft202012Validator.check_schema(object_schema(cls))
    Draft202012Validator(object_schema(cls)).validate(value.model_dump(mode="json"))


@every_object
def test_an_unknown_field_is_refused(object_type):
    with pytest.raises(ValidationError, match="Extra inputs"):
        OBJECTS[object_type].model_validate({**SAMPLES[object_type], "surprise": 1})


@every_object
def test_an_object_cannot_be_changed_in_place(object_type):
    value = OBJECTS[object_type].model_validate(SAMPLES[object_type])
    with pytest.raises(ValidationError, match="frozen"):
        value.key = "other"


@every_object
def test_an_object_without_a_key_is_refused(object_type):
    with pytest.raises(ValidationError):
        OBJECTS[object_type].model_validate({**SAMPLES[object_type], "key": "  "})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"blended": True, "role": "Consultant"}, "a blended rate names no role"),
        ({"service_code": "IMP-200"}, "names a role or a resource"),
    ],
)
def test_a_rate_is_for_a_role_a_resource_or_blended(line, reason):
    with pytest.raises(ValidationError, match=reason):
        RateLine.model_validate({**line, "bill_rate": EUR_100})


def test_an_approval_instant_without_a_time_zone_is_refused():
    with pytest.raises(ValidationError):
        Milestone.model_validate({**SAMPLES["milestone"], "accepted_at": "2026-11-05T09:00:00"})


@pytest.mark.parametrize("hours", ["-1", 7.5, "NaN"])
def test_hours_are_exact_and_never_negative(hours):
    with pytest.raises(ValidationError):
        TimeEntry.model_validate({**SAMPLES["time_entry"], "hours": hours})
