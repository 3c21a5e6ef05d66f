"""The flows, by name. Adding one: a module with a :class:`~apps.sync.flows.base.Flow` and a line here."""

from __future__ import annotations

from apps.sync.flows import (
    catalogue,
    connection,
    customer,
    deal,
    delivery,
    dispute,
    invoice,
    payment,
    project,
    ratecard,
    receipt,
    taxid,
)
from apps.sync.flows.base import Flow

_MODULES = (
    deal, customer, ratecard, project, delivery, invoice, payment, dispute, receipt, taxid, catalogue, connection,
)  # fmt: skip
FLOWS: dict[str, Flow] = {module.FLOW.name: module.FLOW for module in _MODULES}


def flow(name: str) -> Flow:
    """The flow of this name. Raises ``KeyError``."""
    return FLOWS[name]
