"""Verbs of the triage room.

Public surface: :func:`cases_reconcile`, :func:`transactions_finished` (news of the engine) · :func:`case_assign`,
:func:`case_take`, :func:`case_comment`, :func:`case_retry` (a person's moves) · :func:`fix_preview`,
:func:`case_fix_mapping`, :func:`cases_follow_mapping` (the fix in place) · :func:`decision_preview`, :func:`case_decide` (the
fix by a decision) · :func:`case_assert`, :func:`asked_system` (what is said to be fixed elsewhere).
"""

from apps.triage.services.assertions import asked_system, case_assert
from apps.triage.services.decisions import case_decide, decision_preview
from apps.triage.services.desk import case_assign, case_comment, case_retry, case_take
from apps.triage.services.fixes import case_fix_mapping, cases_follow_mapping, fix_preview
from apps.triage.services.reconcile import cases_reconcile, transactions_finished

__all__ = [
    "asked_system",
    "case_assert",
    "case_assign",
    "case_comment",
    "case_decide",
    "case_fix_mapping",
    "case_retry",
    "case_take",
    "cases_follow_mapping",
    "cases_reconcile",
    "decision_preview",
    "fix_preview",
    "transactions_finished",
]
