"""What follows from an outside error: one decision object, pure, tested without clocks or networks.

Public surface: :func:`decide`, :func:`unknown_code`, :class:`Decision`, :data:`MONEY`, :data:`REFUSED`.

Back-off is exponential with full jitter
(``uniform(0, min(cap, base * 2**attempt))``), never earlier than the system's own ``Retry-After``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from apps.connectors.spi import AdapterError, ErrorKind

RETRIED = frozenset({ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.CONFLICT, ErrorKind.UNKNOWN})
#: Objects by which money moves: that the outcome of such a write is unknown is a person's business at once.
MONEY = frozenset({"invoice", "invoice_line", "payment"})
#: Data that somebody refuses without saying more than a sentence.
REFUSED = "INT-REJECTED"
#: The catalogue code where the vendor's answer brought none; "" = nothing that a person has to know a code of.
_DEFAULT_CODES = {
    ErrorKind.AUTH: "INT-AUTH",
    ErrorKind.PERMISSION: "INT-PERM",
    ErrorKind.CONTRACT_DRIFT: "INT-SCHEMA",
    ErrorKind.RATE_LIMITED: "INT-RATE",
    ErrorKind.CONFLICT: "INT-LOCK",
    ErrorKind.REJECTED: REFUSED,
    ErrorKind.NOT_FOUND: "PRJ-PARTIAL",
    ErrorKind.TRANSIENT: "",
}


@dataclass(frozen=True)
class Decision:
    """``retry`` after ``delay`` seconds · ``back`` to the queue, nothing was tried · ``hold`` for a person · ``dead`` (budget
    spent)."""

    verdict: Literal["retry", "back", "hold", "dead"]
    delay: float = 0.0
    code: str = ""


def unknown_code(object_type: str) -> str:
    """What it is called that nobody knows whether a write of such an object happened."""
    return "INV-UNKNOWN" if object_type in MONEY else "PRJ-PARTIAL"


def decide(
    error: AdapterError, *, attempts: int, object_type: str = "", chance: random.Random | None = None
) -> Decision:
    """``attempts`` counts failures in a row, this one included; ``object_type``: what was read or written."""
    if error.kind is ErrorKind.HELD_BACK:
        return Decision("back", delay=error.retry_after or 1.0)
    unknown = error.kind is ErrorKind.UNKNOWN
    code = error.code or (unknown_code(object_type) if unknown else _DEFAULT_CODES[error.kind])
    if error.kind not in RETRIED:
        return Decision("hold", code=code)
    if attempts >= settings.SYNC_MAX_ATTEMPTS:
        return Decision("dead", code="INT-POISON")
    ceiling = min(settings.SYNC_RETRY_CAP_SECONDS, settings.SYNC_RETRY_BASE_SECONDS * 2 ** (attempts - 1))
    delay = (chance or random).uniform(0, ceiling)
    return Decision("retry", delay=max(delay, error.retry_after or 0.0), code=code)
