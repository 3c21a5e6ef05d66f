"""The embedded runtime: PostgreSQL and Valkey out of wheels, for demo, development and tests.

Public surface: :func:`ensure` (start what the environment leaves unset), :func:`database_url`,
:func:`broker_url`, :class:`RuntimeFailure`. ``PSSYNC_HOME`` (default ``.pssync/`` beside ``manage.py``) holds the
data. Every process that uses an embedded server holds a shared lock; the last one to end stops the server, so
nothing is left behind and nobody loses a server that is still used.
"""

from __future__ import annotations

from pathlib import Path

from pssync_console import environment
from pssync_console.runtime.home import RuntimeFailure, home
from pssync_console.runtime.postgres import EmbeddedPostgres
from pssync_console.runtime.shared import hold
from pssync_console.runtime.valkey import EmbeddedValkey

__all__ = ["RuntimeFailure", "broker_url", "database_url", "ensure"]


def database_url(at: Path | None = None) -> str:
    """The address of the embedded database below ``at`` (default: the home); nothing is started."""
    return EmbeddedPostgres(at or home()).url()


def broker_url(at: Path | None = None) -> str:
    """The kombu address of the embedded Valkey; nothing is started."""
    return EmbeddedValkey(at or home()).url()


def ensure(*, database: bool = True, broker: bool = True) -> None:
    """Start the embedded servers that the environment asks for by leaving their address unset, and hold them.

    Does nothing where ``DATABASE_URL`` or ``CELERY_BROKER_URL`` is set, and in production.
    """
    if environment.choice("PSSYNC_ENV", "embedded", ("embedded", "production")) == "production":
        return
    if database and not environment.is_set("DATABASE_URL"):
        hold(EmbeddedPostgres(home(), durable=environment.boolean("PSSYNC_EMBEDDED_DURABLE", True)))
    if broker and not environment.is_set("CELERY_BROKER_URL"):
        hold(EmbeddedValkey(home()))
