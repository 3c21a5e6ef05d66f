"""What follows from an outside error: one decision object, pure, tested without clocks or networks.

Public surface: :func:`decide`, :class:`Decision`. Back-off is exponential with full jitter
(``uniform(0, min(cap, base * 2**attempt))``), never earlier than the system's own ``Retry-After``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from apps.connectors.spi import AdapterError, ErrorKind

RETRIED = frozenset({ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.CONFLICT, ErrorKind.UNKNOWN})
#: The catalogue code where the vendor's answer brought none.
DEFAULT_CODES = {
    ErrorKind.AUTH: "INT-AUTH",
    ErrorKind.PERMISSION: "INT-PERM",
    ErrorKind.CONTRACT_DRIFT: "INT-SCHEMA",
    ErrorKind.RATE_LIMITED: "INT-RATE",
    ErrorKind.CONFLICT: "INT-LOCK",
    ErrorKind.REJECTED: "INT-POISON",
    ErrorKind.NOT_FOUND: "PRJ-PARTIAL",
    ErrorKind.TRANSIENT: "INT-POISON",
    ErrorKind.UNKNOWN: "INV-UNKNOWN",
}


@dataclass(frozen=True)
class Decision:
    """``retry`` after ``delay`` seconds · ``back`` to the queue, nothing was tried · ``hold`` for a person · ``dead`` (budget
    spent)."""

    verdict: Literal["retry", "back", "hold", "dead"]
    delay: float = 0.0
    code: str = ""


def decide(error: AdapterError, *, attempts: int, chance: random.Random | None = None) -> Decision:
    """``attempts`` counts failures in a row, this one included."""
    if error.kind is ErrorKind.HELD_BACK:
        return Decision("back", delay=error.retry_after or 1.0)
    code = error.code or DEFAULT_CODES[error.kind]
    if error.kind not in RETRIED:
        return Decision("hold", code=code)
    if attempts >= settings.SYNC_MAX_ATTEMPTS:
        return Decision("dead", code="INT-POISON")
    ceiling = min(settings.SYNC_RETRY_CAP_SECONDS, settings.SYNC_RETRY_BASE_SECONDS * 2 ** (attempts - 1))
    delay = (chance or random).uniform(0, ceiling)
    return Decision("retry", delay=max(delay, error.retry_after or 0.0), code=code)
