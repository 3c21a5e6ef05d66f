"""Wall clock of the sandbox. Public surface: now, stamp, parse."""

from datetime import UTC, datetime


def now() -> datetime:
    """Aware UTC time."""
    return datetime.now(UTC)


def stamp(moment: datetime | None = None) -> str:
    """ISO 8601 with milliseconds and ``Z``, e.g. ``2026-11-23T04:00:00.000Z``."""
    moment = (moment or now()).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parse(text: str) -> datetime:
    """Read an ISO 8601 date or date-time (any offset spelling) as aware UTC.

    Raises ValueError when the text is no date.
    """
    text = text.strip()
    if text.endswith(("Z", "z")):
        text = text[:-1] + "+00:00"
    elif len(text) > 5 and text[-5] in "+-" and text[-4:].isdigit() and "T" in text:
        text = f"{text[:-2]}:{text[-2:]}"
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
