"""Write the figures of the last runs into ``docs/faults.md``: ``make faults-report``.

Public surface: the command. Nothing between its marks is written by hand; what has no figure is not shown.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.faults.figures import FOLDER

PAGE = Path(__file__).resolve().parents[2] / "docs/faults.md"
#: Shown in columns of their own.
COLUMNS = ("acknowledged", "lost", "doubled", "half")


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def seconds(spread: Mapping[str, float]) -> str:
    return f"{spread['p50']} / {spread['max']}" if spread else "–"


def figures(told: list[dict[str, Any]]) -> str:
    """One line a figure."""
    rows = []
    for one in sorted(told, key=lambda one: (one["number"], one["broker"], one["done"])):
        values = one["values"]
        others = [f"{name} {value}" for name, value in values.items() if name not in COLUMNS]
        counted = [values.get(name, "–") for name in ("acknowledged", "lost", "doubled")]
        rows.append(
            [
                one["number"],
                one["done"],
                one["broker"],
                one["seed"],
                *counted,
                seconds(one["recovery"]),
                ", ".join(others),
            ]
        )
    head = (
        "fault",
        "done",
        "broker",
        "seed",
        "acknowledged",
        "lost",
        "doubled",
        "recovery p50 / max, s",
        "besides",
    )
    return table(head, rows)


def soak(told: Mapping[str, Any]) -> str:
    """What one soak has come to."""
    total = told["total"]
    ways = ", ".join(f"{number} {way}" for way, number in told["events"].items())
    times = sum(fault["times"] for fault in told["faults"].values())
    doubled = f"{len(told['doubled'])}"
    if told["doubled"]:
        doubled += f" ({len(told['told as cases'])} of them told as a case; last fault: {', '.join(told['doubled'].values())})"
    words = [
        f"**{told['broker']}, seed {told['seed']}**, {told['minutes']} min, {times} faults:",
        f"{told['deals']} deals (events: {ways}).",
        f"Acknowledged {told['acknowledged']}, lost {len(told['lost'])}, half done {len(told['half'])}, doubled {doubled}.",
        f"Sums: {total['acknowledged']} acknowledged, {total['psa']} in the PSA, {total['erp']} in the ERP.",
        f"From acknowledgement to the last call on behalf of it p50 / max {seconds(told['until done'])} s; "
        f"processes that ended by themselves: {', '.join(told['ended by themselves']) or 'none'}.",
    ]
    rows = [[name, fault["times"], seconds(fault["recovery"])] for name, fault in told["faults"].items()]
    return "\n".join(words) + "\n\n" + table(("fault", "times", "recovery p50 / max, s"), rows)


def replaced(page: str, mark: str, text: str) -> str:
    """The page with what stands between ``<!-- mark -->`` and ``<!-- /mark -->`` renewed."""
    found = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.S)
    assert found.search(page), f"{PAGE.name} has no mark {mark}"
    return found.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)


def main(folders: list[Path]) -> None:
    told = [one for folder in folders for one in read(folder)]
    page = replaced(PAGE.read_text(), "figures", figures([one for one in told if "number" in one]))
    soaks = "\n\n".join(soak(one) for one in told if "minutes" in one)
    PAGE.write_text(replaced(page, "soak", soaks or "It has not been run."))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or [FOLDER])
