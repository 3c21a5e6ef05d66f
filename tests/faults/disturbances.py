"""What the soak breaks. Each function is one fault, chance decides its measure; it returns when what it broke is there again.

Public surface: :data:`DISTURBANCES`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

import psutil

from tests.faults.inspector import SYSTEMS
from tests.faults.soak import Soak

WORKERS = ("worker", "worker2")
#: By which method each system is written to.
WRITES = {"crm": "PATCH", "erp": "PUT", "psa": "POST", "billing": "POST"}


def worker_killed(soak: Soak) -> None:
    name = soak.chance.choice(WORKERS)
    with soak.fault("a worker and its children killed"):
        soak.site.kill(name)
    soak.site.start(name)


def workers_killed(soak: Soak) -> None:
    with soak.fault("all workers killed at once"):
        for name in WORKERS:
            soak.site.kill(name)
    for name in WORKERS:
        soak.site.start(name)


def child_killed(soak: Soak) -> None:
    name = soak.chance.choice(WORKERS)
    soak.site.wait(lambda: soak.site.children(name), what=f"children of {name}")
    with soak.fault("one child of a worker killed"), contextlib.suppress(psutil.NoSuchProcess):
        children = sorted(soak.site.children(name), key=lambda child: -child.num_threads())
        if children:
            soak.chance.choice(children[:2]).kill()


def worker_stopped(soak: Soak) -> None:
    """The lease is 3 s; somebody else takes over meanwhile."""
    name = soak.chance.choice(WORKERS)
    with soak.fault("a worker stopped past its lease, then woken"):
        soak.site.signal(name, signal.SIGSTOP)
    soak.pause(soak.chance.uniform(4, 9))
    soak.site.signal(name, signal.SIGCONT)


def worker_ended(soak: Soak) -> None:
    name = soak.chance.choice(WORKERS)
    process = soak.site.processes[name]
    with soak.fault("a worker told to end (SIGTERM)"):
        os.kill(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)
    if process.poll() is None:
        soak.restarted.append(f"{name} did not end within 40 s of SIGTERM")
    soak.site.restart(name)


def beat_killed(soak: Soak) -> None:
    with soak.fault("the scheduler killed"):
        soak.site.kill("beat")
        soak.pause(soak.chance.uniform(0, 5))
    soak.site.start("beat")


def web_killed(soak: Soak) -> None:
    with soak.fault("the web server killed"):
        soak.site.kill("web")
    soak.site.start("web")


def broker_killed(soak: Soak) -> None:
    with soak.fault("the broker killed"):
        soak.site.broker.kill()
        soak.site.broker.start()


def broker_wiped(soak: Soak) -> None:
    with soak.fault("the broker killed and wiped"):
        soak.site.broker.wipe()
        soak.site.broker.start()


def broker_away(soak: Soak) -> None:
    """Five minutes once, where the soak is long enough for it."""
    seconds = soak.chance.uniform(15, 45)
    if soak.seconds >= 1500 and "the broker away for five minutes" not in {
        name for _, _, name in soak.faults
    }:
        name, seconds = "the broker away for five minutes", 300.0
    else:
        name = "the broker away for up to 45 s"
    with soak.fault(name):
        soak.site.broker.kill()
        soak.pause(seconds)
        soak.site.broker.start()


def database_restarted(soak: Soak) -> None:
    with soak.fault("PostgreSQL restarted"):
        soak.site.database.stop()
        soak.site.database.start()


def database_killed(soak: Soak) -> None:
    with soak.fault("PostgreSQL killed"):
        soak.site.database.kill()
        soak.site.database.start()


def storm_of_429(soak: Soak) -> None:
    with soak.fault("429 with Retry-After 2 s from all systems"):
        for system in SYSTEMS:
            soak.site.control.fault(system, "status", status=429, headers={"Retry-After": "2"}, times=6)
        soak.pause(8)
        mend(soak)


def storm_of_5xx(soak: Soak) -> None:
    system = soak.chance.choice(SYSTEMS)
    with soak.fault("503 from one system for up to 30 s"):
        soak.site.control.fault(system, "status", status=503, times=None)
        soak.pause(soak.chance.uniform(10, 30))
        mend(soak)


def answers_cut(soak: Soak) -> None:
    """Writes that commit and whose answer is lost; Kantata, which offers neither key nor upsert, is one of the four."""
    with soak.fault("answers of committed writes lost"):
        for system, method in WRITES.items():
            for _ in range(3):
                kind = soak.chance.choice(("reset_after", "truncate", "hang_after"))
                soak.site.control.fault(
                    system,
                    kind,
                    method=method,
                    times=1,
                    skip=soak.chance.randrange(6),
                    seconds=3,
                )
        soak.pause(15)
        mend(soak)


def connections_broken(soak: Soak) -> None:
    with soak.fault("connections silent, dripping, broken"):
        for _ in range(10):
            kind = soak.chance.choice(("reset_before", "hang_before", "slow_body", "truncate", "hang_after"))
            soak.site.control.fault(
                soak.chance.choice(SYSTEMS), kind, times=1, skip=soak.chance.randrange(10), seconds=3
            )
        soak.pause(15)
        mend(soak)


def tokens_expired(soak: Soak) -> None:
    with soak.fault("all OAuth tokens expired"):
        for system in ("crm", "erp"):
            soak.site.control.expire_tokens(system)


def mend(soak: Soak) -> None:
    for system in SYSTEMS:
        soak.site.control.clear_faults(system)


DISTURBANCES: dict[str, Callable[[Soak], None]] = {
    found.__name__.replace("_", " "): found
    for found in (
        worker_killed, workers_killed, child_killed, worker_stopped, worker_ended, beat_killed, web_killed,
        broker_killed, broker_wiped, broker_away, database_restarted, database_killed, storm_of_429, storm_of_5xx,
        answers_cut, connections_broken, tokens_expired,
    )
}  # fmt: skip
