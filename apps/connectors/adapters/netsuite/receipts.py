"""Money that came in: customer payments, with what of them is applied to no invoice.

Public surface: :func:`find_receipts`.

Fields: SuiteTalk REST record ``customerPayment``. A payment may be taken in before anybody knows what it is for; ``unapplied``
is the rest that settles nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from moneyed import CURRENCIES

from apps.canonical.money import Money
from apps.canonical.objects import Receipt
from apps.connectors.adapters.netsuite.client import day, decimal, ref_id
from apps.connectors.adapters.netsuite.vocabulary import Vocabulary
from apps.connectors.protocols.convert import built
from apps.connectors.spi import AdapterError, ErrorKind, Observed


def find_receipts(words: Vocabulary, *, by: str, value: str) -> list[Observed]:
    """A customer payment by ``id``."""
    if by != "id":
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT, f"NetSuite payments cannot be searched by {by}.", code="INT-SCHEMA"
        )
    record = words.client.get("customerPayment", value) if value.isdigit() else None
    return [] if record is None else [_observed(words, record)]


def _observed(words: Vocabulary, record: Mapping[str, Any]) -> Observed:
    system, internal_id = words.client.settings.system, str(record["id"])
    currency, received = words.currency(record.get("currency")), day(record.get("tranDate"))
    if currency not in CURRENCIES or received is None:
        raise AdapterError(
            ErrorKind.CONTRACT_DRIFT,
            "The payment in NetSuite lacks a currency or a date that we can read.",
            code="INT-SCHEMA",
        )
    amount = decimal(record.get("payment")) or Decimal(0)
    unapplied, customer = decimal(record.get("unapplied")), ref_id(record.get("customer"))
    subsidiary = ref_id(record.get("subsidiary"))
    body = built(
        Receipt,
        "The payment in NetSuite",
        key=str(record.get("externalId") or f"{system}:{internal_id}"),
        number=str(record.get("tranId") or ""),
        customer_key=f"{system}:{customer or 'none'}",
        legal_entity_code=words.entity_code(subsidiary),
        received_on=received,
        amount=Money.of(amount, currency),
        unapplied=Money.of(unapplied if unapplied is not None else Decimal(0), currency),
        reference=str(record.get("memo") or record.get("checkNumber") or ""),
    )
    return Observed(
        object_type="receipt",
        external_id=internal_id,
        body=body,
        version=str(record.get("lastModifiedDate") or ""),
        modified_at=words.client.moment(record.get("lastModifiedDate")),
        url=words.page("customerPayment", internal_id),
        container_id=customer,
        facts={"customer_id": customer, "subsidiary": subsidiary},
    )
