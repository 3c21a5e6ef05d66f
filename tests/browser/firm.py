"""What the browser tests look at: broken deals in two entities, engagements with prebills, new mappings, people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.console.world import World
from tests.people import hire


@dataclass
class Firm:
    people: dict[str, Any]
    cases: list[Any] = field(default_factory=list)
    prebill: Any = None
    engagement: str = ""
    transaction: str = ""


def seed() -> Firm:
    """Made through the rooms' services, committed."""
    world = World()
    people = {name: hire(name) for name in ("ana", "carla", "otto", "ada")}
    world.service_items(("4010", "Fixed-fee reviews"), ("4030", "Responsible AI assessment"))
    cases = [world.broken_deal(number, amount=str(10_000 + number)) for number in range(1, 5)]
    world.broken_deal(
        20,
        entity=world.uk,
        code="CUS-DUP",
        object_type="customer",
        field="tax_id",
        value="GB 283 1174 09",
        reason="Two customers of Corvane Insurance share the VAT number GB 283 1174 09.",
        amount="62400",
        customer="Corvane Insurance",
    )
    engagement = world.engagement(name="Brackwater ERP programme")
    prebill = world.prebill(engagement)
    world.new_mapping(people["ana"], source="ANA-220")
    people["pavel"] = hire("pavel", engagement_key=engagement)
    return Firm(people, cases, prebill, engagement, cases[0].transaction_ref)
