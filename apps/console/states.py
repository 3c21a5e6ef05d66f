"""Words and tones of states as people read them; the machines themselves live in their rooms.

Public surface: :func:`state_label`, :func:`state_tone`, :data:`TONES`.

A tone is one of ``good`` (settled well), ``info`` (moving by itself), ``warn`` (needs somebody soon), ``bad``
(stopped), ``hold`` (waits for a person's decision on purpose) and ``quiet`` (over, or not started). Colour never stands
alone: the label is always shown, and each tone has its own mark.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

TONES: dict[str, tuple[str, ...]] = {
    "good": (
        "succeeded",
        "verified",
        "resolved",
        "confirmed",
        "approved",
        "paid",
        "active",
        "done",
        "ready",
        "delivered",
        "healthy",
        "ok",
        "effective_confirmed",
        "closed_ok",
        "accepted",
        "already",
    ),
    "info": (
        "planned",
        "planning",
        "running",
        "applying",
        "queued",
        "pending",
        "sending",
        "retry",
        "retrying",
        "in_progress",
        "triaged",
        "assigned",
        "acknowledged",
        "posted",
        "issued",
        "invoiced",
        "drafted",
        "pm_approved",
        "new",
        "received",
        "verifying",
        "probing",
        "due",
    ),
    "warn": (
        "open",
        "awaiting_source",
        "part_paid",
        "sent_back",
        "warning",
        "degraded",
        "unknown",
        "stale",
        "half_open",
    ),
    "bad": (
        "blocked",
        "failed",
        "dead",
        "rejected",
        "blocking-billing",
        "blocking-provisioning",
        "disputed",
        "down",
        "error",
        "held",
        "suspended",
        "refused",
        "auth",
    ),
    "hold": (
        "awaiting_approval",
        "waiting",
        "proposed",
        "effective",
        "draft",
        "on_hold",
        "approval",
        "snoozed",
        "suggest",
        "observe",
    ),
    "quiet": (
        "closed",
        "cancelled",
        "waived",
        "ignored",
        "retired",
        "superseded",
        "excluded",
        "noop",
        "skipped",
        "withdrawn",
        "void",
        "credited",
        "off",
        "no_op",
    ),
}
_TONE_OF = {state: tone for tone, states in TONES.items() for state in states}

_LABELS = {
    "pm_approved": _("With finance"),
    "draft": _("With project manager"),
    "part_paid": _("Part-paid"),
    "sent_back": _("Sent back"),
    "awaiting_source": _("Awaiting source"),
    "awaiting_approval": _("Awaiting approval"),
    "in_progress": _("In progress"),
    "effective": _("In effect, to confirm"),
    "proposed": _("Waits for a second person"),
    "noop": _("Already right"),
    "no_op": _("Already right"),
    "unknown": _("Outcome unknown"),
    "blocking-billing": _("Blocks billing"),
    "blocking-provisioning": _("Blocks provisioning"),
    "dead": _("Given up, needs a person"),
    "held": _("Held for a person"),
}


def state_label(state: str) -> str:
    """Plain words for a state: our own where the machine word would mislead, else the word itself, capitalised."""
    text = str(state or "")
    known = _LABELS.get(text)
    return str(known) if known else text.replace("_", " ").replace("-", " ").capitalize()


def state_tone(state: str) -> str:
    """The tone of a state; ``quiet`` for one that we have no opinion on."""
    return _TONE_OF.get(str(state or ""), "quiet")
