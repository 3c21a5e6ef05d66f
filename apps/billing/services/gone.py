"""What the source does not have any more: it is not billed, and what is billed already is told to a person.

Public surface: :func:`sources_gone`, :func:`sources_read`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import BillableItem, ItemKind, ItemState
from apps.billing.services import lines
from apps.billing.services.accounts import locked_account
from apps.billing.services.items import beyond_recall, drop_parts, mark_edited
from apps.canonical.money import Money
from apps.core import hooks
from apps.journal import transitions

#: In place of a digest: no content of a source has it.
GONE = "gone"


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
        changed = [item for item in items if _gone(item, by)]
        if changed:
            hooks.billing_changed.fire([{"engagement_key": engagement_key}])
    return changed


def source_of(item: BillableItem) -> str:
    """The key under which the project system showed the item, "" when it never did (or no longer does)."""
    if item.kind == ItemKind.TIME:
        return item.source_key
    return str((item.source.get("milestone") or {}).get("key") or "")


def sources_read(*, engagement_key: str, at: datetime) -> None:
    """Note that everything of the engagement was read from the project system at this time."""
    with transaction.atomic():
        account = locked_account(engagement_key)
        if account.source_read_at is None or account.source_read_at < at:
            account.source_read_at = at
            account.save(update_fields=["source_read_at"])


def _gone(item: BillableItem, by: Any) -> bool:
    """One item; False when it was known before."""
    is_time = item.kind == ItemKind.TIME
    if beyond_recall(item):
        if item.source.get("edited") == {"gone": True}:
            return False
        code = "TIME-EDITED" if is_time else "MS-CHANGED"
        mark_edited(item, {"gone": True}, GONE, code, _sentence(item))
        return True
    parts = item.parts.filter(state=ItemState.DRAFTED)
    drafted = [one for one in (item, *parts) if one.state == ItemState.DRAFTED]
    if drafted:
        lines.release(drafted, why=_("It was deleted in the project system."), by=by)
    if not is_time and item.source.get("schedule"):
        _open_again(item)
    else:
        _exclude(item, by)
    return True


def _open_again(item: BillableItem) -> None:
    """The contract still has the milestone: it waits for an acceptance that the project system cannot show now."""
    source = {name: value for name, value in item.source.items() if name != "milestone"}
    item.source = source | ({"gone": True} if item.kind == ItemKind.MILESTONE else {})
    item.source_digest, item.final_at = GONE, None
    item.event_on = (item.source["schedule"] or {}).get("due_on")
    item.save(update_fields=["source", "source_digest", "final_at", "event_on"])
    item.parts.filter(state__in=[ItemState.PENDING, ItemState.READY]).update(
        source=item.source, source_digest=GONE, final_at=None, event_on=item.event_on
    )


def _exclude(item: BillableItem, by: Any) -> None:
    item.source_digest = GONE
    item.held, item.held_code, item.blockers = False, "", []
    item.save(update_fields=["source_digest", "held", "held_code", "blockers"])
    transitions.move(item, to=ItemState.EXCLUDED, by=by, why=_("Deleted in the project system."))
    drop_parts(item)


def _sentence(item: BillableItem) -> str:
    billed = next(one.prebill for one in (item, *item.parts.select_related("prebill")) if one.prebill)
    return _("%(what)s is on %(prebill)s with %(billed)s; the project system has deleted it.") % {
        "what": item.description,
        "prebill": billed,
        "billed": Money.of(item.known_amount, item.currency),
    }
