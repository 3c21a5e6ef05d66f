"""Tables of the engine. Hot and small: subjects, open transactions. Append-only: plans, action attempts, payloads.

No model here is imported by another room; see services and selectors.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, Reverse, Upper

from apps.core.scope import ScopedQuerySet
from apps.journal import counters
from apps.journal.transitions import Arrows

#: How many transactions of each state and flow, for the list's facets and the home screen.
TRANSACTIONS = counters.declare(counters.Counter("transaction", "sync_transaction", ("state", "flow")))
#: How many ended in which hour of UTC (``2026-11-25T16``), for the figures of a day in anybody's zone.
ENDED = counters.declare(
    counters.Counter(
        "ended",
        "sync_transaction",
        ("to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24')", "state"),
        where="finished_at IS NOT NULL",
    )
)


class Subject(models.Model):
    """A business key that is worked on by one worker at a time, oldest transaction first.

    ``lease_token`` is the fencing number: every write of a worker is conditional on it. ``takeovers`` counts lost
    workers since the last journaled progress, ``asked`` the requests for work. ``waits_for`` is the system that turned it
    away last (0: none). ``in_doubt`` names actions that were sent and nobody has seen since what became of them.
    ``troubled``: problems have been told of it at some time; only then can there be cases to bring up to date.
    """

    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=200)
    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    engagement_key = models.CharField(max_length=40, blank=True, default="")
    priority = models.SmallIntegerField(default=5)
    ready_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    lease_token = models.BigIntegerField(default=0)
    lease_owner = models.CharField(max_length=100, blank=True, default="")
    takeovers = models.SmallIntegerField(default=0)
    asked = models.BigIntegerField(default=0, db_default=0)
    waits_for = models.BigIntegerField(default=0, db_default=0)
    in_doubt = ArrayField(models.CharField(max_length=120), default=list, db_default=[])
    troubled = models.BooleanField(default=True, db_default=True)
    #: What people decided where its sources leave it open, see :mod:`apps.sync.decisions`.
    decisions = models.JSONField(default=dict, db_default={})
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "key"], name="sync_subject_kind_key")]
        indexes = [
            # Search by the key or by what stands after its last colon: both are beginnings of the key read backwards.
            models.Index(OpClass(Reverse("key"), name="text_pattern_ops"), name="sync_subject_key_end"),
            models.Index(
                Coalesce("legal_entity", Value(0)),
                "waits_for",
                "priority",
                "ready_at",
                name="sync_subject_lanes",
                condition=Q(ready_at__isnull=False),
            ),
            # Whoever has lost a worker: few, and looked for at the beginning of each pump.
            models.Index(
                fields=["ready_at"],
                name="sync_subject_suspects",
                condition=Q(ready_at__isnull=False, takeovers__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


class State(models.TextChoices):
    """States of a transaction::

    pending → running → succeeded | observed | waiting | retrying | held | suggested | dead
    waiting, retrying, held, suggested, dead → pending (woken, due, replayed) ;  every open state → cancelled
    """

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting for another transaction"
    RETRYING = "retrying", "Will be retried"
    HELD = "held", "Held for a person"
    SUGGESTED = "suggested", "Suggested, awaiting a person's go"
    SUCCEEDED = "succeeded", "Succeeded"
    OBSERVED = "observed", "Observed only"
    CANCELLED = "cancelled", "Cancelled"
    DEAD = "dead", "Dead letter"


RUNNABLE = (State.PENDING, State.RUNNING, State.RETRYING)
OPEN = (State.PENDING, State.RUNNING, State.WAITING, State.RETRYING, State.HELD, State.SUGGESTED)
FINISHED = (State.SUCCEEDED, State.OBSERVED, State.CANCELLED, State.DEAD)
#: What the list can be asked for besides single states.
STATE_GROUPS = {"open": OPEN, "attention": (State.HELD, State.SUGGESTED, State.DEAD)}


class Transaction(models.Model):
    """One run of one flow for one subject, from trigger to outcome, over as many attempts as it takes."""

    ARROWS: ClassVar[Arrows] = Arrows(
        {
            State.PENDING: {State.RUNNING, State.CANCELLED},
            State.RUNNING: {
                State.PENDING,
                State.SUCCEEDED,
                State.OBSERVED,
                State.WAITING,
                State.RETRYING,
                State.HELD,
                State.SUGGESTED,
                State.DEAD,
                State.CANCELLED,
            },
            State.WAITING: {State.PENDING, State.CANCELLED},
            State.RETRYING: {State.RUNNING, State.PENDING, State.CANCELLED},
            State.HELD: {State.PENDING, State.CANCELLED},
            State.SUGGESTED: {State.PENDING, State.CANCELLED},
            State.DEAD: {State.PENDING, State.CANCELLED},
            State.SUCCEEDED: set(),
            State.OBSERVED: set(),
            State.CANCELLED: set(),
        }
    )
    AUDIT_TYPE: ClassVar[str] = "transaction"

    ref = models.CharField(max_length=20)
    legal_entity = models.ForeignKey(
        "organization.LegalEntity", null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    engagement_key = models.CharField(max_length=40, blank=True, default="")
    subject = models.ForeignKey(
        Subject, on_delete=models.PROTECT, related_name="transactions", db_index=False
    )
    flow = models.CharField(max_length=40)
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    params = models.JSONField(default=dict)
    trigger = models.CharField(max_length=40)
    correlation_id = models.UUIDField()
    label = models.CharField(max_length=300, blank=True, default="")
    customer = models.CharField(max_length=300, blank=True, default="")
    customer_key = models.CharField(max_length=200, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    reason = models.TextField(blank=True, default="")
    expected_digest = models.CharField(max_length=64, blank=True, default="")
    attempts = models.IntegerField(default=0)
    again = models.BooleanField(default=False)
    not_before = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            # Not ``unique=True``, which would keep a second index for searches by the beginning.
            models.UniqueConstraint(fields=["ref"], name="sync_transaction_ref_key"),
            models.UniqueConstraint(
                fields=["subject", "flow"],
                name="sync_one_open_per_flow",
                condition=Q(state__in=[str(s) for s in OPEN]),
            ),
        ]
        indexes = [
            models.Index(
                fields=["subject", "id"], name="sync_tx_open", condition=Q(state__in=[str(s) for s in OPEN])
            ),
            models.Index(fields=["subject", "flow", "-id"], name="sync_tx_subject"),
            models.Index(fields=["legal_entity", "state", "-id"], name="sync_tx_entity_state"),
            models.Index(fields=["state", "-id"], name="sync_tx_state"),
            models.Index(fields=["legal_entity", "-id"], name="sync_tx_entity"),
            models.Index(fields=["flow", "-id"], name="sync_tx_flow"),
            models.Index(
                fields=["finished_at"],
                include=["legal_entity", "state", "created_at"],
                name="sync_tx_finished",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(OpClass(Upper("label"), name="text_pattern_ops"), name="sync_tx_label"),
            models.Index(OpClass(Upper("customer"), name="text_pattern_ops"), name="sync_tx_customer_name"),
            models.Index(
                fields=["customer_key"],
                name="sync_tx_customer",
                condition=Q(state__in=[str(s) for s in OPEN]),
            ),
            models.Index(fields=["correlation_id"], name="sync_tx_correlation"),
            models.Index(fields=["engagement_key", "-id"], name="sync_tx_engagement"),
        ]
        triggers = counters.counted_by(TRANSACTIONS, ENDED)

    def __str__(self) -> str:
        return self.ref


class Dependency(models.Model):
    """``parent`` waits for ``child``; ``action`` is the parent's action that asked for it."""

    parent = models.ForeignKey(Transaction, on_delete=models.CASCADE, related_name="children")
    child = models.ForeignKey(Transaction, on_delete=models.CASCADE, related_name="parents")
    action = models.CharField(max_length=120)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["parent", "action"], name="sync_dependency_once")]


class Plan(models.Model):
    """What a plan said: actions, problems and the digest that a replay token carries. Never changed."""

    transaction = models.ForeignKey(Transaction, on_delete=models.CASCADE, related_name="plans")
    digest = models.CharField(max_length=64)
    actions = models.JSONField()
    problems = models.JSONField()
    governance_version = models.IntegerField(default=0)
    as_of = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)


class Gate(models.Model):
    """How far a flow may go for a legal entity; no row means off."""

    class Mode(models.TextChoices):
        OFF = "off", "Off"
        OBSERVE = "observe", "Observe: plan, write nothing"
        SUGGEST = "suggest", "Suggest: plan, a person starts it"
        AUTOMATIC = "automatic", "Automatic"

    legal_entity = models.ForeignKey("organization.LegalEntity", on_delete=models.CASCADE, related_name="+")
    flow = models.CharField(max_length=40)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.OFF)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["legal_entity", "flow"], name="sync_gate_once")]


class PollCursor(models.Model):
    """Where polling of one object type of one system stands; claimed by a conditional update of ``due_at``."""

    system = models.ForeignKey("organization.System", on_delete=models.CASCADE, related_name="+")
    object_type = models.CharField(max_length=40)
    cursor = models.TextField(blank=True, default="")
    due_at = models.DateTimeField()
    polled_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["system", "object_type"], name="sync_cursor_once")]


class PumpSlot(models.Model):
    """A seat for one pump; a bell that finds no free seat goes home. Leased with the database clock."""

    number = models.SmallIntegerField(primary_key=True)
    lease_until = models.DateTimeField(null=True)
    owner = models.CharField(max_length=100, blank=True, default="")


class Action(models.Model):
    """One attempt of one planned action, appended once its outcome is known (partitioned by month, never updated).

    ``outcome``: ``succeeded`` (we wrote it) · ``found`` (a probe saw that it had been written) · ``linked`` · ``done``
    (local or child) · ``unchanged`` · ``failed`` · ``unknown`` (sent, no trustworthy answer).
    """

    id = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField()
    legal_entity_id = models.BigIntegerField(null=True)
    transaction_id = models.BigIntegerField()
    plan_id = models.BigIntegerField(null=True)
    seq = models.SmallIntegerField()
    name = models.CharField(max_length=120)
    system = models.CharField(max_length=40)
    object_type = models.CharField(max_length=40)
    operation = models.CharField(max_length=40)
    target_key = models.CharField(max_length=200)
    external_id = models.CharField(max_length=200)
    idempotency_key = models.CharField(max_length=64)
    outcome = models.CharField(max_length=12)
    error_kind = models.CharField(max_length=20)
    code = models.CharField(max_length=40)
    message = models.TextField()
    url = models.TextField()
    started_at = models.DateTimeField()
    elapsed_ms = models.IntegerField()
    fence = models.BigIntegerField()
    correlation_id = models.UUIDField()
    #: Of attempts journaled before bodies were stored once; until retention has dropped the last of them.
    payload_id = models.BigIntegerField(null=True)
    payload_digest = models.BinaryField(null=True)

    class Meta:
        managed = False
        db_table = "sync_action"

    @property
    def has_payload(self) -> bool:
        return self.payload_digest is not None or self.payload_id is not None


class Payload(models.Model):
    """A redacted request/response pair of one attempt, as it was stored before :class:`Body` (partitioned by month)."""

    id = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField()
    exchange = models.JSONField()

    class Meta:
        managed = False
        db_table = "sync_payload"


class Body(models.Model):
    """A redacted request and its answer, once a month however often it was exchanged (partitioned by month).

    ``body`` is read and written by :mod:`apps.sync.payloads` only. The key is ``(digest, month)``.
    """

    digest = models.BinaryField(primary_key=True)
    month = models.DateField()
    body = models.BinaryField()

    class Meta:
        managed = False
        db_table = "sync_body"
