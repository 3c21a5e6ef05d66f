"""``make bench-figures``: the tiles of Home and the figures beside filters, over a million transactions, beside the
bare SELECT of the roll-up that each comes from.

In one process, through the rooms' selectors as the screens call them; each is asked once before any is asked again.
``ROWS=`` transactions, ``N=`` times a round, ``ROUNDS=`` rounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from benchmarks import harness, pages
from benchmarks.harness import Bench, Contender, Goal

METRICS = {"p50_ms": ("p50, ms", 2), "p95_ms": ("p95, ms", 2)}
SINCE = "SELECT keys, sum(n) FROM journal_count WHERE name = 'ended' AND keys >= %s::text[] GROUP BY 1"
#: Tile → the bare SELECT of its roll-up; ``%s`` is the hour that it begins with.
BARE = {
    "billing held": "SELECT currency, sum(total), sum(unknown) FROM triage_heldtotal GROUP BY 1",
    "held by entity": "SELECT legal_entity_id, currency, total, unknown, subjects FROM triage_heldtotal",
    "causes, most held": (
        "SELECT group_id, sum(cases), min(oldest), min(due_at), min(first_id), sum(held) AS worth FROM triage_grouptotal"
        " GROUP BY 1 ORDER BY worth DESC NULLS LAST LIMIT 8"
    ),
    "trend, 14 days": SINCE,
    "ended, 24 hours": SINCE,
    "facets of transactions": "SELECT legal_entity_id, keys, n FROM journal_count WHERE name = 'transaction'",
    "facets of cases": (
        "SELECT legal_entity_id, keys[2:], sum(n) FROM journal_count WHERE name = 'case'"
        " AND keys[1] <> ALL(ARRAY['resolved', 'waived']) GROUP BY 1, 2"
    ),
}
GOALS = tuple(
    Goal(f"p50, {tile} to the bare SELECT", "p50_ms", tile, f"{tile}, bare", at_most=3) for tile in BARE
)


def _tiles(midnight: datetime, day: datetime) -> dict[str, Callable[[], Any]]:
    from apps.core.scope import EVERYTHING
    from apps.sync import selectors as sync
    from apps.triage import selectors as triage
    from apps.triage.models import OPEN_STATES

    days = [midnight - timedelta(days=13 - number) for number in range(14)]
    return {
        "billing held": lambda: triage.billing_held(EVERYTHING),
        "held by entity": lambda: triage.billing_held_by_entity(EVERYTHING),
        "causes, most held": lambda: triage.group_list(EVERYTHING)[:8],  # type: ignore[index]
        "trend, 14 days": lambda: sync.ended(EVERYTHING, days),
        "ended, 24 hours": lambda: sync.ended(EVERYTHING, [day]),
        "facets of transactions": lambda: sync.facets(EVERYTHING),
        "facets of cases": lambda: triage.facets(EVERYTHING, states=OPEN_STATES),
    }


def _select(statement: str, since: datetime) -> Callable[[], Any]:
    from django.db import connection

    given = [[f"{since:%Y-%m-%dT%H}"]] if "%s" in statement else None

    def read() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement, given)
            return cursor.fetchall()

    return read


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    pages.prepare()
    database = pages.firm_of(given.rows)
    from apps.core import clock

    now = clock.now()
    midnight = datetime.combine(now.date(), time_of_day.min, now.tzinfo)
    since = {"trend, 14 days": midnight - timedelta(days=13), "ended, 24 hours": now - timedelta(hours=24)}
    asked: dict[str, Callable[[], Any]] = {}
    for tile, work in _tiles(midnight, now - timedelta(hours=24)).items():
        asked[tile] = work
        asked[f"{tile}, bare"] = _select(BARE[tile], since.get(tile, now))
    bench = Bench(
        "figures", f"Figures over {given.rows:,} transactions", __doc__ or "", METRICS, GOALS,
        [Contender(name, "Of the roll-up." if name.endswith("bare") else "As screens ask for it.", dict) for name in asked],
    )  # fmt: skip
    bench.facts = {
        "transactions": given.rows,
        "requests": given.n,
        "rounds": given.rounds,
        **pages.server(database),
    }
    for number in range(given.rounds + 1):
        found: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(given.n if number else 3):
            for name, work in asked.items():
                started = time.perf_counter()
                work()
                found[name].append((time.perf_counter() - started) * 1000)
        for name, milliseconds in found.items() if number else ():
            bench.runs.setdefault(name, []).append(pages.spread(milliseconds))
    sys.exit(harness.keep(bench))


if __name__ == "__main__":
    main()
