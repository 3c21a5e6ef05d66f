"""The commercial content of a deal and its digest: what a change order would have to change.

Public surface: :func:`commercial_terms`, :func:`terms_digest`, :func:`changed_terms`.

In: amount, currency, legal entity, customer, billing model, dates, payment terms, not-to-exceed, lines, schedule, rates.
Out: names, wording, stage, project manager, purchase order: they change without anybody's money changing.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

from apps.canonical.money import Money
from apps.canonical.objects import Deal


def terms_digest(deal: Deal) -> str:
    """SHA-256 (hex) of :func:`commercial_terms`; ``1250`` and ``1250.00`` are equal, so is any order of the rows."""
    text = json.dumps(commercial_terms(deal), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def commercial_terms(deal: Deal) -> dict[str, Any]:
    """The commercial fields as plain JSON values, numbers normalised, rows sorted."""
    cap = deal.contract.not_to_exceed if deal.contract else None
    return {
        "amount": _money(deal.amount),
        "currency": deal.currency,
        "legal_entity": deal.legal_entity_code,
        "customer": deal.customer_key,
        "billing_model": deal.billing_model,
        "start_on": _day(deal.start_on),
        "end_on": _day(deal.end_on),
        "payment_terms": deal.payment_terms,
        "not_to_exceed": _money(cap),
        "lines": _sorted(
            [
                line.key,
                line.service_code,
                _number(line.quantity),
                _money(line.unit_price),
                _money(line.amount),
                line.billing_model,
            ]
            for line in deal.lines
        ),
        "schedule": _sorted(
            [entry.key, _money(entry.amount), entry.trigger, _day(entry.due_on), entry.service_code]
            for entry in deal.schedule
        ),
        "rates": _sorted(
            [rate.role, rate.service_code, rate.resource, rate.blended, rate.unit, _money(rate.bill_rate)]
            for rate in deal.rates
        ),
    }


def changed_terms(before: Deal, after: Deal) -> dict[str, tuple[Any, Any]]:
    """``{field: (before, after)}`` of the commercial fields that differ; empty when the digests are equal."""
    old, new = commercial_terms(before), commercial_terms(after)
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}


def _number(value: Decimal) -> str:
    return format(value.normalize(), "f") if value else "0"


def _money(value: Money | None) -> str | None:
    return None if value is None else f"{_number(value.amount)} {value.currency}"


def _day(value: Any) -> str | None:
    return value.isoformat() if value else None


def _sorted(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
