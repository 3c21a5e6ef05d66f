"""The difference of two versions names each changed field once, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.canonical.diff import FieldDiff, diff, shown
from apps.canonical.objects import OBJECTS, Customer, Deal
from tests.canonical.samples import EUR_100, LINE, RATE, SAMPLES


def deal(**changes: Any) -> Deal:
    return Deal.model_validate({**SAMPLES["deal"], **changes})


@pytest.mark.parametrize("object_type", sorted(OBJECTS))
def test_an_object_does_not_differ_from_itself(object_type):
    value = OBJECTS[object_type].model_validate(SAMPLES[object_type])
    assert diff(value, OBJECTS[object_type].model_validate(SAMPLES[object_type])) == []


def test_a_nested_field_is_named_by_its_path():
    old = Customer.model_validate(SAMPLES["customer"])
    new = old.model_copy(update={"billing_address": old.billing_address.model_copy(update={"city": "York"})})
    assert diff(old, new) == [FieldDiff("billing_address.city", "Leeds", "York")]


def test_money_differs_as_one_value_with_its_currency():
    dearer = {"amount": "120.00", "currency": "EUR"}
    assert diff(deal(), deal(amount=dearer)) == [FieldDiff("amount", EUR_100, dearer)]


def test_the_same_number_with_other_zeros_is_no_difference():
    assert diff(deal(), deal(amount={"amount": "100", "currency": "EUR"})) == []


def test_lines_are_matched_by_key_so_an_inserted_line_is_the_only_difference():
    extra = {**LINE, "key": "L0"}
    found = diff(deal(), deal(lines=[extra, *SAMPLES["deal"]["lines"]]))
    assert [(item.path, item.old) for item in found] == [("lines[L0]", None)]
    assert found[0].new["service_code"] == "IMP-200"


def test_a_changed_line_is_named_by_its_key_and_a_removed_one_is_shown_whole():
    changed = {**LINE, "quantity": "2"}
    found = diff(deal(), deal(lines=[changed]))
    assert [item.path for item in found] == ["lines[L1].quantity", "lines[L2]"]
    assert (found[0].old, found[0].new) == ("1", "2")
    assert found[1].new is None


def test_another_order_of_keyed_lines_is_no_difference():
    assert diff(deal(), deal(lines=SAMPLES["deal"]["lines"][::-1])) == []


def test_lines_that_share_a_key_are_compared_by_position():
    twice = [LINE, {**LINE, "quantity": "3"}]
    assert [item.path for item in diff(deal(lines=[LINE, LINE]), deal(lines=twice))] == ["lines[1].quantity"]


def test_items_without_a_key_are_compared_by_position():
    second = {**RATE, "bill_rate": {"amount": "90.00", "currency": "EUR"}}
    assert [item.path for item in diff(deal(rates=[RATE, RATE]), deal(rates=[RATE, second]))] == [
        "rates[1].bill_rate"
    ]


def test_a_new_object_differs_in_every_field_that_holds_something():
    found = {item.path: item.new for item in diff(None, deal())}
    assert found["name"] == "ERP roll-out"
    assert "customer_key" not in found


def test_two_kinds_of_object_cannot_be_compared():
    with pytest.raises(TypeError, match="cannot compare Customer with Deal"):
        diff(Customer.model_validate(SAMPLES["customer"]), deal())


def test_true_is_not_the_number_one_in_stored_json():
    assert diff({"n": 1}, {"n": True}) == [FieldDiff("n", 1, True)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (EUR_100, "EUR 100.00"),
        (None, "–"),
        ("", "–"),
        (True, "yes"),
        (["a", "b"], "a, b"),
        ({"city": "York", "line2": ""}, "city: York"),
        ("Net 30", "Net 30"),
    ],
)
def test_a_value_is_shown_as_a_person_reads_it(value, text):
    assert shown(value) == text


scalars = st.none() | st.booleans() | st.integers() | st.text('ab "', max_size=5)
names = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(names, trees, max_size=4)
keyed = st.lists(
    st.fixed_dictionaries({"key": st.text("abcdef", min_size=1, max_size=2), "n": st.integers(0, 3)}),
    max_size=5,
    unique_by=lambda item: item["key"],
)


@given(value=objects)
def test_any_json_object_is_without_difference_to_itself(value):
    assert diff(value, value) == []


@given(old=objects, new=objects)
def test_the_way_back_is_the_same_difference_with_sides_swapped(old, new):
    there = {(item.path, repr(item.old), repr(item.new)) for item in diff(old, new)}
    back = {(item.path, repr(item.new), repr(item.old)) for item in diff(new, old)}
    assert there == back


@given(old=keyed, new=keyed)
def test_keyed_lists_differ_exactly_in_the_keys_that_changed(old, new):
    before, after = {i["key"]: i["n"] for i in old}, {i["key"]: i["n"] for i in new}
    expected = {
        f"items[{key}].n" if key in before and key in after else f"items[{key}]"
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }
    assert {item.path for item in diff({"items": old}, {"items": new})} == expected
