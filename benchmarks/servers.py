"""The servers a bench runs on: one durable PostgreSQL for all contenders, the broker, and a fresh database for each run.

Public surface: :class:`Servers`.

Embedded by default (below ``.pssync/bench``, with ``fsync`` and ``synchronous_commit`` on). ``BENCH_DATABASE_URL`` names
another PostgreSQL server (a role that may create databases), ``BENCH_BROKER_URL`` another broker.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from pssync_console.runtime.postgres import DATABASE, EmbeddedPostgres
from pssync_console.runtime.shared import hold
from pssync_console.runtime.valkey import EmbeddedValkey

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".pssync" / "bench"
TEMPLATE = "pssync_bench_template"


class Servers:
    """Held until this process ends; the last user stops what is embedded."""

    def __init__(self) -> None:
        HOME.mkdir(parents=True, exist_ok=True)
        given = os.environ.get("BENCH_DATABASE_URL", "")
        if not given:
            server = EmbeddedPostgres(HOME, durable=True)
            hold(server)
            given = server.url(DATABASE)
        self._admin = given
        self.broker = os.environ.get("BENCH_BROKER_URL", "")
        if not self.broker:
            valkey = EmbeddedValkey(HOME)
            hold(valkey)
            self.broker = valkey.url()

    def url(self, database: str) -> str:
        parts = urlsplit(self._admin)
        # A socket's address has an empty network location, which urlunsplit would drop with its slashes.
        made = urlunsplit(parts._replace(path=f"/{database}", netloc=parts.netloc or "@"))
        return made

    def fresh(self, name: str, *, template: str = "template0") -> str:
        """A new database (one of that name is dropped first); its address."""
        self.drop(name)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop(self, name: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def migrated(self) -> str:
        """The name of a database with the product's tables and nothing in it, to clone from."""
        self.fresh(TEMPLATE)
        for command in (["migrate", "--verbosity", "0"], ["createcachetable"]):
            subprocess.run(
                [sys.executable, "manage.py", *command],
                check=True,
                cwd=ROOT,
                env=self.env(self.url(TEMPLATE)),
            )
        return TEMPLATE

    def env(self, database_url: str, **more: str) -> dict[str, str]:
        """The environment of the product's processes on this database."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "ENV_FILE": os.devnull,
            "PSSYNC_ENV": "embedded",
            "PSSYNC_HOME": str(HOME),
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": self.broker,
            "LOG_JSON": "true",
            "PYTHONWARNINGS": "ignore:::celery.platforms",
            **more,
        }

    def facts(self) -> dict[str, Any]:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            named = "SELECT current_setting(%s)"
            return {
                name: connection.execute(named, [name]).fetchone()[0]  # type: ignore[index]
                for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            }

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(statement)
