"""A purchase order that is used up is told by its code; an order that is raised in the CRM afterwards releases what waits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from apps.commercial import selectors as commercial
from apps.triage.models import Case
from tests.flows import acts
from tests.flows.bench import Bench
from tests.flows.test_codes_of_delivery import BY_THE_HOUR, Worked

ORDERED = replace(BY_THE_HOUR, name="Ordered", po_number="PO-4711", po_amount=Decimal("2000"))


@pytest.mark.provokes("PO-EXHAUSTED")
def test_work_beyond_the_purchase_order_waits_until_the_order_is_raised_in_the_crm(bench: Bench):
    worked = Worked(bench, ORDERED)
    worked.book({"notes": "Workshop"}, {"notes": "Report"})
    assert worked.cases == [("PO-EXHAUSTED", "open")]
    [case] = Case.objects.filter(code="PO-EXHAUSTED", subject_key=worked.row.key)
    assert "Purchase order PO-4711 is over GBP 2,000.00" in case.reason
    assert "GBP 2,880.00 are ready" in case.reason
    assert (case.held_amount, case.severity) == (Decimal("1440"), "blocking-billing")
    [prebill] = [one for one in acts.prebills() if one.engagement_key == worked.row.key]
    assert (prebill.net, prebill.po_number) == (Decimal("1440"), "PO-4711")

    bench.control.patch("crm", "Opportunity", worked.deal_id, {"PO_Amount__c": 3000})
    bench.poll(("crm", "deal"))
    assert commercial.engagement(worked.row.key).po_amount == Decimal("3000")
    assert worked.cases == [("PO-EXHAUSTED", "resolved")], "and no change order is asked for"
    prebill.refresh_from_db()
    assert prebill.net == Decimal("2880")


@pytest.mark.provokes("PO-EXHAUSTED")
def test_a_new_order_is_quoted_on_what_is_billed_next(bench: Bench):
    worked = Worked(bench, replace(ORDERED, name="Replaced", po_amount=Decimal("100")))
    worked.book({})
    assert worked.cases == [("PO-EXHAUSTED", "open")]
    assert worked.row.key not in {one.engagement_key for one in acts.prebills()}
    bench.control.patch(
        "crm", "Opportunity", worked.deal_id, {"PO_Number__c": "PO-4712", "PO_Amount__c": None}
    )
    bench.poll(("crm", "deal"))
    assert worked.cases == [("PO-EXHAUSTED", "resolved")]
    [prebill] = [one for one in acts.prebills() if one.engagement_key == worked.row.key]
    assert (prebill.net, prebill.po_number) == (Decimal("1440"), "PO-4712")
