"""Flow ``catalogue.read``: billing codes and employees of an ERP, read whole: a value's partner is chosen among the first, who
books time is looked up among the second.

Public surface: :data:`FLOW`. Subject key: the ERP's system code. It writes to no system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.connectors import services as connectors
from apps.core import clock
from apps.organization import selectors as organization
from apps.records import selectors as records
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft


@dataclass(frozen=True)
class CatalogueSnapshot:
    as_of: datetime
    meta: Meta
    codes: int
    #: None: the ERP shows us no employees.
    people: int | None = None


def gather(context: Context) -> CatalogueSnapshot:
    """Reads and keeps every item and employee of the ERP. Raises ``AdapterError``."""
    system = organization.system(context.key)
    with connectors.can_wait():
        found = base.read_many(context, system=system, object_type="service_item", by="name", value="")
        people = _people(context, system)
    return CatalogueSnapshot(clock.now(), Meta(label=f"Billing codes of {system.name}"), len(found), people)


def _people(context: Context, system: Any) -> int | None:
    if "employee" not in connectors.describe(system.pk).reads:
        return None
    shown = base.read_many(context, system=system, object_type="employee", by="name", value="")
    there = {one.external_id for one in shown}
    for row in records.of_type(system_id=system.pk, object_type="employee", limit=20_000):
        if row.external_id not in there:
            base.observe_gone(system=system, object_type="employee", external_id=row.external_id)
    return len(shown)


def plan(snapshot: CatalogueSnapshot) -> Draft:
    people = f" and {snapshot.people} employees" if snapshot.people is not None else ""
    return Draft((), summary=f"{snapshot.codes} billing codes{people} read.")


FLOW = Flow("catalogue.read", "catalogue", "Read an ERP's billing codes", gather, plan)
