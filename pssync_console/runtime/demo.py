"""``python -m pssync_console.runtime.demo``: the whole product on one machine, for ``make demo``.

Starts what the environment leaves unset of PostgreSQL and Valkey, migrates, runs the Procfile under honcho, waits
for health, seeds the demo firm, prints address and log-ins, and stops everything on Ctrl-C. With ``--once`` it does
the same on free ports and in a temporary data folder, runs the story and ends with its exit code.

Exit codes: 0 stopped on request (or the story held) · 1 something did not start, died or differed from the story.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import honcho.manager
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Printer

BASE_DIR = Path(__file__).resolve().parent.parent.parent
SANDBOX_PORTS = 7
HEALTH_SECONDS = 90
STOP_SECONDS = 15
#: Addresses of things that are not the story's own.
FOREIGN = ("DATABASE_URL", "CELERY_BROKER_URL", "SANDBOX_URL", "PUBLIC_URL")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description="Run the whole product on this machine.")
    parser.add_argument(
        "--once", action="store_true", help="run the story on fresh data, then end with its code"
    )
    once = parser.parse_args().once
    # A supervisor above us ends us with SIGTERM: then everything is stopped as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _environment(once=once)
        return _demo(once=once)
    except DemoError as error:
        print(f"pssync: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped before everything had started.")
        return 0


class DemoError(Exception):
    """One sentence that says why the demo cannot go on."""


def _environment(*, once: bool) -> None:
    """Settle ports, data folder and the environment that all processes share."""
    if once:
        # The story must meet neither the demo's data, nor a database that somebody works on, nor a foreign sandbox.
        for name in FOREIGN:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        os.environ["ENV_FILE"] = os.devnull
        os.environ["PSSYNC_HOME"] = tempfile.mkdtemp(prefix="pssync-story-")
        atexit.register(shutil.rmtree, os.environ["PSSYNC_HOME"], ignore_errors=True)
        base = _free_ports(SANDBOX_PORTS + 1)
        os.environ |= {"SANDBOX_PORT": str(base), "WEB_PORT": str(base + SANDBOX_PORTS)}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pssync_console.settings")
    os.environ.setdefault("WEB_PORT", "8000")
    os.environ.setdefault("SANDBOX_PORT", "9100")
    # Terminals are for people: what works is silent here, and the screens show it. The story is refused on purpose.
    os.environ.setdefault("LOG_LEVEL", "ERROR" if once else "WARNING")
    # A pump that ends soon lets the worker stop soon after Ctrl-C.
    os.environ.setdefault("SYNC_PUMP_SECONDS", "5")
    # What no push brings (delivery in the PSA) is seen while one looks.
    os.environ.setdefault("SYNC_POLL_SECONDS", "5")
    # As root, Celery warns at every start; root runs demos in containers, and production has its own users.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:::celery.platforms")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    web, sandbox = _port("WEB_PORT"), _port("SANDBOX_PORT")
    for port in (web, *range(sandbox, sandbox + SANDBOX_PORTS)):
        if not _is_free(port):
            name = "WEB_PORT" if port == web else "SANDBOX_PORT"
            raise DemoError(
                f"Port {port} is taken by another program; choose another, as in make demo {name}=…"
            )


def _demo(*, once: bool) -> int:
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import get_commands

    from pssync_console import runtime
    from pssync_console.runtime.home import home

    os.environ["PSSYNC_HOME"] = str(home())
    try:
        django.setup()
        print("Starting PostgreSQL and the broker …", flush=True)
        runtime.ensure()
    except (ImproperlyConfigured, runtime.RuntimeFailure) as error:
        raise DemoError(str(error)) from error
    _migrate()
    commands = set(get_commands())
    if once and "run_story" not in commands:
        raise DemoError("There is no command run_story, so there is no story to run.")
    honcho.manager.KILL_WAIT = STOP_SECONDS
    supervisor = Supervisor()
    for name, command in parse_procfile((BASE_DIR / "Procfile").read_text()).processes.items():
        supervisor.add_process(name, command, env=dict(os.environ), cwd=str(BASE_DIR))
    # The story sets the firm up itself: it starts before any deal.
    wanted = "run_story" if once else "seed_demo"
    follower = Follower(supervisor, steps=[wanted] if wanted in commands else [], once=once)
    follower.start()
    supervisor.loop()
    follower.end()
    return max(follower.code, supervisor.verdict())


def _migrate() -> None:
    """Bring the database up to date; asks first, because an idle ``migrate`` costs seconds at every start."""
    from django.core.management import call_command
    from django.db import connection, connections
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        print("Migrating the database …", flush=True)
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
    # The children are forked from here and must not share a connection.
    connections.close_all()


class GentleProcesses:
    """Ask the leader to stop, so that it ends its children in order; kill the whole group when it does not."""

    @staticmethod
    def terminate(pid: int) -> None:
        GentleProcesses._send(os.kill, pid, signal.SIGTERM)

    @staticmethod
    def kill(pid: int) -> None:
        GentleProcesses._send(os.killpg, pid, signal.SIGKILL)

    @staticmethod
    def _send(send, pid: int, number: signal.Signals) -> None:
        try:
            send(pid, number)
        except ProcessLookupError:
            return


class Supervisor(Manager):
    """Honcho's manager that may be asked to stop from a thread or before all processes have reported."""

    def __init__(self) -> None:
        super().__init__(printer=Printer(sys.stdout))
        self._procmgr = GentleProcesses()
        self.stop_requested = self.killed = False
        self.died: list[str] = []

    def terminate(self) -> None:
        if not self.stop_requested:
            self.died = [name for name, p in self._processes.items() if p.get("returncode") is not None]
        self.stop_requested = True
        # A process that has not reported its pid yet cannot be stopped: the loop comes back when all have.
        if self._all_started():
            super().terminate()

    def kill(self) -> None:
        self.killed = True
        super().kill()

    def verdict(self) -> int:
        """0 when everything stopped because it was asked to."""
        for name in self.died:
            print(f"pssync: {name} ended by itself, so the rest was stopped.", file=sys.stderr)
        return 1 if self.died or self.killed else 0

    def forked(self) -> bool:
        """Whether every process has been started."""
        return self._all_started()

    def _any_stopped(self) -> bool:
        return self.stop_requested or super()._any_stopped()


class Follower(threading.Thread):
    """Beside the supervisor: waits for health, runs the steps (management commands) and says where to look."""

    def __init__(self, supervisor: Supervisor, *, steps: list[str], once: bool) -> None:
        super().__init__(daemon=True)
        self.code = 0
        self._supervisor, self._steps, self._once = supervisor, steps, once
        self._step: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        try:
            self._follow()
        except DemoError as error:
            if not self._supervisor.stop_requested:
                print(f"pssync: {error}", file=sys.stderr)
                self.code = 1
        if self._once or self.code:
            self._supervisor.stop_requested = True

    def end(self) -> None:
        """Stop a step that still runs: it has a process group of its own, so Ctrl-C has not reached it."""
        with self._lock:
            step = self._step
        if step is not None and step.poll() is None:
            step.terminate()
            step.wait(timeout=STOP_SECONDS)
        self.join(timeout=STOP_SECONDS)

    def _follow(self) -> None:
        # Nothing but sleep while the supervisor forks: a lock that this thread held would stay locked in the child.
        while not self._supervisor.forked():
            time.sleep(0.05)
        web = f"http://127.0.0.1:{_port('WEB_PORT')}"
        self._wait_for("the console", f"{web}/livez")
        self._wait_for("the sandbox", f"http://127.0.0.1:{_port('SANDBOX_PORT')}/_control/health")
        for command in self._steps:
            self._run(command)
        if not self._once:
            print(f"\nPS Sync Console is at {web} (stop with Ctrl-C)\n", flush=True)

    def _wait_for(self, what: str, url: str) -> None:
        deadline = time.monotonic() + HEALTH_SECONDS
        while not self._supervisor.stop_requested:
            try:
                with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own loopback address
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise DemoError(f"{what} did not answer at {url} within {HEALTH_SECONDS} s.") from None
            time.sleep(0.1)
        raise DemoError("stopped while starting.")

    def _run(self, command: str) -> None:
        with self._lock:
            if self._supervisor.stop_requested:
                raise DemoError("stopped while starting.")
            self._step = subprocess.Popen(
                [sys.executable, str(BASE_DIR / "manage.py"), command], cwd=BASE_DIR, start_new_session=True
            )
        code = self._step.wait()
        if code:
            raise DemoError(f"{command} ended with exit code {code}.")


def _port(name: str) -> int:
    value = os.environ[name]
    highest = 65535 - (SANDBOX_PORTS if name == "SANDBOX_PORT" else 0)
    if not value.isdigit() or not 1024 <= int(value) <= highest:
        raise DemoError(f"{name} must be a port between 1024 and {highest}, not {value!r}.")
    return int(value)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do; otherwise a connection that was closed a minute ago looks like a program.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> int:
    """The first of ``count`` free ports in a row, below those that the kernel gives to outgoing connections."""
    offset = os.getpid() % 500 * 10
    for base in (*range(24000 + offset, 32000, 10), *range(24000, 24000 + offset, 10)):
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise DemoError(f"No {count} free ports in a row were found between 24000 and 32000.")


if __name__ == "__main__":
    sys.exit(main())
