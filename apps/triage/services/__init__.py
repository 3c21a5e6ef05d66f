"""Verbs of the triage room.

Public surface: :func:`cases_reconcile`, :func:`transactions_finished` (news of the engine) · :func:`case_assign`,
:func:`cases_assign`, :func:`case_take`, :func:`case_comment`, :func:`case_retry`, :func:`case_look_up`,
:func:`require_certain` (a person's moves) · :func:`fix_preview`,
:func:`case_fix_mapping`, :func:`cases_follow_mapping` (the fix in place) · :func:`decision_preview`, :func:`case_decide` (the
fix by a decision) · :func:`case_assert`, :func:`asked_system` (what is said to be fixed elsewhere) ·
:func:`group_acknowledge`, :func:`group_snooze`, :func:`group_ignore`, :func:`group_resolve`, :func:`group_reopen`,
:func:`group_merge`, :func:`group_unmerge` (a cause) · :func:`case_acknowledge`, :func:`case_snooze`,
:func:`case_take_up`, :func:`cases_snooze` (one case of it, or many) · :func:`groups_settle`, :func:`groups_wake`,
:func:`cases_wake`, :func:`cases_reschedule`, :func:`cases_escalate`, :func:`notices_send` (the sweeper's) · :func:`undo`.
"""

from apps.triage.services.assertions import asked_system, case_assert
from apps.triage.services.assigning import MOST as MOST_ASSIGNED
from apps.triage.services.assigning import case_assign, case_take, cases_assign
from apps.triage.services.clocks import cases_reschedule
from apps.triage.services.decisions import case_decide, decision_preview
from apps.triage.services.desk import case_comment
from apps.triage.services.escalation import cases_escalate
from apps.triage.services.fixes import case_fix_mapping, cases_follow_mapping, fix_preview
from apps.triage.services.groups import (
    group_acknowledge,
    group_ignore,
    group_reopen,
    group_resolve,
    group_snooze,
    groups_settle,
    groups_wake,
)
from apps.triage.services.merging import group_merge, group_unmerge
from apps.triage.services.notices import notices_send
from apps.triage.services.planned import case_look_up, case_retry, require_certain
from apps.triage.services.reconcile import cases_reconcile, transactions_finished
from apps.triage.services.stances import (
    case_acknowledge,
    case_snooze,
    case_take_up,
    cases_snooze,
    cases_wake,
)
from apps.triage.services.taking_back import undo

__all__ = [
    "MOST_ASSIGNED",
    "asked_system",
    "case_acknowledge",
    "case_assert",
    "case_assign",
    "case_comment",
    "case_decide",
    "case_fix_mapping",
    "case_look_up",
    "case_retry",
    "case_snooze",
    "case_take",
    "case_take_up",
    "cases_assign",
    "cases_escalate",
    "cases_follow_mapping",
    "cases_reconcile",
    "cases_reschedule",
    "cases_snooze",
    "cases_wake",
    "decision_preview",
    "fix_preview",
    "group_acknowledge",
    "group_ignore",
    "group_merge",
    "group_reopen",
    "group_resolve",
    "group_snooze",
    "group_unmerge",
    "groups_settle",
    "groups_wake",
    "notices_send",
    "require_certain",
    "transactions_finished",
    "undo",
]
