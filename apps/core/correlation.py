"""Correlation ids: one UUID that follows a piece of work through doors, rows, log lines and outbound calls.

Public surface: :func:`current`, :func:`bind`, :func:`parse`, :data:`HEADER`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

HEADER = "X-Correlation-Id"
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def parse(value: str | None) -> str:
    """A canonical UUID text from a header, or "" when it is none (a stranger's free text never enters our logs)."""
    try:
        return str(uuid.UUID((value or "").strip()))
    except ValueError:
        return ""


def current() -> str:
    """The bound id; one is minted and bound when there is none."""
    value = _current.get()
    if not value:
        value = str(uuid.uuid4())
        _current.set(value)
    return value


@contextmanager
def bind(value: str | uuid.UUID | None = None) -> Iterator[str]:
    """Bind ``value`` (or a new id) for the block, in log lines too."""
    text = parse(str(value)) if value else ""
    text = text or str(uuid.uuid4())
    token = _current.set(text)
    try:
        with structlog.contextvars.bound_contextvars(correlation_id=text):
            yield text
    finally:
        _current.reset(token)
