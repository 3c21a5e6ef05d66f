"""Ratios are taken round by round, a missed goal is an exit code, a wrong result has no speed; the page shows the newest."""

from __future__ import annotations

import json

import pytest

from benchmarks import harness, report
from benchmarks.harness import Bench, Contender, Goal, WrongResult
from benchmarks.processes import procfile
from benchmarks.sync import Sync


def bench(goal: Goal, **runs: list[float]) -> Bench:
    contenders = [Contender(name, f"What {name} is.", dict) for name in runs]
    made = Bench("try", "A try", "", {"speed": ("things/s", 1)}, [goal], contenders)
    made.runs = {name: [{"speed": value} for value in values] for name, values in runs.items()}
    return made


def test_a_ratio_is_taken_within_each_round():
    found = harness.ratio(
        bench(Goal("a to b", "speed", "a", "b"), a=[10, 30, 8], b=[5, 10, 8]), Goal("", "speed", "a", "b")
    )
    assert found == (2.0, 1.0, 3.0)


def test_contenders_run_in_turn():
    order: list[str] = []

    def run(name: str) -> dict[str, float]:
        order.append(name)
        return {"speed": 1.0}

    contenders = [Contender(name, "", lambda name=name: run(name)) for name in "ab"]
    made = Bench("try", "A try", "", {"speed": ("things/s", 1)}, [], contenders)
    harness.interleave(made, rounds=2)
    assert order == ["a", "b", "a", "b"]
    assert made.runs["a"] == [{"speed": 1.0}] * 2


@pytest.mark.parametrize(
    ("goal", "code"),
    [
        (Goal("", "speed", "a", "b", at_least=2), 0),
        (Goal("", "speed", "a", "b", at_least=2.1), 1),
        (Goal("", "speed", "a", "b", at_most=2), 0),
        (Goal("", "speed", "a", "b", at_most=1.9), 1),
        (Goal("", "speed", "a", "b"), 0),
        (Goal("", "speed", "a", at_least=11), 1),
    ],
)
def test_a_missed_goal_is_an_exit_code(goal, code, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    assert harness.keep(bench(goal, a=[10], b=[5])) == code
    kept = json.loads(next(tmp_path.glob("*-try.json")).read_text())
    assert kept["contenders"]["a"]["runs"] == [{"speed": 10}]
    assert kept["facts"]["cores"]


@pytest.mark.parametrize(
    "change",
    [{"effects": 11}, {"effects": 13}, {"workflows": 1}, {"doubles": 1}, {"repeats": 1}],
)
def test_what_was_lost_doubled_or_sent_again_is_no_result(change):
    exact = {"effects": 12, "workflows": 2, "doubles": 0, "repeats": 0}
    Sync._prove(exact, 2)
    with pytest.raises(WrongResult):
        Sync._prove(exact | change, 2)


def test_the_worker_is_started_as_the_procfile_says():
    command = procfile("web", WEB_PORT="1234")
    assert command[0].endswith("/gunicorn")
    assert command[command.index("--bind") + 1] == "127.0.0.1:1234"
    with pytest.raises(LookupError):
        procfile("nothing")


def test_the_page_shows_the_newest_result_of_each_bench(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    goal = Goal("a to b", "speed", "a", "b", at_least=4)
    harness.keep(bench(goal, a=[10], b=[5]))
    old = json.loads(next(tmp_path.glob("*-try.json")).read_text())
    old |= {"at": "2020-01-01T00:00:00+00:00", "title": "An old try"}
    (tmp_path / "2020-01-01-try.json").write_text(json.dumps(old))
    found = report.newest(tmp_path)
    assert [one["title"] for one in found] == ["A try"]
    shown = report.render(found[0])
    assert "| a to b | 2.00 | 2.00 – 2.00 | ≥ 4 | missed |" in shown
    assert "| **a**: What a is. | 10.0 |" in shown


def test_only_the_part_between_the_marks_is_replaced():
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.replaced(page, "new\n") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="marks"):
        report.replaced("no marks", "new")
