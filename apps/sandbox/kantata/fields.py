"""Resources, fields and filters of the emulated account: the part of what Kantata publishes that is emulated.

Names and types are those of ``published/openapi.json`` (its head names the document);
``tests/sandbox/test_field_lists_are_published.py`` compares every one. :data:`OWN` names what is not the vendor's.

Notation of a field: ``name:type`` with type s (text), i (integer), n (number), b (boolean), d (date), dt (date-time),
id>resource, ids>resource, o (object), l (list); suffix ``!`` required on create, ``~`` read-only, ``^`` only sent.
Public surface: RESOURCES, Resource, Field, PUBLISHED, OWN, REFERENCE, REFERABLE, PLAIN, association.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUBLISHED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "published" / "openapi.json").read_text("utf-8")
)

_PAGED = "page per_page only order include"
_STAMPS = "updated_after updated_before created_after created_before"
_REFERENCES = (
    "external_reference_service_model_refs external_reference_service_model external_reference_service_name"
    " external_reference_status external_reference_external_status external_reference_external_message"
    " has_external_references without_external_reference_service_name"
)
# plural: (singular, subject type of references and events, event prefix, fields, filters of the list or None: no list)
_TABLE: dict[str, tuple[str, str, str, str, str | None]] = {
    "workspaces": ("workspace", "Workspace", "workspace",
        "title:s! description:s start_date:d due_date:d currency:s currency_base_unit:i~ price:i^ price_in_cents:i~"
        " budgeted:b access_level:s creator_role:s^ client_role_name:s consultant_role_name:s"
        " primary_maven_id:id>users approver_id:id>users rate_card_id:id>rate_cards target_margin:n"
        " archived:b status_key:i^ status:o~ default_rate:s~ change_orders_enabled:b time_trackable:b"
        " tasks_default_non_billable:b expenses_in_burn_rate:b percentage_complete:i~ budget_used_in_cents:i~"
        " over_budget:b~ primary_counterpart_id:id>users~ workspace_invoice_preference_id:i~"
        " stories_are_fixed_fee_by_default:b require_time_approvals:b require_expense_approvals:b account_id:i~"
        " creator_id:id>users~ effective_due_date:d~ posts_require_privacy_decision:b stage:s",
        f"{_PAGED} {_STAMPS} {_REFERENCES} optional_fields archived include_archived search matching budgeted"),
    "stories": ("story", "Story", "story",
        "title:s! workspace_id:id>workspaces! story_type:s! description:s parent_id:id>stories start_date:d due_date:d"
        " state:s billable:b fixed_fee:b budget_estimate_in_cents:i time_estimate_in_minutes:i"
        " percentage_complete:i archived:b position:i time_trackable:b weight:i assignee_ids:ids>users"
        " creator_id:id>users~", None),
    "time_entries": ("time_entry", "TimeEntry", "time_entry",
        "workspace_id:id>workspaces! date_performed:d! time_in_minutes:i! story_id:id>stories user_id:id>users"
        " billable:b rate_in_cents:i currency:s~ currency_symbol:s~ notes:s role_id:id>roles taxable:b~ approved:b~"
        " invoice_id:id>invoices~ cost_rate_in_cents:i~ is_invoiced:b~ location:s"
        " active_submission_id:id>timesheet_submissions~",
        f"{_PAGED} {_STAMPS} {_REFERENCES} approved billable invoiced uninvoiced in_active_submission"
        " date_performed_between workspace_id workspace_ids with_user_ids with_timesheet_id"),
    "timesheet_submissions": ("timesheet_submission", "TimesheetSubmission", "timesheet",
        "workspace_id:id>workspaces! title:s! line_item_ids:ids>time_entries!^ user_id:id>users comment:s status:s~"
        " start_date:d~ end_date:d~ time_entry_ids:ids>time_entries~ line_item_total_in_cents:i~ currency:s~ type:s~"
        " current_resolution_created_at_date:dt~ current_resolution_description:s~",
        f"{_PAGED} {_STAMPS} {_REFERENCES} statuses user_ids workspace_id workspace_ids start_date end_date"),
    "billing_milestones": ("billing_milestone", "BillingMilestone", "billing_milestone",
        "title:s! workspace_id:id>workspaces! amount_in_cents:i! currency:s~ date_to_invoice:d billing_type:s"
        " story_id:id>stories invoice_id:id>invoices~ invoice_ids:ids>invoices~"
        " state:s~ accepted_at:dt~ acceptance_reference:s~",
        f"{_PAGED} {_REFERENCES} date_between story_ids workspace_ids"),
    "invoices": ("invoice", "Invoice", "invoice",
        "workspace_ids:ids>workspaces invoice_date:d due_date:d title:s message:s currency:s status:s~ draft:b"
        " balance_in_cents:i~ time_entry_ids:ids>time_entries billing_milestone_ids:ids>billing_milestones"
        " user_id:id>users~ payment_schedule:i recipient_id:id>users tax_rate:n", None),
    "rate_card_sets": ("rate_card_set", "RateCardSet", "rate_card_set",
        "title:s! account_default:b~", f"{_PAGED} {_STAMPS} matching"),
    "rate_cards": ("rate_card", "RateCard", "rate_card",
        "currency:s! rate_card_set_id:id>rate_card_sets! rate_card_set_title:s~ removable:b~ uses:i~",
        f"{_PAGED} {_STAMPS} {_REFERENCES} rate_card_set_id currencies"),
    "rate_card_set_versions": ("rate_card_set_version", "RateCardSetVersion", "rate_card_set_version",
        "rate_card_set_id:id>rate_card_sets! effective_date:d active:b~ rate_card_version_ids:ids>rate_card_versions~",
        f"{_PAGED} {_STAMPS} rate_card_set_id effective_on_date"),
    "rate_card_versions": ("rate_card_version", "RateCardVersion", "rate_card_version",
        "rate_card_id:id>rate_cards~ rate_card_set_version_id:id>rate_card_set_versions~ default_rate:i",
        f"{_PAGED} {_STAMPS} rate_card_id rate_card_set_version_id effective_on_date"),
    "rate_card_roles": ("rate_card_role", "RateCardRole", "rate_card_role",
        "rate_card_version_id:id>rate_card_versions! role_id:id>roles! rate:i!",
        f"{_PAGED} {_STAMPS} rate_card_version_id with_role_ids"),
    "roles": ("role", "Role", "role", "name:s! deleted_at:dt~", f"{_PAGED} {_STAMPS} {_REFERENCES} matching only_active"),
    "users": ("user", "User", "user", "full_name:s! email_address:s headline:s role_id:id>roles", None),
    "external_references": ("external_reference", "ExternalReference", "external_reference",
        "subject_type:s! subject_id:i! service_name:s! service_model:s! service_model_ref:s! status:s external_status:s"
        " external_message:s external_link:s last_synced_at:dt~ locked:b",
        f"{_PAGED} {_STAMPS} subject_type subject_id service_name service_model service_model_ref status"),
}  # fmt: skip

#: Not in the published lists: acceptance of a billing milestone, attributes of this account alone. They are read-only
#: over the API; people set them (control door).
OWN = {"billing_milestones": {"state", "accepted_at", "acceptance_reference"}}
REFERENCE = tuple(PUBLISHED["external_reference"])
# Ids of other records that are always answered, and as what; all others only when ``include`` names the association.
PLAIN: dict[str, dict[str, type]] = {
    "workspaces": {"rate_card_id": int},
    "billing_milestones": {"invoice_id": str},
}
STORY_STATES = {"task": ("not started", "started", "needs info", "completed"),
                "milestone": ("not started", "started", "completed"),
                "deliverable": ("not started", "started", "completed"), "issue": ("new", "fixed", "resolved")}  # fmt: skip
CURRENCIES = (("GBP", "Pound Sterling", "£", 100), ("USD", "US Dollar", "$", 100), ("EUR", "Euro", "€", 100),
              ("JPY", "Yen", "¥", 1), ("CHF", "Swiss Franc", "CHF", 100), ("SEK", "Swedish Krona", "kr", 100))  # fmt: skip


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    target: str = ""
    required: bool = False
    read_only: bool = False
    only_sent: bool = False


@dataclass(frozen=True)
class Resource:
    plural: str
    singular: str
    subject: str
    event: str
    fields: dict[str, Field] = field(default_factory=dict)
    filters: frozenset[str] | None = None

    @property
    def published(self) -> dict[str, Any]:
        return PUBLISHED["resources"][self.plural]

    @property
    def shown(self) -> dict[str, Field]:
        """The fields that are answered."""
        return {name: one for name, one in self.fields.items() if not one.only_sent}

    @property
    def optional(self) -> set[str]:
        """Fields that are only answered when ``optional_fields`` names them."""
        return set(self.published.get("optional_fields", ())) & self.fields.keys()

    @property
    def reference_subject(self) -> str:
        """The subject type of external references; timesheets have their own name there."""
        return "Submission" if self.plural == "timesheet_submissions" else self.subject


def _parse(notation: str) -> dict[str, Field]:
    found = {}
    for part in notation.split():
        name, _, kind = part.partition(":")
        marks = {mark for mark in "!~^" if mark in kind}
        kind, _, target = kind.rstrip("!~^").partition(">")
        found[name] = Field(name, kind, target, "!" in marks, "~" in marks, "^" in marks)
    return found


def _resource(plural: str) -> Resource:
    singular, subject, event, notation, filters = _TABLE[plural]
    return Resource(
        plural, singular, subject, event, _parse(notation), frozenset(filters.split()) if filters else None
    )


def association(field: Field) -> str:
    """The name by which ``include`` asks for the records of an id field: story_id → story, time_entry_ids → time_entries."""
    if field.type == "id":
        return field.name.removesuffix("_id")
    name = field.name.removesuffix("_ids")
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name.removesuffix('s')}s"


RESOURCES = {plural: _resource(plural) for plural in _TABLE}
REFERABLE = {
    resource.reference_subject: plural
    for plural, resource in RESOURCES.items()
    if resource.reference_subject in PUBLISHED["resources"]["external_references"]["subject_types"]
}
