"""A job in words: how far it is, what it would do, what it has done.

Public surface: :func:`job_page`, :class:`JobPage`, :func:`job_lines`, :class:`JobLine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.console.access import ConsoleRequest
from apps.console.pages import Listed, keyed_page_of
from apps.core import clock
from apps.triage.jobs import selectors as jobs
from apps.triage.jobs.selectors import Job, JobState, Outcome, Pace, Result

PER_PAGE = 50
#: The tone of a result, as a state that has it: what is accepted is not done.
_TONES = {
    Result.ACCEPTED: "verifying",
    Result.CLEARED: "verified",
    Result.TURNED: "stale",
    Result.BACK: "failed",
    Result.SKIPPED: "skipped",
    Result.GOES_ON: "pending",
    Outcome.CLEARS: "ready",
    Outcome.CHANGES: "stale",
    Outcome.STAYS: "failed",
    Outcome.UNREACHABLE: "down",
    Outcome.IN_DOUBT: "unknown",
}
#: In which order people want to read what did not go well.
_RESULTS = (Result.CLEARED, Result.ACCEPTED, Result.TURNED, Result.BACK, Result.SKIPPED, Result.GOES_ON)


@dataclass(frozen=True)
class JobLine:
    """One job of the list."""

    job: Job
    sentence: str


@dataclass(frozen=True)
class Figure:
    """A number with its words; ``show`` filters the cases to it."""

    number: int
    label: str
    show: str
    current: bool


@dataclass(frozen=True)
class Row:
    """One case: what it would do, and once it is begun what became of it."""

    case: Any
    word: str
    tone: str
    reason: str


@dataclass(frozen=True)
class JobPage:
    job: Job
    progress: jobs.Progress
    sentence: str
    percent: int
    figures: Sequence[Figure]
    rows: Sequence[Row]
    listed: Listed
    paces: Sequence[tuple[int, Any]]
    too_old: bool
    show: str


def job_page(request: ConsoleRequest, ref: str) -> JobPage:
    """One of the person's jobs; a fixed number of queries."""
    job = jobs.job(request.user, ref)
    told = jobs.progress(job)
    show = request.GET.get("show", "")
    listed = keyed_page_of(
        request, jobs.rows(job, show=show), total=_total(told, show), by="", per_page=PER_PAGE
    )
    done = told.settled if job.started_at else told.planned
    of = told.runnable if job.started_at else told.total
    return JobPage(
        job=job,
        progress=told,
        sentence=_sentence(job, told),
        percent=round(100 * done / of) if of else 100,
        figures=_figures(job, told, show),
        rows=[_row(row) for row in listed],
        listed=listed,
        paces=Pace.choices,
        too_old=job.state == JobState.EXPIRED
        or (job.state == JobState.READY and job.expires_at <= clock.now()),
        show=show,
    )


def job_lines(rows: Iterable[Job]) -> list[JobLine]:
    """A page of the list."""
    return [JobLine(row, _cases(row.total)) for row in rows]


def _cases(number: int) -> str:
    return ngettext("%(n)s case", "%(n)s cases", number) % {"n": f"{number:,}"}


def _total(told: jobs.Progress, show: str) -> int:
    if show in told.results:
        return told.results[show]
    return told.outcomes.get(show, told.total)


def _sentence(job: Job, told: jobs.Progress) -> str:
    """Where it stands, in one sentence."""
    if job.state == JobState.PLANNING:
        return _("Planned %(planned)s of %(total)s. Nothing is changed by this; you may leave.") % {
            "planned": f"{told.planned:,}",
            "total": _cases(told.total),
        }
    if job.started_at is None:
        text = _("Clears %(clears)s, changes the error on %(changes)s, leaves %(stays)s") % told.outcomes
        if told.outcomes[Outcome.UNREACHABLE]:
            text += ", " + _("%(unreachable)s could not be planned now") % told.outcomes
        if told.outcomes[Outcome.IN_DOUBT]:
            text += ", " + _("%(in_doubt)s wait for a look-up") % told.outcomes
        return f"{text}."
    words = {
        "settled": f"{told.settled:,}",
        "of": _cases(told.runnable),
        "cleared": f"{told.results[Result.CLEARED]:,}",
    }
    if job.state == JobState.RUNNING and job.stop_asked_at is not None:
        return _("Stopping: what is under way comes to its end first. %(settled)s of %(of)s settled.") % words
    if job.state == JobState.RUNNING:
        return _("%(settled)s of %(of)s settled, %(cleared)s cleared so far.") % words
    return _("%(cleared)s of %(of)s cleared; each was verified by its own case.") % words


def _figures(job: Job, told: jobs.Progress, show: str) -> list[Figure]:
    counted: list[tuple[Any, int]]
    if job.started_at is None:
        counted = [(one, told.outcomes[one]) for one in Outcome]
    else:
        counted = [(one, told.results[one]) for one in _RESULTS]
    return [Figure(number, str(one.label), one.value, show == one.value) for one, number in counted if number]


def _row(row: Any) -> Row:
    if row.result:
        told: Any = Result(row.result)
    elif row.outcome:
        told = Outcome(row.outcome)
    else:
        return Row(row.case, _("not planned yet"), "planning", "")
    quiet = told in (Outcome.CLEARS, Result.CLEARED, Result.ACCEPTED)
    return Row(row.case, str(told.label), _TONES[told], "" if quiet else row.reason)
