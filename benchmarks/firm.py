"""A large firm as plain arrays: who, what, when and how it ended, with the skew of a real one, decided by a seed alone.

Public surface: :func:`make`, :class:`Firm`, :class:`Run`, :data:`FLOWS`, :data:`ENTITIES`.
No database here. Times are seconds after the beginning of the year that ends at ``until``.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

YEAR = 365 * 86_400
#: flow → (kind of its subject, steps of its plan)
FLOWS = {
    "deal.provision": ("deal", 6),
    "project.provision": ("deal", 4),
    "ratecard.push": ("deal", 2),
    "customer.sync": ("customer", 4),
    "delivery.sync": ("delivery", 1),
    "invoice.sync": ("invoice", 3),
    "payment.apply": ("invoice", 2),
}
FLOW_NAMES = tuple(FLOWS)
#: The largest first: shares follow Zipf's law.
ENTITIES = (
    ("UK", "GB", "GBP"), ("US", "US", "USD"), ("DE", "DE", "EUR"), ("FR", "FR", "EUR"), ("NL", "NL", "EUR"),
    ("IN", "IN", "INR"), ("BE", "BE", "EUR"), ("SE", "SE", "SEK"), ("AU", "AU", "AUD"), ("SG", "SG", "SGD"),
    ("CH", "CH", "CHF"), ("IE", "IE", "EUR"),
)  # fmt: skip
#: How the last run of a subject's flow stands, of 1,000; every other one has succeeded.
LAST = (
    ("held", 236), ("retrying", 6), ("waiting", 12), ("pending", 6), ("running", 1), ("suggested", 10), ("dead", 5),
    ("observed", 12), ("cancelled", 10), ("succeeded", 702),
)  # fmt: skip
OPEN = frozenset({"held", "retrying", "waiting", "pending", "running", "suggested"})
#: Per engagement: deal, project, rate card; then deliveries, invoices and two looks at each payment; 25 in all.
_DELIVERIES, _INVOICES = 11, 3
#: Of the runs that succeeded, how many met an exception first.
_CLEARED = 0.07


@dataclass(slots=True)
class Subject:
    kind: str
    key: str
    entity: int
    engagement: int
    customer: int


@dataclass(slots=True)
class Run:
    """One transaction; ``entity`` counts from 0, ``problem`` is the rank of its code (None: met no exception)."""

    at: int
    subject: int
    flow: str
    state: str = "succeeded"
    problem: int | None = None


@dataclass
class Firm:
    rows: int
    seed: int
    until: datetime
    engagements: int = 0
    customers: int = 0
    subjects: list[Subject] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @property
    def since(self) -> datetime:
        return self.until - timedelta(seconds=YEAR)


class Zipf:
    """Ranks 0 to n-1, the k-th with a share of 1/(k+1) to the power ``steep``."""

    def __init__(self, n: int, steep: float = 1.0) -> None:
        self._sums = list(accumulate(1 / (rank + 1) ** steep for rank in range(n)))

    def draw(self, dice: random.Random) -> int:
        return bisect(self._sums, dice.random() * self._sums[-1])


def make(rows: int, seed: int, until: datetime, *, codes: int) -> Firm:
    """A firm with exactly ``rows`` transactions, about a tenth of them held by an exception of one of ``codes`` kinds."""
    dice = random.Random(seed)
    firm = Firm(rows, seed, until)
    firm.engagements = max(1, rows // 25)
    firm.customers = max(1, firm.engagements * 2 // 5)
    _happen(firm, dice)
    _end(firm, dice, Zipf(codes))
    return firm


def _happen(firm: Firm, dice: random.Random) -> None:
    entity_of, customer_of = Zipf(len(ENTITIES)), Zipf(firm.customers, 0.8)
    home = [entity_of.draw(dice) for _ in range(firm.customers)]
    runs, subjects = firm.runs, firm.subjects
    for customer in range(firm.customers):
        subjects.append(Subject("customer", f"crm:{customer:09d}@erp", home[customer], -1, customer))
        runs.append(Run(int(dice.random() * YEAR), customer, "customer.sync"))
    for number in range(firm.engagements):
        customer = customer_of.draw(dice)
        # More business lately than a year ago: the root of a uniform number leans to its end.
        start = int(dice.random() ** 0.7 * YEAR)
        deal = len(subjects)
        subjects.append(Subject("deal", f"crm:006{number:012d}", home[customer], number, customer))
        runs += [Run(min(start + n * 40, YEAR - 1), deal, name) for n, name in enumerate(FLOW_NAMES[:3])]
        delivery = len(subjects)
        subjects.append(Subject("delivery", f"ENG-2026-{number:06d}", home[customer], number, customer))
        left = YEAR - start
        for _ in range(_DELIVERIES):
            runs.append(Run(start + int(dice.random() * left), delivery, "delivery.sync"))
        for invoice in range(_INVOICES):
            at = start + int(dice.random() * left)
            subjects.append(
                Subject("invoice", f"PB-{number * 10 + invoice}", home[customer], number, customer)
            )
            runs.append(Run(at, len(subjects) - 1, "invoice.sync"))
            for _ in range(2):
                paid = at + int(dice.random() * (YEAR - at))
                runs.append(Run(paid, len(subjects) - 1, "payment.apply"))
    while len(runs) < firm.rows:
        runs.append(Run(int(dice.random() * YEAR), dice.randrange(firm.customers), "customer.sync"))
    runs.sort(key=lambda run: (run.at, run.subject, run.flow))
    del runs[firm.rows :]


def _end(firm: Firm, dice: random.Random, problem_of: Zipf) -> None:
    sums = list(accumulate(share for _, share in LAST))
    seen: set[tuple[int, str]] = set()
    for run in reversed(firm.runs):
        last = (run.subject, run.flow) not in seen
        seen.add((run.subject, run.flow))
        if last:
            run.state = LAST[bisect(sums, dice.random() * sums[-1])][0]
        if run.state in ("held", "dead") or (run.state == "succeeded" and dice.random() < _CLEARED):
            run.problem = problem_of.draw(dice)


def open_cases(runs: Sequence[Run]) -> int:
    return sum(run.problem is not None and run.state != "succeeded" for run in runs)


def newest_midnight(now: datetime) -> datetime:
    """The end of the firm's year: the last midnight, so that one day's runs agree to the byte."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
