"""What triage does when it hears news from below.

Public surface: :func:`reconcile_planned` (hook ``sync_planned``), :func:`close_finished` (``sync_finished``),
:func:`follow_mappings` (``mappings_settled``).
"""

from __future__ import annotations

from typing import Any

from apps.triage import services


def reconcile_planned(facts: list[dict[str, Any]]) -> None:
    services.cases_reconcile(facts)


def says_something(fact: dict[str, Any]) -> bool:
    """Of all ends only those without a report of their own: a person gave the transaction up, or nothing was to be written."""
    return str(fact["state"]) in ("cancelled", "observed")


def close_finished(facts: list[dict[str, Any]]) -> None:
    services.transactions_finished(facts)


def follow_mappings(facts: list[dict[str, Any]]) -> None:
    for fact in facts:
        services.cases_follow_mapping(mapping_id=fact["mapping_id"], state=fact["state"])
