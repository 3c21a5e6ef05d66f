"""What a system shows is kept, newest truth first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.canonical.objects import Customer
from apps.core import hooks
from apps.core.scope import Scope
from apps.organization import services as organization
from apps.records import selectors, services
from apps.records.models import Record
from tests.journal.together import together

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def _system():
    return organization.system_set(code="erp", name="NetSuite", kind="erp", vendor="netsuite")


def _entity(code: str):
    return organization.entity_set(code=code, name=code, country="GB", currency="GBP")


def _observe(system, name="Brackwater", at=NOON, **values) -> bool:
    return services.observe(
        **{
            "system_id": system.pk,
            "object_type": "customer",
            "external_id": "647",
            "body": Customer(key="crm:001A", name=name, tax_id="GB123"),
            "modified_at": at,
            **values,
        }
    )


@pytest.fixture
def heard():
    """Facts of ``records.observed`` while the test runs."""
    facts: list[dict] = []

    def hear(news):
        facts.extend(news)

    hooks.records_observed.connect(hear)
    yield facts
    del hooks.records_observed.receivers[f"{hear.__module__}.{hear.__qualname__}"]


@pytest.mark.django_db
def test_a_new_and_a_changed_object_are_news_and_the_same_again_is_not(heard):
    erp = _system()
    assert _observe(erp) is True
    assert _observe(erp, at=NOON + timedelta(minutes=1)) is False
    assert _observe(erp, "Brackwater Utilities", NOON + timedelta(minutes=2)) is True
    assert [fact["external_id"] for fact in heard] == ["647", "647"]
    assert heard[0]["key"] == "crm:001A"
    row = selectors.record(erp.pk, "customer", "647")
    assert row.modified_at == NOON + timedelta(minutes=2)
    assert selectors.canonical(row) == Customer(key="crm:001A", name="Brackwater Utilities", tax_id="GB123")


@pytest.mark.django_db
def test_older_news_never_overwrite_newer(heard):
    erp = _system()
    _observe(erp, "new name", NOON)
    assert _observe(erp, "old name", NOON - timedelta(seconds=1)) is False
    assert selectors.record(erp.pk, "customer", "647").body["name"] == "new name"
    assert len(heard) == 1


@pytest.mark.django_db
def test_changed_facts_are_a_change_too():
    erp = _system()
    _observe(erp, facts={"credit_hold": False})
    assert _observe(erp, facts={"credit_hold": True}) is True
    assert selectors.record(erp.pk, "customer", "647").facts == {"credit_hold": True}


@pytest.mark.django_db
def test_entity_and_engagement_once_known_stay():
    erp, uk = _system(), _entity("MER-UK")
    _observe(erp, legal_entity_id=uk.pk, engagement_key="ENG-1")
    _observe(erp, "other", NOON + timedelta(seconds=1))
    row = selectors.record(erp.pk, "customer", "647")
    assert (row.legal_entity_id, row.engagement_key) == (uk.pk, "ENG-1")
    assert selectors.records_of_engagement("ENG-1", scope=Scope(entity_ids=frozenset({uk.pk}))) == [row]
    assert selectors.records_of_engagement("ENG-1", scope=Scope()) == []


@pytest.mark.django_db
def test_a_gone_object_is_kept_as_gone_and_may_come_back(heard):
    erp = _system()
    _observe(erp)
    gone = {"system_id": erp.pk, "object_type": "customer", "external_id": "647"}
    assert services.observe_gone(**gone, at=NOON - timedelta(seconds=1)) is False
    assert services.observe_gone(**gone, at=NOON + timedelta(seconds=1)) is True
    assert services.observe_gone(**gone) is False
    assert selectors.find(system_id=erp.pk, object_type="customer", field="tax_id", value="GB123") == []
    assert _observe(erp, at=NOON + timedelta(seconds=2)) is True
    assert len(selectors.find(system_id=erp.pk, object_type="customer", field="tax_id", value="GB123")) == 1
    assert len(heard) == 3


def test_out_of_order_observers_at_once_leave_the_newest(process_database):
    erp = _system()
    works = [
        lambda second=second: _observe(erp, f"version {second}", NOON + timedelta(seconds=second))
        for second in (3, 7, 1, 5, 0, 6, 2, 4)
    ]
    results = together(*works)
    assert not [result for result in results if isinstance(result, Exception)]
    assert Record.objects.get().body["name"] == "version 7"


def test_of_eight_observers_of_one_change_one_announces_it(process_database):
    erp = _system()
    assert together(*[lambda: _observe(erp)] * 8).count(True) == 1
