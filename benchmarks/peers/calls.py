"""The same six calls for every peer, through ``requests``.

Public surface: :func:`call` (a prepared request through the library's adapter, its fast way), :func:`session_call` (a kept
``Session``, as most people use it), :data:`STEPS`, :func:`paced`, :func:`talk`, :func:`rest`.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

STEPS = 6
_local = threading.local()


def payload(workflow: str, step: int) -> bytes:
    """About 400 bytes, as the product's own writes have."""
    return json.dumps(
        {
            "key": f"{workflow}-{step}", "refs": {"customer": f"{workflow}-1"}, "engagement_key": f"ENG-{workflow}",
            "name": f"Milestone {step} of the implementation of {workflow}", "status": "planned",
            "amount": {"amount": "25000.00", "currency": "GBP"}, "due_on": None, "accepted_at": None, "evidence": "",
            "service_code": "IMP-200", "note": "x" * 100,
        }
    ).encode()  # fmt: skip


def headers(workflow: str, step: int) -> dict[str, str]:
    return {"Content-Type": "application/json", "Idempotency-Key": f"{workflow}-{step}"}


def call(base_url: str, workflow: str, step: int) -> dict[str, Any]:
    """One write; the answer's JSON. Raises :class:`Busy` for 429 and ``requests`` errors for everything else."""
    adapter = getattr(_local, "adapter", None)
    if adapter is None:
        adapter = _local.adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1)
    request = requests.Request(
        "POST",
        f"{base_url}/w/{workflow}/{step}",
        data=payload(workflow, step),
        headers=headers(workflow, step),
    ).prepare()
    return _result(adapter.send(request, timeout=30))


def session_call(base_url: str, workflow: str, step: int) -> dict[str, Any]:
    """The same through a session of this thread."""
    session = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
    url = f"{base_url}/w/{workflow}/{step}"
    return _result(
        session.post(url, data=payload(workflow, step), headers=headers(workflow, step), timeout=30)
    )


def _result(response: requests.Response) -> dict[str, Any]:
    if response.status_code == 429:
        raise Busy
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


def paced(n: int, rate: float) -> Iterator[str]:
    """Names of events, each at its time: ``rate`` a second on average, at irregular moments that are the same for all."""
    chance, due = random.Random(2026), time.monotonic()
    for number in range(n):
        time.sleep(max(0.0, due - time.monotonic()))
        yield f"F{number:06d}"
        due += chance.expovariate(rate)


class Busy(Exception):
    """The vendor wants fewer calls at once."""


def talk() -> None:
    """Say that everything is prepared, and wait until the work is released."""
    print("ready", flush=True)
    sys.stdin.readline()


def rest() -> None:
    """The work is done: stay until ended, so that CPU and memory can still be read."""
    sys.stdin.read()
