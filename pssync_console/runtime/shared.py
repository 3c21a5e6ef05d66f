"""One embedded server, several processes: the first starts it, the last stops it, kill -9 included.

Public surface: :func:`hold`, :func:`release`, :func:`pid_in`, :func:`wait_gone`, :class:`SharedServer`.

A process that uses a server holds a shared ``flock`` on ``<run>/<name>.users``; the kernel drops it when the
process dies in whatever way. Who ends and can turn its lock into an exclusive one was the last user and stops
the server, while newcomers wait for that lock and then start it anew.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import time
from pathlib import Path
from typing import Protocol

import psutil


class SharedServer(Protocol):
    name: str
    run: Path

    def alive(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


_held: dict[Path, tuple[int, int, SharedServer]] = {}


def hold(server: SharedServer) -> None:
    """Make sure that ``server`` runs and keep it running at least until this process ends or releases it."""
    path = server.run / f"{server.name}.users"
    held = _held.get(path)
    if held and held[0] == os.getpid() and server.alive():
        return
    if not held or held[0] != os.getpid():
        users = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(users, fcntl.LOCK_SH)
        _held[path] = (os.getpid(), users, server)
        atexit.register(release, server)
    starter = os.open(server.run / f"{server.name}.start", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(starter, fcntl.LOCK_EX)
        if not server.alive():
            server.start()
    finally:
        os.close(starter)


def release(server: SharedServer) -> None:
    """Let go of ``server``; stops it when nobody else uses it. Forked children of a holder never stop it."""
    path = server.run / f"{server.name}.users"
    held = _held.get(path)
    if held is None or held[0] != os.getpid():
        return
    del _held[path]
    users = held[1]
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        server.stop()
    finally:
        os.close(users)


def wait_gone(pid: int | None, *, seconds: float = 30) -> None:
    """Wait until process ``pid`` has ended: a server falls silent a moment before its process is gone."""
    deadline = time.monotonic() + seconds
    while pid is not None and time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)


def pid_in(path: Path) -> int | None:
    """The pid on the first line of a server's pid file, None without one."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
