"""A drill: load, a fault in the middle of it, quiet, and the look from outside.

Public surface: :class:`Drill`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from apps.core import clock
from tests.faults.figures import Figure
from tests.faults.inspector import Found, Inspector, interrupted
from tests.faults.load import Job, Sender, closed_deals
from tests.faults.site import Site


class Drill:
    """``chance`` decides everything that is left to chance: the same seed makes the same drill, and two drills of one site
    different deals (an event that was taken before is none)."""

    def __init__(self, site: Site, number: int, done: str, *, seed: int, test: str) -> None:
        self.site = site
        self.chance = random.Random(f"{seed}:{number}:{site.broker.name}:{test}")
        self.figure = Figure(number, done, site.broker.name, seed)
        self.test = test
        self.inspector = Inspector(site)
        self.jobs: list[Job] = []
        self.faults: list[tuple[datetime, datetime]] = []
        self.sender: Sender | None = None

    def deals(self, number: int, **more: Any) -> list[Job]:
        """So many closed deals more."""
        made = closed_deals(self.site.control, number, self.chance, **more)
        self.jobs += made
        return made

    def send(self, number: int, *, customers: int = 3, **more: Any) -> Sender:
        """Post the events of so many deals beside the test; ``more`` as of :class:`Sender`."""
        self.sender = Sender(self.site, self.deals(number, customers=customers), **more)
        return self.sender

    @contextmanager
    def fault(self) -> Iterator[None]:
        """What is done inside is the fault: recovery is measured from its end."""
        begin = clock.now()
        yield
        self.faults.append((begin, clock.now()))

    def wait_for(self, share: float, *, seconds: float = 90) -> None:
        """Until so much of the load (0 to 1) is provisioned."""
        ids = {job.deal_id for job in self.jobs}
        wanted = round(share * len(ids))
        self.site.wait(
            lambda: len(self.inspector.statuses() & ids) >= wanted,
            seconds=seconds,
            what=f"{wanted} of {len(ids)} provisioned",
        )

    def settle(self, *, seconds: float = 120) -> Found:
        """Until all that was acknowledged stands and nothing more is written; then count."""
        if self.sender is not None:
            self.sender.join(seconds=seconds)
        ids = {job.deal_id for job in self.jobs if job.acknowledged}
        until = time.monotonic() + seconds
        while not ids <= self.inspector.statuses() and time.monotonic() < until:
            time.sleep(0.25)
        self._quiet()
        found, until = self.inspector.look(self.jobs), time.monotonic() + self.site.polled_every * 5
        while set(found.doubled) - set(found.told) and time.monotonic() < until:
            time.sleep(0.5)
            found = self.inspector.look(self.jobs)
        return found

    def _quiet(self, *, seconds: float = 2.0) -> None:
        """Leases are 3 s long: whoever still had something to write would do it within that."""
        before, since, until = self._objects(), time.monotonic(), time.monotonic() + 30
        while time.monotonic() - since < seconds and time.monotonic() < until:
            time.sleep(0.25)
            if (now := self._objects()) != before:
                before, since = now, time.monotonic()

    def _objects(self) -> list[dict[str, int]]:
        return [
            self.site.control.system(name).call("GET", "/types") for name in ("crm", "erp", "psa", "billing")
        ]

    def end(self, *, seconds: float = 120, **values: Any) -> Figure:
        """Settle, report, and refuse anything lost, doubled or half done. A value may be a function, asked at the end."""
        found = self.settle(seconds=seconds)
        self.report(found, **values)
        assert found.good, f"{found}\n{self.site.log('worker')}"
        return self.figure

    def report(self, found: Found, **values: Any) -> None:
        self.figure.values = {
            "acknowledged": found.acknowledged,
            "lost": len(found.lost),
            "doubled": len(found.doubled),
            **({"of these told as a case": len(found.told)} if found.doubled else {}),
            "half": len(found.half),
            "total in PSA, ERP": f"{found.held}, {found.charged} of {found.wanted}",
            **{name: value() if callable(value) else value for name, value in values.items()},
        }
        self.figure.recovery += interrupted(self.inspector.calls(self.jobs), self.faults)
        self.figure.keep(self.test)
