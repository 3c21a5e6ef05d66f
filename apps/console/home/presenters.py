"""What Home shows: my queue, billing held by invoice-run deadline, transaction and system health.

Public surface: :func:`home_page`, :class:`HomePage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.approvals import selectors as approvals
from apps.canonical.money import Money
from apps.connectors import selectors as connectors
from apps.console.access import ConsoleRequest, permissions
from apps.console.exceptions.board import group_line
from apps.console.exceptions.money import ExposureLine, Reported, exposure_lines, reported
from apps.core import clock
from apps.core.scope import NOTHING, Scope
from apps.journal import selectors as journal
from apps.organization import selectors as organization
from apps.sync import selectors as sync
from apps.triage import selectors as triage

SHOWN = 8
#: How many causes of a project manager's engagements are looked through for those that their roles resolve.
MOST_GROUPS = 100
TREND_DAYS = 14
_KINDS = {"prebill": gettext_lazy("Prebill"), "mapping": gettext_lazy("New mapping")}


@dataclass(frozen=True)
class Asked:
    """An approval that waits for the reader."""

    request: Any
    kind: str
    url: str


@dataclass(frozen=True)
class Deadline:
    """Billing held of one legal entity before its next invoice run."""

    entity: Any
    due: datetime
    held: Sequence[Money]
    items: int
    unknown: int


@dataclass(frozen=True)
class Day:
    """Transactions that ended on one day; heights are of 100."""

    on: date
    good: int
    bad: int
    x: int
    good_y: int
    good_height: int
    bad_y: int
    bad_height: int


@dataclass(frozen=True)
class SystemLine:
    """One connection: ``tone`` and ``state`` in words, when it last answered."""

    name: str
    kind: str
    state: str
    tone: str
    last_ok: datetime | None
    note: str


@dataclass(frozen=True)
class HomePage:
    asked: list[Asked]
    asked_count: int
    my_cases: list[Any]
    my_cases_count: int
    groups: list[Any]
    deadlines: list[Deadline]
    held: Reported | None
    exposures: list[ExposureLine]
    health: Any
    moving: int
    attention: int
    trend: list[Day]
    systems: list[SystemLine]
    backlog: Any
    may: dict[str, bool]


def home_page(request: ConsoleRequest) -> HomePage:
    """Everything Home shows; parts that the person may not see are empty and say so."""
    held = permissions(request)
    scope_of = {
        name: held.scope(f"{name}.view") for name in ("exception", "transaction", "prebill", "system")
    }
    waiting = approvals.waiting_for(request.user)
    asked = list(waiting[: SHOWN + 1])
    mine, mine_count, groups = _queue(request, scope_of["exception"])
    health = sync.health(scope_of["transaction"])
    sees_systems = scope_of["system"] != NOTHING
    sees_cases = scope_of["exception"] != NOTHING
    return HomePage(
        asked=[Asked(row, str(_KINDS.get(row.kind, row.kind)), _url(row)) for row in asked[:SHOWN]],
        asked_count=waiting.count() if len(asked) > SHOWN else len(asked),
        my_cases=mine,
        my_cases_count=mine_count,
        groups=groups,
        deadlines=_deadlines(scope_of["exception"]),
        held=reported(triage.billing_held(scope_of["exception"])) if sees_cases else None,
        exposures=exposure_lines(triage.open_exposures(scope_of["exception"])) if sees_cases else [],
        health=health,
        moving=sum(health.open.get(state, 0) for state in ("pending", "running", "retrying", "waiting")),
        attention=sum(health.open.get(state, 0) for state in ("held", "suggested"))
        + health.finished.get("dead", 0),
        trend=_trend(scope_of["transaction"]),
        systems=_systems() if sees_systems else [],
        backlog=journal.backlog() if sees_systems else None,
        may={name: scope != NOTHING for name, scope in scope_of.items()},
    )


def _url(asked: Any) -> str:
    if asked.kind == "prebill":
        return reverse("console:prebill", args=[asked.subject_ref])
    return f"{reverse('console:mappings')}#mapping-{asked.subject_ref}"


def _queue(request: ConsoleRequest, scope: Scope) -> tuple[list[Any], int, list[Any]]:
    if scope == NOTHING:
        return [], 0, []
    mine = triage.at_hand(triage.open_cases(scope)).filter(assignee=request.user)
    roles = permissions(request).roles
    kept = triage.group_list(scope, roles=roles)
    if kept is not None:
        found = kept[:SHOWN]
    else:
        rows = triage.open_cases(scope)
        looked = triage.group_rows(triage.groups(rows, scope=scope)[:MOST_GROUPS], rows, scope=scope)
        found = [row for row in looked if roles & set(row.resolvers)][:SHOWN]
    return list(mine[:SHOWN]), mine.count(), [group_line(row) for row in found]


def _deadlines(scope: Scope) -> list[Deadline]:
    """One line an entity that holds billing, the nearest deadline first."""
    if scope == NOTHING:
        return []
    figures = triage.billing_held_by_entity(scope)
    held_by = {figure.legal_entity_id for figure in figures}
    rows = [row for row in organization.entities(active=None) if row.pk in held_by] if figures else []
    entities = {row.pk: row for row in rows}
    due = organization.invoice_runs_due(rows, clock.now()) if rows else {}
    lines = [
        Deadline(
            entities[figure.legal_entity_id],
            due[figure.legal_entity_id],
            [Money.of(held.amount, held.currency) for held in figure.held if held.currency],
            figure.subjects,
            sum(held.unknown for held in figure.held),
        )
        for figure in figures
    ]
    return sorted(lines, key=lambda line: line.due)


def _trend(scope: Scope) -> list[Day]:
    """Transactions ended per day in the person's zone, the last two weeks."""
    today = timezone.localdate()
    days = [today - timedelta(days=TREND_DAYS - 1 - number) for number in range(TREND_DAYS)]
    zone = timezone.get_current_timezone()
    found = sync.ended(scope, [datetime.combine(day, time.min, zone) for day in days])
    counts = [(sum(states.values()) - states.get("dead", 0), states.get("dead", 0)) for states in found]
    top = max(sum(pair) for pair in counts)
    if not top:
        return []
    trend = []
    for number, (on, (good, bad)) in enumerate(zip(days, counts, strict=True)):
        high, low = round(good / top * 96), round(bad / top * 96)
        trend.append(Day(on, good, bad, number * 20, 100 - high, high, 100 - high - low, low))
    return trend


def _systems() -> list[SystemLine]:
    """Connections with what the pollers and the last call said of them."""
    poll_errors = {row.system_id: row.error for row in sync.poll_state() if row.error}
    lines = []
    for state in connectors.connection_states():
        note = poll_errors.get(state.system_id, "")
        if not state.enabled:
            words, tone = _("Switched off"), "quiet"
        elif state.paused:
            words, tone = _("Paused"), "hold"
        elif not state.secrets_readable:
            words, tone, note = _("Secrets unreadable"), "bad", _("The key ring does not open its secrets.")
        elif state.last_error_at and (state.last_ok_at is None or state.last_error_at > state.last_ok_at):
            words, tone, note = _("Failing"), "bad", state.last_error
        elif note:
            words, tone = _("Polling fails"), "warn"
        elif state.last_ok_at is None:
            words, tone = _("Not used yet"), "quiet"
        else:
            words, tone = _("Healthy"), "good"
        lines.append(SystemLine(state.system_name, state.kind, words, tone, state.last_ok_at, note))
    return lines
