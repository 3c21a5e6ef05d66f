"""Steps 1 and 2: closed-won events at the door, a lost push, and what stands in each system. Public surface: :data:`STEPS`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import requests
from standardwebhooks import Webhook

from apps.core import clock
from apps.demo import deals, firm
from apps.demo.story import cast
from apps.demo.story.stage import Stage, Step, cents

TIMES = 10
STALE_SECONDS = 3600


def refused_events(stage: Stage) -> None:
    body = json.dumps({"payload": {"ChangeEventHeader": {"entityName": "Opportunity"}}}).encode()
    unsigned = _knock(stage, body, {})
    stage.equal(_status(unsigned), (401, "application/problem+json"), "an unsigned event is answered")
    stamp = clock.now().timestamp() - STALE_SECONDS
    stale = _knock(stage, body, _signed(stage, body, "msg_story_stale", stamp))
    stage.equal(
        _status(stale), (401, "application/problem+json"), "a signed event of an hour ago is answered"
    )


def _knock(stage: Stage, body: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(
        f"{stage.web_url}/hooks/crm",
        data=body,
        headers={"Content-Type": "application/json", **headers},
        timeout=30,
    )


def _signed(stage: Stage, body: bytes, event_id: str, stamp: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(stamp, tz=UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(stamp)),
        "webhook-signature": Webhook(stage.hook_secret).sign(event_id, moment, body.decode()),
    }


def _status(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.headers.get("Content-Type", "").partition(";")[0]


def closed_and_pushed(stage: Stage) -> None:
    crm = stage.system("crm")
    crm.hold()
    deals.close(stage.control, stage.notes["claims"])
    [event] = [row for row in crm.events() if row["state"] == "held"]
    answers = [row["status"] for row in crm.deliver([event["id"]], times=TIMES)]
    stage.equal(answers, [202] + [200] * (TIMES - 1), f"the event, brought {TIMES} times, is answered")
    crm.hold(False)
    status = _provisioned(stage, stage.notes["claims"])
    stage.notes["engagement"] = _engagement_of(stage, cast.CLAIMS.name)
    stage.check(status, f"{cast.CLAIMS.name} is {stage.notes['engagement']}")
    page = stage.as_person("nadia").open(f"/transactions/?flow=deal.provision&q={stage.notes['claims']}")
    rows = {link for link in page.links if link.startswith("/transactions/TX-")}
    # A poll that comes within a second of the closing cannot know what the event has told, and asks once more.
    stage.check(len(rows) in (1, 2), f"transactions made of it, or by a poll in that second: {len(rows)}")


def _provisioned(stage: Stage, deal_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        rows = stage.control.records("crm", "Eng_Status__c", Opportunity__c=deal_id)
        return next((row for row in rows if row["Status__c"] == "Provisioned"), None)

    return stage.until(f"deal {deal_id} is provisioned", look)


def _engagement_of(stage: Stage, name: str) -> str:
    """Our key of a project, as the PSA holds it."""
    workspace = stage.system("psa").record("workspaces", title=name)
    reference = stage.system("psa").record(
        "external_references", subject_type="Workspace", subject_id=workspace["id"]
    )
    return str(reference["service_model_ref"])


def closed_and_lost(stage: Stage) -> None:
    crm = stage.system("crm")
    deal_id = deals.enter(stage.control, cast.LOST_PUSH, today=stage.today)
    stage.notes["lost"] = deal_id
    crm.hold()
    deals.close(stage.control, deal_id)
    held = [row["id"] for row in crm.events() if row["state"] == "held"]
    stage.equal(crm.lose(held), 1, "pushes lost on the way")
    crm.hold(False)
    began = time.monotonic()
    _provisioned(stage, deal_id)
    stage.check(
        True, f"polling found {cast.LOST_PUSH.name} and provisioned it in {time.monotonic() - began:.1f} s"
    )


def stands_in_crm(stage: Stage) -> None:
    account = stage.system("crm").record("Account", Id=deals.account_of("corvane"))
    customer = _erp_customer(stage)
    stage.equal(account["ERP_Customer_Id__c"], customer["id"], "the CRM knows the ERP's customer")
    status = stage.system("crm").record("Eng_Status__c", Opportunity__c=stage.notes["claims"])
    stage.equal(status["Status__c"], "Provisioned", "the CRM's status")


def _erp_customer(stage: Stage) -> dict[str, Any]:
    return stage.system("erp").record("customer", vatRegNumber=firm.client("corvane").tax_id)


def stands_in_erp(stage: Stage) -> None:
    erp, key = stage.system("erp"), stage.notes["engagement"]
    customer = _erp_customer(stage)
    stage.equal(customer["companyName"], firm.client("corvane").name, "one customer in the ERP")
    project = erp.record("job", externalId=key)
    stage.equal(project["parent"]["id"], customer["id"], "its project belongs to customer")
    rules = [row for row in erp.records("chargeRule") if row["project"]["id"] == project["id"]]
    stage.equal(len(rules), len(cast.CLAIMS.lines), "billing rules, one a service line")
    schedule = erp.record("billingSchedule", id=(project.get("billingSchedule") or {}).get("id", ""))
    planned = {row["comments"]: cents(row["milestoneAmount"]) for row in schedule["milestone"]["items"]}
    agreed = {entry.label: cents(entry.amount) for entry in cast.CLAIMS.schedule}
    stage.equal(planned, agreed, "its billing schedule, in pence")
    cards = erp.records("billingRateCard")
    stage.equal(len(cards), 1, "rate cards")


def stands_in_psa(stage: Stage) -> None:
    psa = stage.system("psa")
    workspace = psa.record("workspaces", title=cast.CLAIMS.name)
    milestones = psa.records("billing_milestones", workspace_id=workspace["id"])
    amounts = {row["title"]: row["amount_in_cents"] for row in milestones}
    agreed = {entry.label: int(entry.amount * 100) for entry in cast.CLAIMS.schedule}
    stage.equal(amounts, agreed, "milestones in the PSA (minor units)")
    stage.equal(len(psa.records("rate_cards")), 1, "rate cards in the PSA")


def stands_elsewhere(stage: Stage) -> None:
    mails = [row["email"] for row in stage.control.records("billing", "customer")]
    wanted = f"accounts@{firm.client('corvane').website}"
    stage.equal(mails.count(wanted), 1, f"customers of the billing platform at {wanted}")
    key = stage.notes["engagement"]
    told = stage.until(
        "the engagement is announced", lambda: stage.announcements("psasync.engagement.provisioned.v1", key)
    )
    stage.equal([row["verified"] for row in told], [True], "announcements received, signature valid")
    _one_correlation(stage)


def _one_correlation(stage: Stage) -> None:
    """The writes of the deal in all systems carry one correlation id."""
    found: dict[str, set[str]] = {}
    for system, path in (("erp", f"/job/eid:{stage.notes['engagement']}"), ("psa", "/workspaces")):
        rows = [row for row in stage.system(system).requests(path=path) if row["method"] in ("PUT", "POST")]
        name = cast.CLAIMS.name
        found[system] = {row["correlation_id"] for row in rows if name in json.dumps(row["body"])}
    stage.check(
        len(found["erp"]) == 1 and found["erp"] == found["psa"] and all(found["erp"]),
        f"one correlation id in ERP and PSA: {', '.join(found['erp'])}",
    )


STEPS = (
    Step("1a", "events without a valid signature are refused", refused_events),
    Step("1b", "a deal is closed-won; its event is pushed, ten times", closed_and_pushed),
    Step("1c", "a second deal is closed-won; its push is lost, the poll finds it", closed_and_lost),
    Step("2a", "what stands in the CRM", stands_in_crm),
    Step("2b", "what stands in the ERP", stands_in_erp),
    Step("2c", "what stands in the PSA", stands_in_psa),
    Step("2d", "what stands in the billing platform, and what was announced", stands_elsewhere),
)
