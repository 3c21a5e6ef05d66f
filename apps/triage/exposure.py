"""What may have been billed too much, or twice: figures of their own beside billing held.

Public surface (through :mod:`apps.triage.selectors`): :func:`exposures`, :func:`open_exposures`, :class:`Exposed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from apps.core.scope import Scope
from apps.triage.catalogue import Exposure
from apps.triage.figures import Held, held_line, rates_for
from apps.triage.models import OPEN_STATES, Case

_SUMMED = "SELECT exposure, currency, sum(exposure_amount), count(*) FILTER (WHERE exposure_amount IS NULL), count(*)"


@dataclass(frozen=True)
class Exposed:
    """Money that may have been billed too much or twice, each subject once: a figure beside billing held."""

    kind: Exposure
    held: Sequence[Held]
    cases: int


def exposures(rows: QuerySet[Case]) -> list[Exposed]:
    """What these open cases expose, by kind; each subject once a kind, under its oldest case. Their index holds no others."""
    once = (
        rows.exclude(exposure="")
        .order_by("exposure", "subject_kind", "subject_key", "id")
        .distinct("exposure", "subject_kind", "subject_key")
        .values("exposure", "currency", "exposure_amount")
    )
    try:
        sql, parameters = once.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT exposure, currency, sum(exposure_amount),"  # noqa: S608
            " count(*) FILTER (WHERE exposure_amount IS NULL), count(*)"
            f" FROM ({sql}) AS once GROUP BY 1, 2 ORDER BY 1, 2",
            parameters,
        )
        names = ("kind", "currency", "total", "unknown", "cases")
        sums = [dict(zip(names, line, strict=True)) for line in cursor.fetchall()]
    rates = rates_for(line["currency"] for line in sums)
    found = []
    for kind in Exposure:
        lines = [line for line in sums if line["kind"] == kind]
        if lines:
            held = [held_line(line, rates) for line in lines]
            found.append(Exposed(kind, held, sum(line["cases"] for line in lines)))
    return found


def open_exposures(scope: Scope) -> list[Exposed]:
    """:func:`exposures` of all open cases that the scope sees."""
    return exposures(Case.objects.within(scope).filter(state__in=OPEN_STATES))
