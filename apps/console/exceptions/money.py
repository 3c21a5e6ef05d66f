"""Money of cases in the reporting currency, with the day of the rate, and exposure beside billing held.

Public surface: :func:`reported`, :class:`Reported`, :func:`exposure_lines`, :class:`ExposureLine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from apps.canonical.money import Money
from apps.triage import selectors as triage


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


def exposure_lines(found: Iterable[triage.Exposed]) -> list[ExposureLine]:
    """Each kind of exposure in words."""
    return [
        ExposureLine(
            label=str(one.kind.label),
            held=[
                (line.amount, line.currency)
                for line in one.held
                if line.currency and (line.amount or not line.unknown)
            ],
            unknown=sum(line.unknown for line in one.held),
            cases=one.cases,
            reported=reported(one.held),
        )
        for one in found
    ]
