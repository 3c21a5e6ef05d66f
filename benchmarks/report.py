"""``make bench-report``: renders the figures in docs/performance.md and docs/scale.md from the newest JSON of every bench.

What people wrote in those pages stays; only the part between the two marks is replaced.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import capacity
from benchmarks.harness import RESULTS, ROOT

PAGE = ROOT / "docs" / "performance.md"
#: The bench with a page of its own, and the contender whose costs are multiplied out there.
SCALE_PAGE, SCALE, COSTS = ROOT / "docs" / "scale.md", "scale", "4 workers, Redis"
#: A table of more metrics than that is turned: a page is not so wide.
WIDE = 12
BEGIN, END = "<!-- figures: made by make bench-report -->", "<!-- end of figures -->"


def newest(folder: Path) -> list[dict[str, Any]]:
    """The newest result of every bench, by bench."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["at"] >= found.get(result["bench"], result)["at"]:
            found[result["bench"]] = result
    return [found[name] for name in sorted(found)]


def render(result: Mapping[str, Any]) -> str:
    """One bench as a section of the page."""
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["facts"].items())
    lines = [f"### {result['title']} (`bench-{result['bench']}`)", "", f"{result['at']}: {facts}.", ""]
    if result["ratios"]:
        lines += ["| ratio | median | least – most | goal | |", "| --- | --- | --- | --- | --- |"]
        words = {True: "reached", False: "missed", None: ""}
        for one in result["ratios"]:
            spread = f"{one['min']:.2f} – {one['max']:.2f}"
            row = [one["title"], f"{one['median']:.2f}", spread, one["goal"], words[one["reached"]]]
            lines.append(f"| {' | '.join(row)} |")
        lines.append("")
    lines += [*_contenders(result), ""]
    lines += [f"* {note}" for note in result["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def _contenders(result: Mapping[str, Any]) -> list[str]:
    shown = {
        name: metric
        for name, metric in result["metrics"].items()
        if any(name in run for one in result["contenders"].values() for run in one["runs"])
    }
    if len(shown) > WIDE:
        return _turned(result, shown)
    lines = [
        f"| medians on that machine, in that hour | {' | '.join(metric['title'] for metric in shown.values())} |",
        f"| --- |{' --- |' * len(shown)}",
    ]
    for name, one in result["contenders"].items():
        cells = [_median(one, metric, how) for metric, how in shown.items()]
        lines.append(f"| **{name}**: {one['what']} | {' | '.join(cells)} |")
    return lines


def _turned(result: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """A line for each metric and a column for each contender; what the contenders are stands below."""
    contenders = result["contenders"]
    lines = [
        f"| medians on that machine, in that hour | {' | '.join(contenders)} |",
        f"| --- |{' --- |' * len(contenders)}",
    ]
    for metric, how in shown.items():
        cells = [_median(one, metric, how) for one in contenders.values()]
        lines.append(f"| {how['title']} | {' | '.join(cells)} |")
    return [*lines, "", *(f"* **{name}**: {one['what']}" for name, one in contenders.items())]


def _median(contender: Mapping[str, Any], metric: str, how: Mapping[str, Any]) -> str:
    values = [run[metric] for run in contender["runs"] if metric in run]
    return f"{statistics.median(values):.{how['digits']}f}" if values else "–"


def replaced(page: str, figures: str) -> str:
    """The page with its figures renewed. Raises ``ValueError`` when the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has lost its marks “{BEGIN}” and “{END}”.")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def main() -> None:
    found = newest(RESULTS)
    _renew(PAGE, [render(result) for result in found if result["bench"] != SCALE])
    for result in found:
        if result["bench"] == SCALE:
            _renew(SCALE_PAGE, [render(result), capacity.render(result, name=COSTS)])


def _renew(page: Path, sections: list[str]) -> None:
    page.write_text(replaced(page.read_text(encoding="utf-8"), "\n".join(sections)), encoding="utf-8")
    print(f"{page.relative_to(ROOT)} is up to date.")


if __name__ == "__main__":
    main()
