"""What ``manage.py check --deploy`` says of the way to the database; with ``--database default`` it also looks for itself.

Public surface: none; registered when the room starts.

A pooler is recognised by the process id of the server: the one told at log-in is the pooler's invention, the one that
answers a statement is real. Whether it carries prepared statements is seen by the name under which the server knows one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections
from psycopg import sql

#: pgbouncer's usual port.
POOLER_PORT = "6432"
_WHERE = "See “Through pgbouncer” in docs/production.md."


@register(deploy=True)
def pooling_as_told(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """What the settings alone show."""
    given: dict[str, Any] = settings.DATABASES["default"]
    found: list[CheckMessage] = []
    if settings.DATABASE_POOLING == "none":
        if str(given.get("PORT") or "") == POOLER_PORT:
            found.append(
                Warning(
                    "DATABASE_URL names pgbouncer's port, and DATABASE_POOLING is none.",
                    hint=f"Set DATABASE_POOLING=transaction if it pools in transaction mode. {_WHERE}",
                    id="core.W001",
                )
            )
    elif (given.get("OPTIONS") or {}).get("options"):
        found.append(
            Warning(
                "DATABASE_URL gives options at log-in, which a pooler in transaction mode refuses or ignores.",
                hint=f"Set them for the role: ALTER ROLE … SET …. {_WHERE}",
                id="core.W002",
            )
        )
    return found


@register(Tags.database, deploy=True)
def pooling_as_found(
    app_configs: Any, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """What the database shows; only where ``--database`` names it."""
    if "default" not in (databases or ()):
        return []
    try:
        pooled, carried = _look()
    except DatabaseError as error:
        return [Error(f"The database does not answer: {error}", id="core.E005")]
    if pooled and settings.DATABASE_POOLING == "none":
        hint = f"Set DATABASE_POOLING=transaction if it pools in transaction mode. {_WHERE}"
        return [
            Warning(
                "Between us and PostgreSQL is a pooler, and DATABASE_POOLING is none.",
                hint=hint,
                id="core.W003",
            )
        ]
    if settings.DATABASE_POOLING == "transaction":
        if not pooled:
            hint = f"DATABASE_POOLING=none lets the engine's statements be prepared. {_WHERE}"
            return [
                Warning("DATABASE_POOLING is transaction, and no pooler is there.", hint=hint, id="core.W004")
            ]
        if settings.DATABASE_PREPARE and not carried:
            hint = (
                f"Set DATABASE_PREPARE=false, or max_prepared_statements of pgbouncer 1.22 or newer. {_WHERE}"
            )
            said = "DATABASE_PREPARE is true, and the pooler does not carry prepared statements."
            return [Error(said, hint=hint, id="core.E004")]
    return []


def _look() -> tuple[bool, bool]:
    """Whether a pooler is there; whether it carries prepared statements. On a connection of its own, which leaves nothing."""
    own = connections["default"].copy()
    try:
        with own.wrap_database_errors:
            own.ensure_connection()
            raw: Any = own.connection
            with raw.transaction():
                real = raw.execute("SELECT pg_backend_pid()").fetchone()[0]
                return real != raw.info.backend_pid, _is_carried(raw)
    finally:
        own.close()


def _is_carried(raw: Any) -> bool:
    """A pooler that carries prepared statements gives them names of its own."""
    name = f"check_{secrets.token_hex(8)}"
    raw.pgconn.prepare(name.encode(), b"SELECT 1")
    known = raw.execute("SELECT 1 FROM pg_prepared_statements WHERE name = %s", [name]).fetchone()
    if known:
        raw.execute(sql.SQL("DEALLOCATE {}").format(sql.Identifier(name)))
    return not known
