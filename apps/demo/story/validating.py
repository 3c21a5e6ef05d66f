"""Step 0: before closing, the CRM asks whether a deal would provision. Public surface: :data:`STEPS`."""

from __future__ import annotations

from datetime import datetime

from apps.core import clock
from apps.demo import deals
from apps.demo.story import cast
from apps.demo.story.stage import Stage, Step

DEADLINE_SECONDS = 2.0
#: What comes on top of the deadline: the answer from the records.
GRACE_SECONDS = 1.0
PATH = "/api/v1/deals/validate"


def before_closing(stage: Stage) -> None:
    stage.notes["entered_at"] = clock.now().isoformat()
    claims = deals.enter(stage.control, cast.CLAIMS, today=stage.today)
    review = deals.enter(stage.control, cast.REVIEWS[0], today=stage.today)
    stage.notes |= {"claims": claims, cast.REVIEWS[0].name: review}
    answer, took = stage.api(PATH, {"system": "crm", "deal_id": claims})
    stage.check(
        answer["ok"] and answer["live"], f"the open deal would provision: {len(answer['actions'])} actions"
    )
    stage.check(took < DEADLINE_SECONDS, f"the live answer took {took:.2f} s, under {DEADLINE_SECONDS:g} s")
    planned = [action["name"] for action in answer["actions"]]
    stage.check("customer" in planned and "project" in planned, f"it plans {', '.join(planned)}")
    blocked, _took = stage.api(PATH, {"system": "crm", "deal_id": review})
    codes = [problem["code"] for problem in blocked["problems"]]
    stage.equal(codes, ["DEAL-SVC-UNMAPPED"], "the review would be blocked with")


def slow_crm(stage: Stage) -> None:
    fault = stage.system("crm").fault("latency", seconds=8, times=None)
    try:
        answer, took = stage.api(PATH, {"system": "crm", "deal_id": stage.notes["claims"]})
    finally:
        stage.system("crm").clear_faults(fault)
    stage.check(answer["ok"] and not answer["live"], "the answer comes from the records and says so")
    limit = DEADLINE_SECONDS + GRACE_SECONDS
    stage.check(took < limit, f"it came after {took:.2f} s, within {limit:g} s")
    # The poller may have read the deal since the first answer; nobody has read it before it was entered or after the answer.
    entered = datetime.fromisoformat(stage.notes["entered_at"])
    seen = datetime.fromisoformat(answer["as_of"])
    stage.check(entered <= seen <= clock.now(), f"with the time the CRM was last seen: {seen:%H:%M:%S}")


def nothing_written(stage: Stage) -> None:
    counts = {
        "customers in the ERP": len(stage.control.records("erp", "customer")),
        "projects in the PSA": len(stage.control.records("psa", "workspaces")),
        "customers in the billing platform": len(stage.control.records("billing", "customer")),
    }
    for what, found in counts.items():
        stage.equal(found, 0, what)


STEPS = (
    Step("0a", "before closing, the CRM asks and gets the plan or the codes that block it", before_closing),
    Step("0b", "the CRM is slow: the answer comes from records, with their time", slow_crm),
    Step("0c", "asking has written nothing anywhere", nothing_written),
)
