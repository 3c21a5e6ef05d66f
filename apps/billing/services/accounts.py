"""The billing account of an engagement: created on first need, locked by whoever changes money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import BillingAccount
from apps.canonical.money import Money
from apps.commercial import selectors as commercial
from apps.core import hooks
from apps.core.errors import InvalidInput
from apps.journal import services as journal


def locked_account(engagement_key: str) -> BillingAccount:
    """The account's row, locked until the transaction ends; raises ``NotFound`` for an unknown engagement.

    Everything in this room takes this lock first, so two workers on one engagement take turns and never deadlock.
    """
    account = BillingAccount.objects.select_for_update().filter(engagement_key=engagement_key).first()
    if account is not None:
        return account
    engagement = commercial.engagement(engagement_key)
    BillingAccount.objects.get_or_create(
        engagement_key=engagement_key,
        defaults={
            "legal_entity_id": engagement.legal_entity_id,
            "customer_key": engagement.customer_key,
            "currency": engagement.currency,
        },
    )
    return BillingAccount.objects.select_for_update().get(engagement_key=engagement_key)


def opening_set(*, engagement_key: str, billed: Money, by: Any = None) -> BillingAccount:
    """Load what was billed before go-live, net of tax: it counts against the cap and is never billed again."""
    with transaction.atomic():
        account = locked_account(engagement_key)
        if billed.currency != account.currency or billed.amount < 0:
            raise InvalidInput(
                _("Billed to date must be a positive amount in %(currency)s.")
                % {"currency": account.currency},
                fields={"billed": str(_("Positive, in the engagement's currency."))},
            )
        former: Decimal = account.opening_billed
        if former != billed.amount:
            account.opening_billed = billed.amount
            account.save(update_fields=["opening_billed"])
            journal.record(
                verb="billing.opening_set",
                object_type="engagement",
                object_ref=engagement_key,
                by=by,
                legal_entity_id=account.legal_entity_id,
                engagement_key=engagement_key,
                old={"opening_billed": str(former)},
                new={"opening_billed": str(billed.amount)},
            )
            hooks.billing_changed.fire([{"engagement_key": engagement_key}])
    return account
