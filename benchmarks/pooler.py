"""A pgbouncer in transaction mode before a PostgreSQL server, and what it counts.

Public surface: :class:`Pooler`, :func:`program`, :func:`version`.

``PGBOUNCER`` names another program than the one on the PATH (or in /usr/sbin, where Debian puts it).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pssync_console.runtime.postgres import OS_USER

#: The first that carries prepared statements and knows their deallocation.
CARRIES = (1, 22)
START_SECONDS = 20


def program() -> str | None:
    """The pgbouncer to use, None where none is installed."""
    named = os.environ.get("PGBOUNCER")
    return shutil.which(named or "pgbouncer") or (
        None if named else shutil.which("pgbouncer", path="/usr/sbin")
    )


def version(path: str) -> tuple[int, int]:
    said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    if found is None:
        raise RuntimeError(f"{path} says no version: {said}")
    return int(found[1]), int(found[2])


def _account() -> pwd.struct_passwd:
    """Who may reach the embedded server's socket; without one, nobody in particular."""
    try:
        return pwd.getpwnam(OS_USER)
    except KeyError:
        return pwd.getpwnam("nobody")


class Pooler:
    """One pgbouncer process on 127.0.0.1:``port`` with its files below ``at``; ``server_url`` is PostgreSQL's own address.

    ``prepared``: how many prepared statements it carries for each server connection (0: none, as older versions)."""

    def __init__(
        self, at: Path, *, server_url: str, port: int, pool: int = 20, prepared: int | None = None
    ) -> None:
        found = program()
        if found is None:
            raise RuntimeError("pgbouncer is not installed, and PGBOUNCER names none.")
        self.program, self.version = found, version(found)
        self.carries = self.version >= CARRIES and prepared != 0
        self.port, self.pool, self.prepared = port, pool, prepared
        self.log = at / "pgbouncer.log"
        self.file = at / "pgbouncer.ini"
        self._server = conninfo_to_dict(server_url)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql://{self._server['user']}@127.0.0.1:{self.port}/{database}"

    @property
    def env(self) -> dict[str, str]:
        """What the product's processes are told besides the address."""
        return {"DATABASE_POOLING": "transaction", "DATABASE_PREPARE": "true" if self.carries else "false"}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers. pgbouncer refuses to run as root: then it runs as PostgreSQL's user."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(self._settings())
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = _account()
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, "/dev/stdin"], stdin=self.file.open("rb"), stdout=log, stderr=log,
                start_new_session=True, **as_user
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"pgbouncer did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Pooler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def counted(self) -> dict[str, int]:
        """Since its start: ``transactions`` and ``statements`` that it passed on."""
        rows = [row for row in self._ask("SHOW STATS") if row["database"] != "pgbouncer"]
        return {
            "transactions": sum(int(row["total_xact_count"]) for row in rows),
            "statements": sum(int(row["total_query_count"]) for row in rows),
        }

    def connections(self) -> dict[str, int]:
        """Now: ``clients`` connected to it, ``waiting`` for a server connection, ``servers`` it holds, ``lent`` of them."""
        rows = [row for row in self._ask("SHOW POOLS") if row["database"] != "pgbouncer"]

        def total(*names: str) -> int:
            return sum(int(row[name]) for row in rows for name in names)

        return {
            "clients": total("cl_active", "cl_waiting"),
            "waiting": total("cl_waiting"),
            "servers": total("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"),
            "lent": total("sv_active"),
        }

    def _ask(self, command: str) -> list[dict[str, Any]]:
        with contextlib.closing(psycopg.connect(self.url("pgbouncer"), autocommit=True)) as admin:
            cursor = admin.execute(command.encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _settings(self) -> str:
        server = " ".join(
            f"{name}={self._server[name]}"
            for name in ("host", "port", "user", "password")
            if self._server.get(name)
        )
        lines = {
            "listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "any",
            "pool_mode": "transaction", "default_pool_size": self.pool, "max_client_conn": 1000,
            "max_db_connections": self.pool,
            "admin_users": self._server["user"], "stats_users": self._server["user"], "log_connections": 0,
            "log_disconnections": 0, "server_idle_timeout": 60,
        }  # fmt: skip
        if self.prepared is not None and self.version >= (1, 21):
            lines["max_prepared_statements"] = self.prepared
        own = "\n".join(f"{name} = {value}" for name, value in lines.items())
        return f"[databases]\n* = {server}\n\n[pgbouncer]\n{own}\n"
