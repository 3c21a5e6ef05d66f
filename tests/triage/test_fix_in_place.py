"""The story of the desk with real systems: a service without a billing code, fixed once for every deal that waits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from apps.billing import selectors as billing
from apps.core import clock
from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.governance import selectors as governance
from apps.triage import selectors, services
from tests.flows import acts
from tests.flows.conftest import world  # noqa: F401 - the fixture
from tests.flows.world import World


def spec(name: str, client: str, amount: str, **fields: Any) -> deals.DealSpec:
    """An upfront instalment of the AI review, sold by the Belgian company, whose ERP has no partner for it."""
    money = Decimal(amount)
    return deals.DealSpec(
        name=name,
        client=client,
        entity="OST-BE",
        billing_model="instalment",
        lines=(deals.Line("AIR-510", money),),
        schedule=(deals.Entry("Upfront", money, "AIR-510", days=0),),
        **fields,
    )


@pytest.mark.slow
def test_mapping_a_value_once_clears_every_deal_that_waited_for_it(world: World):  # noqa: F811
    control = world.control
    world.start("worker")
    sold = (
        spec("Tolvane AI review", "tolvane", "20000", po_number="PO-4410"),
        spec("Nordeval AI review", "nordeval", "14600"),
        spec(
            "Tolvane AI training", "tolvane", "12300"
        ),  # its customer wants a purchase order and has given none
    )
    for one in sold:
        deals.close(control, deals.enter(control, one, today=clock.today()))
    waiting = selectors.open_cases(EVERYTHING).filter(code="DEAL-SVC-UNMAPPED")
    world.wait(lambda: waiting.count() == len(sold), seconds=120, what="every deal is a case")
    world.wait(acts.finished, what="everything at rest")

    nadia = acts.person("nadia")
    case = waiting.first()
    assert case.held_amount is not None
    candidates = world.wait(lambda: selectors.mapping_candidates(case), what="the ERP's items are known")
    chosen = candidates[0]
    assert chosen.target == "709"

    preview = services.fix_preview(case=case, target=chosen.target, target_label=chosen.label, by=nadia)
    assert preview["counts"] == {"clears": 2, "changes": 1, "stays": 0, "unreachable": 0}
    assert preview["money"] == [
        {"currency": "EUR", "released": Decimal("34600"), "held": Decimal("46900"), "unknown": 0}
    ]
    assert (
        preview["summary"]
        == "Clears 2, changes the error on 1, leaves 0; EUR 34,600.00 of 46,900.00 released."
    )
    assert (
        governance.translate(kind="service_item", legal_entity_id=case.legal_entity_id, source="AIR-510")
        is None
    )

    result = services.case_fix_mapping(
        case=case,
        target=chosen.target,
        target_label=chosen.label,
        by=nadia,
        preview_token=preview["token"],
    )
    assert result["mapping_state"] == "effective"
    assert (len(result["replayed"]), result["skipped_stale"]) == (3, [])
    world.wait(lambda: not waiting.exists(), seconds=120, what="every case cleared")
    world.wait(lambda: acts.count(control, "psa", "workspaces") == 2, seconds=120, what="both projects")
    world.wait(acts.finished, seconds=120, what="everything at rest")

    assert selectors.cleared_by_mappings([result["mapping_id"]]) == {result["mapping_id"]: 3}
    assert [row.code for row in selectors.open_cases(EVERYTHING)] == ["CUS-PO-REQUIRED"]
    assert acts.count(control, "erp-be", "job") == 2
    assert acts.count(control, "erp-be", "customer") == 2
    [review] = governance.awaiting_review(EVERYTHING)
    assert (review.mapping.pk, review.mapping.exposure_amount) == (result["mapping_id"], Decimal("46900"))
    keys = {prebill.engagement_key for prebill in acts.prebills()}
    held = {
        hold.source_ref for key in keys for hold in billing.engagement_holds(key) if hold.lifted_at is None
    }
    assert held == {f"mapping:{result['mapping_id']}"}
