"""The soak: a load that does not end, one fault after the other, and the look from outside all the while.

Public surface: :class:`Soak`. The faults are in ``disturbances.py``.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from apps.core import clock
from apps.demo.sandbox_client import SandboxControl
from tests.faults.figures import FOLDER, spread
from tests.faults.inspector import Found, Inspector, interrupted_by
from tests.faults.load import Job, Sender, closed_deals
from tests.faults.site import Site

#: Deals a second, and how many may be under way before the load waits for them.
RATE = 0.25
AT_ONCE = 40
BATCH = 3
#: An acknowledged deal that is not done after so long is told as late.
LATE_SECONDS = 180
LOOK_SECONDS = 60
#: In the end it is waited for as long as something gets done within this time.
STANDSTILL_SECONDS = 120


class Feeder(threading.Thread):
    """Closes deals and brings their events: most once, some five times at once, some out of order, some never."""

    def __init__(self, site: Site, chance: random.Random, is_full: Callable[[], bool]) -> None:
        super().__init__(name="feeder")
        self.site, self.chance, self.is_full = site, chance, is_full
        self.control = SandboxControl(site.control.base_url)
        self.jobs: list[Job] = []
        self.ways: dict[str, int] = {"once": 0, "five times": 0, "out of order": 0, "never": 0}
        self.senders: list[Sender] = []
        self.waited = 0.0
        self.ended = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            due = time.monotonic()
            while not self.ended.is_set():
                if self.is_full():
                    self.waited += 0.5
                    self.ended.wait(0.5)
                    continue
                self._feed()
                due = max(due + BATCH / RATE, time.monotonic())
                self.ended.wait(due - time.monotonic())
        except Exception as failure:  # noqa: BLE001 - told by the main thread, which ends the soak with it
            self.failure = failure

    def _feed(self) -> None:
        jobs = closed_deals(self.control, BATCH, self.chance, customers=self.chance.choice((1, 2, 2, 4)))
        events: list[Job] = []
        for job in jobs:
            way = self.chance.choices(list(self.ways), weights=(12, 3, 3, 2))[0]
            self.ways[way] += 1
            match way:
                case "once":
                    events.append(job)
                case "five times":
                    events += [job] * 5
                case "out of order":
                    mixed = [replace(job, event_id=f"{job.event_id}{at}", statuses=[]) for at in range(3)] + [
                        job
                    ]
                    self.chance.shuffle(mixed)
                    events += mixed
                case _:  # what the CRM has closed counts as acknowledged: polling finds it
                    job.acknowledged_at = clock.now()
        self.jobs += jobs
        self.senders = [sender for sender in self.senders if sender.going]
        self.senders.append(Sender(self.site, events, threads=3))

    def stop(self) -> None:
        self.ended.set()
        self.join(60)
        for sender in self.senders:
            sender.join(seconds=120)


class Soak:
    """``schedule`` yields the faults by name; both it and the load follow from the seed."""

    def __init__(self, site: Site, *, seed: int, seconds: float) -> None:
        self.site, self.seed, self.seconds = site, seed, seconds
        self.chance = random.Random(f"{seed}:soak:{site.broker.name}")
        self.inspector = Inspector(site)
        self.started = time.monotonic()
        self.feeder = Feeder(site, random.Random(f"{seed}:load:{site.broker.name}"), self._is_full)
        self.faults: list[tuple[datetime, datetime, str]] = []
        self.calls: dict[str, list[datetime]] = {}
        self.done: set[str] = set()
        self.doubled: dict[str, str] = {}
        self.late: set[str] = set()
        self.restarted: list[str] = []
        self.looked = 0.0

    @property
    def left(self) -> float:
        return self.started + self.seconds - time.monotonic()

    @property
    def under_way(self) -> list[Job]:
        return [job for job in list(self.feeder.jobs) if job.acknowledged and job.deal_id not in self.done]

    def _is_full(self) -> bool:
        return len(self.under_way) >= AT_ONCE

    def say(self, what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        print(f"{minutes:3}:{seconds:02} {self.site.broker.name}: {what}", flush=True)

    # -- faults ----------------------------------------------------------------------------------------------------

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """What is done inside is the fault: recovery is measured from its end."""
        begin = clock.now()
        yield
        self.faults.append((begin, clock.now(), name))

    def go(self, disturbances: dict[str, Callable[[Soak], None]]) -> None:
        """Deal the faults like cards: each once in a seeded order, then all again, until the time is over."""
        self.feeder.start()
        deck: list[str] = []
        for number in count(1):
            self.pause(self.chance.uniform(4, 12))
            if self.left <= 0:
                break
            if not deck:
                deck = list(disturbances)
                self.chance.shuffle(deck)
            name = deck.pop()
            self.say(f"{number}. {name}")
            disturbances[name](self)
            self.supervise()
        self.feeder.stop()

    def pause(self, seconds: float) -> None:
        """Wait, and look meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.feeder.failure is not None:
                raise self.feeder.failure
            self.done = self.inspector.statuses()
            if time.monotonic() - self.looked > LOOK_SECONDS:
                self.look()
            time.sleep(max(0.0, min(5.0, until - time.monotonic())))

    def supervise(self) -> None:
        """What has ended by itself is started again, as an init system would."""
        for name, process in list(self.site.processes.items()):
            if process.poll() is not None:
                self.restarted.append(name)
                self.say(f"{name} had ended ({process.returncode}) and is started again")
                self.site.restart(name)

    # -- looks -----------------------------------------------------------------------------------------------------

    def look(self) -> Found:
        """Count everything; what is doubled is so for good, what is late may still come."""
        jobs = list(self.feeder.jobs)
        found = self.inspector.look(jobs)
        for deal_id, times in self.inspector.calls(jobs).items():
            self.calls.setdefault(deal_id, []).extend(times)
        last = self.faults[-1][2] if self.faults else "none"
        for what in found.doubled:
            if what not in self.doubled:
                self.doubled[what] = last
                self.say(f"DOUBLED {what} (last fault: {last})")
        before = clock.now() - timedelta(seconds=LATE_SECONDS)
        for job in self.under_way:
            if job.deal_id not in self.late and job.acknowledged_at and job.acknowledged_at < before:
                self.late.add(job.deal_id)
        self.say(
            f"{len(jobs)} deals, {found.acknowledged} acknowledged, {len(self.under_way)} under way,"
            f" {len(found.doubled)} doubled, {len(self.late)} late"
        )
        self.looked = time.monotonic()
        return found

    def settle(self) -> Found:
        """Nothing is broken any more; until all that was acknowledged stands, or nothing more gets done."""
        self.site.only("web", "worker", "worker2", "beat")
        self.say(f"quiet: {len(self.under_way)} under way")
        left, since = len(self.under_way), time.monotonic()
        while self.under_way and time.monotonic() - since < STANDSTILL_SECONDS:
            time.sleep(2)
            self.done = self.inspector.statuses()
            if len(self.under_way) < left:
                left, since = len(self.under_way), time.monotonic()
        time.sleep(20)  # one poll of the project system, for what stands there twice
        return self.look()

    def report(self, found: Found) -> dict[str, Any]:
        """Keep the figures as JSON; the faults that were met, each with how long interrupted work waited after it."""
        waits: dict[str, list[float]] = {}
        for name, wait in interrupted_by(
            {key: sorted(times) for key, times in self.calls.items()}, self.faults
        ):
            waits.setdefault(name, []).append(wait)
        names = sorted({name for _, _, name in self.faults})
        took = [
            (max(self.calls[job.deal_id]) - job.acknowledged_at).total_seconds()
            for job in self.feeder.jobs
            if job.acknowledged_at and self.calls.get(job.deal_id)
        ]
        told = {
            "seed": self.seed,
            "broker": self.site.broker.name,
            "minutes": round((time.monotonic() - self.started) / 60, 1),
            "deals": len(self.feeder.jobs),
            "events": self.feeder.ways,
            "acknowledged": found.acknowledged,
            "lost": found.lost,
            "half": found.half,
            "doubled": self.doubled,
            "told as cases": found.told,
            "late": len(self.late),
            "total": {
                "acknowledged": str(found.wanted),
                "psa": str(found.held),
                "erp": str(found.charged),
                "twice and told": str(found.twice),
            },
            "until done": spread(took),
            "load waited": round(self.feeder.waited),
            "ended by themselves": self.restarted,
            "faults": {
                name: {
                    "times": sum(one == name for _, _, one in self.faults),
                    "recovery": spread(waits.get(name, [])),
                }
                for name in names
            },
        }
        FOLDER.mkdir(parents=True, exist_ok=True)
        text = json.dumps(told, indent=1)
        (FOLDER / f"soak-{self.site.broker.name}.json").write_text(text + "\n")
        print(text, flush=True)
        return told
