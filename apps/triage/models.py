"""Tables of the triage room: groups of equal problems, cases, their moves and comments, previews of fixes.

Hot are only the open cases; every index for lists is partial on them.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.core.scope import ScopedQuerySet
from apps.journal import counters
from apps.journal.transitions import Arrows
from apps.triage import rollups
from apps.triage.catalogue import Exposure, Severity
from apps.triage.help import HelpText  # noqa: F401 - a table of this room
from apps.triage.states import GROUP_ARROWS, HIDDEN, GroupState, Stance, Treatment, place_of

#: How many cases of each state, severity and code, for the lists' facets.
CASES = counters.declare(counters.Counter("case", "triage_case", ("state", "severity", "code")))
#: The open ones by code alone: what the list asks for nearly always is a tenth of the kinds above.
OPEN_CASES = counters.declare(counters.Counter("open case", "triage_case", ("code",), where=rollups.OPEN))


class CaseState(models.TextChoices):
    """Open states may follow each other in any order; an open case ends ``resolved`` or ``waived``; both may reopen::

    open → triaged → assigned → in_progress → awaiting_source | awaiting_approval → resolved | waived → open (regression)
    """

    OPEN = "open", _("Open")
    TRIAGED = "triaged", _("Triaged")
    ASSIGNED = "assigned", _("Assigned")
    IN_PROGRESS = "in_progress", _("Fix under way")
    AWAITING_SOURCE = "awaiting_source", _("Waiting for the source system")
    AWAITING_APPROVAL = "awaiting_approval", _("Waiting for approval")
    RESOLVED = "resolved", _("Resolved")
    WAIVED = "waived", _("Waived")


OPEN_STATES = (
    CaseState.OPEN,
    CaseState.TRIAGED,
    CaseState.ASSIGNED,
    CaseState.IN_PROGRESS,
    CaseState.AWAITING_SOURCE,
    CaseState.AWAITING_APPROVAL,
)
#: A fix has been run or proposed for the case; another one has to wait for its end.
UNDER_WAY = (CaseState.IN_PROGRESS, CaseState.AWAITING_APPROVAL)
CLOSED_STATES = (CaseState.RESOLVED, CaseState.WAIVED)
ALL_STATES = (*OPEN_STATES, *CLOSED_STATES)
_OPEN = Q(state__in=[state.value for state in OPEN_STATES])

#: One expression for the index and for the query, or PostgreSQL would not use the index.
SEARCH = SearchVector("label", "customer_name", "reason", "value", "engagement_key", config="simple")


class How(models.TextChoices):
    """Who or what resolved a case."""

    AUTO = "auto", _("By itself: the problem is gone")
    MANUAL = "manual", _("By a person's fix")
    SUPERSEDED = "superseded", _("Overtaken by another transaction")
    WAIVED = "waived", _("Waived")


class Group(models.Model):
    """Cases with the same cause. The fingerprint covers legal entity, flow, step, code, object type, field and value.

    ``until``, ``treatment``, ``note``, ``moved_by`` and ``moved_at`` are about the present state; ``version`` counts moves."""

    ARROWS = GROUP_ARROWS
    AUDIT_TYPE = "case_group"

    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    fingerprint = models.CharField(max_length=64, unique=True)
    flow = models.CharField(max_length=40)
    step = models.CharField(max_length=120)
    code = models.CharField(max_length=60)
    object_type = models.CharField(max_length=60, blank=True, default="")
    field = models.CharField(max_length=120, blank=True, default="")
    value = models.CharField(max_length=300, blank=True, default="")
    #: The sentence of the newest case, shown for the whole group.
    reason = models.TextField()
    state = models.CharField(
        max_length=16, choices=GroupState.choices, default=GroupState.OPEN, db_default="open"
    )
    version = models.PositiveIntegerField(default=0, db_default=0)
    until = models.DateTimeField(null=True, blank=True)
    treatment = models.CharField(
        max_length=12, choices=Treatment.choices, blank=True, default="", db_default=""
    )
    note = models.TextField(blank=True, default="", db_default="")
    moved_at = models.DateTimeField(null=True, blank=True)
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    #: The group that stands for several merged ones, of itself too; empty while it stands alone.
    family = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="members", db_index=False
    )
    created_at = models.DateTimeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["family", "id"], condition=Q(family__isnull=False), name="triage_family"),
            # Few rows: what lists leave out, and what the sweeper wakes.
            models.Index(
                fields=["until", "id"], condition=Q(state__in=[s.value for s in HIDDEN]), name="triage_hidden"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.value}"

    @property
    def merged_into(self) -> Group | None:
        """The group that stands for it in lists and decisions; None for one that stands for itself."""
        return self.family if self.family_id not in (None, self.pk) else None


class Case(models.Model):
    """One problem of one subject, until it is gone. ``held_amount`` empty means unknown, never zero."""

    ARROWS = Arrows(
        {
            **{state: (set(OPEN_STATES) | set(CLOSED_STATES)) - {state} for state in OPEN_STATES},
            CaseState.RESOLVED: {CaseState.OPEN},
            CaseState.WAIVED: {CaseState.OPEN, CaseState.RESOLVED},
        }
    )

    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    ref = models.CharField(max_length=32)
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="cases", db_index=False)
    transaction_id = models.BigIntegerField()
    transaction_ref = models.CharField(max_length=32)
    correlation_id = models.UUIDField(default=uuid.uuid4)
    subject_kind = models.CharField(max_length=40)
    subject_key = models.CharField(max_length=200)
    flow = models.CharField(max_length=40)
    step = models.CharField(max_length=120)
    #: ``plan``: seen before anything was written; ``apply``: a system refused a write.
    phase = models.CharField(max_length=8, default="plan")
    code = models.CharField(max_length=60)
    severity = models.CharField(max_length=24, choices=Severity.choices)
    object_type = models.CharField(max_length=60, blank=True, default="")
    field = models.CharField(max_length=120, blank=True, default="")
    value = models.CharField(max_length=300, blank=True, default="")
    reason = models.TextField()
    params = models.JSONField(default=dict, blank=True)
    label = models.CharField(max_length=300, blank=True, default="")
    customer_name = models.CharField(max_length=300, blank=True, default="")
    engagement_key = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    held_amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    state = models.CharField(max_length=20, choices=CaseState.choices, default=CaseState.OPEN)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    #: The role in whose queue it waits, where a person has put it into one.
    queue = models.CharField(max_length=30, blank=True, default="", db_default="")
    #: How the desk stands to it: until when it is snoozed, and what happens to its billing past the run.
    stance = models.CharField(max_length=16, choices=Stance.choices, blank=True, default="", db_default="")
    until = models.DateTimeField(null=True, blank=True)
    treatment = models.CharField(
        max_length=12, choices=Treatment.choices, blank=True, default="", db_default=""
    )
    #: When its deadline came near and nobody held it, and the role that was told.
    escalated_at = models.DateTimeField(null=True, blank=True)
    escalated_to = models.CharField(max_length=30, blank=True, default="", db_default="")
    #: When its deadline came near and the person who holds it was told; with another holder it begins anew.
    reminded_at = models.DateTimeField(null=True, blank=True)
    #: What was or might be billed too much, or twice; the amount is in ``currency``, empty means unknown.
    exposure = models.CharField(
        max_length=12, choices=Exposure.choices, blank=True, default="", db_default=""
    )
    exposure_amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    #: The person whose fix is under way, and the mapping it added; they say how the case ended.
    fixed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    mapping_id = models.BigIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    how = models.CharField(max_length=12, choices=How.choices, blank=True, default="")
    reopened = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            # Not ``unique=True``, which would keep a second index for searches by the beginning.
            models.UniqueConstraint(fields=["ref"], name="triage_case_ref_key"),
            models.UniqueConstraint(
                fields=["group", "subject_kind", "subject_key"], condition=_OPEN, name="triage_one_open_case"
            ),
            models.CheckConstraint(
                condition=Q(held_amount__isnull=True) | ~Q(currency=""), name="triage_held_has_currency"
            ),
        ]
        indexes = [
            models.Index(fields=["legal_entity", "due_at", "id"], condition=_OPEN, name="triage_open_due"),
            models.Index(fields=["due_at", "id"], condition=_OPEN, name="triage_open_next"),
            models.Index(fields=["code", "due_at", "id"], condition=_OPEN, name="triage_open_code"),
            # All that the figures need, so that they are read from the index alone.
            models.Index(
                fields=["subject_kind", "subject_key", "id"],
                include=["legal_entity", "severity", "currency", "held_amount"],
                condition=_OPEN,
                name="triage_open_held",
            ),
            models.Index(
                fields=["group", "id"],
                include=["legal_entity", "severity", "currency", "held_amount", "opened_at", "due_at"],
                condition=_OPEN,
                name="triage_open_groups",
            ),
            models.Index(fields=["due_at", "id"], name="triage_due"),
            models.Index(fields=["group", "due_at", "id"], name="triage_group_due"),
            models.Index(fields=["subject_kind", "subject_key", "flow"], name="triage_subject"),
            models.Index(fields=["assignee", "due_at", "id"], condition=_OPEN, name="triage_open_mine"),
            models.Index(
                fields=["queue", "due_at", "id"], condition=_OPEN & ~Q(queue=""), name="triage_open_queue"
            ),
            models.Index(fields=["legal_entity", "opened_at"], condition=_OPEN, name="triage_open_age"),
            # Few rows: what the list of cases leaves out, and what the sweeper wakes.
            models.Index(fields=["until", "id"], condition=Q(stance="snoozed"), name="triage_snoozed"),
            models.Index(
                fields=["legal_entity", "severity", "due_at"],
                condition=_OPEN & Q(assignee=None, escalated_at=None),
                name="triage_to_escalate",
            ),
            models.Index(
                fields=["legal_entity", "severity", "due_at"],
                condition=_OPEN & Q(assignee__isnull=False, reminded_at=None),
                name="triage_to_remind",
            ),
            models.Index(
                fields=["exposure", "subject_kind", "subject_key", "id"],
                include=["legal_entity", "currency", "exposure_amount"],
                condition=_OPEN & ~Q(exposure=""),
                name="triage_open_exposure",
            ),
            models.Index(fields=["engagement_key", "state"], name="triage_engagement"),
            models.Index(fields=["transaction_id"], name="triage_transaction"),
            models.Index(fields=["correlation_id"], name="triage_correlation"),
            models.Index(fields=["mapping_id"], condition=Q(mapping_id__isnull=False), name="triage_mapping"),
            GinIndex(SEARCH, name="triage_search"),
        ]
        triggers = [*counters.counted_by(CASES, OPEN_CASES), *rollups.TRIGGERS]

    def __str__(self) -> str:
        return f"{self.ref} {self.code}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def seen(self) -> str:
        """Where it stands with the desk: a verb that is given another text than this one's finds that it was moved since."""
        return place_of(self)


class CaseEvent(models.Model):
    """Every move of a case in the words of the desk (the audit trail has the same moves for auditors)."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="events")
    what = models.CharField(max_length=40)
    old = models.CharField(max_length=120, blank=True, default="")
    new = models.CharField(max_length=120, blank=True, default="")
    note = models.TextField(blank=True, default="")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    correlation_id = models.UUIDField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["case_id", "id"]

    def __str__(self) -> str:
        return f"{self.what} {self.old} → {self.new}"


class Comment(models.Model):
    """What people tell each other about a case."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="comments")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["case_id", "id"]

    def __str__(self) -> str:
        return self.text[:60]


class FixPreview(models.Model):
    """What one person was shown of one fix: the cases of ``rows``, frozen when it was asked for and planned in steps.

    ``key`` is the token in the form. ``ready_at`` is set once every row is planned, ``used_at`` once it has been run.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="+")
    target = models.CharField(max_length=200)
    steps = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["by", "group", "-id"], name="triage_preview_of"),
            models.Index(fields=["expires_at"], name="triage_preview_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.group_id} → {self.target}"


class FixPreviewRow(models.Model):
    """One case of a preview with the amount it held then; ``outcome`` is empty until it has been planned.

    ``outcome``: clears · changes · stays · unreachable (then without ``digest``, and never run).
    """

    preview = models.ForeignKey(FixPreview, on_delete=models.CASCADE, related_name="rows")
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="+")
    transaction_id = models.BigIntegerField()
    currency = models.CharField(max_length=3, blank=True, default="")
    held_amount = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    outcome = models.CharField(max_length=12, blank=True, default="")
    digest = models.CharField(max_length=64, blank=True, default="")
    reason = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["preview", "case"], name="triage_preview_case_once"),
        ]
        indexes = [
            models.Index(fields=["preview", "id"], condition=Q(outcome=""), name="triage_preview_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.case_id} {self.outcome}"


class Touched(models.Model):
    """A subject and a group of which a statement changed cases; appended by triggers, see :mod:`apps.triage.rollups`."""

    subject_kind = models.CharField(max_length=40)
    subject_key = models.CharField(max_length=200)
    group_id = models.BigIntegerField()


class HeldSubject(models.Model):
    """What a subject holds under its oldest open blocking case, as far as it is folded into the totals. ``shared``: its cases
    belong to several legal entities, and it is in no total."""

    subject_kind = models.CharField(max_length=40)
    subject_key = models.CharField(max_length=200)
    legal_entity_id = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    shared = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject_kind", "subject_key"], name="triage_held_subject_once")
        ]
        indexes = [models.Index(fields=["id"], condition=Q(shared=True), name="triage_held_shared")]


class HeldTotal(models.Model):
    """Billing held of a legal entity in a currency, over all folded subjects."""

    legal_entity_id = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    total = models.DecimalField(max_digits=24, decimal_places=4)
    unknown = models.BigIntegerField()
    subjects = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["legal_entity_id", "currency"], name="triage_held_total_once", nulls_distinct=False
            )
        ]


class GroupTotal(models.Model):
    """The open cases of a group in one currency, as far as they are folded; ``held``, ``unknown`` and ``blocking`` are about
    blocking cases only."""

    group_id = models.BigIntegerField()
    legal_entity_id = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    code = models.CharField(max_length=60)
    cases = models.IntegerField()
    oldest = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    first_id = models.BigIntegerField()
    held = models.DecimalField(max_digits=24, decimal_places=4, null=True)
    unknown = models.IntegerField()
    blocking = models.IntegerField()
    #: The only line of its group: what it holds is what the group holds.
    alone = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group_id", "legal_entity_id", "currency"],
                name="triage_group_total_once",
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(
                F("currency"), F("held").desc(nulls_last=True), F("due_at").asc(nulls_last=True), F("group_id"),
                name="triage_group_most", condition=Q(alone=True),
            ),
            models.Index(fields=["currency"], name="triage_group_currency"),
            models.Index(fields=["group_id"], name="triage_group_several", condition=Q(alone=False)),
        ]  # fmt: skip


# Django finds the models of a room in this module.
from apps.triage.desk_models import GroupEvent as GroupEvent  # noqa: E402
from apps.triage.desk_models import Notice as Notice  # noqa: E402
from apps.triage.desk_models import Undo as Undo  # noqa: E402
from apps.triage.desk_models import Unsettled as Unsettled  # noqa: E402
from apps.triage.job_models import Job as Job  # noqa: E402
from apps.triage.job_models import JobRow as JobRow  # noqa: E402
