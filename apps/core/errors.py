"""Application errors: each says in one sentence what is wrong and maps to HTTP in one place.

Public surface: :class:`AppError` and its kinds. ``type``, ``title`` and ``status`` feed RFC 9457 problem documents.
"""

from __future__ import annotations

from collections.abc import Mapping


class AppError(Exception):
    """Base of all expected failures. ``message`` is a plain sentence for a person; ``code`` a catalogue code or ""."""

    status = 500
    title = "Something went wrong"
    type = "error"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class InvalidInput(AppError):
    """The request cannot be understood or breaks a rule of its own; ``fields`` names each wrong field."""

    status = 400
    title = "Invalid input"
    type = "invalid-input"

    def __init__(self, message: str, *, code: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code)
        self.fields = dict(fields or {})


class NotAllowed(AppError):
    """This person may not do this; ``who`` names who could act instead (may be empty)."""

    status = 403
    title = "Not allowed"
    type = "not-allowed"

    def __init__(self, message: str, *, code: str = "", who: str = "") -> None:
        super().__init__(message, code=code)
        self.who = who


class NotFound(AppError):
    """There is no such thing, or not for this person (the two are never told apart)."""

    status = 404
    title = "Not found"
    type = "not-found"


class WrongState(AppError):
    """The thing exists and the person may act, but not in its present state."""

    status = 409
    title = "Not possible in this state"
    type = "wrong-state"


class Stale(AppError):
    """What was shown has changed since; look again before acting."""

    status = 409
    title = "Changed since you looked"
    type = "stale"


class TooLarge(AppError):
    status = 413
    title = "Too large"
    type = "too-large"


class Unavailable(AppError):
    """A needed system or record cannot be reached now; trying later may help."""

    status = 503
    title = "Unavailable"
    type = "unavailable"
