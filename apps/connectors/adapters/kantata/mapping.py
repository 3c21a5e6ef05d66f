"""Kantata's projects, billing milestones and time entries as canonical objects.

Public surface: :func:`engagement`, :func:`milestone`, :func:`time_entry`, :func:`reference_of`,
:data:`ENGAGEMENT_INCLUDE`, :data:`MILESTONE_INCLUDE`, :data:`TIME_INCLUDE`.

Fields: developer.kantata.com – Workspaces, Billing Milestones, Time Entries. Amounts are integers of minor units
(``*_in_cents``). Acceptance of a milestone lives in account-defined fields; their names are configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from moneyed import CURRENCIES

from apps.canonical.money import Money
from apps.canonical.objects import Engagement, Milestone, TimeEntry
from apps.connectors.adapters.kantata.client import Client, Listing
from apps.connectors.protocols.convert import built, day, instant, refused
from apps.connectors.spi import Observed

# The id of another record is answered only when that record is included.
ENGAGEMENT_INCLUDE = "external_references"
MILESTONE_INCLUDE = "external_references,story,workspace,invoices"
TIME_INCLUDE = "story,role,user,active_submission,workspace,invoice"
#: Names of the account-defined fields on billing milestones.
MILESTONE_FIELDS = {"state": "state", "accepted_at": "accepted_at", "evidence": "acceptance_reference"}
_SERVICE = re.compile(r"^Service (\S+)$")
_STATES = {"planned": "planned", "completed": "completed", "accepted": "accepted"}


def engagement(client: Client, found: Listing, record: Mapping[str, Any]) -> Observed:
    """A workspace (project)."""
    currency = _currency(record)
    archived = bool(record.get("archived"))
    status = record.get("status")
    reference = reference_of(client, found, record)
    body = built(
        Engagement,
        "The project in Kantata",
        key=str(reference.get("service_model_ref") or _foreign(client, record["id"])),
        name=str(record.get("title") or record["id"]),
        customer_key=_foreign(client, "none"),
        legal_entity_code="",
        currency=currency,
        billing_model="time_and_materials",
        status="closed" if archived else "active",
        start_on=day(record.get("start_date"), field="start_on"),
        end_on=day(record.get("due_date"), field="end_on"),
        budget=Money.from_minor(int(record.get("price_in_cents") or 0), currency),
        rate_card_key=_foreign(client, record["rate_card_id"]) if record.get("rate_card_id") else None,
    )
    facts = {
        "archived": archived,
        "inactive": archived,
        "status": str(status.get("message") or "") if isinstance(status, Mapping) else "",
        "rate_card_id": str(record.get("rate_card_id") or ""),
    }
    return _observed(client, "engagement", record, body, str(record["id"]), facts)


def milestone(client: Client, found: Listing, record: Mapping[str, Any]) -> Observed:
    """A billing milestone; a completed story makes an otherwise unmarked one completed."""
    names = milestone_fields(client)
    currency = _currency(record)
    reference = reference_of(client, found, record)
    story = found.included("stories", record.get("story_id"))
    state = _STATES.get(str(record.get(names["state"]) or "").lower())
    if state is None:
        state = "completed" if story.get("state") == "completed" else "planned"
    service = _SERVICE.match(str(reference.get("external_message") or ""))
    body = built(
        Milestone,
        "The milestone in Kantata",
        key=str(reference.get("service_model_ref") or _foreign(client, record["id"])),
        engagement_key=_foreign(client, record.get("workspace_id") or "none"),
        name=str(record.get("title") or record["id"]),
        amount=Money.from_minor(int(record.get("amount_in_cents") or 0), currency),
        due_on=day(record.get("date_to_invoice"), field="due_on"),
        status=state,
        accepted_at=instant(record.get(names["accepted_at"]), field="accepted_at")
        if state == "accepted"
        else None,
        evidence=str(record.get(names["evidence"]) or ""),
        service_code=service.group(1) if service else str(story.get("title") or ""),
    )
    facts = {"state": state, "invoiced": bool(record.get("invoice_id") or record.get("invoice_ids"))}
    return _observed(client, "milestone", record, body, str(record.get("workspace_id") or ""), facts)


def time_entry(client: Client, found: Listing, record: Mapping[str, Any]) -> Observed:
    """A time entry; the title of its story is the service code."""
    story = found.included("stories", record.get("story_id"))
    role = found.included("roles", record.get("role_id"))
    user = found.included("users", record.get("user_id"))
    submission = found.included("timesheet_submissions", record.get("active_submission_id"))
    approved = bool(record.get("approved"))
    decided = submission.get("current_resolution_created_at_date")
    # Without a submission nobody says when it was approved; its last change is the approval or later.
    approved_at: datetime | None = (
        instant(decided or record.get("updated_at"), field="approved_at") if approved else None
    )
    rate = record.get("rate_in_cents")
    body = built(
        TimeEntry,
        "The time entry in Kantata",
        key=_foreign(client, record["id"]),
        engagement_key=_foreign(client, record.get("workspace_id") or "none"),
        person=str(user.get("full_name") or user.get("email_address") or record.get("user_id") or ""),
        role=str(role.get("name") or ""),
        service_code=str(story.get("title") or ""),
        worked_on=day(record.get("date_performed"), field="worked_on"),
        hours=_hours(record.get("time_in_minutes")),
        billable=bool(record.get("billable", True)),
        status=_time_status(approved, submission),
        approved_at=approved_at,
        rate=Money.from_minor(int(rate), _currency(record)) if rate is not None else None,
        notes=str(record.get("notes") or "")[:2000],
    )
    facts = {
        "approved": approved,
        "invoiced": record.get("invoice_id") is not None,
        "minutes": int(record.get("time_in_minutes") or 0),
        "timesheet": str(record.get("active_submission_id") or ""),
        "email": str(user.get("email_address") or "").strip().lower(),
    }
    return _observed(client, "time_entry", record, body, str(record.get("workspace_id") or ""), facts)


def _time_status(approved: bool, submission: Mapping[str, Any]) -> str:
    if approved:
        return "approved"
    return {"pending": "submitted", "rejected": "rejected"}.get(str(submission.get("status") or ""), "draft")


def _hours(minutes: Any) -> Decimal:
    """Hours of whole minutes, to four places: 20 minutes are 0.3333."""
    return (Decimal(int(minutes or 0)) / 60).quantize(Decimal("0.0001"))


def reference_of(client: Client, found: Listing, record: Mapping[str, Any]) -> dict[str, Any]:
    """Our external reference on the object, when the answer included them."""
    for reference_id in record.get("external_reference_ids") or []:
        held = found.included("external_references", reference_id)
        if held.get("service_name") == client.service:
            return held
    return {}


def milestone_fields(client: Client) -> dict[str, str]:
    """Attribute names of state, acceptance instant and evidence on billing milestones."""
    own = client.settings.config.get("milestone_fields")
    return {
        **MILESTONE_FIELDS,
        **({str(k): str(v) for k, v in own.items()} if isinstance(own, Mapping) else {}),
    }


def _currency(record: Mapping[str, Any]) -> str:
    code = str(record.get("currency") or "")
    if code not in CURRENCIES:
        raise refused(
            "The currency of this record in Kantata is not known.",
            field="currency",
            value=code,
            code="CUS-CURRENCY",
        )
    return code


def _foreign(client: Client, record_id: Any) -> str:
    """The key of an object that is not ours by reference: system and vendor id."""
    return f"{client.settings.system}:{record_id}"


def _observed(
    client: Client,
    object_type: str,
    record: Mapping[str, Any],
    body: Any,
    container: str,
    facts: dict[str, Any],
) -> Observed:
    return Observed(
        object_type=object_type,
        external_id=str(record["id"]),
        body=body,
        version=str(record.get("updated_at") or ""),
        modified_at=instant(record.get("updated_at"), field="updated_at"),
        url=page_url(client, container),
        container_id=container,
        facts=facts,
    )


def page_url(client: Client, workspace_id: str) -> str:
    """The project's page in Kantata, "" when the address of the user interface is not configured."""
    base = str(client.settings.config.get("app_url") or "").rstrip("/")
    return f"{base}/workspaces/{workspace_id}" if base and workspace_id else ""
