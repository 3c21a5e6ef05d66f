"""What the source does not have any more: it is not billed, and what is billed already is told to a person.

Public surface: :func:`sources_gone`, :func:`sources_read`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.billing.models import BillableItem, ItemState
from apps.billing.services.accounts import locked_account
from apps.billing.services.items import take_word
from apps.billing.services.observed import gone_word, source_of
from apps.core import hooks


def sources_gone(*, engagement_key: str, keys: Iterable[str], by: Any = None) -> list[BillableItem]:
    """Take note that the project system no longer has these milestones and time entries (their keys there).

    Time leaves its draft and is excluded; a milestone of the contract is open again and told by readiness
    (``MS-CHANGED``), another one is excluded. What both have approved stays as it is and is told by readiness
    (``TIME-EDITED``, ``MS-CHANGED``). Keys that are no items are passed over. Returns the items that changed.
    """
    wanted = set(keys)
    with transaction.atomic():
        locked_account(engagement_key)
        items = [
            item
            for item in BillableItem.objects.filter(engagement_key=engagement_key, parent=None)
            .exclude(state=ItemState.EXCLUDED)
            .order_by("id")
            if source_of(item) in wanted
        ]
        changed = [item for item in items if take_word(item, gone_word(item), by=by)]
        if changed:
            hooks.billing_changed.fire([{"engagement_key": engagement_key}])
    return changed


def sources_read(*, engagement_key: str, at: datetime) -> None:
    """Note that everything of the engagement was read from the project system at this time."""
    with transaction.atomic():
        account = locked_account(engagement_key)
        if account.source_read_at is None or account.source_read_at < at:
            account.source_read_at = at
            account.save(update_fields=["source_read_at"])
