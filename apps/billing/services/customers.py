"""The customer of an engagement as the records room last saw it."""

from __future__ import annotations

from apps.canonical.objects import Customer
from apps.records import selectors as records


def customer_of(customer_key: str) -> Customer | None:
    """The canonical customer, as the CRM shows it (owner of PO and exemption flags), else as any system does."""
    seen = [record for record in records.records_for("customer", customer_key) if not record.deleted]
    if not seen:
        return None
    best = min(seen, key=lambda record: (record.system.kind != "crm", record.pk))
    return Customer.model_validate(best.body)
