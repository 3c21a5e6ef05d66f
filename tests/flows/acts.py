"""What people and customers do in a story, and what the emulated systems hold afterwards.

Public surface: :func:`accept_milestone`, :func:`approve_prebill`, :func:`retry`, :func:`prebills`, :func:`count`,
:func:`finished`;
the deals :data:`PLATFORM` and :data:`SMALL`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from apps.approvals import selectors as approvals
from apps.billing import selectors as billing
from apps.billing import services as billing_services
from apps.core.scope import EVERYTHING
from apps.demo import deals
from apps.demo.sandbox_client import SandboxControl
from apps.organization import selectors as organization
from apps.sync import selectors as sync
from apps.sync import services as engine
from apps.triage import services as triage


def person(username: str) -> Any:
    return organization.user_by_email(f"{username}@merridane.example")


def accept_milestone(control: SandboxControl, title: str, *, certificate: str = "CERT-1") -> None:
    """The client accepts in the PSA."""
    milestone = control.records("psa", "billing_milestones", title=title)[0]
    control.patch(
        "psa",
        "billing_milestones",
        milestone["id"],
        {"state": "accepted", "accepted_at": "2026-11-20T10:00:00Z", "acceptance_reference": certificate},
    )


def prebills() -> list[Any]:
    return list(billing.prebills(EVERYTHING).order_by("id"))


def approve_prebill(ref: str, *people: str) -> None:
    """Each person in turn approves what they were shown."""
    for username in people:
        request = approvals.open_request("prebill", ref)
        billing_services.prebill_approve(
            prebill=billing.prebill(ref), by=person(username), digest=request.digest, comment="Checked."
        )


def retry(case: Any, username: str) -> None:
    """Looks at the preview of running the case again, and runs it."""
    token = engine.preview(transaction_ids=[case.transaction_id])["token"]
    triage.case_retry(case=case, by=person(username), token=token)


def count(control: SandboxControl, system: str, kind: str) -> int:
    return len(control.records(system, kind))


def finished() -> bool:
    """No transaction is on its way (held ones wait for a person)."""
    open_states = ("pending", "running", "retrying", "waiting")
    return not sync.transactions(EVERYTHING).filter(state__in=open_states).exists()


#: One deal of every kind of object that provisioning writes: rates, milestones, billing rules of two models.
PLATFORM = deals.DealSpec(
    name="Platform",
    client="corvane",
    entity="MER-UK",
    billing_model="milestone",
    lines=(deals.Line("IMP-200", Decimal("90000")), deals.Line("ANA-220", Decimal("15000"))),
    schedule=(deals.Entry("Design", Decimal("30000")), deals.Entry("Go-live", Decimal("60000"))),
    rates={"Manager": "195", "": "180"},
)
#: The smallest deal that can be provisioned: one service, one milestone, no rates of its own.
SMALL = deals.DealSpec(
    name="Small",
    client="corvane",
    entity="MER-UK",
    billing_model="milestone",
    lines=(deals.Line("IMP-200", Decimal("9000")),),
    schedule=(deals.Entry("Handover", Decimal("9000")),),
)
#: What one provisioned ``PLATFORM`` of a new customer adds to the emulated systems.
PLATFORM_OBJECTS = {
    "erp customer": 1,
    "erp job": 1,
    "erp billingRateCard": 1,
    "erp billingSchedule": 1,
    "erp chargeRule": 2,
    "psa workspaces": 1,
    "psa rate_cards": 1,
    "psa billing_milestones": 2,
    "billing customer": 1,
    "crm Eng_Status__c": 1,
}
#: The same of ``SMALL``.
SMALL_OBJECTS = {
    "erp customer": 1,
    "erp job": 1,
    "erp billingSchedule": 1,
    "erp chargeRule": 1,
    "psa workspaces": 1,
    "psa billing_milestones": 1,
    "billing customer": 1,
    "crm Eng_Status__c": 1,
}
