"""How much of a day's calls a system has left, as its own answers tell: what can wait leaves the rest to what cannot.

Public surface: :func:`can_wait`, :func:`leave_room`, :func:`heard`, :func:`forget`, :data:`SCARCE`.

Each process remembers what it heard last, for a few minutes: every answer tells it again, and where nobody has heard anything
for longer, one call that can wait finds out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from django.utils.translation import gettext as _

from apps.connectors.spi import AdapterError, ErrorKind

log = structlog.get_logger(__name__)
#: From this share of the allowance on, only what cannot wait is sent.
SCARCE = 0.95
#: How long something heard is believed, and after how many seconds what was held back is tried again.
BELIEVED_SECONDS, AGAIN_SECONDS = 300.0, 60.0
_waits: ContextVar[bool] = ContextVar("can_wait", default=False)
#: System id → share used, and until when (monotonic clock) that is believed.
_told: dict[int, tuple[float, float]] = {}


@contextmanager
def can_wait() -> Iterator[None]:
    """Calls inside (in this thread) are not urgent: polling, reading a catalogue anew. They leave scarce calls to others."""
    token = _waits.set(True)
    try:
        yield
    finally:
        _waits.reset(token)


def heard(system_id: int, used: float | None) -> None:
    """What an answer told: the share of the allowance that is used, 0 to 1 and above; None: it told nothing."""
    if used is None:
        return
    before = _told.get(system_id, (0.0, 0.0))[0]
    _told[system_id] = (used, time.monotonic() + BELIEVED_SECONDS)
    if before < SCARCE <= used:
        log.warning("allowance_scarce", system_id=system_id, used=round(used, 4))


def leave_room(system_id: int, name: str) -> None:
    """Raises ``AdapterError`` of kind ``HELD_BACK`` for a call that can wait while the allowance is nearly used up."""
    used, until = _told.get(system_id, (0.0, 0.0))
    if not _waits.get() or used < SCARCE or time.monotonic() >= until:
        return
    raise AdapterError(
        ErrorKind.HELD_BACK,
        _("%(system)s has little left of its calls a day; what can wait leaves them to what cannot.")
        % {"system": name},
        vendor_code="allowance",
        retry_after=AGAIN_SECONDS,
        details={"system_id": system_id},
    )


def forget(system_id: int | None = None) -> None:
    """Forget what a system (None: every one) told: its connection was set anew."""
    if system_id is None:
        _told.clear()
    else:
        _told.pop(system_id, None)
