"""Placing and lifting holds. Billing reads holds only; who places them (a blocking case, an unconfirmed mapping) is above."""

from __future__ import annotations

from typing import Any, Literal

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import Hold, HoldLevel
from apps.billing.services.accounts import locked_account
from apps.billing.services.readiness import evaluate_account
from apps.core import clock, hooks
from apps.core.errors import InvalidInput
from apps.journal import services as journal

MAPPING_WAITS = "A new mapping awaits the controller's confirmation; drafts wait until then."
MAPPING_REFUSED = (
    "A mapping that this engagement is billed with was refused or replaced before it was confirmed; its drafts are not "
    "released."
)


def place_hold(
    *,
    engagement_key: str,
    legal_entity_id: int,
    level: Literal["billing", "posting"],
    reason: str,
    source_ref: str,
    by: Any = None,
) -> Hold:
    """Stop billing (nothing becomes ready) or posting (finance cannot release drafts) of an engagement.

    One open hold per engagement and ``source_ref``: placing it again updates level and reason. Items are evaluated at
    once. Raises :class:`InvalidInput` on an unknown level or an empty reason.
    """
    if level not in HoldLevel.values or not reason.strip() or not source_ref:
        raise InvalidInput(
            _("A hold needs a level (billing or posting), a reason and the reference of its source.")
        )
    with transaction.atomic():
        account = locked_account(engagement_key)
        hold = Hold.objects.filter(
            engagement_key=engagement_key, source_ref=source_ref, lifted_at__isnull=True
        ).first()
        if hold is not None and (hold.level, hold.reason) == (level, reason):
            return hold
        if hold is None:
            hold = Hold(engagement_key=engagement_key, legal_entity_id=legal_entity_id, source_ref=source_ref)
            hold.placed_by = by
        hold.level, hold.reason = level, reason
        hold.save()
        _record("hold.placed", hold, by=by, why=reason)
        evaluate_account(account)
        hooks.billing_changed.fire([{"engagement_key": engagement_key}])
    return hold


def lift_hold(*, source_ref: str, engagement_key: str | None = None, by: Any = None, why: str = "") -> int:
    """Lift the open holds of a source, on one engagement or on all; returns how many. None left is no error."""
    with transaction.atomic():
        chosen = Hold.objects.filter(source_ref=source_ref, lifted_at__isnull=True)
        if engagement_key is not None:
            chosen = chosen.filter(engagement_key=engagement_key)
        keys = sorted(set(chosen.values_list("engagement_key", flat=True)))
        lifted = 0
        for key in keys:
            account = locked_account(key)
            for hold in Hold.objects.select_for_update().filter(
                engagement_key=key, source_ref=source_ref, lifted_at__isnull=True
            ):
                hold.lifted_at, hold.lifted_by = clock.now(), by
                hold.save(update_fields=["lifted_at", "lifted_by"])
                _record("hold.lifted", hold, by=by, why=why)
                lifted += 1
            evaluate_account(account)
        hooks.billing_changed.fire([{"engagement_key": key} for key in keys])
    return lifted


def explain_hold(*, source_ref: str, reason: str) -> int:
    """Say anew why the open holds of a source stand; returns how many. Their level stays, so nothing is evaluated."""
    with transaction.atomic():
        changed = 0
        for hold in Hold.objects.select_for_update().filter(source_ref=source_ref, lifted_at__isnull=True):
            hold.reason = reason
            hold.save(update_fields=["reason"])
            _record("hold.explained", hold, by=None, why=reason)
            changed += 1
    return changed


def _record(verb: str, hold: Hold, *, by: Any, why: str) -> None:
    journal.record(
        verb=verb,
        object_type="hold",
        object_ref=hold.source_ref,
        by=by,
        legal_entity_id=hold.legal_entity_id,
        engagement_key=hold.engagement_key,
        new={"level": str(hold.level), "reason": hold.reason},
        why=why,
    )
