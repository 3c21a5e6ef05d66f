"""Servers that a fault may kill: a PostgreSQL of the test's own and brokers of three kinds.

Public surface: :class:`Database`, :func:`broker` (``valkey``, ``redis``, ``rabbitmq``), :class:`Broker`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg

from pssync_console.runtime.postgres import EmbeddedPostgres, programs
from pssync_console.runtime.shared import pid_in, wait_gone
from pssync_console.runtime.valkey import EmbeddedValkey

START_SECONDS = 60


class Database(EmbeddedPostgres):
    """A durable PostgreSQL (fsync on) below ``at`` that is killed, stopped, frozen and started again.

    ``options`` are server settings that go before ours (``max_connections=20``)."""

    def __init__(self, at: Path, **options: str) -> None:
        at.mkdir(parents=True, exist_ok=True)
        super().__init__(at)
        self.options = options

    def _options(self) -> str:
        return super()._options() + "".join(f" -c {name}={value}" for name, value in self.options.items())

    def fill_from(self, template: Mapping[str, Any]) -> None:
        """Take over schema and rows of a database that psycopg reaches by these parameters."""
        source = {"PGDATABASE": template["dbname"], "PGHOST": template.get("host", "")}
        source |= {"PGUSER": template.get("user", ""), "PGPASSWORD": template.get("password", "")}
        source["PGPORT"] = str(template.get("port", "") or "5432")
        dump = subprocess.Popen(
            [str(programs() / "pg_dump"), "--no-owner", "--no-privileges"],
            env=os.environ | source,
            stdout=subprocess.PIPE,
        )
        target = [str(programs() / "psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-1", self.url()]
        subprocess.run(target, stdin=dump.stdout, stdout=subprocess.DEVNULL, check=True)
        assert dump.wait() == 0, "pg_dump failed"

    def processes(self) -> list[psutil.Process]:
        pid = pid_in(self.data / "postmaster.pid")
        if pid is None or not psutil.pid_exists(pid):
            return []
        postmaster = psutil.Process(pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self) -> None:
        """``kill -9`` of the server and all its backends at once: nobody gets to finish a commit."""
        victims = self.processes()
        for one in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        for one in victims:
            wait_gone(one.pid)

    def freeze(self, frozen: bool = True) -> None:
        """SIGSTOP (or SIGCONT) of the server and all its backends."""
        for one in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def connect(self, **more: Any) -> psycopg.Connection:
        return psycopg.connect(self.url(), autocommit=True, connect_timeout=5, **more)

    def end(self) -> None:
        self.freeze(False)
        self.kill()


class Broker(Protocol):
    name: str

    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def wipe(self) -> None: ...


class Valkey(EmbeddedValkey):
    """The product's own embedded broker."""

    name = "valkey"

    def kill(self) -> None:
        _kill(pid_in(self.data / "server.pid"))

    def wipe(self) -> None:
        """Killed, and all that it kept is gone; start it again afterwards."""
        self.kill()
        shutil.rmtree(self.data)

    def stop(self) -> None:
        self.kill()


class Redis:
    """The distribution's ``redis-server`` with an append-only file, on a port of the test's own."""

    name = "redis"

    def __init__(self, at: Path, port: int) -> None:
        self.data, self.port = at / "redis", port
        self.process: subprocess.Popen[bytes] | None = None

    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.data.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data), "--save", "",
             "--appendonly", "yes", "--appendfsync", "everysec", "--logfile", str(self.data / "server.log")],
        )  # fmt: skip
        _wait_for_port(self.port)

    def kill(self) -> None:
        _end(self.process)

    stop = kill

    def wipe(self) -> None:
        self.kill()
        shutil.rmtree(self.data)


class RabbitMQ:
    """A node of the distribution's ``rabbitmq-server``, with ports, cookie and data of the test's own."""

    name = "rabbitmq"

    def __init__(self, at: Path, port: int, dist_port: int) -> None:
        self.data, self.port, self.dist_port = at / "rabbitmq", port, dist_port
        self.process: subprocess.Popen[bytes] | None = None

    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        self.data.mkdir(exist_ok=True)
        (self.data / "plugins").write_text("[].\n")
        (self.data / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 512MB\n"
        )
        own = {
            "HOME": str(self.data),
            "RABBITMQ_NODENAME": f"faults{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.data / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.data / "no-env.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.data / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data / "plugins"),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }
        with (self.data / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_rabbit_program()], env=os.environ | own, stdout=log, stderr=log, start_new_session=True
            )
        _wait_for_port(self.port)

    def kill(self) -> None:
        _end(self.process)

    stop = kill

    def wipe(self) -> None:
        self.kill()
        shutil.rmtree(self.data / "mnesia")


def broker(name: str, at: Path, port: int) -> Broker:
    """One that is not started yet, with its data below ``at``; ``port`` and ``port - 2`` are free for it."""
    match name:
        case "valkey":
            return Valkey(at)
        case "redis":
            return Redis(at, port)
    return RabbitMQ(at, port, port - 2)


def _rabbit_program() -> str:
    """The server's own script: the wrapper of a distribution insists on its own user and folders."""
    found = sorted(Path("/usr/lib/rabbitmq").glob("lib/*/sbin/rabbitmq-server"))
    return str(found[-1]) if found else "rabbitmq-server"


def _kill(pid: int | None) -> None:
    if pid is not None and psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """``kill -9`` of a process and its children (a script may have started the server)."""
    if process is None or process.poll() is not None:
        return
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait(timeout=10)
    _, left = psutil.wait_procs(family, timeout=10)  # what still ends may still write
    assert not left, left


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
