"""What the transaction screen shows, computed from the engine's selectors.

Public surface: :func:`bars`, :func:`planned`, :func:`preview_of`, :data:`FLOW_LABELS`, :func:`flow_label`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.organization import selectors as organization
from apps.sync import selectors as sync

FLOW_LABELS = {
    "deal.provision": _("Set up the deal"),
    "customer.sync": _("Customer"),
    "project.provision": _("Set up the project"),
    "ratecard.push": _("Rate card"),
    "delivery.sync": _("Delivery and time"),
    "invoice.sync": _("Invoice"),
    "payment.apply": _("Payment"),
    "dispute.take": _("Dispute"),
    "receipt.match": _("Incoming payment"),
    "taxid.check": _("Tax id"),
}
_BAR_TONES = {"failed": "bad", "unknown": "warn", "unchanged": "wait"}
_OUTCOME_TONES = {
    "succeeded": "good",
    "found": "good",
    "linked": "good",
    "done": "good",
    "unchanged": "quiet",
    "failed": "bad",
    "unknown": "warn",
}


def flow_label(flow: str) -> str:
    """A flow in the words of the desk."""
    return str(FLOW_LABELS.get(flow, flow))


def system_names() -> dict[str, str]:
    """``{code: name}`` of all systems, also the inactive ones, which history names."""
    return {row.code: row.name for row in organization.systems(active=None)}


@dataclass(frozen=True)
class BarView:
    """One attempt on the time axis. ``x`` and ``width`` are in thousandths of the span (SVG units, no styles)."""

    attempt: Any
    x: int
    width: int
    css: str
    tone: str
    retry: int
    child: Any
    system: str


def bars(transaction: Any) -> list[BarView]:
    """The waterfall, ready to draw."""
    views = []
    names = system_names()
    for bar in sync.waterfall(transaction):
        x = min(int(bar.offset * 10), 994)
        width = max(6, min(int(bar.width * 10), 1000 - x))
        outcome = bar.attempt.outcome
        views.append(
            BarView(
                bar.attempt,
                x,
                width,
                _BAR_TONES.get(outcome, ""),
                _OUTCOME_TONES.get(outcome, ""),
                bar.retry,
                bar.child,
                names.get(bar.attempt.system, bar.attempt.system),
            )
        )
    return views


def planned(transaction: Any, drawn: list[BarView]) -> list[Mapping[str, Any]]:
    """Steps of the newest plan that no attempt has reached yet."""
    plan = sync.last_plan(transaction)
    if plan is None:
        return []
    done = {bar.attempt.name for bar in drawn if bar.attempt.outcome not in ("failed", "unknown")}
    names = system_names()
    return [
        {**action, "system": names.get(action["system"], action["system"])}
        for action in plan.actions
        if action["name"] not in done
    ]


@dataclass(frozen=True)
class PreviewView:
    """What running again would do, in words: how many writes, what would still stop it, and the token that pins it."""

    result: Mapping[str, Any]
    writes: int
    token: str

    @property
    def runnable(self) -> bool:
        return self.result["outcome"] in ("clears", "changes")


def preview_of(answer: Mapping[str, Any]) -> PreviewView:
    """The engine's preview of one transaction."""
    result = answer["results"][0]
    names = system_names()
    actions = [
        {**action, "system": names.get(action["system"], action["system"])} for action in result["actions"]
    ]
    result = {**result, "actions": actions}
    writes = sum(action["kind"] in ("push", "child") for action in actions)
    return PreviewView(result, writes, answer["token"])
