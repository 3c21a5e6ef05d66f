"""Resources, fields and filters of the emulated account.

Source: the OpenAPI documents that Kantata publishes at developer.kantata.com (API v1), as far as they were read;
``docs/sandbox.md`` (Fidelity) says which lists are from general knowledge.

Notation of a field: ``name:type`` with type s (text), i (integer), n (number), b (boolean), d (date), dt (date-time),
id>resource, ids>resource, o (object), l (list); suffix ``!`` required on create, ``~`` read-only.
Public surface: RESOURCES, Resource, Field, COMMON_FILTERS, REFERENCE, REFERABLE, PLAIN, association.
"""

from dataclasses import dataclass, field

# plural: (singular, subject type of external references, event prefix, fields, own filters)
_TABLE = {
    "workspaces": ("workspace", "Workspace", "workspace",
        "title:s! description:s start_date:d due_date:d currency:s price_in_cents:i budgeted:b access_level:s"
        " creator_role:s! client_role_name:s workspace_group_ids:ids>workspace_groups primary_maven_id:id>users"
        " approver_id:id>users project_template_id:id>project_templates rate_card_id:id>rate_cards target_margin:n"
        " archived:b status_key:s status:o~ default_rate:n change_orders_enabled:b time_trackable:b"
        " tasks_default_non_billable:b"
        " expenses_in_burn_rate:b percentage_complete:n~ budget_used_in_cents:i~ over_budget:b~"
        " primary_counterpart_id:id>users"
        " workspace_invoice_preference_id:s stories_are_fixed_fee_by_default:b"
        " require_time_approvals:b"
        " require_expense_approvals:b account_id:s~ creator_id:id>users~ effective_due_date:d~"
        " posts_require_privacy_decision:b",
        "archived search title matching budgeted has_due_date status_key"),
    "stories": ("story", "Story", "story",
        "title:s! workspace_id:id>workspaces! story_type:s! description:s parent_id:id>stories start_date:d due_date:d"
        " state:s priority:s billable:b fixed_fee:b budget_estimate_in_cents:i time_estimate_in_minutes:i"
        " percentage_complete:i archived:b position:i time_trackable:b tag_list:s weight:n assignee_ids:ids>users"
        " creator_id:id>users~ has_proofing_access:b followers_ids:ids>users invoice_id:id>invoices~",
        "story_type state archived parents_only billable"),
    "time_entries": ("time_entry", "TimeEntry", "time_entry",
        "workspace_id:id>workspaces! date_performed:d! time_in_minutes:i! story_id:id>stories user_id:id>users"
        " billable:b rate_in_cents:i currency:s notes:s role_id:id>roles taxable:b approved:b~ invoice_id:id>invoices~"
        " cost_rate_in_cents:i is_invoiced:b~ location:s active_submission_id:id>timesheet_submissions~"
        " can_edit:b~ currency_symbol:s~",
        "approved billable uninvoiced in_active_submission date_performed_between invoice_id role_id"),
    "timesheet_submissions": ("timesheet_submission", "TimesheetSubmission", "timesheet",
        "workspace_id:id>workspaces! start_date:d! end_date:d! user_id:id>users comment:s status:s~ title:s~"
        " time_entry_ids:ids>time_entries~ total_time_in_minutes:i~ current_resolution:o~",
        "status current between"),
    "expenses": ("expense", "Expense", "expense",
        "workspace_id:id>workspaces! date:d! amount_in_cents:i! category:s expense_category_id:s"
        " notes:s billable:b reimbursable:b"
        " currency:s user_id:id>users taxable:b approved:b~ invoice_id:id>invoices~ story_id:id>stories vendor_id:s"
        " role_id:id>roles recent_submission_id:id>expense_report_submissions~ is_invoiced:b~ receipt_id:s",
        "approved billable uninvoiced date_between invoice_id"),
    "expense_report_submissions": ("expense_report_submission", "ExpenseReportSubmission", "expense_report",
        "workspace_id:id>workspaces! title:s comment:s expense_ids:ids>expenses! status:s~ user_id:id>users", "status"),
    "billing_milestones": ("billing_milestone", "BillingMilestone", "billing_milestone",
        "title:s! workspace_id:id>workspaces! amount_in_cents:i! currency:s date_to_invoice:d billing_type:s"
        " story_id:id>stories invoice_ids:ids>invoices~ notes:s invoiced:b~"
        # Not the vendor's: acceptance as this account's own fields (planned, completed, accepted).
        " state:s accepted_at:dt acceptance_reference:s",
        "date_between billing_type story_ids"),
    "invoices": ("invoice", "Invoice", "invoice",
        "workspace_ids:ids>workspaces invoice_date:d due_date:d title:s message:s currency:s status:s~ total_in_cents:i~"
        " balance_in_cents:i~ additional_items:l time_entry_ids:ids>time_entries expense_ids:ids>expenses"
        " billing_milestone_ids:ids>billing_milestones user_id:id>users~ payment_schedule:i recipient_id:id>users"
        " additional_notes:s paid_at:dt~ tax_rate:n", "status"),
    "external_payments": ("external_payment", "ExternalPayment", "external_payment",
        "invoice_id:id>invoices! amount_in_cents:i! payment_date:d! notes:s", "invoice_id"),
    "workspace_resources": ("workspace_resource", "WorkspaceResource", "workspace_resource",
        "workspace_id:id>workspaces! user_id:id>users role_id:id>roles label:s name:s bill_rate_in_cents:i"
        " allocated_minutes:i~ scheduled_minutes:i~ unnamed:b~", "role_id"),
    "workspace_allocations": ("workspace_allocation", "WorkspaceAllocation", "workspace_allocation",
        "workspace_resource_id:id>workspace_resources! minutes:i! start_date:d! end_date:d! allocation_type:s notes:s"
        " workspace_id:id>workspaces~", "between"),
    "rate_card_sets": ("rate_card_set", "RateCardSet", "rate_card_set",
        "title:s! default:b archived:b", "archived"),
    "rate_cards": ("rate_card", "RateCard", "rate_card",
        "title:s! currency:s! rate_card_set_id:id>rate_card_sets default:b archived:b workspace_ids:ids>workspaces~",
        "currency archived"),
    "rate_card_set_versions": ("rate_card_set_version", "RateCardSetVersion", "rate_card_set_version",
        "rate_card_set_id:id>rate_card_sets! effective_date:d rate_card_version_ids:ids>rate_card_versions~",
        "effective_on_date"),
    "rate_card_versions": ("rate_card_version", "RateCardVersion", "rate_card_version",
        "rate_card_id:id>rate_cards~ rate_card_set_version_id:id>rate_card_set_versions~ effective_date:d~ currency:s~"
        " active:b", "effective_on_date currency"),
    "rate_card_roles": ("rate_card_role", "RateCardRole", "rate_card_role",
        "rate_card_version_id:id>rate_card_versions! role_id:id>roles! rate:i!", "with_role_ids"),
    "roles": ("role", "Role", "role", "name:s! description:s deactivated:b billability_target:n"
        " external_role_id:s", "name deactivated"),
    "users": ("user", "User", "user",
        "full_name:s! email_address:s headline:s role_id:id>roles account_id:s disabled:b bill_rate_in_cents:i"
        " cost_rate_in_cents:i account_permission:s", "email_address disabled by_email_address"),
    "workspace_groups": ("workspace_group", "WorkspaceGroup", "workspace_group",
        "name:s! company:b website:s notes:s contact_name:s email:s phone_number:s address:s workspace_ids:ids>workspaces",
        "name company search"),
    "project_templates": ("project_template", "ProjectTemplate", "project_template",
        "title:s! description:s currency:s archived:b", "archived title"),
    "currencies": ("currency", "Currency", "currency", "iso_code:s~ name:s~ symbol:s~ base_unit:i~", "iso_code"),
    "line_item_locks": ("line_item_lock", "LineItemLock", "line_item_lock",
        "date_range_type:s start_date:d end_date:d type:s workspace_ids:ids>workspaces", "type"),
    "external_references": ("external_reference", "ExternalReference", "external_reference",
        "subject_type:s! subject_id:s! service_name:s! service_model:s! service_model_ref:s! status:s external_status:s"
        " external_message:s external_link:s last_synced_at:dt locked:b",
        "subject_type subject_id service_name service_model service_model_ref service_model_refs status locked"),
}  # fmt: skip

REFERENCE = ("service_name", "service_model", "service_model_ref", "status", "external_status", "external_message",
             "external_link", "last_synced_at", "locked")  # fmt: skip
COMMON_FILTERS = {
    "page",
    "per_page",
    "limit",
    "offset",
    "order",
    "only",
    "include",
    "optional_fields",
    "updated_after",
    "updated_before",
    "created_after",
    "created_before",
    "external_reference_service_model_ref",
    "external_reference_service_model_refs",
    "external_reference_service_model",
    "external_reference_service_name",
    "external_reference_status",
    "external_reference_external_status",
    "external_reference_external_message",
    "has_external_references",
    "without_external_reference_service_name",
    "clone_id",
}
# Fields that a list or show only gives when optional_fields names them.
OPTIONAL = {"workspaces": {"target_margin", "default_rate"}, "stories": {"followers_ids"}}
# An id of another record is answered only when the request includes the association; these are fields of their own.
PLAIN = {"workspaces": {"rate_card_id"}}
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


@dataclass(frozen=True)
class Resource:
    plural: str
    singular: str
    subject: str
    event: str
    fields: dict[str, Field] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()


def _parse(notation: str) -> dict[str, Field]:
    found = {}
    for part in notation.split():
        name, _, kind = part.partition(":")
        required, read_only = "!" in kind, "~" in kind
        kind, _, target = kind.rstrip("!~").partition(">")
        found[name] = Field(name, kind, target.rstrip("!~"), required, read_only)
    return found


def _resource(plural: str) -> Resource:
    singular, subject, event, notation, filters = _TABLE[plural]
    fields = _parse(notation)
    own = set(filters.split()) | {name for name, f in fields.items() if f.type in ("id", "ids")}
    own |= {f"{name}s" for name, f in fields.items() if f.type == "id"}
    own |= {name[:-1] for name, f in fields.items() if f.type == "ids"}
    return Resource(plural, singular, subject, event, fields, frozenset(own | COMMON_FILTERS))


def association(field: Field) -> str:
    """The name by which ``include`` asks for the records of an id field: story_id → story, time_entry_ids → time_entries."""
    if field.type == "id":
        return field.name.removesuffix("_id")
    name = field.name.removesuffix("_ids")
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name.removesuffix('s')}s"


RESOURCES = {plural: _resource(plural) for plural in _TABLE}
REFERABLE = {resource.subject: plural for plural, resource in RESOURCES.items()}
