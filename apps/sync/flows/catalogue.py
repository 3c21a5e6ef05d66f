"""Flow ``catalogue.read``: the billing codes of an ERP, read whole, so that people can choose a partner for a value.

Public surface: :data:`FLOW`. Subject key: the ERP's system code. It writes to no system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.connectors import services as connectors
from apps.core import clock
from apps.organization import selectors as organization
from apps.sync.flows import base
from apps.sync.flows.base import Context, Flow, Meta
from apps.sync.plans import Draft


@dataclass(frozen=True)
class CatalogueSnapshot:
    as_of: datetime
    meta: Meta
    codes: int


def gather(context: Context) -> CatalogueSnapshot:
    """Reads and keeps every item of the ERP. Raises ``AdapterError``."""
    system = organization.system(context.key)
    with connectors.can_wait():
        found = base.read_many(context, system=system, object_type="service_item", by="name", value="")
    return CatalogueSnapshot(clock.now(), Meta(label=f"Billing codes of {system.name}"), len(found))


def plan(snapshot: CatalogueSnapshot) -> Draft:
    return Draft((), summary=f"{snapshot.codes} billing codes read.")


FLOW = Flow("catalogue.read", "catalogue", "Read an ERP's billing codes", gather, plan)
