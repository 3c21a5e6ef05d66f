"""Money of cases in the reporting currency, with the day of the rate, and exposure beside billing held.

Public surface: :func:`reported`, :class:`Reported`, :func:`exposure_lines`, :class:`ExposureLine`, :func:`known_money`,
:func:`blocked_view`, :class:`BlockedView`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from apps.canonical.money import Money
from apps.triage import selectors as triage

#: So many of what waits behind a case are listed.
LISTED = 20


@dataclass(frozen=True)
class Reported:
    """A sum in the reporting currency by rates of ``on`` or later; ``without`` are currencies that have no rate and are not in
    it."""

    total: Money
    on: date
    without: Sequence[str]


@dataclass(frozen=True)
class ExposureLine:
    """One kind of exposure: money per currency, what nobody knows counted apart, and the sum as reported."""

    label: str
    held: Sequence[tuple[Any, str]]
    unknown: int
    cases: int
    reported: Reported | None


def reported(held: Iterable[triage.Held]) -> Reported | None:
    """None where nothing was converted: there the amounts say it all."""
    lines = [line for line in held if line.currency and (line.amount or not line.unknown)]
    days = [line.rate_on for line in lines if line.rate_on is not None]
    if not days:
        return None
    known = [line.reporting for line in lines if line.reporting is not None]
    total = sum((money.amount for money in known[1:]), known[0].amount)
    without = [line.currency for line in lines if line.reporting is None]
    return Reported(Money.of(total, triage.reporting_currency()), min(days), without)


@dataclass(frozen=True)
class BlockedView:
    """What waits behind a case: the first of them, all in money, and how many more there are."""

    count: int
    held: Sequence[tuple[Any, str]]
    unknown: int
    reported: Reported | None
    elsewhere: int
    lines: Sequence[triage.BlockedLine]
    unlisted: int


def blocked_view(found: triage.Blocked) -> BlockedView | None:
    """None where nothing waits."""
    if not found.lines:
        return None
    return BlockedView(
        count=len(found.lines),
        held=known_money(found.held),
        unknown=sum(line.unknown for line in found.held),
        reported=reported(found.held),
        elsewhere=found.elsewhere,
        lines=found.lines[:LISTED],
        unlisted=max(0, len(found.lines) - LISTED),
    )


def known_money(held: Iterable[triage.Held]) -> list[tuple[Any, str]]:
    """``(amount, currency)`` of what is known: a currency of which every amount is unknown is not shown as zero."""
    return [
        (line.amount, line.currency) for line in held if line.currency and (line.amount or not line.unknown)
    ]


def exposure_lines(found: Iterable[triage.Exposed]) -> list[ExposureLine]:
    """Each kind of exposure in words."""
    return [
        ExposureLine(
            label=str(one.kind.label),
            held=known_money(one.held),
            unknown=sum(line.unknown for line in one.held),
            cases=one.cases,
            reported=reported(one.held),
        )
        for one in found
    ]
