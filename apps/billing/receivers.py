"""What the billing room hears from below; connected in its AppConfig."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from apps.billing import selectors
from apps.billing.services import holds, prebills
from apps.core import hooks


def on_approvals_decided(facts: list[dict[str, Any]]) -> None:
    """A signature, a refusal, or the last signature on a prebill."""
    people = get_user_model().objects.in_bulk([fact["by_id"] for fact in facts if fact["kind"] == "prebill"])
    for fact in facts:
        if fact["kind"] == "prebill":
            prebills.decided(
                ref=fact["subject_ref"],
                state=fact["state"],
                digest=fact.get("digest", ""),
                by=people.get(fact["by_id"]),
                comment=fact["comment"],
            )


def on_mappings_settled(facts: list[dict[str, Any]]) -> None:
    """A confirmed mapping releases the drafts that waited for it; a refused one keeps them, and says so."""
    for fact in facts:
        source_ref = f"mapping:{fact['mapping_id']}"
        if fact["state"] == "confirmed":
            holds.lift_hold(source_ref=source_ref)
        elif fact["state"] in ("rejected", "retired"):
            holds.explain_hold(source_ref=source_ref, reason=holds.MAPPING_REFUSED)


def on_records_observed(facts: list[dict[str, Any]]) -> None:
    """A customer's record changed: its PO rule, address or tax exemption may release or block items."""
    keys = {fact["key"] for fact in facts if fact["object_type"] == "customer" and fact.get("key")}
    affected = sorted({found for key in keys for found in selectors.engagements_of_customer(key)})
    hooks.billing_changed.fire([{"engagement_key": key} for key in affected])
