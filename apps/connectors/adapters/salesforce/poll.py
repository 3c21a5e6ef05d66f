"""Polling by SystemModstamp: what changed since last time, also what no event told.

Public surface: :class:`Cursor`, :data:`SOURCES`, :data:`OVERLAP`, :data:`FIRST_WINDOW`, :func:`event_id`.

A round reads each source from its watermark minus five minutes (long transactions commit with older stamps), page by page
along (SystemModstamp, Id). The same change read twice has the same event id, and the inbox drops it. Stamps have whole
seconds, so a change whose second may still run is told under an id of its own, and once more when the second is over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.connectors.adapters.salesforce.soql import literal, moment
from apps.connectors.protocols.convert import instant
from apps.connectors.spi import AdapterError, ErrorKind

OVERLAP = timedelta(minutes=5)
#: Change events are kept 72 hours by Salesforce; a first poll covers what a lost subscription may have missed.
FIRST_WINDOW = timedelta(hours=72)
#: A second is over for good when it lies so far back, by our clock, which may not be theirs.
SETTLED = timedelta(seconds=5)


@dataclass(frozen=True)
class Source:
    """One object to poll; ``parent`` is the field that names the record we report instead, ``entity`` the one that says
    whose it is."""

    name: str
    parent: str = "Id"
    entity: str = ""


SOURCES: dict[str, tuple[Source, ...]] = {
    "customer": (Source("Account"),),
    "deal": (
        Source("Opportunity", entity="Contracting_Entity__c"),
        Source("OpportunityLineItem", "OpportunityId"),
        Source("Billing_Schedule__c", "Opportunity__c"),
        Source("Deal_Rate__c", "Opportunity__c"),
        Source("Contract"),
    ),
}


def event_id(source: str, record_id: str, parent: str, stamp: str, *, now: datetime) -> str:
    """Names a change for the inbox."""
    name = f"poll:{source}:{record_id}:{parent}:{stamp}"
    at = instant(stamp, field="SystemModstamp")
    return name if at is not None and at < now - SETTLED else f"{name}:{now.timestamp():.3f}"


@dataclass
class Position:
    """``at``: watermark of the source. While a round runs (``within``), the next page starts behind (at, after)."""

    at: datetime
    after: str = ""
    within: bool = False

    def condition(self) -> str:
        if not self.within:
            return f"SystemModstamp >= {moment(self.at - OVERLAP)}"
        at = moment(self.at)
        return f"(SystemModstamp > {at} OR (SystemModstamp = {at} AND Id > {literal(self.after)}))"

    def advance(self, at: datetime, record_id: str, *, more: bool) -> None:
        self.at = at if self.within or more else max(self.at, at)
        self.after, self.within = record_id, more


class Cursor:
    """Positions by source, as opaque text for the caller."""

    def __init__(self, positions: dict[str, Position]) -> None:
        self.positions = positions

    @classmethod
    def read(cls, text: str, *, object_type: str, now: datetime) -> Cursor:
        kept = json.loads(text) if text else {}
        positions = {}
        for source in SOURCES[object_type]:
            entry = kept.get(source.name)
            if entry is None:
                positions[source.name] = Position(at=now - FIRST_WINDOW)
                continue
            at = instant(entry["at"], field="cursor")
            if at is None:
                raise AdapterError(
                    ErrorKind.CONTRACT_DRIFT, "The stored poll cursor cannot be read.", code="INT-SCHEMA"
                )
            positions[source.name] = Position(
                at=at, after=entry.get("after", ""), within=bool(entry.get("within"))
            )
        return cls(positions)

    def text(self) -> str:
        return json.dumps(
            {
                name: {"at": position.at.isoformat(), "after": position.after, "within": position.within}
                for name, position in self.positions.items()
            },
            sort_keys=True,
        )
