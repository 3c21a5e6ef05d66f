"""What governance does when it hears news from below.

Public surface: :func:`settle_mappings` (hook ``approvals_decided``).
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from apps.governance import services


def settle_mappings(facts: list[dict[str, Any]]) -> None:
    """Approved mappings become confirmed, refused or sent-back ones rejected (a new proposal starts anew)."""
    for fact in facts:
        if fact["kind"] != services.REVIEW_KIND or fact["state"] == "step_done":
            continue
        services.settle(
            mapping_id=int(fact["subject_ref"]),
            approved=fact["state"] == "approved",
            by=get_user_model().objects.get(pk=fact["by_id"]),
            digest=fact["digest"],
            comment=fact["comment"],
        )
