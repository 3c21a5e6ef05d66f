"""One customer, two selling entities on one ERP: linked is not yet enabled for both."""

from __future__ import annotations

from typing import Any

import pytest

from apps.organization import services as organization
from apps.records import services as records
from apps.sync import gates, queue
from apps.sync import services as sync
from apps.sync.flows import deal as deals
from apps.sync.models import Transaction
from tests.commercial.world import entity
from tests.sync.samples import customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def erp() -> Any:
    return organization.system_set(code="erp", name="NetSuite", kind="erp", vendor="netsuite")


@pytest.fixture
def firm(erp) -> tuple[Any, Any]:
    first = entity()
    second = entity("MER-BE", name="Merridane Belgium", country="BE", currency="EUR")
    for one, subsidiary in ((first, "1"), (second, "2")):
        organization.routing_set(
            legal_entity=one, kind="erp", system=erp, settings={"subsidiary": subsidiary}
        )
    return first, second


def enabled(one: Any, erp: Any) -> bool:
    return deals._customer_enabled(customer(), one, {"erp": erp})


def test_what_an_earlier_deal_asked_for_does_not_serve_another_entity(firm, erp):
    done = queue.enqueue(
        kind="customer",
        key=f"{customer().key}@erp",
        flow="customer.sync",
        trigger="test",
        params={"entities": ["MER-UK"]},
    )
    Transaction.objects.filter(id=done.id).update(state="succeeded")
    assert [enabled(one, erp) for one in firm] == [True, False]


def test_a_run_that_left_an_entity_out_does_not_serve_it(firm, erp):
    done = queue.enqueue(
        kind="customer",
        key=f"{customer().key}@erp",
        flow="customer.sync",
        trigger="test",
        params={"entities": ["MER-UK", "MER-BE"], "left_out": ["MER-BE"]},
    )
    Transaction.objects.filter(id=done.id).update(state="succeeded")
    assert [enabled(one, erp) for one in firm] == [True, False]


@pytest.mark.parametrize(
    ("modes", "served"),
    [
        (("automatic", "automatic"), ["MER-UK", "MER-BE"]),
        (("off", "automatic"), ["MER-BE"]),
        (("automatic", "suggest"), ["MER-UK"]),
        (("observe", "suggest"), ["MER-BE"]),
        (("observe", None), ["MER-UK"]),
        (("suggest", "suggest"), ["MER-UK", "MER-BE"]),
        ((None, None), ["MER-UK", "MER-BE"]),
    ],
)
def test_a_run_serves_the_entities_whose_gate_is_the_widest(firm, modes, served):
    for one, mode in zip(firm, modes, strict=True):
        if mode:
            sync.gate_set(legal_entity=one, flow="customer.sync", mode=mode, by=None)
    chosen, left_out = gates.lead("customer.sync", firm)
    assert [one.code for one in chosen] == served
    assert sorted([*served, *left_out]) == ["MER-BE", "MER-UK"]


def test_what_the_erp_shows_counts_too(firm, erp):
    records.link(
        object_type="customer", key=customer().key, system_id=erp.id, external_id="55", linked_by="match"
    )
    records.observe(
        system_id=erp.id,
        object_type="customer",
        external_id="55",
        body=customer(),
        key=customer().key,
        facts={"subsidiaries": ["1", "2"]},
    )
    assert [enabled(one, erp) for one in firm] == [True, True]
