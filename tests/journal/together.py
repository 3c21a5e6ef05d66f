"""Real concurrency: threads with database connections of their own, started at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections


def together(*works: Callable[[], Any]) -> list[Any]:
    """Run all at once; their results, an exception where one was raised."""
    barrier = threading.Barrier(len(works), timeout=20)

    def run(work: Callable[[], Any]) -> Any:
        try:
            connections["default"].ensure_connection()
            barrier.wait()
            return work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def outcomes(results: Sequence[Any]) -> dict[str, int]:
    """How often each result came, exceptions by their class name."""
    counted: dict[str, int] = {}
    for result in results:
        name = type(result).__name__ if isinstance(result, Exception) else str(result)
        counted[name] = counted.get(name, 0) + 1
    return counted
