"""The same six calls for every peer: a prepared request through ``requests``' adapter, the fast way of that library.

Public surface: :func:`call`, :data:`STEPS`, :func:`talk`.
"""

from __future__ import annotations

import json
import sys
import threading
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
        "POST", f"{base_url}/w/{workflow}/{step}", data=payload(workflow, step), headers=headers(workflow, step)
    ).prepare()
    response = adapter.send(request, timeout=30)
    if response.status_code == 429:
        raise Busy
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


class Busy(Exception):
    """The vendor wants fewer calls at once."""


def talk() -> None:
    """Say that everything is prepared, and wait until the work is released."""
    print("ready", flush=True)
    sys.stdin.readline()
