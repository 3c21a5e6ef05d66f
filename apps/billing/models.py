"""Tables of the billing room: accounts, items, holds, prebills with lines and events, payments.

Amounts are net of tax in the engagement's currency, rounded to its minor unit. No model here is imported by another
room; see services and selectors.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core import clock
from apps.core.scope import ScopedQuerySet
from apps.journal.transitions import Arrows


class BillingAccount(models.Model):
    """The billing side of one engagement. Its row lock is what makes readiness, caps and drafting take turns.

    ``opening_billed`` is what was billed before this system took over (counts against the cap). ``source_read_at`` is when
    the project system was last read in full: only that shows what was deleted there.
    """

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    engagement_key = models.CharField(max_length=40, unique=True)
    customer_key = models.CharField(max_length=200)
    currency = models.CharField(max_length=3)
    opening_billed = models.DecimalField(max_digits=19, decimal_places=4, default=0)
    evaluated_at = models.DateTimeField(null=True, blank=True)
    source_read_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    def __str__(self) -> str:
        return self.engagement_key


class ItemKind(models.TextChoices):
    MILESTONE = "milestone", _("Milestone")
    INSTALMENT = "instalment", _("Instalment")
    TIME = "time", _("Time")
    EXPENSE = "expense", _("Expense")


class ItemState(models.TextChoices):
    """``pending`` ⇄ ``ready`` → ``drafted`` → ``invoiced``; drafted goes back when it leaves its draft.

    ``excluded`` (not billable, rejected, withdrawn at its source) may become pending again.
    """

    PENDING = "pending", _("Not ready")
    READY = "ready", _("Ready to bill")
    DRAFTED = "drafted", _("On a prebill")
    INVOICED = "invoiced", _("Invoiced")
    EXCLUDED = "excluded", _("Not billable")


class BillableItem(models.Model):
    """One thing that turns into money once. ``source_key`` names it in our namespace for ever.

    ``amount`` null = unknown (no rate resolved). ``source`` keeps what the source system said, ``source_digest`` pins it.
    ``held`` = the event has happened but something blocks billing; ``held_code`` is its root cause (``HOLD`` = a hold).
    ``parent`` set = the part of another item above a cap.
    """

    ARROWS: ClassVar[Arrows] = Arrows(
        {
            ItemState.PENDING: {ItemState.READY, ItemState.EXCLUDED},
            ItemState.READY: {ItemState.PENDING, ItemState.DRAFTED, ItemState.EXCLUDED},
            ItemState.DRAFTED: {ItemState.READY, ItemState.PENDING, ItemState.INVOICED, ItemState.EXCLUDED},
            ItemState.INVOICED: set(),
            ItemState.EXCLUDED: {ItemState.PENDING},
        }
    )
    AUDIT_TYPE: ClassVar[str] = "billable_item"
    AUDIT_REF: ClassVar[str] = "source_key"

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    engagement_key = models.CharField(max_length=40)
    kind = models.CharField(max_length=12, choices=ItemKind)
    source_key = models.CharField(max_length=200, unique=True)
    service_code = models.CharField(max_length=60, blank=True, default="")
    billing_code = models.CharField(max_length=60, blank=True, default="")
    description = models.CharField(max_length=500)
    role = models.CharField(max_length=120, blank=True, default="")
    person = models.CharField(max_length=200, blank=True, default="")
    quantity = models.DecimalField(max_digits=14, decimal_places=4, default=1)
    unit_price = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    currency = models.CharField(max_length=3)
    event_on = models.DateField(null=True, blank=True)
    final_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=ItemState, default=ItemState.PENDING)
    blockers = models.JSONField(default=list, blank=True)
    held = models.BooleanField(default=False)
    held_code = models.CharField(max_length=40, blank=True, default="")
    source = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    source_digest = models.CharField(max_length=64, blank=True, default="")
    rate_trace = models.JSONField(default=list, blank=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="parts")
    prebill = models.ForeignKey(
        "billing.Prebill", null=True, blank=True, on_delete=models.PROTECT, related_name="items"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["drafted", "invoiced"], prebill__isnull=False)
                | Q(state__in=["pending", "ready", "excluded"], prebill__isnull=True),
                name="billing_item_prebill",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["ready", "drafted", "invoiced"]) | Q(amount__isnull=False),
                name="billing_item_amount_known",
            ),
        ]
        indexes = [
            models.Index(fields=["engagement_key", "state"], name="billing_item_engagement"),
            models.Index(
                fields=["legal_entity", "currency"], name="billing_item_held", condition=Q(held=True)
            ),
            models.Index(
                fields=["event_on"], name="billing_item_due", condition=Q(state="pending", kind="instalment")
            ),
        ]

    def __str__(self) -> str:
        return self.source_key

    @property
    def known_amount(self) -> Decimal:
        """The amount where it must be known: the database insists on it from ready onwards. Raises ``ValueError``."""
        if self.amount is None:
            raise ValueError(f"the amount of {self.source_key} is not known")
        return self.amount


class HoldLevel(models.TextChoices):
    """``billing``: nothing becomes ready. ``posting``: drafts are made, but finance cannot release them."""

    BILLING = "billing", _("Nothing is billed")
    POSTING = "posting", _("Drafts wait for release")


class Hold(models.Model):
    """A reason, placed from outside, why an engagement may not be billed or posted. ``source_ref``: ``case:EX-10482``."""

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    engagement_key = models.CharField(max_length=40)
    level = models.CharField(max_length=8, choices=HoldLevel)
    reason = models.TextField()
    source_ref = models.CharField(max_length=200)
    placed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["engagement_key", "source_ref"],
                condition=Q(lifted_at__isnull=True),
                name="billing_hold_once",
            )
        ]
        indexes = [
            models.Index(fields=["source_ref"], name="billing_hold_source"),
            models.Index(fields=["engagement_key", "-id"], name="billing_hold_engagement"),
        ]

    def __str__(self) -> str:
        return f"{self.engagement_key} {self.source_ref}"


class PrebillState(models.TextChoices):
    """``draft`` → ``pm_approved`` → ``approved`` → ``posted`` → ``issued`` → ``part_paid`` → ``paid``.

    Before approval: → ``sent_back`` → ``draft``, or ``void`` when nothing is left on it. After posting: ``disputed``,
    ``credited``; a payment that is taken back goes from paid to issued.
    """

    DRAFT = "draft", _("Draft")
    SENT_BACK = "sent_back", _("Sent back")
    PM_APPROVED = "pm_approved", _("Approved by the project manager")
    APPROVED = "approved", _("Approved")
    POSTED = "posted", _("Posted")
    ISSUED = "issued", _("Issued")
    PART_PAID = "part_paid", _("Partly paid")
    PAID = "paid", _("Paid")
    DISPUTED = "disputed", _("Disputed")
    CREDITED = "credited", _("Credited")
    VOID = "void", _("Void")


#: In review: an engagement has at most one of these.
IN_REVIEW = (PrebillState.DRAFT, PrebillState.SENT_BACK, PrebillState.PM_APPROVED)
#: Has its legal number.
NUMBERED = (
    PrebillState.POSTED,
    PrebillState.ISSUED,
    PrebillState.PART_PAID,
    PrebillState.PAID,
    PrebillState.DISPUTED,
    PrebillState.CREDITED,
)
_S = PrebillState


class Prebill(models.Model):
    """A draft invoice under review, then the invoice itself: one row from draft to paid.

    The commercial head (PO, terms, tax) is taken when it is drafted and is part of ``digest``, so that what was approved
    is what is posted. ``net`` is always the sum of its lines. ``number``, ``tax``, ``total`` come from the issuer.
    """

    ARROWS: ClassVar[Arrows] = Arrows(
        {
            _S.DRAFT: {_S.PM_APPROVED, _S.SENT_BACK, _S.VOID},
            _S.SENT_BACK: {_S.DRAFT, _S.VOID},
            _S.PM_APPROVED: {_S.APPROVED, _S.SENT_BACK, _S.DRAFT, _S.VOID},
            _S.APPROVED: {_S.POSTED},
            _S.POSTED: {_S.ISSUED, _S.PART_PAID, _S.PAID, _S.DISPUTED, _S.CREDITED},
            _S.ISSUED: {_S.PART_PAID, _S.PAID, _S.DISPUTED, _S.CREDITED},
            _S.PART_PAID: {_S.ISSUED, _S.PAID, _S.DISPUTED, _S.CREDITED},
            _S.PAID: {_S.ISSUED, _S.PART_PAID, _S.DISPUTED, _S.CREDITED},
            _S.DISPUTED: {_S.ISSUED, _S.PART_PAID, _S.PAID, _S.CREDITED},
            _S.CREDITED: set(),
            _S.VOID: set(),
        }
    )
    AUDIT_TYPE: ClassVar[str] = "prebill"

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    ref = models.CharField(max_length=20, unique=True)
    engagement_key = models.CharField(max_length=40)
    engagement_name = models.CharField(max_length=300)
    customer_key = models.CharField(max_length=200)
    customer_name = models.CharField(max_length=300, blank=True, default="")
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=12, choices=PrebillState, default=PrebillState.DRAFT)
    revision = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True, default="")
    sent_back_digest = models.CharField(max_length=64, blank=True, default="")
    po_number = models.CharField(max_length=100, blank=True, default="")
    payment_terms = models.CharField(max_length=100, blank=True, default="")
    tax_treatment = models.CharField(max_length=20, blank=True, default="")
    tax_code = models.CharField(max_length=60, blank=True, default="")
    tax_rate = models.DecimalField(max_digits=7, decimal_places=4, default=0)
    tax_evidence = models.CharField(max_length=300, blank=True, default="")
    net = models.DecimalField(max_digits=19, decimal_places=4, default=0)
    tax = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    total = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    balance = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    number = models.CharField(max_length=60, blank=True, default="")
    url = models.CharField(max_length=500, blank=True, default="")
    invoice_on = models.DateField(null=True, blank=True)
    alerts = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    changed_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["engagement_key"],
                condition=Q(state__in=["draft", "sent_back", "pm_approved"]),
                name="billing_one_prebill_in_review",
            ),
            models.UniqueConstraint(
                fields=["legal_entity", "number"], condition=~Q(number=""), name="billing_number_once"
            ),
        ]
        indexes = [
            models.Index(fields=["legal_entity", "state", "-id"], name="billing_prebill_entity"),
            models.Index(fields=["engagement_key", "-id"], name="billing_prebill_engagement"),
        ]

    def __str__(self) -> str:
        return self.ref


class PrebillLine(models.Model):
    """One line as it will be invoiced. ``worked_amount`` is the item's amount: a difference is an adjustment."""

    prebill = models.ForeignKey(Prebill, on_delete=models.CASCADE, related_name="lines")
    item = models.ForeignKey(BillableItem, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    service_code = models.CharField(max_length=60, blank=True, default="")
    billing_code = models.CharField(max_length=60, blank=True, default="")
    description = models.CharField(max_length=500)
    quantity = models.DecimalField(max_digits=14, decimal_places=4)
    unit_price = models.DecimalField(max_digits=19, decimal_places=4)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    worked_amount = models.DecimalField(max_digits=19, decimal_places=4)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["prebill_id", "position"]
        constraints = [models.UniqueConstraint(fields=["prebill", "item"], name="billing_line_once")]

    def __str__(self) -> str:
        return f"{self.prebill_id}/{self.position}"


class PrebillEvent(models.Model):
    """What happened to a prebill or one of its lines, by whom and why; appended, never changed.

    ``reason_code`` belongs to a fixed list per verb; ``old`` and ``new`` carry what a line edit changed.
    """

    class Verb(models.TextChoices):
        DRAFTED = "drafted", _("Drafted")
        CHANGED = "changed", _("Lines changed")
        SUBMITTED = "submitted", _("Submitted for approval")
        PM_APPROVED = "pm_approved", _("Approved by the project manager")
        APPROVED = "approved", _("Approved by finance")
        SENT_BACK = "sent_back", _("Sent back")
        POSTED = "posted", _("Posted")
        ISSUED = "issued", _("Issued")
        PAYMENT = "payment", _("Payment news")
        DISPUTE = "dispute", _("Dispute")
        VOIDED = "voided", _("Voided")

    prebill = models.ForeignKey(Prebill, on_delete=models.CASCADE, related_name="events")
    line = models.ForeignKey(
        PrebillLine, null=True, blank=True, on_delete=models.SET_NULL, related_name="events"
    )
    verb = models.CharField(max_length=20, choices=Verb)
    reason_code = models.CharField(max_length=40, blank=True, default="")
    comment = models.TextField(blank=True, default="")
    old = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    new = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["prebill_id", "id"]

    def __str__(self) -> str:
        return f"{self.prebill_id} {self.verb}"


class Payment(models.Model):
    """What one payer or platform (``key``) says about the money of one invoice; the newest truth replaces the former.

    ``collected`` is what of it the billing platform had collected: only more than that is new cash (null: not known)."""

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.PROTECT, related_name="+")
    engagement_key = models.CharField(max_length=40)
    prebill = models.ForeignKey(Prebill, on_delete=models.PROTECT, related_name="payments")
    key = models.CharField(max_length=200, unique=True)
    status = models.CharField(max_length=12)
    paid = models.DecimalField(max_digits=19, decimal_places=4)
    balance = models.DecimalField(max_digits=19, decimal_places=4)
    collected = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    currency = models.CharField(max_length=3)
    reference = models.CharField(max_length=200, blank=True, default="")
    paid_at = models.DateTimeField(null=True, blank=True)
    observed_at = models.DateTimeField(default=clock.now)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["engagement_key"], name="billing_payment_engagement")]

    def __str__(self) -> str:
        return f"{self.key} {self.status}"


from apps.billing.dispute_models import Dispute as Dispute  # noqa: E402
