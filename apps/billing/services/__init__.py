"""Verbs of the billing room.

Public surface: everything in ``__all__``. Reads are in :mod:`apps.billing.selectors`.
"""

from apps.billing.services.accounts import opening_set
from apps.billing.services.disputes import dispute_observed
from apps.billing.services.gone import sources_gone, sources_read
from apps.billing.services.holds import MAPPING_REFUSED, MAPPING_WAITS, explain_hold, lift_hold, place_hold
from apps.billing.services.invoices import due_date, invoice_issued, invoice_posted, payment_observed
from apps.billing.services.items import milestone_key, milestone_observe, schedule_load, time_observe
from apps.billing.services.outlook import Outlook, outlook
from apps.billing.services.prebills import (
    prebill_approve,
    prebill_draft,
    prebill_send_back,
    prebill_submit,
)
from apps.billing.services.predicates import ItemReadiness, Predicate, problems
from apps.billing.services.readiness import limits, readiness
from apps.billing.services.totals import total_problem

__all__ = [
    "MAPPING_REFUSED",
    "MAPPING_WAITS",
    "ItemReadiness",
    "Outlook",
    "Predicate",
    "dispute_observed",
    "due_date",
    "explain_hold",
    "invoice_issued",
    "invoice_posted",
    "lift_hold",
    "limits",
    "milestone_key",
    "milestone_observe",
    "opening_set",
    "outlook",
    "payment_observed",
    "place_hold",
    "prebill_approve",
    "prebill_draft",
    "prebill_send_back",
    "prebill_submit",
    "problems",
    "readiness",
    "schedule_load",
    "sources_gone",
    "sources_read",
    "time_observe",
    "total_problem",
]
