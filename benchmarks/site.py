"""Several web and worker services and a scheduler around one database, as on several machines: nothing is shared but
PostgreSQL (directly or through pgbouncer) and the broker.

Public surface: :class:`Site`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import psutil

from benchmarks.brokers import free_port
from benchmarks.harness import LOGS
from benchmarks.processes import ROOT, procfile, until

#: Processes of one worker service: a pump, and one for all other bells.
CHILDREN = 2
#: A write that a killed worker had under way is looked for after so long.
LEASE_SECONDS = 5


class Site:
    """``webs`` gunicorns, ``workers`` Celery workers of :data:`CHILDREN` processes each, one beat. A context manager."""

    def __init__(self, env: Mapping[str, str], *, webs: int = 2, workers: int = 4, **settings: str) -> None:
        self.env = {
            **env,
            "SYNC_PUMP_SLOTS": str(workers),
            "CELERY_WORKER_CONCURRENCY": str(CHILDREN),
            "SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
            **settings,
        }
        self.ports = {f"web{number}": free_port() for number in range(1, webs + 1)}
        self.workers = [f"worker{number}" for number in range(1, workers + 1)]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Site:
        try:
            for name in [*self.ports, *self.workers, "beat"]:
                self.start(name)
            for name in self.ports:
                until(lambda name=name: self._listens(name), seconds=90, what=f"{name}: {self.words(name)}")
            for name in self.workers:
                until(
                    lambda name=name: " ready." in self._log(name),
                    seconds=90,
                    what=f"{name}: {self.words(name)}",
                )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.processes:
            self.kill(name)

    def start(self, name: str) -> None:
        role = name.rstrip("0123456789")
        command = procfile(role, WEB_PORT=str(self.ports.get(name, 0)))
        if role == "worker":
            command += ["-n", f"{name}@%h"]
        path = LOGS / f"scale-{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        env = self.env | ({"WEB_PORT": str(self.ports[name])} if name in self.ports else {})
        with path.open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """``kill -9`` of the service with all its processes, as when its machine is gone."""
        process = self.processes[name]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def cpu_seconds(self, role: str) -> float:
        """CPU time of all services of a role (``web``, ``worker``, ``beat``) so far."""
        return sum(spent(one.pid) for name, one in self.processes.items() if name.startswith(role))

    def memory_mb(self, role: str) -> float:
        """Resident megabytes of all services of a role now, pages shared within the machine counted once."""
        total = 0
        for name, process in self.processes.items():
            if name.startswith(role):
                for one in _family(process.pid):
                    with contextlib.suppress(psutil.Error):
                        memory: Any = one.memory_full_info()
                        total += memory.pss
        return round(total / 2**20, 1)

    def words(self, name: str) -> str:
        return self._log(name)[-1500:]

    def errors(self) -> list[str]:
        """Lines of the services' logs that tell of an error."""
        marks = ('"level": "error"', '"level": "critical"', "Traceback")
        return [
            f"{name}: {line[:600]}"
            for name in self.processes
            for line in self._log(name).splitlines()
            if any(mark in line for mark in marks)
        ]

    def _log(self, name: str) -> str:
        path = LOGS / f"scale-{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _listens(self, name: str) -> bool:
        if self.processes[name].poll() is not None:
            raise RuntimeError(f"{name} ended: {self.words(name)}")
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=2)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def spent(pid: int) -> float:
    """CPU seconds of a process, of its living descendants, and of those that have ended."""
    total = 0.0
    for one in _family(pid):
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
