"""The look from outside: what stands in the emulated systems, against what the doors have acknowledged.

Public surface: :class:`Inspector`, :class:`Found`. Nothing of ours is asked but whether what stands twice is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import TypeVar

from tests.faults.load import Job
from tests.faults.site import Site

T = TypeVar("T")
SYSTEMS = ("crm", "erp", "psa", "billing")
#: What a provisioned deal is, in all systems together: one of each.
PARTS = ("erp job", "erp charge rule", "psa workspace", "psa milestone", "crm status")


@dataclass(frozen=True)
class Found:
    """``lost``: acknowledged and not whole. ``doubled``: objects that stand more than once, ``told`` those of them that the
    console has a case for. ``half``: begun, not whole and never acknowledged. Control totals: ``wanted`` is what was
    acknowledged, ``held`` what the milestones of the PSA come to (without ``twice``, what stands there a second time and is
    told), ``charged`` what the charge rules of the ERP do."""

    acknowledged: int
    lost: list[str]
    doubled: list[str]
    half: list[str]
    wanted: Decimal
    held: Decimal
    charged: Decimal
    told: list[str]
    twice: Decimal

    @property
    def equal(self) -> bool:
        return self.wanted == self.held == self.charged

    @property
    def good(self) -> bool:
        """Doubled is only what a vendor offers no protection against, and that is told."""
        return not self.lost and not set(self.doubled) - set(self.told) and not self.half and self.equal


class Inspector:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.marks = dict.fromkeys(SYSTEMS, 0)

    def statuses(self) -> set[str]:
        """Ids of the deals that the CRM shows as provisioned."""
        rows = self.site.control.records("crm", "Eng_Status__c", Status__c="Provisioned")
        return {str(row["Engagement_Key__c"]) for row in rows}

    def look(self, jobs: Sequence[Job]) -> Found:
        """Count everything that these jobs have made."""
        parts, amounts, charged = self._parts()
        customers = self._customers()
        acknowledged = [job for job in jobs if job.acknowledged]
        cases = self._cases()
        lost, doubled, half, twice = [], [], [], Decimal(0)
        for job in jobs:
            counts = {part: parts[part, job.name] for part in PARTS[:-1]}
            counts["crm status"] = parts["crm status", job.deal_id]
            doubled += [f"{part} of {job.name}" for part, count in counts.items() if count > 1]
            if counts["psa milestone"] > 1 and ("psa milestone", job.name) in cases:
                extra = amounts[job.name] * (counts["psa milestone"] - 1) / counts["psa milestone"]
                amounts[job.name] -= extra
                twice += extra
            whole = all(counts.values())
            if job.acknowledged and not whole:
                lost.append(f"{job.name}: {counts}")
            elif not whole and any(counts.values()):
                half.append(f"{job.name}: {counts}")
        for account in {job.account for job in acknowledged}:
            for system in ("erp", "billing"):
                if customers[system, account] != 1:
                    told = lost if customers[system, account] == 0 else doubled
                    told.append(f"{system} customer {account}")
        return Found(
            acknowledged=len(acknowledged),
            lost=lost,
            doubled=doubled,
            half=half,
            wanted=sum((job.amount for job in acknowledged), Decimal(0)),
            held=sum((amounts[job.name] for job in acknowledged), Decimal(0)),
            charged=sum((charged[job.name] for job in acknowledged), Decimal(0)),
            told=[one for one in doubled if tuple(one.split(" of ", 1)) in cases],
            twice=twice,
        )

    def _cases(self) -> set[tuple[str, str]]:
        """``("psa workspace", name)`` of what the console says is there twice."""
        words = {"engagement": "psa workspace", "milestone": "psa milestone"}
        with self.site.database.connect() as server:
            rows = server.execute(
                "SELECT object_type, label FROM triage_case WHERE code = 'PRJ-DUP'"
            ).fetchall()
        return {(words.get(kind, kind), label) for kind, label in rows}

    def _parts(self) -> tuple[Counter[tuple[str, str]], dict[str, Decimal], dict[str, Decimal]]:
        control = self.site.control
        counts: Counter[tuple[str, str]] = Counter()
        amounts, charged = _Totals(), _Totals()
        counts.update(("erp job", row["companyName"]) for row in control.records("erp", "job"))
        for row in control.records("erp", "chargeRule"):
            project = (row.get("project") or {}).get("refName", "")
            counts["erp charge rule", project] += 1
            charged[project] += Decimal(str(row.get("amount") or 0))
        titles = {row["id"]: row["title"] for row in control.records("psa", "workspaces")}
        counts.update(("psa workspace", title) for title in titles.values())
        for row in control.records("psa", "billing_milestones"):
            title = titles.get(row["workspace_id"], "")
            counts["psa milestone", title] += 1
            amounts[title] += Decimal(row["amount_in_cents"]) / 100
        counts.update(
            ("crm status", str(row["Engagement_Key__c"]))
            for row in control.records("crm", "Eng_Status__c", Status__c="Provisioned")
        )
        return counts, amounts, charged

    def _customers(self) -> Counter[tuple[str, str]]:
        control = self.site.control
        counts: Counter[tuple[str, str]] = Counter()
        counts.update(
            ("erp", str(row.get("externalId") or "").removeprefix("cus-crm-"))
            for row in control.records("erp", "customer")
        )
        counts.update(
            ("billing", str((row.get("metadata") or {}).get("canonical_key") or "").removeprefix("crm:"))
            for row in control.records("billing", "customer")
        )
        return counts

    # -- when ------------------------------------------------------------------------------------------------------

    def calls(self, jobs: Iterable[Job]) -> dict[str, list[datetime]]:
        """When the emulated systems were called on behalf of each job (by its correlation id), since the last look."""
        wanted = {job.correlation_id: job.deal_id for job in jobs}
        found: dict[str, list[datetime]] = {deal_id: [] for deal_id in wanted.values()}
        for system in SYSTEMS:
            for row in self.site.control.requests(system, since=self.marks[system]):
                self.marks[system] = row["seq"]
                if row["correlation_id"] in wanted:
                    found[wanted[row["correlation_id"]]].append(datetime.fromisoformat(row["at"]))
        return {deal_id: sorted(times) for deal_id, times in found.items()}


class _Totals(dict[str, Decimal]):
    def __missing__(self, key: str) -> Decimal:
        return Decimal(0)


def interrupted(calls: dict[str, list[datetime]], faults: Sequence[tuple[datetime, datetime]]) -> list[float]:
    """For each job that was under way when a fault began: seconds from the fault's end to the job's next call.

    Where several faults fell between two calls of a job, the last of them counts."""
    return [seconds for _, seconds in interrupted_by(calls, [(begin, end, None) for begin, end in faults])]


def interrupted_by(
    calls: dict[str, list[datetime]], faults: Sequence[tuple[datetime, datetime, T]]
) -> list[tuple[T, float]]:
    """The same with the fault that it was."""
    found = []
    for times in calls.values():
        for before, after in pairwise(times):
            met = [fault for fault in faults if before <= fault[0] < after]
            if met:
                _, end, which = max(met, key=lambda fault: fault[1])
                found.append((which, max(0.0, (after - end).total_seconds())))
    return found
