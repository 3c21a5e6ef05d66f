"""Reads of jobs for screens: a person's own, how far one has come, its cases.

Public surface: :func:`mine`, :func:`job`, :func:`progress`, :func:`rows`, :func:`under_way`, :class:`Progress`; the words of
a job: :class:`JobState`, :class:`Outcome`, :class:`Result`, :class:`Pace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from apps.core.errors import NotFound
from apps.triage.job_models import Job as Job
from apps.triage.job_models import JobRow
from apps.triage.job_models import JobState as JobState
from apps.triage.job_models import Outcome as Outcome
from apps.triage.job_models import Pace as Pace
from apps.triage.job_models import Result as Result


@dataclass(frozen=True)
class Progress:
    """A job in figures. ``outcomes`` and ``results`` count cases; ``planned`` of ``total``; ``settled`` of ``runnable`` have
    come to an end, ``accepted`` were taken by the engine and ``verified`` of these have been looked at since.

    ``held`` is what all its cases held when it was planned, ``released`` what those hold that would clear, ``cleared`` what
    those held that did: ``(amount, currency)``; ``unknown`` counts the cases whose amount nobody knows.
    """

    total: int
    planned: int
    runnable: int
    settled: int
    accepted: int
    verified: int
    outcomes: Mapping[str, int]
    results: Mapping[str, int]
    held: Sequence[tuple[Decimal, str]]
    released: Sequence[tuple[Decimal, str]]
    cleared: Sequence[tuple[Decimal, str]]
    unknown: int


def mine(by: Any) -> QuerySet[Job]:
    """A person's jobs, newest first."""
    return Job.objects.filter(by=by).order_by("-id")


def under_way(by: Any) -> int:
    """How many of a person's jobs wait for them or go on: what the navigation tells."""
    return mine(by).filter(state__in=(JobState.PLANNING, JobState.READY, JobState.RUNNING)).count()


def job(by: Any, ref: str) -> Job:
    """One of a person's jobs. Raises :class:`NotFound`."""
    found = mine(by).filter(ref=ref).first()
    if found is None:
        raise NotFound(_("There is no such job of yours."))
    return found


def rows(of: Job, *, show: str = "") -> QuerySet[JobRow]:
    """Its cases in the order in which they run; ``show`` is one outcome or one result."""
    found = of.rows.select_related("case", "case__legal_entity").order_by("id")
    if show in Result.values:
        return found.filter(result=show)
    return found.filter(outcome=show) if show in Outcome.values else found


def progress(of: Job) -> Progress:
    """One query, whatever the number of cases."""
    lines = list(
        of.rows.order_by()
        .values("outcome", "result", "currency")
        .annotate(
            number=Count("id"),
            held=Sum("held_amount"),
            unknown=Count("id", filter=Q(held_amount=None)),
            runnable=Count("id", filter=~Q(digest="")),
        )
    )
    outcomes = {one.value: _count(lines, outcome=one.value) for one in Outcome}
    results = {one.value: _count(lines, result=one.value) for one in Result}
    begun = sum(results.values())
    return Progress(
        total=of.total,
        planned=sum(outcomes.values()),
        runnable=sum(line["runnable"] for line in lines),
        settled=begun - results[Result.ACCEPTED],
        accepted=begun - results[Result.SKIPPED],
        verified=begun - results[Result.SKIPPED] - results[Result.ACCEPTED] - results[Result.GOES_ON],
        outcomes=outcomes,
        results=results,
        held=_money(lines),
        released=_money(lines, outcome=Outcome.CLEARS.value),
        cleared=_money(lines, result=Result.CLEARED.value),
        unknown=sum(line["unknown"] for line in lines),
    )


def _having(lines: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]) -> list[Mapping[str, Any]]:
    return [line for line in lines if all(line[name] == value for name, value in wanted.items())]


def _count(lines: Sequence[Mapping[str, Any]], **wanted: str) -> int:
    return sum(line["number"] for line in _having(lines, wanted))


def _money(lines: Sequence[Mapping[str, Any]], **wanted: str) -> list[tuple[Decimal, str]]:
    found: dict[str, Decimal] = {}
    for line in _having(lines, wanted):
        if line["currency"] and line["held"] is not None:
            found[line["currency"]] = found.get(line["currency"], Decimal(0)) + line["held"]
    return [(found[currency], currency) for currency in sorted(found)]
