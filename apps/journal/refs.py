"""Human references that people can say on the phone: ``EX-10482``, ``TX-2026-000123``.

Public surface: :func:`next_ref`, :func:`next_refs`, :class:`ReferenceSequence` (migration operation for a new prefix).

A PostgreSQL sequence a prefix: references are unique and rise, and may have gaps where a transaction was rolled back.
"""

from __future__ import annotations

import re

from django.db import ProgrammingError, connection
from django.db.migrations.operations.base import Operation

from apps.core import clock

_PREFIX = re.compile(r"^[A-Z]{1,8}$")


def _sequence(prefix: str) -> str:
    if not _PREFIX.match(prefix):
        raise ValueError(f"{prefix!r} is not a reference prefix")
    return f"journal_ref_{prefix.lower()}"


def next_ref(prefix: str, *, year: bool) -> str:
    """The next reference of ``prefix``; with the year of the UTC day and six digits when ``year``."""
    return next_refs(prefix, year=year, count=1)[0]


def next_refs(prefix: str, *, year: bool, count: int) -> list[str]:
    """``count`` references in one round trip. Raises ``LookupError`` for a prefix that has no sequence."""
    sequence = _sequence(prefix)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval(%s::regclass) FROM generate_series(1, %s)", [sequence, count])
            numbers = [row[0] for row in cursor.fetchall()]
    except ProgrammingError as error:
        raise LookupError(f"there is no reference sequence for {prefix!r}") from error
    if year:
        return [f"{prefix}-{clock.today().year}-{number:06d}" for number in numbers]
    return [f"{prefix}-{number}" for number in numbers]


class ReferenceSequence(Operation):
    """Migration operation: the sequence of one prefix."""

    reversible = True
    reduces_to_sql = True

    def __init__(self, prefix: str, start: int = 1) -> None:
        self.prefix, self.start = prefix, start

    def deconstruct(self) -> tuple[str, list[object], dict[str, object]]:
        return type(self).__name__, [self.prefix], {"start": self.start}

    def state_forwards(self, app_label, state) -> None:
        """Nothing: sequences are no model state."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state) -> None:
        schema_editor.execute(f"CREATE SEQUENCE {_sequence(self.prefix)} AS bigint START {int(self.start)}")

    def database_backwards(self, app_label, schema_editor, from_state, to_state) -> None:
        schema_editor.execute(f"DROP SEQUENCE {_sequence(self.prefix)}")

    def describe(self) -> str:
        return f"Create the reference sequence of {self.prefix}"
