"""How many queries each screen takes, kept in ``query_baseline.json``: none grows with the rows it shows, and none gets more
without somebody deciding so. ``make query-baseline`` writes the file anew; its change is part of the review."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from apps.billing.models import Prebill
from apps.commercial.models import Engagement
from apps.organization.models import User
from apps.triage.jobs import services as jobs
from apps.triage.jobs.work import work
from apps.triage.models import Case, Job
from tests.console.queries import queries_of

BASELINE = Path(__file__).parent / "query_baseline.json"


def filled(world, rows: range) -> None:
    """As many more causes, cases, engagements, prebills, mappings and jobs as there are ``rows``."""
    ana = User.objects.get(username="ana")
    for number in rows:
        case = world.broken_deal(number, value=f"AIR-{number}A")
        world.broken_deal(500 + number, entity=world.uk, value="AIR-510")
        Case.objects.filter(pk=case.pk).update(assignee=ana)
        world.new_mapping(ana, source=f"ANA-{number}X")
        world.prebill(world.engagement(number=f"Q{number}", name=f"Programme {number}"))
        jobs.job_plan(
            rows=Case.objects.filter(pk=case.pk),
            by=ana,
            scope_words="Chosen cases",
            address="/exceptions/?view=cases",
        )
    while work():
        pass


def screens() -> dict[str, str]:
    case = Case.objects.filter(value="AIR-510").earliest("id")
    return {
        "home": "/",
        "exceptions": "/exceptions/",
        "exceptions, searched": "/exceptions/?q=tolvane",
        "exceptions, of one severity": "/exceptions/?severity=blocker",
        "a cause": f"/exceptions/?group={case.group_id}",
        "cases": "/exceptions/?view=cases",
        "cases, searched": "/exceptions/?view=cases&q=tolvane",
        "cases, nobody's": "/exceptions/?view=cases&assignee=nobody",
        "a case": f"/exceptions/{case.ref}/?view=cases",
        "a case, technical": f"/exceptions/{case.ref}/?tab=technical",
        "export": "/exceptions/export.csv?view=cases",
        "jobs": "/jobs/",
        "a job": f"/jobs/{Job.objects.earliest('id').ref}/",
        "transactions": "/transactions/",
        "transactions, searched": "/transactions/?q=tolvane",
        "a transaction": f"/transactions/{case.transaction_ref}/",
        "engagements": "/engagements/",
        "an engagement": f"/engagements/{Engagement.objects.earliest('id').key}/",
        "prebills": "/prebills/",
        "a prebill": f"/prebills/{Prebill.objects.earliest('id').ref}/",
        "mappings": "/mappings/",
        "catalogue": "/catalogue/",
        "a code": "/catalogue/DEAL-SVC-UNMAPPED/",
        "audit": "/audit/",
    }


@pytest.fixture
def readers(world, signed_in):
    """Ada may see the audit, jobs are Ana's own, Carla sees everything else."""
    ana = signed_in("ana")
    return {"audit": signed_in("ada"), "jobs": ana, "a job": ana}, signed_in("carla")


def test_no_screen_takes_more_queries_than_the_baseline_or_for_more_rows(world, readers):
    special, everyday = readers
    filled(world, range(1, 10))
    addresses = screens()

    def counts() -> dict[str, int]:
        for name, address in addresses.items():
            queries_of(special.get(name, everyday), address)  # warms what is asked once a process
        return {name: queries_of(special.get(name, everyday), address) for name, address in addresses.items()}

    few = counts()
    filled(world, range(10, 19))
    many = counts()
    assert many == few, "more rows, more queries"
    if os.environ.get("RENEW_QUERY_BASELINE"):
        BASELINE.write_text(json.dumps(few, indent=2) + "\n", encoding="utf-8")
    assert few == json.loads(BASELINE.read_text(encoding="utf-8")), "see this module's head"
