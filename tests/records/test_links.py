"""One of ours is one of theirs: links are unique both ways."""

from __future__ import annotations

import pytest

from apps.canonical.objects import Customer
from apps.core.errors import NotFound
from apps.journal import selectors as journal
from apps.organization import services as organization
from apps.records import selectors, services
from apps.records.errors import LinkConflict
from apps.records.models import CrossReference
from tests.journal.together import outcomes, together


def _system(code="erp", kind="erp"):
    return organization.system_set(code=code, name=code, kind=kind, vendor="netsuite")


def _link(system, key="crm:001A", external_id="647", **values):
    return services.link(
        **{
            "object_type": "customer",
            "key": key,
            "system_id": system.pk,
            "external_id": external_id,
            "linked_by": "push",
            **values,
        }
    )


@pytest.mark.django_db
def test_a_link_is_found_both_ways_and_by_system():
    erp, psa = _system(), _system("psa", "psa")
    _link(erp, evidence={"rung": "tax_id"})
    _link(psa, external_id="9")
    assert selectors.find_link("customer", "crm:001A", erp.pk).external_id == "647"
    assert selectors.key_of(erp.pk, "customer", "647") == "crm:001A"
    assert selectors.key_of(psa.pk, "customer", "647") is None
    assert [reference.system.code for reference in selectors.links("customer", "crm:001A")] == ["erp", "psa"]


@pytest.mark.django_db
def test_the_same_link_again_is_no_news_but_may_bring_an_address():
    erp = _system()
    first = _link(erp)
    second = _link(erp, url="https://erp.example/647", linked_by="probe")
    assert (first.pk, second.url, second.linked_by) == (second.pk, "https://erp.example/647", "push")
    assert [row.verb for row in journal.history("customer", "crm:001A")] == ["record.linked"]


@pytest.mark.django_db
def test_either_side_linked_elsewhere_is_a_conflict_that_names_it():
    erp = _system()
    _link(erp)
    with pytest.raises(LinkConflict) as conflict:
        _link(erp, external_id="648")
    assert conflict.value.holds == {"key": "crm:001A", "external_id": "647"}
    with pytest.raises(LinkConflict, match="crm:001A is linked to 647") as conflict:
        _link(erp, key="crm:001B")
    assert conflict.value.holds == {"key": "crm:001A", "external_id": "647"}
    assert CrossReference.objects.count() == 1


@pytest.mark.django_db
def test_a_link_taken_back_frees_both_sides_and_leaves_why():
    erp = _system()
    _link(erp)
    services.unlink(object_type="customer", key="crm:001A", system_id=erp.pk, why="the dormant one")
    assert selectors.find_link("customer", "crm:001A", erp.pk) is None
    assert journal.history("customer", "crm:001A")[0].why == "the dormant one"
    with pytest.raises(NotFound):
        services.unlink(object_type="customer", key="crm:001A", system_id=erp.pk)
    _link(erp, key="crm:001B")


def test_of_eight_racing_links_one_stands_and_the_others_say_so(process_database):
    erp = _system()
    works = [lambda number=number: _link(erp, external_id=str(number)) and True for number in range(8)]
    assert outcomes(together(*works)) == {"True": 1, "LinkConflict": 7}
    assert CrossReference.objects.count() == 1


def test_eight_same_links_at_once_are_one(process_database):
    erp = _system()
    assert outcomes(together(*[lambda: _link(erp).external_id] * 8)) == {"647": 8}
    assert len(journal.history("customer", "crm:001A")) == 1


@pytest.mark.django_db
def test_a_snapshot_reads_many_subjects_in_two_queries(django_assert_num_queries):
    erp = _system()
    for number in range(5):
        services.observe(
            system_id=erp.pk,
            object_type="customer",
            external_id=str(number),
            body=Customer(key=f"crm:{number}", name="x"),
        )
        _link(erp, key=f"crm:{number}", external_id=str(number))
    services.observe_gone(system_id=erp.pk, object_type="customer", external_id="3")
    with django_assert_num_queries(2):
        found = selectors.snapshot([("customer", f"crm:{number}") for number in range(5)])
        assert found.link("customer", "crm:2", erp.pk) == "2"
        assert found.link("customer", "crm:9", erp.pk) == ""
        assert found.record("customer", "crm:2", erp.pk).external_id == "2"
        assert found.record("customer", "crm:3", erp.pk) is None
    assert selectors.snapshot([]).records == {}


@pytest.mark.django_db
def test_an_object_is_found_in_every_system_by_key_or_link():
    erp, psa = _system(), _system("psa", "psa")
    for system, key in ((erp, "crm:001A"), (psa, "psa:9")):
        services.observe(
            system_id=system.pk, object_type="customer", external_id="9", body=Customer(key=key, name="x")
        )
    assert [row.system.code for row in selectors.records_for("customer", "crm:001A")] == ["erp"]
    _link(psa, external_id="9")
    assert [row.system.code for row in selectors.records_for("customer", "crm:001A")] == ["erp", "psa"]
