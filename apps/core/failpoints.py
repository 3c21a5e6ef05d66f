"""Failpoints: named places where a test may kill the real process, to prove that nothing is lost or doubled there.

Public surface: :func:`reach`.

The environment variable ``FAILPOINTS_FILE`` names a text file with one failpoint a line. A process that reaches a listed
point removes the line, appends the name to ``<file>.hit`` and kills itself with SIGKILL, children of its process group
included, as the kernel would. Refused in production; without the variable the call costs one attribute look-up.
"""

from __future__ import annotations

import fcntl
import os
import signal

_FILE = os.environ.get("FAILPOINTS_FILE", "") if os.environ.get("PSSYNC_ENV") != "production" else ""


def reach(name: str) -> None:
    """Say that execution is at ``name``; returns at once unless a test armed it."""
    if _FILE:
        _maybe_die(name)


def _maybe_die(name: str) -> None:
    if not os.path.exists(_FILE):
        return
    with open(_FILE, "r+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        armed = handle.read().splitlines()
        if "record" in armed:
            with open(f"{_FILE}.reached", "a", encoding="utf-8") as reached:
                reached.write(f"{name}\n")
        if name not in armed and "every" not in armed:
            return
        with open(f"{_FILE}.hit", "a+", encoding="utf-8") as hits:
            hits.seek(0)
            if name in hits.read().splitlines():
                return
            hits.write(f"{name}\n")
            hits.flush()
            os.fsync(hits.fileno())
        os.killpg(os.getpgrp(), signal.SIGKILL)
