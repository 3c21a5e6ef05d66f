"""The frame of all benches: runs side by side, medians and ratios, and what is kept of them.

Public surface: :class:`Contender`, :class:`Goal`, :func:`interleave`, :func:`ratio`, :func:`keep`, :func:`facts`,
:func:`peers_python`.

A bench is a module ``benchmarks/<name>.py`` with a ``main``: it makes contenders, hands them to :func:`interleave`
(A B C, A B C, …), names the ratios that count and ends with ``sys.exit(keep(…))``. ``make bench-report`` renders it.
Absolute figures depend on the machine and the hour; only ratios taken side by side in one run are compared with goals.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LOGS = ROOT / ".pssync" / "bench" / "logs"
PEERS = ROOT / ".pssync" / "bench-peers"
REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements.txt"

#: What one run of a contender measured, by metric.
Figures = dict[str, float]


@dataclass(frozen=True)
class Contender:
    """``what`` is a sentence for the report; ``run`` does the work once and returns its figures. It raises
    :class:`WrongResult` when the work was not done exactly once."""

    name: str
    what: str
    run: Callable[[], Figures]


@dataclass(frozen=True)
class Goal:
    """``metric`` of ``of`` divided by that of ``to`` (empty: the figure itself) is to be ``at_least`` or ``at_most``."""

    title: str
    metric: str
    of: str
    to: str = ""
    at_least: float | None = None
    at_most: float | None = None
    #: Beyond what must be reached: what is wanted.
    wanted: float | None = None

    def words(self) -> str:
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else ""
        bound = f"≤ {self.at_most:g}" if self.at_most is not None else bound
        return f"{bound} (wanted {self.wanted:g})" if self.wanted is not None else bound

    def reached(self, value: float) -> bool | None:
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most


@dataclass
class Bench:
    """What is kept of a bench. ``metrics``: name → (title, digits)."""

    name: str
    title: str
    what: str
    metrics: Mapping[str, tuple[str, int]]
    goals: Sequence[Goal]
    contenders: Sequence[Contender]
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class WrongResult(Exception):
    """Something was lost, doubled or left undone: such a run has no speed."""


def interleave(bench: Bench, *, rounds: int) -> None:
    """Run every contender once a round, so that whatever the machine does meanwhile meets them alike."""
    for number in range(1, rounds + 1):
        for contender in bench.contenders:
            figures = contender.run()
            bench.runs.setdefault(contender.name, []).append(figures)
            shown = ", ".join(
                f"{title} {figures[name]:.{digits}f}"
                for name, (title, digits) in bench.metrics.items()
                if name in figures
            )
            print(f"round {number}/{rounds}  {contender.name}: {shown}", flush=True)


def ratio(bench: Bench, goal: Goal) -> tuple[float, float, float] | None:
    """Median, least and most of the ratio, taken round by round; None when somebody did not measure it."""
    mine = [run.get(goal.metric) for run in bench.runs.get(goal.of, [])]
    theirs = [run.get(goal.metric) for run in bench.runs.get(goal.to, [])] if goal.to else [1.0] * len(mine)
    found = [a / b for a, b in zip(mine, theirs, strict=False) if a is not None and b]
    return (statistics.median(found), min(found), max(found)) if found else None


def keep(bench: Bench) -> int:
    """Print the ratios and write ``results/<date>-<bench>.json``. Returns the exit code: 1 when a goal is missed."""
    missed = 0
    shown: list[dict[str, Any]] = []
    print(f"\n{bench.title}")
    for goal in bench.goals:
        found = ratio(bench, goal)
        if found is None:
            continue
        middle, least, most = found
        reached = goal.reached(middle)
        missed += reached is False
        word = {True: "reached", False: "MISSED", None: ""}[reached]
        print(f"  {goal.title}: {middle:.2f} ({least:.2f}–{most:.2f})  {goal.words()}  {word}")
        shown.append(
            {"title": goal.title, "median": middle, "min": least, "max": most, "goal": goal.words(), "reached": reached}
        )  # fmt: skip
    now = dt.datetime.now(dt.UTC)
    kept = {
        "bench": bench.name, "title": bench.title, "what": bench.what, "at": now.isoformat(timespec="seconds"),
        "facts": {**facts(), **bench.facts},
        "metrics": {name: {"title": title, "digits": digits} for name, (title, digits) in bench.metrics.items()},
        "contenders": {one.name: {"what": one.what, "runs": bench.runs.get(one.name, [])} for one in bench.contenders},
        "ratios": shown, "notes": bench.notes,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}-{bench.name}.json"
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"  kept in {path.relative_to(ROOT)}")
    return 1 if missed else 0


def facts() -> dict[str, Any]:
    """What the machine is, and how busy it was with other things."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[2], 2),
        "commit": commit.stdout.strip(),
    }


def peers_python() -> str:
    """The interpreter of the peers' own environment, made on first use from the pinned list."""
    mark = PEERS / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    python = PEERS / "bin" / "python"
    if not mark.exists() or mark.read_text() != wanted:
        print("Making the environment of the peers …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
             "--only-binary", ":all:", "-r", str(REQUIREMENTS)],
            check=True,
        )  # fmt: skip
        mark.write_text(wanted)
    return str(python)
