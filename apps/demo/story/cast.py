"""The deals of the story, as data."""

from __future__ import annotations

from decimal import Decimal

from apps.demo.deals import DealSpec, Entry, Line

D = Decimal

#: Milestones, time at a blended rate beside a role rate, two service lines: the deal of steps 0 to 3.
CLAIMS = DealSpec(
    "Claims platform renewal",
    "corvane",
    "MER-UK",
    "milestone",
    (Line("IMP-200", D(90_000)), Line("ANA-220", D(45_000))),
    (Entry("Design accepted", D(30_000), "IMP-200"), Entry("Go-live accepted", D(60_000), "IMP-200")),
    {"Manager": "195", "": "180"},
)
BLENDED_RATE = D(180)
UK_TAX = D("0.20")

#: Another client, whose push is lost.
LOST_PUSH = DealSpec(
    "Mortgage data migration",
    "thornmere",
    "MER-UK",
    "milestone",
    (Line("DAT-210", D(64_000)),),
    (Entry("Trial load accepted", D(24_000)), Entry("Cut-over accepted", D(40_000))),
    project_manager="jonas",
)


def _review(client: str, name: str, upfront: int, manager: str) -> DealSpec:
    value = D(upfront)
    return DealSpec(
        name,
        client,
        "OST-BE",
        "instalment",
        (Line("AIR-510", value * 2),),
        (Entry("Upfront instalment", value, days=0), Entry("Report", value, days=75)),
        project_manager=manager,
    )


#: Step 4: three deals with one cause; the third client also insists on a purchase order.
REVIEWS = (
    _review("wexmoor-be", "Shelf camera AI review", 18_900, "jonas"),
    _review("nordeval", "Signal detection AI review", 16_400, "priya"),
    _review("tolvane", "Track inspection AI review", 12_300, "priya"),
)
#: The item of Ostrel's ERP that AIR-510 is billed as, and its text.
RIGHT_ITEM, RIGHT_ITEM_NAME = "709", "Responsible AI review and assurance"
