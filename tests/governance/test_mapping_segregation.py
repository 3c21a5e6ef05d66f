"""Mappings: what takes effect at once, what needs a second person, and what reviewing does."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from apps.approvals import selectors as approvals
from apps.approvals import services as approving
from apps.approvals.errors import SegregationOfDuties
from apps.canonical.money import Money
from apps.core import hooks
from apps.core.errors import InvalidInput, NotAllowed
from apps.core.scope import EVERYTHING, NOTHING, Scope
from apps.governance import selectors, services
from apps.governance.errors import AlreadyMapped, UnknownMappingKind
from apps.governance.models import Mapping
from apps.organization import services as organization
from tests.commercial.world import entity
from tests.journal.together import outcomes, together
from tests.people import hire

GBP = partial(Money.of, currency="GBP")


@pytest.fixture
def uk(db) -> Any:
    return entity(mapping_threshold=Decimal("1000"))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = []
    monkeypatch.setattr(
        hooks.mappings_settled, "receivers", {**hooks.mappings_settled.receivers, "test": facts.extend}
    )
    return facts


def add(
    uk: Any, by: Any, *, source: str = "AIR-510", target: str = "77", exposure: Any = "500", **more: Any
) -> Any:
    money = Money.of(exposure, more.pop("currency", "GBP")) if exposure is not None else None
    values = {"kind": "service_item", "legal_entity": uk, "target_label": "AI review", "reason": "EX-1"}
    return services.mapping_add(**{**values, **more}, source=source, target=target, by=by, exposure=money)


def review(mapping: Any, by: Any, decision: str = "approve") -> Any:
    asked = approvals.open_request("mapping", str(mapping.pk))
    approving.decide(request=asked, by=by, decision=decision, digest=asked.digest, comment="Checked.")
    mapping.refresh_from_db()
    return mapping


def meaning(uk: Any, source: str = "AIR-510", kind: str = "service_item") -> Any:
    return selectors.translate(kind=kind, legal_entity_id=uk.pk, source=source)


def test_a_missing_mapping_under_the_threshold_is_in_effect_at_once_and_unconfirmed(uk, settled):
    ana = hire("ana", uk)
    mapping = add(uk, ana, exposure="1000")
    assert mapping.state == "effective"
    assert meaning(uk) == selectors.Translation("77", "AI review", mapping.pk, False)
    assert [row.mapping for row in selectors.awaiting_review(EVERYTHING)] == [mapping]
    assert settled == []

    review(mapping, hire("carla", uk))
    assert mapping.state == "confirmed"
    assert mapping.confirmed_by.username == "carla"
    assert meaning(uk).confirmed is True
    assert [(fact["mapping_id"], fact["state"]) for fact in settled] == [(mapping.pk, "confirmed")]
    assert selectors.awaiting_review(EVERYTHING) == []


@pytest.mark.parametrize(
    ("exposure", "more"),
    [
        ("1000.01", {}),
        (None, {}),
        ("1", {"kind": "tax_code", "source": "standard"}),
        ("1", {"currency": "USD"}),
    ],
    ids=["over the threshold", "unknown exposure", "tax", "no exchange rate"],
)
def test_everything_else_waits_for_a_second_person(uk, settled, exposure, more):
    mapping = add(uk, hire("ana", uk), exposure=exposure, **more)
    assert mapping.state == "proposed"
    assert meaning(uk, mapping.source, mapping.kind) is None
    assert mapping.valid_from is None
    review(mapping, hire("carla", uk))
    assert mapping.state == "confirmed"
    assert meaning(uk, mapping.source, mapping.kind).target == "77"
    assert mapping.valid_from is not None


def test_exposure_in_another_currency_is_compared_in_the_entitys(uk):
    organization.rate_set(base="GBP", quote="USD", on=date(2020, 1, 1), rate=Decimal("1.25"), source="test")
    ana = hire("ana", uk)
    assert add(uk, ana, exposure="1250", currency="USD").state == "effective"
    assert add(uk, ana, exposure="1251", currency="USD", source="X-1").state == "proposed"


def test_a_mapping_for_all_entities_always_waits_and_needs_a_role_everywhere(uk):
    with pytest.raises(NotAllowed):
        add(None, hire("ana", uk), exposure="1")
    assert add(None, hire("remy"), exposure="1").state == "proposed"


def test_who_added_it_may_not_confirm_it(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    mapping = add(uk, ana)
    with pytest.raises(NotAllowed):
        review(mapping, ana)
    assert mapping.state == "effective"

    # Even with both verbs (a grant that the role conflicts refuse) the preparer cannot sign.
    asked = approvals.open_request("mapping", str(mapping.pk))
    type(asked).objects.filter(pk=asked.pk).update(requested_by=carla)
    with pytest.raises(SegregationOfDuties):
        review(mapping, carla)
    assert not approvals.may_decide(request=asked, user=carla)


def test_a_refused_mapping_is_out_of_use(uk, settled):
    mapping = review(add(uk, hire("ana", uk)), hire("carla", uk), "reject")
    assert mapping.state == "rejected"
    assert meaning(uk) is None
    assert [fact["state"] for fact in settled] == ["rejected"]
    assert add(uk, hire("ana", uk), target="78").state == "effective"


def test_changing_a_mapping_leaves_the_former_in_use_until_a_second_person_approves(uk, settled):
    ana, carla = hire("ana", uk), hire("carla", uk)
    former = review(add(uk, ana), carla)
    changed = services.mapping_change(
        mapping=former, target="99", target_label="New", by=ana, reason="Item replaced."
    )
    assert (changed.state, meaning(uk).target) == ("proposed", "77")
    assert selectors.awaiting_review(EVERYTHING)[0].former == former
    review(changed, carla)
    former.refresh_from_db()
    assert (former.state, meaning(uk).target) == ("retired", "99")
    assert [fact["state"] for fact in settled] == ["confirmed", "retired", "confirmed"]


def test_replacing_an_unconfirmed_mapping_closes_its_review(uk):
    ana, carla = hire("ana", uk), hire("carla", uk)
    former = add(uk, ana)
    changed = services.mapping_change(mapping=former, target="99", target_label="", by=ana, reason="Wrong.")
    review(changed, carla)
    former.refresh_from_db()
    assert former.state == "retired"
    assert approvals.open_request("mapping", str(former.pk)) is None


def test_a_change_needs_a_reason_and_another_target(uk):
    ana = hire("ana", uk)
    former = add(uk, ana)
    with pytest.raises(InvalidInput):
        services.mapping_change(mapping=former, target="99", target_label="", by=ana, reason=" ")
    with pytest.raises(AlreadyMapped):
        services.mapping_change(mapping=former, target="77", target_label="", by=ana, reason="Same.")


def test_adding_the_same_again_changes_nothing_and_another_meaning_is_refused(uk):
    ana = hire("ana", uk)
    assert add(uk, ana) == add(uk, ana)
    with pytest.raises(AlreadyMapped):
        add(uk, ana, target="78")
    assert Mapping.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"kind": "colour"}, UnknownMappingKind),
        ({"source": "  "}, InvalidInput),
        ({"target": ""}, InvalidInput),
        ({"source": "x" * 201}, InvalidInput),
    ],
)
def test_bad_input_is_named(uk, fields, error):
    with pytest.raises(error):
        add(uk, hire("ana", uk), **fields)


def test_people_without_the_permission_or_of_another_entity_are_refused(uk):
    us = entity("MER-US", country="US", currency="USD", timezone="America/New_York")
    for by in (hire("otto"), hire("ana", us)):
        with pytest.raises(NotAllowed):
            add(uk, by)
    assert Mapping.objects.count() == 0


def test_adopted_mappings_are_confirmed_without_a_review(uk):
    values = {
        "kind": "currency",
        "legal_entity": uk,
        "source": "GBP",
        "target_label": "Pound",
        "why": "Go-live.",
    }
    adopted = services.mapping_adopt(**values, target="1")
    assert adopted == services.mapping_adopt(**values, target="1")
    assert (adopted.state, selectors.awaiting_review(EVERYTHING)) == ("confirmed", [])
    with pytest.raises(AlreadyMapped):
        services.mapping_adopt(**values, target="2")


def test_the_review_list_is_scoped_and_its_queries_do_not_grow(uk, django_assert_max_num_queries):
    ana = hire("ana", uk)
    for number in range(8):
        add(uk, ana, source=f"S-{number}", exposure=str(100 + number))
    add(uk, ana, source="S-unknown", exposure=None)
    with django_assert_max_num_queries(3):
        rows = selectors.awaiting_review(Scope(entity_ids=frozenset({uk.pk})))
        assert [row.mapping.legal_entity.code for row in rows] == ["MER-UK"] * 9
    assert [row.mapping.source for row in rows[:2]] == ["S-unknown", "S-7"]
    assert selectors.awaiting_review(NOTHING) == []
    assert selectors.awaiting_review(Scope(entity_ids=frozenset({uk.pk + 1}))) == []


def test_every_version_of_a_mapping_is_kept(uk):
    mapping = review(add(uk, hire("ana", uk)), hire("carla", uk))
    events = Mapping.pgh_event_model.objects.filter(pgh_obj_id=mapping.pk).order_by("pgh_id")
    assert [event.state for event in events] == ["effective", "confirmed"]


def test_the_version_rises_with_what_planning_can_see(uk):
    ana = hire("ana", uk)
    start = selectors.version()
    add(uk, ana, source="A", exposure=None)
    assert selectors.version() == start
    mapping = add(uk, ana, source="B")
    assert selectors.version() == start + 1
    review(mapping, hire("carla", uk))
    assert selectors.version() == start + 2


def test_two_people_mapping_one_value_at_once_make_one_mapping(process_database):
    uk = entity(mapping_threshold=Decimal("1000"))
    ana, remy = hire("ana", uk), hire("remy", uk)
    results = together(
        partial(add, uk, ana, target="77"),
        partial(add, uk, remy, target="78"),
        partial(add, uk, ana, target="79"),
    )
    assert outcomes(results)["AlreadyMapped"] == 2
    assert Mapping.objects.count() == 1


def test_a_pair_that_was_refused_is_not_in_effect_by_adding_it_again(uk):
    ada = hire("ada")
    review(add(uk, ada), hire("carla"), "reject")
    assert meaning(uk) is None
    again = add(uk, ada)
    assert (again.state, meaning(uk)) == ("proposed", None)


def test_another_partner_after_a_refusal_is_a_first_answer_again(uk):
    ada = hire("ada")
    review(add(uk, ada), hire("carla"), "reject")
    assert add(uk, ada, target="78").state == "effective"


def test_an_entity_that_wants_to_mean_something_else_than_all_others_needs_a_second_person(uk):
    services.mapping_adopt(
        kind="service_item", legal_entity=None, source="AIR-510", target="70", target_label="", why="Set-up."
    )
    assert add(uk, hire("ada")).state == "proposed"
    assert meaning(uk).target == "70"
