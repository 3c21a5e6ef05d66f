"""PostgreSQL is killed, restarted, frozen, out of connections, out of space: what was acknowledged is stored."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.faults.drill import Drill
from tests.faults.load import Job, Sender, notes, post
from tests.faults.servers import Database
from tests.faults.site import Site, until

pytestmark = pytest.mark.fault


def known_again(site: Site, jobs: Sequence[Job]) -> tuple[int, int]:
    """Bring what was acknowledged once more: ``(how many, how many of them are not known any more)``.

    A door that still has an event says 200 (received before), one that has lost it says 202 (new)."""
    before = [job for job in jobs if job.acknowledged]
    return len(before), sum(post(site, job) != 200 for job in before)


def test_postgresql_killed_during_commit_has_stored_what_was_acknowledged(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 12. Every server process at once, in a stream of commits; no event is sent twice before all are counted."""
    site.only("web")
    run = drill(site, 12, "PostgreSQL killed during commit, five times, six senders")
    events = [*run.deals(15), *notes(1500, run.chance)]
    run.chance.shuffle(events)
    sender = Sender(site, events, threads=6, again=False)
    for _ in range(5):
        time.sleep(run.chance.uniform(0.2, 0.7))
        site.database.kill()
        site.database.start()
        (probe,) = notes(1, run.chance)
        run.figure.recovery.append(
            until(lambda probe=probe: post(site, probe) in (200, 202), seconds=30, what="an open door")
        )
    sender.join()
    acknowledged, lost = known_again(site, events)
    assert acknowledged > 100, "the stream was there"
    refused = sum(not job.acknowledged for job in events)
    assert refused > 0, "commits were under way when the server was killed"
    site.up("worker", "beat")
    run.end(events=acknowledged, refused=refused, forgotten=lost)
    assert lost == 0


@pytest.mark.long_fault
def test_postgresql_restarted_killed_and_frozen_in_the_middle_of_the_work(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 11. An orderly restart, a kill -9 and a standstill longer than a lease, while deals are provisioned."""
    site.only("web", "worker", "beat")
    run = drill(site, 11, "PostgreSQL restarted, killed and frozen for 4 s mid-run")
    run.send(18, pause=0.3)
    faults = [site.database.stop, site.database.kill, site.database.freeze]
    run.chance.shuffle(faults)
    for share, what in zip((0.1, 0.35, 0.6), faults, strict=True):
        run.wait_for(share)
        with run.fault():
            what()
            if what == site.database.freeze:
                time.sleep(4)
                site.database.freeze(False)
            else:
                site.database.start()
    run.end()


@pytest.mark.long_fault
def test_no_connection_is_left_and_work_goes_on_when_there_are_some_again(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 13. Somebody else takes every connection that PostgreSQL has, for six seconds, twice."""
    site.only("web", "worker", "beat")
    run = drill(site, 13, "connections of PostgreSQL exhausted for 6 s, twice")
    run.send(12, pause=0.3)
    turned_away = 0
    for share in (0.2, 0.5):
        run.wait_for(share)
        with run.fault(), ExitStack() as taken:
            until_then = time.monotonic() + 6
            while time.monotonic() < until_then:
                try:
                    taken.enter_context(site.database.connect())
                except psycopg.OperationalError:
                    turned_away += 1
                    time.sleep(0.05)
    assert turned_away, "there were none left"
    run.end()


@pytest.mark.long_fault
def test_deadlocks_and_serialization_errors_end_statements_and_no_work(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 14. Two sessions lock subjects and transactions against the workers' order; the workers are always the victims.
    Then the database is told to run everything at REPEATABLE READ, which our statements do not expect."""
    site.only("web", "worker", "beat")
    run = drill(site, 14, "deadlocks and serialization errors")
    run.send(14, pause=0.2)
    run.wait_for(0.1)
    ended = threading.Event()
    brawlers = [
        threading.Thread(target=_brawl, args=(site, random.Random(run.chance.random()), ended))
        for _ in range(2)
    ]
    with run.fault():
        for one in brawlers:
            one.start()
        time.sleep(8)
        ended.set()
        for one in brawlers:
            one.join()
    with site.database.connect() as server, run.fault():
        deadlocks = server.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        server.execute("ALTER ROLE pssync SET default_transaction_isolation = 'repeatable read'")
        run.send(10, pause=0.1)
        time.sleep(8)
        server.execute("ALTER ROLE pssync RESET default_transaction_isolation")
    said = site.database.log.read_text(errors="replace")
    assert deadlocks is not None
    assert deadlocks[0] > 0
    run.end(deadlocks=deadlocks[0], **{"serialization errors": said.count("could not serialize")})


def _brawl(site: Site, chance: random.Random, ended: threading.Event) -> None:
    """Lock a transaction and then its subject (the engine goes the other way), and wait longer than the victims do."""
    with site.database.connect() as session:
        session.execute("SET deadlock_timeout = '5s'")
        while not ended.wait(0.01):
            with contextlib.suppress(psycopg.errors.DeadlockDetected), session.transaction():
                rows = session.execute(
                    "SELECT id, subject_id FROM sync_transaction WHERE state IN ('pending', 'running', 'waiting')"
                ).fetchall()
                if rows:
                    transaction, subject = chance.choice(rows)
                    session.execute("SELECT 1 FROM sync_transaction WHERE id = %s FOR UPDATE", [transaction])
                    time.sleep(chance.uniform(0.01, 0.1))
                    session.execute("SELECT 1 FROM sync_subject WHERE id = %s FOR UPDATE", [subject])


# ---- disk ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 220 MB in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    place = Path(os.environ["PSSYNC_TEST_SLOT"]) / "small-disk"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220m,mode=755", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.long_fault
def test_a_full_disk_acknowledges_nothing_that_it_has_not_stored(
    small_disk: Path, site_of: Callable[..., Site], drill: Callable[..., Drill]
):
    """Fault 27. The disk of PostgreSQL fills up under a stream of events; then room is made and the work goes on."""
    database = Database(small_disk, max_wal_size="32MB", min_wal_size="32MB", wal_recycle="off")
    site = site_of("valkey", database=database)
    site.up("web", "worker", "beat")
    run = drill(site, 27, "disk of PostgreSQL full")
    run.send(8, pause=0.2)
    run.wait_for(0.3)
    events = notes(4000, run.chance)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(small_disk).free - 3_000_000)))
    sender = Sender(site, events, threads=4, again=False)
    until(lambda: any(503 in job.statuses for job in events), seconds=60, what="the door says so")
    time.sleep(5)
    ballast.unlink()
    if not database.alive():  # out of space for its log it ends itself; an operator starts it again
        database.kill()
        database.start()
    (probe,) = notes(1, run.chance)
    run.figure.recovery.append(until(lambda: post(site, probe) == 202, seconds=30, what="an open door"))
    sender.stop()
    acknowledged, lost = known_again(site, events)
    refused = sum(bool(job.statuses) and not job.acknowledged for job in events)
    assert all(status in (0, 202, 503) for job in events for status in job.statuses[:1])
    run.end(events=acknowledged, refused=refused, forgotten=lost)
    assert lost == 0
