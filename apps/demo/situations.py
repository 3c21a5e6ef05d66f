"""The situations of the demo firm that something is wrong with, as data: their deals, and what else has to be there.

Public surface: the constants below, :func:`all_specs`, :func:`dormant_twins`. The numbers are those of docs/rooms/demo.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from apps.demo import firm
from apps.demo.deals import DealSpec, Entry, Line
from apps.demo.psa import Sheet

D = Decimal


def _upfront(client: str, name: str, amount: str, manager: str) -> DealSpec:
    """A responsible-AI review: one half upfront, today, the other on the report."""
    value = D(amount)
    return DealSpec(
        name,
        client,
        "OST-BE",
        "instalment",
        (Line("AIR-510", value * 2),),
        (Entry("Upfront instalment", value, days=0), Entry("Report", value, days=75)),
        project_manager=manager,
    )


def _advance(client: str, entity: str, name: str, service: str, amount: str, **more: Any) -> DealSpec:
    """One instalment, due today."""
    return DealSpec(
        name,
        client,
        entity,
        "instalment",
        (Line(service, D(amount)),),
        (Entry("Instalment", D(amount), days=0),),
        **more,
    )


#: 1: AIR-510 has no item in Ostrel's ERP; the deal of the client that insists on a PO has none.
UNMAPPED = (
    _upfront("wexmoor-be", "Shelf camera AI review", "18900", "jonas"),
    _upfront("nordeval", "Signal detection AI review", "16400", "priya"),
    _upfront("wexmoor-be", "Demand model AI review", "14200", "jonas"),
    _upfront("nordeval", "Batch release AI review", "12600", "priya"),
    _upfront("wexmoor-be", "Returns scoring AI review", "10200", "jonas"),
    _upfront("tolvane", "Track inspection AI review", "12300", "priya"),
)

#: 2: two Corvane customers in the ERP share a VAT number.
TWINS = (
    _advance("corvane", "MER-UK", "Claims handling training", "CHG-300", "41200"),
    _advance("corvane", "MER-UK", "Broker portal training", "CHG-300", "21200", project_manager="jonas"),
)

#: 6: 240,000 becomes 288,000 after provisioning; what is added is due today.
AMENDED = DealSpec(
    "Distribution centre roll-out",
    "sablefield",
    "MER-US",
    "milestone",
    (Line("IMP-200", D(240_000)),),
    (Entry("Blueprint accepted", D(72_000)), Entry("Go-live accepted", D(168_000))),
    project_manager="jonas",
)
AMENDMENT = (Line("CHG-300", D(48_000)), Entry("Training wave two", D(48_000), "CHG-300", days=0))

#: 8: accepted without a certificate.
NO_EVIDENCE = DealSpec(
    "Fleet maintenance data migration",
    "tolvane",
    "OST-BE",
    "milestone",
    (Line("DAT-210", D(200_000)),),
    (Entry("Trial load accepted", D(120_000)), Entry("Cut-over accepted", D(80_000))),
    po_number="PO-4502210",
)
NO_EVIDENCE_MILESTONE = "Trial load accepted"

#: 9: cap 400,000; billed before go-live 381,200; 207 h at 150 are ready.
CAPPED = DealSpec(
    "Regulatory programme office",
    "thornmere",
    "MER-UK",
    "capped_time_and_materials",
    (Line("PMO-110", D(400_000)),),
    rates={"Consultant": "150"},
    not_to_exceed=D(400_000),
    project_manager="jonas",
)
CAPPED_BEFORE = D("381200")
CAPPED_TIME = (Sheet(CAPPED.name, "PMO-110", "Consultant", D(207), person=4),)

#: 11: 611 hours of last month that nobody approved, USD 147,000.
UNAPPROVED = (
    DealSpec(
        "Retail shelf analytics",
        "sablefield",
        "MER-US",
        "time_and_materials",
        (Line("ANA-220", D(220_000)),),
        rates={"Manager": "265", "Director": "390"},
        start_days=-75,
    ),
    DealSpec(
        "Imaging integration",
        "pellmont",
        "MER-US",
        "time_and_materials",
        (Line("INT-230", D(160_000)),),
        rates={"Consultant": "205"},
        project_manager="jonas",
        start_days=-75,
    ),
)
UNAPPROVED_TIME = (
    Sheet(UNAPPROVED[0].name, "ANA-220", "Manager", D(347), D(8), person=0, approved=False),
    Sheet(UNAPPROVED[0].name, "ANA-220", "Director", D(5), D(5), person=5, approved=False),
    Sheet(UNAPPROVED[1].name, "INT-230", "Consultant", D(259), D(8), person=3, approved=False),
)

#: 12: the ERP posts the invoice and its answer is lost.
LOST_ANSWER = _advance("wexmoor", "MER-UK", "Peak season training", "CHG-300", "54000")

#: 13: the period is closed when the approved invoice is to be posted.
CLOSED_PERIOD = _advance(
    "nordeval", "OST-BE", "Site audit training", "CHG-300", "18400", project_manager="jonas"
)

#: 14: the customer pays less.
SHORT_PAID = _advance(
    "pellmont", "MER-US", "Ward visits and travel", "CHG-300", "26450", project_manager="jonas"
)
SHORT_BY = D(1150)


def all_specs() -> list[DealSpec]:
    """Every deal of a situation, to be entered and closed beside the healthy ones."""
    single = (AMENDED, NO_EVIDENCE, CAPPED, LOST_ANSWER, CLOSED_PERIOD, SHORT_PAID)
    return [*UNMAPPED, *TWINS, *single, *UNAPPROVED]


def dormant_twins() -> list[dict[str, Any]]:
    """Situation 2 in the ERP: the active customer and a dormant one with the same VAT number (NetSuite's fields)."""
    corvane = firm.client("corvane")
    address = {
        "addr1": corvane.street,
        "city": corvane.city,
        "zip": corvane.postal_code,
        "country": {"id": corvane.country},
    }
    shared = {
        "subsidiary": {"id": "1"},
        "vatRegNumber": corvane.tax_id,
        "addressBook": {"items": [{"defaultBilling": True, "addressBookAddress": address}]},
    }
    return [
        {**shared, "id": "3301", "entityId": "C-1187", "companyName": "Corvane Insurance plc"},
        {**shared, "id": "3302", "entityId": "C-0412", "companyName": "Corvane Insurance (London) Ltd"},
    ]
