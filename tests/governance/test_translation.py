"""Translation and ownership: which mapping and which rule wins."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from apps.core import clock
from apps.core.errors import NotFound
from apps.core.scope import NOTHING, Scope
from apps.governance import selectors, services
from apps.governance.models import OwnershipRule
from apps.governance.selectors import ProposedMapping
from tests.commercial.world import entity

pytestmark = pytest.mark.django_db


@pytest.fixture
def uk() -> Any:
    return entity()


def adopt(uk: Any, source: str, target: str, kind: str = "service_item") -> Any:
    return services.mapping_adopt(
        kind=kind,
        legal_entity=uk,
        source=source,
        target=target,
        target_label=f"Item {target}",
        why="Go-live.",
    )


def test_an_entitys_own_mapping_beats_the_one_for_all(uk):
    adopt(None, "IMP-200", "1")
    adopt(None, "DAT-210", "2")
    adopt(uk, "IMP-200", "3")
    found = selectors.translations("service_item", uk.pk, ["IMP-200", "DAT-210", "AIR-510"])
    assert {source: answer.target for source, answer in found.items()} == {"IMP-200": "3", "DAT-210": "2"}
    assert selectors.translate(kind="service_item", legal_entity_id=None, source="IMP-200").target == "1"


def test_other_kinds_and_other_entities_do_not_answer(uk):
    adopt(uk, "GBP", "1", kind="currency")
    assert selectors.translate(kind="service_item", legal_entity_id=uk.pk, source="GBP") is None
    assert selectors.translate(kind="currency", legal_entity_id=uk.pk + 1, source="GBP") is None


def test_an_overlay_answers_for_its_entity_and_is_never_confirmed(uk):
    overlay = (ProposedMapping("service_item", uk.pk, "AIR-510", "77", "AI review"),)
    found = selectors.translate(kind="service_item", legal_entity_id=uk.pk, source="AIR-510", overlay=overlay)
    assert found == selectors.Translation("77", "AI review", None, False)
    other = {"kind": "service_item", "source": "AIR-510", "overlay": overlay}
    assert selectors.translate(legal_entity_id=uk.pk + 1, **other) is None
    assert (
        selectors.translate(kind="tax_code", legal_entity_id=uk.pk, source="AIR-510", overlay=overlay) is None
    )


def test_an_overlay_for_all_entities_does_not_beat_an_entitys_own_mapping(uk):
    adopt(uk, "IMP-200", "3")
    overlay = (ProposedMapping("service_item", None, "IMP-200", "9"),)
    found = selectors.translate(kind="service_item", legal_entity_id=uk.pk, source="IMP-200", overlay=overlay)
    assert found.target == "3"


def test_many_values_cost_one_query_and_none_cost_none(uk, django_assert_num_queries):
    for number in range(30):
        adopt(uk, f"S-{number}", str(number))
    with django_assert_num_queries(1):
        assert (
            len(selectors.translations("service_item", uk.pk, [f"S-{number}" for number in range(30)])) == 30
        )
    with django_assert_num_queries(0):
        assert selectors.translations("service_item", uk.pk, []) == {}


def test_a_mapping_outside_the_scope_is_not_found(uk):
    mapping = adopt(uk, "IMP-200", "1")
    assert selectors.mapping(mapping.pk) == mapping
    assert selectors.mapping(mapping_id=mapping.pk, scope=Scope(entity_ids=frozenset({uk.pk}))) == mapping
    for scope in (NOTHING, Scope(entity_ids=frozenset({uk.pk + 1}))):
        with pytest.raises(NotFound):
            selectors.mapping(mapping.pk, scope=scope)


def rule(object_type: str, field: str, system: str, *, uk: Any = None, **fields: Any) -> Any:
    values = {"policy": "overwrite", "valid_from": date(2026, 1, 1), "created_at": clock.now()}
    return OwnershipRule.objects.create(
        object_type=object_type, field=field, system_kind=system, legal_entity=uk, **{**values, **fields}
    )


@pytest.mark.parametrize(
    ("object_type", "field", "owner", "policy"),
    [
        ("customer", "name", "crm", "overwrite"),
        ("customer", "payment_terms", "erp", "hold"),
        ("engagement", "budget", "crm", "hold"),
        ("engagement", "end_on", "psa", "overwrite"),
        ("milestone", "amount", "crm", "hold"),
        ("milestone", "status", "psa", "overwrite"),
        ("invoice", "balance", "erp", "overwrite"),
        ("payment_status", "status", "erp", "overwrite"),
    ],
)
def test_the_rules_of_a_new_installation(object_type, field, owner, policy):
    found = selectors.decide(object_type, field, None)
    assert (found.system_kind, found.policy) == (owner, policy)
    assert found.rule_id is not None


def test_every_canonical_object_has_an_owner():
    from apps.canonical.objects import OBJECTS

    without = [name for name in OBJECTS if selectors.decide(name, "anything", None).rule_id is None]
    assert without == []


def test_without_a_rule_nobody_is_right_and_a_person_decides():
    assert selectors.decide("spaceship", "name", None) == selectors.Ownership(None, "hold", None, 0)


def test_an_entitys_rule_beats_the_general_one(uk):
    rule("customer", "name", "erp", uk=uk)
    assert selectors.decide("customer", "name", uk.pk).system_kind == "erp"
    assert selectors.decide("customer", "email", uk.pk).system_kind == "crm"
    assert selectors.decide("customer", "name", uk.pk + 1).system_kind == "crm"


def test_an_entity_that_owns_an_object_whole_is_not_overruled_by_a_general_field_rule(uk):
    rule("customer", "*", "crm", uk=uk)
    assert selectors.decide("customer", "payment_terms", uk.pk).system_kind == "crm"
    assert selectors.decide("customer", "payment_terms", None).system_kind == "erp"


def test_rules_count_from_their_first_day_until_before_their_last():
    rule("spaceship", "*", "psa", valid_to=date(2026, 6, 1))
    rule("spaceship", "*", "erp", valid_from=date(2026, 6, 1), version=2)
    on = {
        day: selectors.decide("spaceship", "name", None, on=day)
        for day in (date(2025, 12, 31), date(2026, 5, 31), date(2026, 6, 1))
    }
    assert [answer.system_kind for answer in on.values()] == [None, "psa", "erp"]
    assert on[date(2026, 6, 1)].version == 2


def test_every_version_of_an_ownership_rule_is_kept():
    made = rule("spaceship", "*", "psa")
    made.policy = "hold"
    made.save()
    events = OwnershipRule.pgh_event_model.objects.filter(pgh_obj_id=made.pk).order_by("pgh_id")
    assert [event.policy for event in events] == ["overwrite", "hold"]
