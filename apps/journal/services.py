"""Writes of the journal, for all other rooms.

Public surface: everything in ``__all__``; transitions are in :mod:`apps.journal.transitions`, partitioned tables in
:mod:`apps.journal.partitions`, new reference prefixes in :mod:`apps.journal.refs`.
"""

from apps.journal.audit import record, record_many, recorded_from, recorded_with
from apps.journal.counters import fold as fold_counts
from apps.journal.delivery import deliver_outbox, delivery_retry
from apps.journal.hooksdue import sweep_hooks
from apps.journal.inbox import (
    InboxRow,
    inbox_claim,
    inbox_done,
    inbox_failed,
    inbox_keys_prune,
    inbox_revive,
    receive,
    reject,
    rejects_prune,
)
from apps.journal.outbox import cloud_event, publish, subscription_add, subscription_enable
from apps.journal.partitions import ensure_partitions
from apps.journal.refs import next_ref, next_refs
from apps.journal.retention import (
    Retired,
    dropping,
    first_day_kept,
    legal_hold_lift,
    legal_hold_place,
    retire,
)
from apps.journal.seals import SealProblem, seal_all, seal_batch, verify_seals
from apps.journal.transitions import Arrows, move, move_many

__all__ = [
    "Arrows",
    "InboxRow",
    "Retired",
    "SealProblem",
    "cloud_event",
    "deliver_outbox",
    "delivery_retry",
    "dropping",
    "ensure_partitions",
    "first_day_kept",
    "fold_counts",
    "inbox_claim",
    "inbox_done",
    "inbox_failed",
    "inbox_keys_prune",
    "inbox_revive",
    "legal_hold_lift",
    "legal_hold_place",
    "move",
    "move_many",
    "next_ref",
    "next_refs",
    "publish",
    "receive",
    "record",
    "record_many",
    "recorded_from",
    "recorded_with",
    "reject",
    "rejects_prune",
    "retire",
    "seal_all",
    "seal_batch",
    "subscription_add",
    "subscription_enable",
    "sweep_hooks",
    "verify_seals",
]
