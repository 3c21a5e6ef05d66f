"""The look from outside: what stands in the emulated systems, against what the doors have acknowledged.

Public surface: :class:`Inspector`, :class:`Found`. Nothing of ours is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from tests.faults.load import Job
from tests.faults.site import Site

SYSTEMS = ("crm", "erp", "psa", "billing")
#: What a provisioned deal is, in all systems together: one of each.
PARTS = ("erp job", "erp charge rule", "psa workspace", "psa milestone", "crm status")


@dataclass(frozen=True)
class Found:
    """``lost``: acknowledged and not whole. ``doubled``: objects that stand more than once. ``half``: begun, not whole and
    never acknowledged. ``wanted`` and ``held``: control totals, what was acknowledged and what the PSA will bill of it."""

    acknowledged: int
    lost: list[str]
    doubled: list[str]
    half: list[str]
    wanted: Decimal
    held: Decimal

    @property
    def good(self) -> bool:
        return not self.lost and not self.doubled and not self.half and self.wanted == self.held


class Inspector:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.mark = 0

    def statuses(self) -> set[str]:
        """Ids of the deals that the CRM shows as provisioned."""
        rows = self.site.control.records("crm", "Eng_Status__c", Status__c="Provisioned")
        return {str(row["Engagement_Key__c"]) for row in rows}

    def look(self, jobs: Sequence[Job]) -> Found:
        """Count everything that these jobs have made."""
        parts, amounts = self._parts()
        customers = self._customers()
        acknowledged = [job for job in jobs if job.acknowledged]
        lost, doubled, half = [], [], []
        for job in jobs:
            counts = {part: parts[part, job.name] for part in PARTS[:-1]}
            counts["crm status"] = parts["crm status", job.deal_id]
            doubled += [f"{part} of {job.name}" for part, count in counts.items() if count > 1]
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
        )

    def _parts(self) -> tuple[Counter[tuple[str, str]], dict[str, Decimal]]:
        control = self.site.control
        counts: Counter[tuple[str, str]] = Counter()
        amounts: dict[str, Decimal] = {}
        counts.update(("erp job", row["companyName"]) for row in control.records("erp", "job"))
        counts.update(
            ("erp charge rule", (row.get("project") or {}).get("refName", ""))
            for row in control.records("erp", "chargeRule")
        )
        titles = {row["id"]: row["title"] for row in control.records("psa", "workspaces")}
        counts.update(("psa workspace", title) for title in titles.values())
        for row in control.records("psa", "billing_milestones"):
            title = titles.get(row["workspace_id"], "")
            counts["psa milestone", title] += 1
            amounts[title] = amounts.get(title, Decimal(0)) + Decimal(row["amount_in_cents"]) / 100
        counts.update(
            ("crm status", str(row["Engagement_Key__c"]))
            for row in control.records("crm", "Eng_Status__c", Status__c="Provisioned")
        )
        return counts, _Zero(amounts)

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
        newest = self.mark
        for system in SYSTEMS:
            for row in self.site.control.requests(system, since=self.mark):
                newest = max(newest, row["seq"])
                if row["correlation_id"] in wanted:
                    found[wanted[row["correlation_id"]]].append(datetime.fromisoformat(row["at"]))
        self.mark = newest
        return {deal_id: sorted(times) for deal_id, times in found.items()}


class _Zero(dict[str, Decimal]):
    def __missing__(self, key: str) -> Decimal:
        return Decimal(0)


def interrupted(calls: dict[str, list[datetime]], faults: Sequence[tuple[datetime, datetime]]) -> list[float]:
    """For each job that was under way when a fault began: seconds from the fault's end to the job's next call.

    Where several faults fell between two calls of a job, the last of them counts."""
    found = []
    for times in calls.values():
        for before, after in pairwise(times):
            ends = [end for begin, end in faults if before <= begin < after]
            if ends:
                found.append(max(0.0, (after - max(ends)).total_seconds()))
    return found
