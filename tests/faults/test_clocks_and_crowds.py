"""Wrong clocks, two schedulers, and a crowd of one hundred thousand before everybody else."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
import redis

from tests.faults.drill import Drill
from tests.faults.load import Job, post
from tests.faults.servers import Valkey
from tests.faults.site import Site

pytestmark = pytest.mark.fault
SKEWED = Path(__file__).parent / "skewed"


def skew(site: Site, seconds: int) -> dict[str, str]:
    return {"PYTHONPATH": str(SKEWED), "CLOCK_SKEW": str(seconds)}


@pytest.mark.long_fault
def test_workers_whose_clocks_are_ten_minutes_off_keep_each_others_leases(
    site: Site, drill: Callable[..., Drill]
):
    """Fault 25. One worker ten minutes ahead, one behind, each killed once: leases run out by the database's clock."""
    site.only("web", "beat")
    run = drill(site, 25, "one worker 10 min ahead, one 10 min behind, each killed once")
    clocks = {"worker": skew(site, 600), "worker2": skew(site, -600)}
    for name, env in clocks.items():
        site.start(name, **env)
    run.send(14, pause=0.2)
    for share, name in ((0.1, "worker"), (0.5, "worker2")):
        run.wait_for(share)
        with run.fault():
            site.kill(name)
        site.start(name, **clocks[name])
    run.end()
    site.down("worker", "worker2")


def test_two_schedulers_ring_each_bell_once_a_tick(site: Site, drill: Callable[..., Drill]):
    """Fault 31. Two beats beside each other, then one of them is killed; the bells are counted in the broker."""
    site.down("worker", "worker2")
    site.only("web", "beat", "beat2")
    run = drill(site, 31, "two schedulers, then one of them killed")
    assert isinstance(site.broker, Valkey)
    queue = redis.Redis(unix_socket_path=str(site.broker.socket))
    time.sleep(4)
    both, seconds = rung(queue, 12.0)
    with run.fault():
        site.kill(run.chance.choice(("beat", "beat2")))
    one, seconds_alone = rung(queue, 8.0)
    run.figure.values = {
        "bells a second with two": round(both["sync.pump"] / seconds, 2),
        "with one": round(one["sync.pump"] / seconds_alone, 2),
        "sweeps in 12 s": both["sync.sweep"],
    }
    run.figure.keep(run.test)
    assert 0.7 * seconds <= both["sync.pump"] <= 1.2 * seconds
    assert both["sync.sweep"] in (1, 2)
    assert both["sync.poll"] in (2, 3)
    assert one["sync.pump"] >= 0.7 * seconds_alone, "the other goes on at once"


def rung(queue: redis.Redis, seconds: float) -> tuple[Counter[str], float]:
    """How often each bell is put into the queue meanwhile; nobody takes one out."""
    queue.delete("celery")
    started = time.monotonic()
    time.sleep(seconds)
    bells = [json.loads(raw)["headers"]["task"] for raw in queue.lrange("celery", 0, -1)]
    return Counter(bells), time.monotonic() - started


# ---- a crowd ---------------------------------------------------------------------------------------------------------

_CROWD = """
WITH keys AS (
    INSERT INTO journal_inboxkey (source, event_id, created_at)
    SELECT 'crm', 'crowd-' || %(mark)s || '-' || n, now() FROM generate_series(1, %(number)s) n RETURNING id, event_id
)
INSERT INTO journal_inbox (id, received_at, not_before, source, event_id, headers, body, changes, correlation_id)
SELECT id, now(), now(), 'crm', event_id, '{}'::jsonb, '\\x7b7d'::bytea,
    jsonb_build_array(jsonb_build_object('object_type', 'deal', 'external_id', '006Crowd' || id, 'event_id', event_id,
        'occurred_at', now(), 'event_type', 'UPDATE', 'own_write', false, 'legal_entity_code', 'MER-UK')),
    gen_random_uuid()
FROM keys
"""


@pytest.mark.long_fault
def test_a_backlog_of_one_entity_delays_no_other(site: Site, drill: Callable[..., Drill]):
    """Fault 32. One hundred thousand events of one entity wait; another entity's deal is begun within two seconds, and the
    doors answer as before."""
    site.only("web", "worker", "beat")
    run = drill(site, 32, "100,000 events of one entity before another's")
    warm = run.deals(2, entity="MER-US")
    before = [timed(site, job) for job in warm]
    run.wait_for(1.0)
    with site.database.connect() as server:
        server.execute(_CROWD, {"mark": run.chance.getrandbits(32), "number": 100_000})
    others = run.deals(8, entity="MER-US")
    answered, begun = [], []
    for job in others:
        answered.append(timed(site, job))
        begun.append(first_call(run, job))
        time.sleep(run.chance.uniform(0.5, 2.0))
    with site.database.connect() as server:
        left = waiting(server)
    run.figure.recovery = begun
    run.end(
        **{
            "intake before": f"{max(before) * 1000:.0f} ms",
            "intake with the backlog": f"{sorted(answered)[len(answered) // 2] * 1000:.0f} ms",
            "others begun within": f"{max(begun):.2f} s",
            "backlog left meanwhile": left,
        }
    )
    site.down("worker", "beat")
    assert left > 50_000, "the backlog was there all the time"
    assert max(begun) <= 2.0


def timed(site: Site, job: Job) -> float:
    started = time.monotonic()
    assert post(site, job) == 202
    return time.monotonic() - started


def first_call(run: Drill, job: Job) -> float:
    """Seconds from the acknowledgement of an event to the first call that any system gets for it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        rows = run.site.control.requests("crm", since=run.inspector.marks["crm"])
        calls = [row["at"] for row in rows if row["correlation_id"] == job.correlation_id]
        if calls:
            assert job.acknowledged_at is not None
            return max(0.0, (datetime.fromisoformat(min(calls)) - job.acknowledged_at).total_seconds())
        time.sleep(0.1)
    raise AssertionError("nobody has begun with it within 30 s")


def waiting(server: psycopg.Connection) -> int:
    """How much of the crowd is not worked on yet, as our own queue tells it (a figure, not the proof)."""
    row = server.execute(
        "SELECT (SELECT count(*) FROM journal_inbox WHERE done_at IS NULL)"
        " + (SELECT count(*) FROM sync_subject WHERE ready_at IS NOT NULL)"
    ).fetchone()
    assert row is not None
    return int(row[0])
