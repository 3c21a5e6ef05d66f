"""What all lines share: instants, people, amounts, keys. Public surface: :class:`Base`, :data:`NULL`, :data:`CODES`."""

from __future__ import annotations

import random
from datetime import timedelta

from apps.triage.catalogue import CATALOGUE
from benchmarks.firm import ENTITIES, Firm, Run, Subject

NULL = r"\N"
CODES = tuple(CATALOGUE.values())
_NAMES = (
    "Aldergate",
    "Brightmoor",
    "Calderon",
    "Dunvale",
    "Elmhurst",
    "Farrow",
    "Glenmere",
    "Harrow",
    "Ivory",
    "Juniper",
)
_TRADES = (
    "Utilities",
    "Bank",
    "Rail",
    "Foods",
    "Health",
    "Retail",
    "Energy",
    "Insurance",
    "Logistics",
    "Media",
)
WORKS = (
    "ERP implementation",
    "Data migration",
    "Managed support",
    "Warehouse integration",
    "Rollout",
    "Review",
)
_TICK = tuple(f":{second:02d}+00" for second in range(60))


class Base:
    """Generators for one firm; entity ids by rank, system ids by kind, ids of people.

    ``thin``: one audit row and one action a transaction, and a tenth of the events, for tests that only need large tables.
    """

    def __init__(
        self,
        firm: Firm,
        *,
        entities: list[int],
        systems: dict[str, int],
        people: list[int],
        thin: bool = False,
    ) -> None:
        self.thin = thin
        self.firm, self.entities, self.systems, self.people = firm, entities, systems, people
        days = (firm.until - firm.since).days + 40
        hours = [f" {minute // 60:02d}:{minute % 60:02d}" for minute in range(24 * 60)]
        dates = [f"{firm.since + timedelta(days=day):%Y-%m-%d}" for day in range(days)]
        self._minutes = [date + hour for date in dates for hour in hours]

    def dice(self, table: str) -> random.Random:
        return random.Random(f"{self.firm.seed}:{table}")

    def at(self, second: int) -> str:
        return self._minutes[second // 60] + _TICK[second % 60]

    def ended(self, run: Run) -> int:
        """Seconds until a run ended: a wave of nearly all within a minute, a long tail."""
        return run.at + 2 + (run.at * 7919) % 50 + (3600 if run.problem is not None else 0)

    @staticmethod
    def correlation(number: int) -> str:
        return f"{number:08x}-6b1d-7000-8000-{(number * 2654435761) % (1 << 48):012x}"

    def who(self, subject: Subject) -> tuple[int, str, str, str]:
        """``(entity id, currency, customer's name, engagement key)``"""
        name = f"{_NAMES[subject.customer % 10]} {_TRADES[subject.customer // 10 % 10]} {subject.customer}"
        engagement = f"ENG-2026-{subject.engagement:06d}" if subject.engagement >= 0 else ""
        return self.entities[subject.entity], ENTITIES[subject.entity][2], name, engagement

    @staticmethod
    def label(subject: Subject) -> str:
        return f"{WORKS[max(subject.engagement, 0) % 6]} {max(subject.engagement, 0)}"

    @staticmethod
    def amount(number: int) -> int:
        """Few large, many small."""
        return 900 + (number * 48271 % 1000) ** 2 * 3 // 10
