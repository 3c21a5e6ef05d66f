"""One valid example of every canonical object, for the tests of this room and of adapters."""

from __future__ import annotations

from typing import Any

EUR_100 = {"amount": "100.00", "currency": "EUR"}
RATE = {"role": "Consultant", "service_code": "IMP-200", "unit": "hour", "bill_rate": EUR_100}
ENTRY = {
    "key": "MS1",
    "label": "Design accepted",
    "amount": EUR_100,
    "trigger": "acceptance",
    "due_on": "2026-12-01",
}
CONTRACT = {"key": "crm:800", "kind": "MSA", "status": "activated", "customer_key": "crm:001"}
LINE = {
    "key": "L1",
    "service_code": "IMP-200",
    "quantity": "1",
    "unit_price": EUR_100,
    "amount": EUR_100,
}

SAMPLES: dict[str, dict[str, Any]] = {
    "customer": {
        "key": "crm:001",
        "name": "Aldergate plc",
        "billing_address": {"city": "Leeds", "country": "GB"},
    },
    "legal_entity": {"key": "MER-UK", "name": "Meridane UK Ltd", "country": "GB", "currency": "GBP"},
    "service_item": {"key": "IMP-200", "name": "Implementation"},
    "contract": CONTRACT,
    "rate_card": {
        "key": "RC-1",
        "name": "Standard",
        "currency": "EUR",
        "effective_from": "2026-01-01",
        "lines": [RATE],
    },
    "billing_schedule": {"key": "BS-1", "engagement_key": "ENG-1", "currency": "EUR", "entries": [ENTRY]},
    "deal": {
        "key": "crm:006",
        "name": "ERP roll-out",
        "currency": "EUR",
        "amount": EUR_100,
        "contract": CONTRACT,
        "lines": [LINE, {**LINE, "key": "L2", "service_code": "TRN-100"}],
        "schedule": [ENTRY],
        "rates": [RATE],
    },
    "engagement": {
        "key": "ENG-2026-000001",
        "name": "ERP roll-out",
        "customer_key": "crm:001",
        "legal_entity_code": "MER-UK",
        "currency": "EUR",
        "billing_model": "milestone",
        "budget": EUR_100,
    },
    "resource_assignment": {"key": "RA-1", "engagement_key": "ENG-1", "person": "Ana", "role": "Consultant"},
    "time_entry": {
        "key": "TE-1",
        "engagement_key": "ENG-1",
        "person": "Ana",
        "worked_on": "2026-11-02",
        "hours": "7.5",
        "status": "approved",
        "approved_at": "2026-11-05T09:00:00Z",
    },
    "expense": {
        "key": "EXP-1",
        "engagement_key": "ENG-1",
        "incurred_on": "2026-11-02",
        "amount": EUR_100,
        "status": "approved",
    },
    "milestone": {
        "key": "MS-1",
        "engagement_key": "ENG-1",
        "name": "Design accepted",
        "amount": EUR_100,
        "status": "accepted",
        "evidence": "CERT-7",
    },
    "tax_treatment": {
        "key": "TT-1",
        "customer_key": "crm:001",
        "legal_entity_code": "MER-UK",
        "treatment": "standard",
        "rate_percent": "20",
    },
    "invoice": {
        "key": "PB-2026-000001",
        "engagement_key": "ENG-1",
        "customer_key": "crm:001",
        "legal_entity_code": "MER-UK",
        "currency": "EUR",
        "status": "draft",
        "invoice_on": "2026-11-20",
        "lines": [{"key": "1", "description": "Design accepted", "unit_price": EUR_100, "amount": EUR_100}],
        "net": EUR_100,
    },
    "payment_status": {
        "key": "PAY-1",
        "invoice_key": "PB-2026-000001",
        "status": "part_paid",
        "paid": EUR_100,
        "balance": EUR_100,
    },
    "receipt": {
        "key": "erp:77",
        "customer_key": "erp:12",
        "legal_entity_code": "MER-UK",
        "received_on": "2026-11-20",
        "amount": EUR_100,
        "unapplied": EUR_100,
    },
    "employee": {"key": "erp:9", "name": "Ana Vidal", "email": "ana.vidal@merridane.example"},
    "dispute": {
        "key": "billing:du_1",
        "invoice_key": "PB-2026-000001",
        "amount": EUR_100,
        "status": "open",
        "opened_at": "2026-11-20T10:00:00Z",
    },
}
