"""The firm as lines for COPY, table by table. Public surface: :class:`Lines`, :data:`TABLES`.

Each table is a name, its columns and a generator of tab-separated lines; ids are given there, so that tables can refer to each
other while they are loaded side by side. No text holds a tab, a line break or a backslash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.rows_desk import DeskLines
from benchmarks.rows_engine import EngineLines


class Lines(EngineLines, DeskLines):
    """Generators for one firm; entity ids by rank, system ids by kind, ids of people."""


#: table → (columns, generator), the largest first: two workers take one after the other.
TABLES: dict[str, tuple[str, Callable[[Lines], Iterator[str]]]] = {
    "journal_audit": (
        "at verb object_type object_ref actor_id actor legal_entity_id engagement_key old new why correlation_id",
        Lines.audit,
    ),
    "sync_action": (
        "id created_at legal_entity_id transaction_id plan_id seq name system object_type operation target_key external_id"
        " idempotency_key outcome error_kind code message url started_at elapsed_ms fence correlation_id payload_id"
        " payload_digest",
        Lines.actions,
    ),
    "sync_plan": (
        "id transaction_id digest actions problems governance_version as_of created_at",
        Lines.plans,
    ),
    "sync_transaction": (
        "id ref legal_entity_id engagement_key subject_id flow state params trigger correlation_id label customer customer_key"
        " currency amount reason expected_digest attempts again not_before created_at started_at finished_at",
        Lines.transactions,
    ),
    "journal_inbox": (
        "id received_at source event_id legal_entity_id headers body changes correlation_id attempts not_before last_error"
        " done_at dead_at",
        Lines.inbox,
    ),
    "journal_inboxkey": ("id source event_id created_at", Lines.keys),
    "journal_delivery": (
        "id outbox_id subscription_id attempts not_before lease_until lease_token last_status last_error delivered_at dead_at"
        " created_at",
        Lines.deliveries,
    ),
    "records_record": (
        "id system_id object_type external_id key legal_entity_id engagement_key body facts version digest former_digest"
        " modified_at observed_at url deleted created_at",
        Lines.records,
    ),
    "records_crossreference": (
        "id object_type key system_id external_id url linked_by evidence created_at",
        Lines.links,
    ),
    "sync_subject": (
        "id kind key legal_entity_id engagement_key priority ready_at lease_until lease_token lease_owner takeovers"
        " created_at",
        Lines.subjects,
    ),
    "triage_group": (
        "id legal_entity_id fingerprint flow step code object_type field value reason created_at",
        Lines.group_lines,
    ),
    "triage_case": (
        "id legal_entity_id ref group_id transaction_id transaction_ref correlation_id subject_kind subject_key flow step"
        " phase code severity object_type field value reason params label customer_name engagement_key"
        " currency held_amount state"
        " assignee_id fixed_by_id mapping_id opened_at seen_at due_at resolved_at how reopened created_at",
        Lines.case_lines,
    ),
    "triage_caseevent": ("id case_id what old new note by_id correlation_id created_at", Lines.case_events),
    "journal_outbox": (
        "id event_id type subject data legal_entity_id correlation_id key created_at fanned_out_at",
        Lines.outbox,
    ),
    "sync_body": ("month digest body", Lines.stored),
    "sync_dependency": ("id parent_id child_id action", Lines.dependencies),
    "billing_hold": (
        "id legal_entity_id engagement_key level reason source_ref placed_by_id lifted_at lifted_by_id created_at",
        Lines.holds,
    ),
    "commercial_engagement": (
        "id key deal_key legal_entity_id name customer_key currency billing_model state project_manager_id"
        " project_manager_email start_on end_on value not_to_exceed po_number contract_number payment_terms created_at",
        Lines.engagements,
    ),
    "commercial_termsversion": (
        "id engagement_id number digest body lines accepted_at accepted_by_id created_at",
        Lines.terms,
    ),
    "billing_billingaccount": (
        "id legal_entity_id engagement_key customer_key currency opening_billed evaluated_at created_at",
        Lines.accounts,
    ),
}
