"""The demo's people act through the rooms' services, each with their own name.

Public surface: :func:`person`, :func:`sign`, :func:`controller_of`, :func:`bills_by_name`.
"""

from __future__ import annotations

from typing import Any

from apps.approvals import selectors as approvals
from apps.billing import selectors as billing
from apps.billing import services as billing_services
from apps.core.scope import EVERYTHING
from apps.demo import firm
from apps.organization import selectors as organization


def person(username: str) -> Any:
    """The person of this user name."""
    return organization.user_by_email(f"{username}@merridane.example")


def controller_of(entity_code: str) -> str:
    """Who signs for finance in that legal entity."""
    return next(
        one.username for one in firm.PEOPLE if one.role == "controller" and entity_code in one.entities
    )


def bills_by_name() -> dict[str, Any]:
    """The newest prebill of each engagement, by the engagement's name (which is the deal's)."""
    rows = billing.prebills(EVERYTHING).exclude(state="void").order_by("id")
    return {row.engagement_name: row for row in rows}


def sign(prebill: Any, username: str, comment: str) -> Any:
    """The next step of the approval by that person, over the lines as they stand. Raises what the billing room raises."""
    asked = approvals.open_request("prebill", prebill.ref)
    return billing_services.prebill_approve(
        prebill=prebill, by=person(username), digest=asked.digest if asked else "", comment=comment
    )
