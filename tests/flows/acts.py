"""What people and customers do in a story, and what the emulated systems hold afterwards.

Public surface: :func:`accept_milestone`, :func:`approve_prebill`, :func:`prebills`, :func:`count`, :func:`finished`.
"""

from __future__ import annotations

from typing import Any

from apps.approvals import selectors as approvals
from apps.billing import selectors as billing
from apps.billing import services as billing_services
from apps.core.scope import EVERYTHING
from apps.demo.sandbox_client import SandboxControl
from apps.organization import selectors as organization
from apps.sync import selectors as sync


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


def count(control: SandboxControl, system: str, kind: str) -> int:
    return len(control.records(system, kind))


def finished() -> bool:
    """No transaction is on its way (held ones wait for a person)."""
    open_states = ("pending", "running", "retrying", "waiting")
    return not sync.transactions(EVERYTHING).filter(state__in=open_states).exists()
