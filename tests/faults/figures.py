"""The figure of a fault: printed, and kept as JSON; what is said in ``docs/faults.md`` comes from there.

Public surface: :class:`Figure`, :func:`spread`, :data:`FOLDER`.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(
    os.environ.get("FAULTS_FOLDER") or Path(__file__).resolve().parents[2] / "test-artefacts/faults"
)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and longest, in seconds; nothing where nothing was measured."""
    if not seconds:
        return {}
    return {"p50": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)}


@dataclass
class Figure:
    """``values`` in the order in which they are shown; ``recovery`` in seconds."""

    number: int
    done: str
    broker: str
    seed: int
    values: dict[str, Any] = field(default_factory=dict)
    recovery: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        shown = [f"{name} {value}" for name, value in self.values.items()]
        if self.recovery:
            both = spread(self.recovery)
            shown.append(f"recovery p50 {both['p50']} s, max {both['max']} s")
        return f"fault {self.number} ({self.done}; {self.broker}; seed {self.seed}): " + ", ".join(shown)

    def keep(self, test: str) -> None:
        """Print it and keep it under the test's name."""
        print(f"\n{self}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        told = {
            "number": self.number,
            "done": self.done,
            "broker": self.broker,
            "seed": self.seed,
            "values": self.values,
            "recovery": spread(self.recovery),
            "test": test,
        }
        name = "".join(letter if letter.isalnum() else "-" for letter in test.rsplit("::", 1)[-1])
        (FOLDER / f"{self.number:02}-{name}.json").write_text(json.dumps(told, indent=1) + "\n")
