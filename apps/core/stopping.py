"""A wish to stop that every process of a worker sees: Celery tells only the parent that it is shutting down.

Public surface: :func:`request`, :func:`requested`, :func:`withdraw`. One byte of shared memory, made before the pool forks.
"""

from __future__ import annotations

import mmap

_flag = mmap.mmap(-1, 1)


def request() -> None:
    """Ask long-running work in this process and its children to come to an end at the next good point."""
    _flag[0] = 1


def requested() -> bool:
    return _flag[0] == 1


def withdraw() -> None:
    """Nobody asks any more (tests; a process that goes on)."""
    _flag[0] = 0
