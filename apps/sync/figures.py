"""How the engine does: what is open, what ended when, how long it took.

Public surface (through :mod:`apps.sync.selectors`): :func:`health`, :class:`Health`, :func:`ended`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import ExpressionWrapper, F
from django.db.models.fields import DurationField

from apps.core import clock, statements
from apps.core.scope import NOTHING, Scope
from apps.journal import counters
from apps.sync.models import ENDED, FINISHED, OPEN, TRANSACTIONS, State, Transaction

_QUANTILES = (
    "SELECT percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM took)::float8)"
)
_HOUR = timedelta(hours=1)
#: Durations are those of so many transactions at most, the newest.
MEASURED = 1_000


@dataclass(frozen=True)
class Health:
    """Counts of open transactions by state, and of those finished in the last 24 hours; latency in seconds, of the newest
    ``MEASURED`` that succeeded in that time."""

    open: dict[str, int]
    finished: dict[str, int]
    median_seconds: float | None
    p90_seconds: float | None


def health(scope: Scope) -> Health:
    """How the engine does, for the home screen. Four queries at most, whatever has run."""
    day = clock.now() - timedelta(hours=24)
    states = counters.summed(counters.totals(TRANSACTIONS, scope, Transaction.objects.all()), 0)
    open_counts = {state: number for state, number in states.items() if state in OPEN}
    [finished] = ended(scope, [day])
    return Health(
        open_counts,
        {state: number for state, number in finished.items() if state in FINISHED},
        *_durations(scope, day),
    )


def ended(scope: Scope, bounds: Sequence[datetime]) -> list[dict[str, int]]:
    """How many ended from each bound up to the next one, from the last bound on, by state; bounds ascend.

    Whole hours come from the counter; of the hours that a bound divides the transactions themselves are counted.
    """
    if not bounds or scope == NOTHING:
        return [{} for _ in bounds]
    found: list[dict[str, int]] = [{} for _ in bounds]
    if scope.engagement_keys and not scope.everything:
        rows: Any = Transaction.objects.within(scope).filter(finished_at__gte=bounds[0])
        for at, state in rows.values_list("finished_at", "state"):
            _add(found[bisect_right(bounds, at) - 1], state, 1)
        return found
    divided = sorted({_hour(bound) for bound in bounds if bound != _hour(bound)})
    since = _hour(bounds[0])
    for (hour, state), number in counters.sums(ENDED, scope, first=f"{since:%Y-%m-%dT%H}").items():
        at = datetime.fromisoformat(hour).replace(tzinfo=UTC)
        if at not in divided:
            _add(found[bisect_right(bounds, at) - 1], state, number)
    if divided:
        _count_divided(scope, bounds, divided, found)
    return found


#: Each piece is a short range of an index.
_PIECES = """
SELECT piece.number, counted.state, counted.n
FROM unnest(%(numbers)s::int[], %(since)s::timestamptz[], %(until)s::timestamptz[]) AS piece (number, since, until)
CROSS JOIN LATERAL (
    SELECT state, count(*) AS n FROM sync_transaction
    WHERE finished_at >= piece.since AND finished_at < piece.until
        AND (%(all)s::bool OR legal_entity_id = ANY(%(entities)s::bigint[]))
    GROUP BY 1
) AS counted
"""


def _count_divided(
    scope: Scope, bounds: Sequence[datetime], hours: Sequence[datetime], found: list[dict[str, int]]
) -> None:
    """One query over the pieces into which bounds cut these hours; before the first bound nothing counts."""
    pieces = []
    for hour in hours:
        cuts = [hour, *(bound for bound in bounds if hour < bound < hour + _HOUR), hour + _HOUR]
        for since, until in pairwise(cuts):
            number = bisect_right(bounds, since) - 1
            if number >= 0:
                pieces.append((number, since, until))
    numbers, since_, until_ = (list(column) for column in zip(*pieces, strict=True))
    given = {"numbers": numbers, "since": since_, "until": until_}
    seen = {"all": scope.everything, "entities": sorted(scope.entity_ids)}
    for number, state, n in statements.rows(_PIECES, given | seen):
        _add(found[number], state, n)


def _add(to: dict[str, int], state: str, number: int) -> None:
    to[state] = to.get(state, 0) + number


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _durations(scope: Scope, since: datetime) -> tuple[float | None, float | None]:
    """Median and 90th percentile."""
    took: Any = ExpressionWrapper(F("finished_at") - F("created_at"), output_field=DurationField())
    rows = Transaction.objects.within(scope).filter(state=State.SUCCEEDED, finished_at__gte=since)
    newest = rows.order_by("-finished_at").values_list(took)[:MEASURED]
    try:
        sql, parameters = newest.query.sql_with_params()
    except EmptyResultSet:
        return None, None
    with connection.cursor() as cursor:
        cursor.execute(f"{_QUANTILES} FROM ({sql}) AS newest (took)", parameters)
        both = cursor.fetchone()[0]
    return (both[0], both[1]) if both else (None, None)
