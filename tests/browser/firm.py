"""What the browser tests look at: broken deals in two entities, engagements with prebills, new mappings, people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apps.triage.jobs import services as jobs
from apps.triage.jobs.work import work
from apps.triage.models import Case
from tests.console.world import World
from tests.people import hire


@dataclass
class Firm:
    people: dict[str, Any]
    cases: list[Any] = field(default_factory=list)
    prebill: Any = None
    engagement: str = ""
    transaction: str = ""
    job: str = ""
    doubled: str = ""


def seed() -> Firm:
    """Made through the rooms' services, committed."""
    world = World()
    people = {name: hire(name) for name in ("ana", "carla", "otto", "ada")}
    world.service_items(("4010", "Fixed-fee reviews"), ("4030", "Responsible AI assessment"))
    cases = [world.broken_deal(number, amount=str(10_000 + number)) for number in range(1, 5)]
    doubled = world.broken_deal(
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
    found = {"name": "Corvane Insurance plc", "rung": "tax_id", "score": 100.0, "inactive": False, "url": ""}
    candidates = [
        {**found, "external_id": "71"},
        {**found, "external_id": "72", "name": "Corvane Ins.", "inactive": True},
    ]
    Case.objects.filter(pk=doubled.pk).update(subject_kind="customer", params={"candidates": candidates})
    rows = Case.objects.filter(pk__in=[case.pk for case in cases])
    job = jobs.job_plan(
        rows=rows, by=people["ana"], scope_words="Chosen cases", address="/exceptions/?view=cases"
    )
    work()
    engagement = world.engagement(name="Brackwater ERP programme")
    prebill = world.prebill(engagement)
    world.new_mapping(people["ana"], source="ANA-220")
    people["pavel"] = hire("pavel", engagement_key=engagement)
    return Firm(people, cases, prebill, engagement, cases[0].transaction_ref, job.ref, doubled.ref)
