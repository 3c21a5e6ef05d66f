"""Brokers for a run of several processes: a ``redis-server`` of its own, and a virtual host of the machine's RabbitMQ.

Public surface: :func:`redis`, :func:`rabbitmq`, :class:`Broker`, :func:`free_port`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from benchmarks.processes import until

#: The machine's RabbitMQ; its user must be there, the virtual host is made and removed.
RABBITMQ = os.environ.get("BENCH_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672")
VHOST = f"pssync-bench-{os.getpid()}"


@dataclass(frozen=True)
class Broker:
    """``env``: what the product's processes are told; ``pid``: whose CPU time is the broker's, None when we may not see it."""

    name: str
    env: dict[str, str]
    pid: int | None


@contextlib.contextmanager
def redis() -> Iterator[Broker]:
    """Redis as it comes, without persistence: bells need none."""
    port = free_port()
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise RuntimeError("Neither redis-server nor valkey-server is on the PATH.")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: _answers("127.0.0.1", port), seconds=20, what="redis-server")
        yield Broker("Redis", {"CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0"}, process.pid)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def rabbitmq() -> Iterator[Broker]:
    """A fresh virtual host; the bells' queue is a quorum queue."""
    parts = urlsplit(RABBITMQ)
    host, port = parts.hostname or "127.0.0.1", parts.port or 5672
    if not _answers(host, port):
        raise RuntimeError(f"No RabbitMQ answers on port {port} of {host}.")
    _control("add_vhost", VHOST)
    try:
        _control("set_permissions", "-p", VHOST, parts.username or "guest", ".*", ".*", ".*")
        env = {"CELERY_BROKER_URL": f"{RABBITMQ.rstrip('/')}/{VHOST}", "BROKER_QUEUE_TYPE": "quorum"}
        yield Broker("RabbitMQ, quorum queue", env, _listener(port))
    finally:
        _control("delete_vhost", VHOST)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _control(*words: str) -> None:
    subprocess.run(["rabbitmqctl", "-q", *words], check=True, stdout=subprocess.DEVNULL, timeout=60)


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _listener(port: int) -> int | None:
    with contextlib.suppress(psutil.AccessDenied):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr[1] == port:
                return one.pid
    return None
