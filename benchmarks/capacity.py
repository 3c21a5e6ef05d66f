"""The capacity plan of docs/scale.md: what was measured for one transaction, multiplied out. Nothing here is measured.

Public surface: :func:`render`, :class:`Load`, :func:`needs`, :data:`LOADS`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.costs import KEPT, kept

SECONDS_A_YEAR = 365.25 * 86_400
MONTHS = 12
#: The busiest hours of a month's end beside the average second of the year (the page gives the reasons).
PEAK = 5
#: Cores are planned to be so busy at the peak; the rest is for a machine that fails and for what was not foreseen.
BUSY = 0.6
#: Calls to vendors of one transaction, and how long one takes at a distance.
CALLS, CALL_SECONDS = 6, 0.3
#: How long a database transaction holds its server connection: its statements, a flush and the ways between.
HELD_SECONDS = 0.01
#: Transactions that one pump works on at once (SYNC_PUMP_THREADS), and connections of a pump and of a web process.
THREADS, PUMP_CONNECTIONS, WEB_CONNECTIONS = 8, 11, 16


@dataclass(frozen=True)
class Load:
    a_year: float

    @property
    def average(self) -> float:
        """Transactions a second."""
        return self.a_year / SECONDS_A_YEAR

    @property
    def peak(self) -> float:
        return self.average * PEAK


LOADS = (Load(1e7), Load(1e8), Load(1e9))
Cost = Mapping[str, float]


def needs(cost: Cost, load: Load) -> dict[str, float]:
    """What a load takes. Cores are whole; bytes are data and indexes once the retention of docs/production.md has set in."""
    cores = {name: max(1, math.ceil(load.peak * cost.get(f"cpu_{name}_ms", 0.0) / 1000 / BUSY)) for name in
             ("worker", "web", "postgres", "pooler", "broker")}  # fmt: skip
    waiting = load.peak * (CALLS * CALL_SECONDS + cost["cpu_worker_ms"] / 1000)
    pumps = max(cores["worker"], math.ceil(waiting / THREADS), 2)
    webs = max(cores["web"], 2)
    a_month = load.a_year / MONTHS
    each = _groups(cost)
    held = {
        group: a_month * each[group] * (months + 1 if months else MONTHS)
        for group, (_setting, months) in KEPT.items()
    }
    return {
        "average": load.average, "peak": load.peak, "calls": load.peak * CALLS,
        "calls_at_once": load.peak * CALLS * CALL_SECONDS,
        **{f"{name}_cores": value for name, value in cores.items()}, "pumps": pumps, "webs": webs,
        "clients": pumps * PUMP_CONNECTIONS + webs * WEB_CONNECTIONS,
        "servers": max(20, math.ceil(load.peak * cost["commits"] * HELD_SECONDS)),
        "statements": load.peak * cost["statements"], "commits": load.peak * cost["commits"],
        "wal_peak": load.peak * cost["wal_bytes"], "wal_day": load.average * 86_400 * cost["wal_bytes"],
        "rows_month": a_month * cost["tup_inserted"], "bytes_month": a_month * (sum(each.values()) - each["passing"]),
        "dropped": sum(held[group] for group, (_setting, months) in KEPT.items() if months),
        "audit_year": held["audit"], "standing_year": held["standing"],
    }  # fmt: skip


def _groups(cost: Cost) -> dict[str, float]:
    """Bytes that a transaction leaves, by the group of their tables."""
    found = dict.fromkeys(KEPT, 0.0)
    for metric, size in cost.items():
        if metric.startswith("table "):
            found[kept(metric.removeprefix("table "))] += size
    return found


def render(result: Mapping[str, Any], *, name: str) -> str:
    """The plan as a section of the page, from the runs of the contender ``name``; empty without it."""
    runs = result["contenders"].get(name, {}).get("runs", [])
    if not runs:
        return ""
    cost = {metric: statistics.median(run.get(metric, 0.0) for run in runs) for metric in runs[0]}
    found = [needs(cost, load) for load in LOADS]
    titles = [f"{_power(load.a_year)} a year" for load in LOADS]
    lines = ["### The plan", "", f"| | {' | '.join(titles)} |", f"| --- |{' --- |' * len(titles)}"]
    lines += [f"| {title} | {' | '.join(how(one) for one in found)} |" for title, how in _ROWS]
    lines += ["", "### What a transaction leaves in the largest tables", ""]
    lines += ["| table (with indexes) | bytes | kept |", "| --- | --- | --- |"]
    lines += [f"| `{table}` | {size:.0f} | {how} |" for table, size, how in _tables(cost)]
    return "\n".join(lines) + "\n"


def _tables(cost: Cost) -> Sequence[tuple[str, float, str]]:
    sizes = {
        metric.removeprefix("table "): size for metric, size in cost.items() if metric.startswith("table ")
    }
    largest = sorted(sizes.items(), key=lambda one: -one[1])[:12]
    return [(table, size, _kept_so_long(kept(table))) for table, size in largest]


def _kept_so_long(group: str) -> str:
    setting = KEPT[group][0]
    return f"`{setting}`" if setting else {"passing": "for moments"}.get(group, "for ever")


def _number(metric: str, digits: int = 0) -> Callable[[Mapping[str, float]], str]:
    return lambda one: f"{one[metric]:,.{digits}f}"


def _bytes(metric: str) -> Callable[[Mapping[str, float]], str]:
    def shown(one: Mapping[str, float]) -> str:
        size, unit = one[metric], "B"
        for larger in ("kB", "MB", "GB", "TB"):
            if size < 1000:
                break
            size, unit = size / 1000, larger
        return f"{size:.3g} {unit}"

    return shown


def _power(value: float) -> str:
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(round(math.log10(value))))


_ROWS: tuple[tuple[str, Callable[[Mapping[str, float]], str]], ...] = (
    ("transactions a second, average", _number("average", 1)),
    (f"transactions a second, peak (× {PEAK})", _number("peak", 1)),
    (f"calls to vendors a second at the peak ({CALLS} each)", _number("calls")),
    (f"calls under way at once, {CALL_SECONDS * 1000:.0f} ms each", _number("calls_at_once")),
    (f"cores for workers ({BUSY:.0%} busy at the peak)", _number("worker_cores")),
    (f"pumps (`SYNC_PUMP_SLOTS`), {THREADS} threads each", _number("pumps")),
    ("cores for webs", _number("web_cores")),
    ("web processes", _number("webs")),
    ("cores for PostgreSQL", _number("postgres_cores")),
    ("cores for pgbouncer", _number("pooler_cores")),
    ("cores for the broker", _number("broker_cores")),
    ("connections at pgbouncer", _number("clients")),
    (f"`default_pool_size` ({HELD_SECONDS * 1000:.0f} ms a database transaction)", _number("servers")),
    ("statements a second at the peak", _number("statements")),
    ("commits a second at the peak", _number("commits")),
    ("WAL a second at the peak", _bytes("wal_peak")),
    ("WAL a day, average", _bytes("wal_day")),
    ("rows a month", _number("rows_month")),
    ("data and indexes a month", _bytes("bytes_month")),
    ("payloads, events, actions: at rest under the default retention", _bytes("dropped")),
    ("audit trail, a year (kept for ever unless set)", _bytes("audit_year")),
    ("standing rows (subjects, transactions, plans, records), a year", _bytes("standing_year")),
)  # fmt: skip
