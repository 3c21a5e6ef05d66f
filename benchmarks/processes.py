"""Processes of a run: started in a group of their own, watched for memory, ended whole.

Public surface: :class:`Group`, :func:`procfile`, :func:`cpu_seconds`, :func:`until`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SECONDS = 0.2


def procfile(name: str, **variables: str) -> list[str]:
    """The command of a process as production starts it, run by this interpreter's environment."""
    for line in (ROOT / "Procfile").read_text().splitlines():
        found, _, command = line.partition(":")
        if found == name:
            for variable, value in variables.items():
                command = command.replace(f"${variable}", value)
            words = shlex.split(command)
            return [str(Path(sys.executable).parent / words[1]), *words[2:]]
    raise LookupError(f"The Procfile has no process {name}.")


class Group:
    """One or several processes that together are a contender. Use as a context manager: leaving it ends them."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._processes: list[subprocess.Popen[str]] = []
        self._peak = {"rss": 0, "pss": 0}
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Group:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """A process that says ``ready`` and waits for ``go``."""
        self._start(command, env, talks=True)

    def start_logged(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """A process that does not talk to us: all it says goes to the log."""
        self._start(command, env, talks=False)

    def _start(self, command: Sequence[str], env: Mapping[str, str], *, talks: bool) -> None:
        with self._log.open("ab") as log:
            inward, outward = (subprocess.PIPE, subprocess.PIPE) if talks else (subprocess.DEVNULL, log)
            self._processes.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=dict(env),
                    stdin=inward,
                    stdout=outward,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            )

    def ready(self) -> None:
        """Wait until each has said ``ready``. Raises ``RuntimeError`` with its log when one ends instead."""
        for process in self._processes:
            assert process.stdout is not None
            while (line := process.stdout.readline()) != "ready\n":
                if not line:
                    raise RuntimeError(f"{self._log.stem} did not start: {self.words()}")

    def go(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def alive(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def words(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def peak(self) -> dict[str, float]:
        """Most megabytes that the group held at once: resident, and resident with shared pages counted once."""
        return {name: round(size / 2**20, 1) for name, size in self._peak.items()}

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(process.pid) for process in self._processes)

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            sizes = [sum(values) for values in zip(*self._sizes(), strict=True)]
            for name, size in zip(("rss", "pss"), sizes, strict=False):
                self._peak[name] = max(self._peak[name], size)

    def _sizes(self) -> list[tuple[int, int]]:
        found = []
        for process in _family([process.pid for process in self._processes]):
            with contextlib.suppress(psutil.Error):
                memory: Any = process.memory_full_info()
                found.append((memory.rss, memory.pss))
        return found


def _family(pids: Sequence[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its living descendants."""
    total = 0.0
    for process in _family([pid]):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def until(condition: Any, *, seconds: float, what: str, pause: float = 0.02) -> Any:
    """Ask until the answer is true. Raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
    return answer
